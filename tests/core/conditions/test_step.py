"""What holds for every kind: late is as good as on time, a restart changes nothing, memory is bounded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core.conditions import at_rest, count, step
from responder.core.conditions.state import Closed, Due, Expected, Opened, Sampled, Seen, State, Told, Turn
from responder.core.rule import (
    AbsenceWhen,
    AllWhen,
    Bound,
    CountWhen,
    EventWhen,
    FlappingWhen,
    MetricWhen,
    SequenceWhen,
    When,
)
from responder.core.signal import MINUTE, SECOND

from .helpers import EVENT, Key, at, member, minutes, moment, passes

TEN = 10 * MINUTE
KINDS: dict[str, When] = {
    "metric": MetricWhen("p", "q", 30 * SECOND, Bound("above", 5.0, hold=3 * MINUTE), "keep", Bound("below", 4.0, hold=MINUTE)),
    "metric no_data open": MetricWhen("p", "q", 30 * SECOND, Bound("above", 5.0, hold=3 * MINUTE), "open"),
    "event": EventWhen(EVENT),
    "absence": AbsenceWhen(member(), TEN, MINUTE),
    "count": CountWhen(member(), 3, TEN),
    "count distinct": CountWhen(member(), 3, TEN, "ip"),
    "all": AllWhen((member("a"), member("b"), member("c")), TEN),
    "sequence": SequenceWhen((member("a"), member("b"), member("c")), TEN),
    "sequence absent": SequenceWhen((member("a"), member("b"), member("c", absent=True)), TEN),
    "flapping": FlappingWhen(member(), 4, TEN, 1, 5 * MINUTE),
}  # fmt: skip
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)

SERIES = st.dictionaries(st.integers(0, 3), st.floats(0, 10), max_size=4).map(lambda d: tuple(d.items()))
MEMBER = st.integers(0, 2)
TOLD = st.one_of(
    st.builds(Opened, st.just(0), MEMBER, st.booleans(), st.sampled_from(["", "x", "y", "z" * 10_000])),
    st.builds(Closed, st.just(0), MEMBER, st.booleans()),
    st.builds(Seen, st.just(0), MEMBER),
    st.builds(Sampled, st.just(0), SERIES),
    st.builds(Expected, st.just(0)),
    st.builds(Due, st.just(0)),
)


def script(earliest: float) -> st.SearchStrategy[list[Told]]:
    """Return what a key may be told over some hours; a gap before each of *earliest* to 40 minutes."""
    gaps = st.one_of(st.sampled_from([0.0, 0.5, 5.0, 10.0]), st.floats(earliest, 40))

    def lay_out(steps: list[tuple[float, Told]]) -> list[Told]:
        now, tolds = 0.0, list[Told]()
        for gap, told in steps:
            now += gap
            tolds.append(msgspec.structs.replace(told, at=at(now)))
        return tolds

    return st.lists(st.tuples(gaps, TOLD), max_size=25).map(lay_out)


def fitting(when: When, tolds: list[Told]) -> list[Told]:
    """Return them with every member one that the rule has."""
    known = {AllWhen: 3, SequenceWhen: 3}.get(type(when), 1)
    return [msgspec.structs.replace(t, member=t.member % known) if hasattr(t, "member") else t for t in tolds]


@EVERY_KIND
@given(tolds=script(0))
def test_what_is_due_gives_the_same_however_late_it_is_done(kind: str, tolds: list[Told]) -> None:
    late, prompt = Key(KINDS[kind]), Key(KINDS[kind])
    for told in fitting(KINDS[kind], tolds):
        late.tell(told)
        prompt.tell_on_time(told)
        assert (late.state, late.edges) == (prompt.state, prompt.edges)
    for key in (late, prompt):
        last = max([at(0), *(t.at for t in tolds)])
        key.tell_on_time(Due(last + 180 * MINUTE)) if key is prompt else key.tell(Due(last + 180 * MINUTE))
    assert (late.state, late.edges) == (prompt.state, prompt.edges)


@EVERY_KIND
@given(tolds=script(-10))
def test_a_clock_that_jumps_never_turns_edges_back(kind: str, tolds: list[Told]) -> None:
    Key(KINDS[kind]).tell(*fitting(KINDS[kind], tolds))  # Key checks order, alternation and due after each


@EVERY_KIND
@given(tolds=script(0))
def test_the_state_does_not_grow_with_what_it_was_told(kind: str, tolds: list[Told]) -> None:
    key = Key(KINDS[kind])
    for told in fitting(KINDS[kind], tolds):
        key.tell(told)
        assert len(msgspec.json.encode(key.state)) < 600


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith(("metric", "event", "absence"))])
def test_thousands_of_edges_leave_a_small_state_that_time_clears(kind: str) -> None:
    key = Key(KINDS[kind])
    for n in range(2000):
        key.tell(moment(n / 1000, n % 3 if "all" in kind or "sequence" in kind else 0, value=f"address {n}"))
    assert len(msgspec.json.encode(key.state)) < 600
    key.tell(passes(60))
    assert at_rest(key.state) or kind == "sequence absent"  # which only the awaited edge closes


def test_a_tick_three_hours_late_tells_the_true_instants() -> None:
    key = Key(CountWhen(member(), 2, TEN))
    key.tell(moment(0), moment(1))
    key.tell(passes(190))
    assert [(e.opens, minutes(e.at)) for e in key.edges] == [(True, 1), (False, 10)]
    assert key.state.since == at(10)


def test_the_edges_of_what_was_due_stand_before_those_of_what_is_told() -> None:
    when = CountWhen(member(), 1, TEN)
    turn = step(when, step(when, State(), moment(0)).state, moment(30))
    assert [(e.opens, minutes(e.at)) for e in turn.edges] == [(False, 10), (True, 30)]


def test_a_due_instant_that_does_not_move_on_is_a_bug_and_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.core.conditions._KINDS", {CountWhen: lambda when, state, told: Turn(state)})
    with pytest.raises(RuntimeError, match="CountWhen is due"):
        step(CountWhen(member(), 1, TEN), State(due=at(1)), passes(2))


def test_each_kind_is_a_pure_function_of_its_arguments() -> None:
    before = step(KINDS["count"], State(), moment(0)).state
    data = msgspec.json.encode(before)
    count.step(CountWhen(member(), 3, TEN), before, moment(1))
    assert msgspec.json.encode(before) == data
