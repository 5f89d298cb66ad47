import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core.conditions import at_rest, step
from responder.core.conditions.state import Told
from responder.core.rule import SequenceWhen
from responder.core.signal import MINUTE

from .helpers import Key, at, ends, fires, member, moment, passes, restarted, seen

TWO = SequenceWhen((member("a"), member("b")), 10 * MINUTE)
THREE = SequenceWhen((member("a"), member("b"), member("c")), 10 * MINUTE)
ABSENT = SequenceWhen((member("a"), member("b", absent=True)), 10 * MINUTE)
LONG_ABSENT = SequenceWhen((member("a"), member("b"), member("c", absent=True)), 10 * MINUTE)

TABLE: dict[str, tuple[SequenceWhen, list[Told], list[tuple[str, float]]]] = {
    "opens on the last step": (THREE, [moment(0, 0), moment(1, 1), fires(2, 2)], [("opens", 2)]),
    "not out of order": (THREE, [moment(0, 1), moment(1, 0), moment(2, 2)], []),
    "nor with a step left out": (THREE, [moment(0, 0), moment(1, 2)], []),
    "within counts from the first step": (THREE, [moment(0, 0), moment(6, 1), moment(10, 2)], []),
    "and its end is exact": (THREE, [moment(0.01, 0), moment(6, 1), moment(10, 2)], [("opens", 10)]),
    "a new first step begins anew": (TWO, [moment(0, 0), moment(8, 0), moment(12, 1)], [("opens", 12)]),
    "but what the old one reached still counts": (THREE, [moment(0, 0), moment(1, 1), moment(2, 0), moment(3, 2)], [("opens", 3)]),
    "and the newest that reaches a step takes over there": (
        THREE,
        [moment(0, 0), moment(1, 1), moment(5, 0), moment(6, 1), moment(14, 2)],
        [("opens", 14)],
    ),
    "the last step closes by its end": (TWO, [moment(0, 0), fires(1, 1), passes(60), ends(61, 1)], [("opens", 1), ("closes", 61)]),
    "not an earlier one": (TWO, [fires(0, 0), fires(1, 1), ends(2, 0), ends(3, 1)], [("opens", 1), ("closes", 3)]),
    "the last step that fires closes, if the last is momentary": (
        TWO,
        [fires(0, 0), moment(1, 1), passes(60), ends(61, 0)],
        [("opens", 1), ("closes", 61)],
    ),
    "with its last alert": (
        TWO,
        [moment(0, 0), fires(1, 1), fires(2, 1), ends(3, 1), ends(4, 1)],
        [("opens", 1), ("closes", 4)],
    ),
    "only momentary ones close after the window": (TWO, [moment(0, 0), moment(1, 1), passes(10.9), passes(11)], [("opens", 1), ("closes", 11)]),
    "a step that is over is like a momentary one": (TWO, [fires(0, 0), ends(1, 0), moment(2, 1), passes(99)], [("opens", 2), ("closes", 12)]),
    "coming again prolongs it": (
        TWO,
        [moment(0, 0), moment(1, 1), moment(5, 0), moment(6, 1), passes(99)],
        [("opens", 1), ("closes", 16)],
    ),
    "a last step that returns inside the window opens again": (
        TWO,
        [moment(0, 0), fires(1, 1), ends(2, 1), fires(3, 1), ends(4, 1), fires(11, 1)],
        [("opens", 1), ("closes", 2), ("opens", 3), ("closes", 4)],
    ),
    "opens when the absent step did not come in time": (ABSENT, [moment(0, 0), passes(9.9), passes(10)], [("opens", 10)]),
    "not when it came": (ABSENT, [moment(0, 0), moment(9.9, 1), passes(99)], []),
    "nor without the steps before": (ABSENT, [moment(0, 1), passes(99)], []),
    "one that came before does not count": (ABSENT, [moment(0, 1), moment(1, 0), passes(99)], [("opens", 11)]),
    "exactly at the end is too late": (ABSENT, [moment(0, 0), moment(10, 1)], [("opens", 10), ("closes", 10)]),
    "the awaited edge closes": (ABSENT, [moment(0, 0), fires(30, 1)], [("opens", 10), ("closes", 30)]),
    "and nothing else": (ABSENT, [fires(0, 0), passes(10), ends(11, 0), moment(12, 0), passes(99)], [("opens", 10)]),
    "a second first step does not prolong the wait": (ABSENT, [moment(0, 0), moment(8, 0), passes(99)], [("opens", 10)]),
    "one awaited edge answers all first steps before it": (ABSENT, [moment(0, 0), moment(8, 0), moment(9, 1), passes(99)], []),
    "after it the next first step waits again": (
        ABSENT,
        [moment(0, 0), moment(12, 1), moment(20, 0), passes(99)],
        [("opens", 10), ("closes", 12), ("opens", 30)],
    ),
    "the wait begins when all before it came, and counts from the first": (
        LONG_ABSENT,
        [moment(0, 0), moment(1, 2), moment(4, 1), passes(99)],
        [("opens", 10)],
    ),
    "no wait without all before it": (LONG_ABSENT, [moment(0, 0), passes(99)], []),
    "repeats are no steps": (TWO, [fires(0, 0), seen(1), seen(2)], []),
    "a clock 30 min ahead": (TWO, [moment(0, 0), moment(31, 1)], []),
    "a clock 10 min behind stands still": (TWO, [moment(20, 0), moment(10, 1), passes(29.9), passes(30)], [("opens", 20), ("closes", 30)]),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_sequence(case: str) -> None:
    when, tolds, edges = TABLE[case]
    assert Key(when).tell(*tolds) == edges


def test_the_edge_tells_the_steps() -> None:
    key = Key(THREE)
    key.tell(moment(0, 0), moment(1, 1), moment(2, 2))
    assert key.edges[0].steps == (("a", at(0)), ("b", at(1)), ("c", at(2)))
    waiting = Key(LONG_ABSENT)
    waiting.tell(moment(0, 0), moment(4, 1), passes(10))
    assert waiting.edges[0].steps == (("a", at(0)), ("b", at(4)))


def test_nothing_is_remembered_once_the_window_is_empty() -> None:
    key = Key(THREE)
    key.tell(moment(0, 0), moment(3, 0), moment(4, 1))
    assert key.state.due == at(13)
    key.tell(passes(13))
    assert at_rest(key.state)


def test_a_step_that_a_reload_adds_has_not_come_yet() -> None:
    key = Key(TWO)
    key.tell(moment(0, 0))
    state = restarted(step(THREE, key.state, moment(1, 1)).state)
    assert (state.phase, step(THREE, state, moment(2, 2)).state.phase) == ("closed", "open")


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), max_size=30))
def test_opens_exactly_when_some_steps_in_order_lie_within_the_window(script: list[tuple[int, int]]) -> None:
    key, now, due, history = Key(THREE), 0, -1, list[tuple[int, int]]()
    for gap, who in script:
        now += gap
        key.tell(moment(now, who))
        history.append((now, who))
        if who == 2 and any(
            now - 10 < history[i][0] and history[i][1] == 0 and history[j][1] == 1
            for j in range(len(history))
            for i in range(j)
        ):
            due = now + 10
        assert (key.state.phase == "open") is (now < due)
        assert key.state.phase == "closed" or key.state.due == at(due)
