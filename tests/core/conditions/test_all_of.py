from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core.conditions import at_rest, step
from responder.core.conditions.state import Told
from responder.core.rule import AllWhen
from responder.core.signal import MINUTE

from .helpers import Key, at, ends, fires, member, moment, passes, restarted, seen

BOTH = AllWhen((member("a"), member("b")), within=10 * MINUTE)

TABLE: dict[str, tuple[list[Told], list[tuple[str, float]]]] = {
    "opens when the last member comes, in any order": ([fires(1, 1), fires(3, 0)], [("opens", 3)]),
    "one member is not all": ([fires(0), fires(1), moment(2)], []),
    "the first member that ends closes": (
        [fires(0, 0), fires(1, 1), ends(5, 0), ends(6, 1)],
        [("opens", 1), ("closes", 5)],
    ),
    "a member ends with its last alert": (
        [fires(0, 0), fires(1, 0), fires(2, 1), ends(3, 0), ends(4, 0)],
        [("opens", 2), ("closes", 4)],
    ),
    "an edge ages out exactly after the window": ([fires(0, 0), fires(10, 1)], []),
    "and not before": ([fires(0.01, 0), fires(10, 1)], [("opens", 10)]),
    "a member that fires for long had its edge too early": ([fires(0, 0), fires(20, 1), fires(21, 0)], [("opens", 21)]),
    "a member that is over had its edge all the same": (
        [fires(0, 0), ends(1, 0), fires(2, 1), ends(30, 1)],
        [("opens", 2), ("closes", 30)],
    ),
    "beside a momentary one the stateful one closes": (
        [moment(0, 0), fires(1, 1), passes(60), ends(61, 1)],
        [("opens", 1), ("closes", 61)],
    ),
    "only momentary ones close after the window": (
        [moment(0, 0), moment(1, 1), passes(10.9), passes(99)],
        [("opens", 1), ("closes", 11)],
    ),
    "counted from the last edge that completes them": (
        [moment(0, 0), moment(1, 1), moment(5, 0), passes(99)],
        [("opens", 1), ("closes", 15)],
    ),
    "one member alone does not prolong it": (
        [moment(0, 0), moment(1, 1), *(moment(m, 0) for m in range(2, 40))],
        [("opens", 1), ("closes", 20)],
    ),
    "all over before it opened closes after the window": (
        [fires(0, 0), ends(1, 0), moment(2, 1), passes(99)],
        [("opens", 2), ("closes", 12)],
    ),
    "what begins to fire meanwhile decides by its end": (
        [moment(0, 0), moment(1, 1), fires(2, 0), passes(60), ends(61, 0)],
        [("opens", 1), ("closes", 61)],
    ),
    "opens again when the closed member returns": (
        [fires(0, 0), fires(1, 1), ends(2, 1), fires(3, 1)],
        [("opens", 1), ("closes", 2), ("opens", 3)],
    ),
    "an end that nothing opened is nothing": (
        [fires(0, 0), ends(0, 1), fires(1, 1), ends(1, 0)],
        [("opens", 1), ("closes", 1)],
    ),
    "repeats are nothing": ([fires(0, 0), seen(1), fires(2, 1), seen(3)], [("opens", 2)]),
    "a clock 30 min ahead": ([fires(0, 0), fires(31, 1)], []),
    "a clock 10 min behind stands still": ([fires(20, 0), fires(10, 1), ends(11, 0)], [("opens", 20), ("closes", 20)]),
}


@pytest.mark.parametrize("case", TABLE)
def test_all_of(case: str) -> None:
    tolds, edges = TABLE[case]
    assert Key(BOTH).tell(*tolds) == edges


def test_the_edge_tells_what_came_when() -> None:
    key = Key(BOTH)
    key.tell(fires(1, 1), moment(3, 0), ends(4, 1, expired=True))
    assert key.edges[0].steps == (("b", at(1)), ("a", at(3)))
    assert key.edges[1].expired


def test_nothing_is_remembered_once_nothing_fires_and_all_edges_are_old() -> None:
    key = Key(BOTH)
    key.tell(moment(0, 0), fires(1, 1))
    key.tell(ends(2, 1))
    assert key.state.due == at(11)
    key.tell(passes(11))
    assert at_rest(key.state)
    key.tell(fires(20, 0), passes(99))
    assert not at_rest(key.state)  # it fires


def test_a_member_that_a_reload_adds_has_not_come_yet() -> None:
    key = Key(BOTH)
    key.tell(fires(0, 0))
    three = AllWhen((*BOTH.of, member("c")), BOTH.within)
    state = restarted(step(three, key.state, fires(1, 1)).state)
    assert (state.phase, step(three, state, fires(2, 2)).state.phase) == ("closed", "open")


TELL: dict[str, Callable[..., Told]] = {"f": fires, "e": ends, "m": moment}


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.sampled_from("fem")), max_size=40))
def test_agrees_with_the_whole_history(script: list[tuple[int, int, str]]) -> None:
    when = AllWhen((member("a"), member("b"), member("c")), within=10 * MINUTE)
    key, now = Key(when), 0
    edges, opened, firing = list[tuple[bool, int]](), list[tuple[int, int]](), [0, 0, 0]
    is_open, complete_at = False, 0

    def close_by_age(until: int) -> None:
        nonlocal is_open
        if is_open and not any(firing) and complete_at + 10 <= until:
            is_open = False
            edges.append((False, at(complete_at + 10)))

    for gap, who, kind in script:
        now += gap
        key.tell(TELL[kind](now, who))
        close_by_age(now)
        if kind == "e":
            if is_open and firing[who] == 1:
                is_open = False
                edges.append((False, at(now)))
            firing[who] = max(firing[who] - 1, 0)
            continue
        opened.append((now, who))
        firing[who] += kind == "f"
        if {w for t, w in opened if now - 10 < t} == {0, 1, 2}:
            complete_at = now
            if not is_open:
                is_open = True
                edges.append((True, at(now)))
    key.tell(passes(now + 100))
    close_by_age(now + 100)
    assert [(e.opens, e.at) for e in key.edges] == edges
