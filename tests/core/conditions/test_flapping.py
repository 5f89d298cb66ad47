from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core.conditions import at_rest
from responder.core.conditions.state import Told
from responder.core.rule import FlappingWhen
from responder.core.signal import MINUTE

from .helpers import Key, at, ends, fires, member, moment, passes, seen

FOUR = FlappingWhen(member(), 4, 10 * MINUTE, 1, 10 * MINUTE)
SLOW_STOP = FlappingWhen(member(), 3, 5 * MINUTE, 1, 20 * MINUTE)

TABLE: dict[str, tuple[FlappingWhen, list[Told], list[tuple[str, float]]]] = {
    "either edge is a change": (FOUR, [fires(0), ends(1), fires(2), ends(3)], [("opens", 3)]),
    "a momentary alert is two": (FOUR, [moment(0), moment(1)], [("opens", 1)]),
    "repeats are none": (FOUR, [fires(0), seen(1), seen(2), seen(3)], []),
    "closes when one change is left in the window": (
        FOUR,
        [fires(0), ends(1), fires(2), ends(3), passes(11.9), passes(99)],
        [("opens", 3), ("closes", 12)],
    ),
    "a change meanwhile prolongs it": (
        FOUR,
        [fires(0), ends(1), fires(2), ends(3), fires(11), passes(99)],
        [("opens", 3), ("closes", 13)],
    ),
    "slow changes are no flapping": (FOUR, [fires(0), ends(4), fires(8), ends(12), fires(16)], []),
    "a change ages out exactly after the window": (FOUR, [fires(0), ends(1), fires(2), ends(10)], []),
    "the stop has its own window": (
        SLOW_STOP,
        [fires(0), ends(1), fires(2), passes(20.9), passes(99)],
        [("opens", 2), ("closes", 21)],
    ),
    "a clock 30 min ahead": (FOUR, [fires(0), ends(1), fires(2), ends(32), fires(33)], []),
    "a clock 10 min behind stands still": (
        FOUR,
        [fires(20), ends(10), fires(11), ends(12), passes(29.9), passes(30)],
        [("opens", 20), ("closes", 30)],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_flapping(case: str) -> None:
    when, tolds, edges = TABLE[case]
    assert Key(when).tell(*tolds) == edges


def test_nothing_is_remembered_once_all_is_calm() -> None:
    key = Key(SLOW_STOP)
    key.tell(fires(0), ends(1), fires(2))
    assert (key.edges[-1].count, key.state.due) == (3, at(21))
    key.tell(passes(21))
    assert (key.edges[-1].count, key.state.due) == (1, at(22))
    key.tell(passes(22))
    assert at_rest(key.state)


TELL: dict[str, Callable[..., Told]] = {"fires": fires, "ends": ends, "moment": moment}


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["fires", "ends", "moment"])), max_size=40),
    st.integers(1, 5), st.integers(1, 12), st.integers(0, 4), st.integers(1, 12),
)  # fmt: skip
def test_agrees_with_counting_the_whole_history(
    gaps: list[tuple[int, str]], start: int, start_within: int, stop: int, stop_within: int
) -> None:
    key = Key(FlappingWhen(member(), start, start_within * MINUTE, stop, stop_within * MINUTE))
    history, now = list[tuple[int, int]](), 0
    for gap, kind in gaps:
        now += gap
        history.append((now, 2 if kind == "moment" else 1))
        key.tell(TELL[kind](now))
    key.tell(passes(now + 100))

    def changes(minute: int, arrived: int, within: int) -> int:
        return sum(n for t, n in history[:arrived] if minute - within < t <= minute)

    edges, is_open = list[tuple[bool, int]](), False
    for minute in range(now + 100):
        before = sum(t < minute for t, _ in history)
        for arrived in range(before, sum(t <= minute for t, _ in history) + 1):
            if not is_open and arrived > before and changes(minute, arrived, start_within) >= start:
                is_open = True
                edges.append((True, at(minute)))
            if is_open and changes(minute, arrived, stop_within) <= stop:
                is_open = False
                edges.append((False, at(minute)))
    assert [(e.opens, e.at) for e in key.edges] == edges
