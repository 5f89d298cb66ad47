import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core.conditions import at_rest
from responder.core.conditions.state import Opened, Told
from responder.core.rule import CountWhen
from responder.core.signal import MINUTE

from .helpers import Key, at, ends, fires, member, moment, passes, seen

THREE = CountWhen(member(), at_least=3, within=10 * MINUTE)
ADDRESSES = CountWhen(member(), at_least=3, within=10 * MINUTE, distinct="ip")

TABLE: dict[str, tuple[list[Told], list[tuple[str, float]]]] = {
    "opens at the third": ([fires(0), fires(1), fires(2)], [("opens", 2)]),
    "momentary or not": ([moment(0), fires(1), moment(2)], [("opens", 2)]),
    "closes when the window holds two": ([moment(0), moment(1), moment(2), passes(99)], [("opens", 2), ("closes", 10)]),
    "an edge ages out exactly after the window": ([moment(0), moment(1), moment(10)], []),
    "and not before": ([moment(0.01), moment(1), moment(10)], [("opens", 10)]),
    "more of them keep it open": (
        [moment(0), moment(1), moment(2), moment(9), moment(9), passes(99)],
        [("opens", 2), ("closes", 12)],
    ),
    "an edge at the instant of the close opens it again": (
        [moment(0), moment(1), moment(2), moment(10)],
        [("opens", 2), ("closes", 10), ("opens", 10)],
    ),
    "ends and repeats are no open edges": ([fires(0), ends(1), seen(1), fires(2), ends(3), seen(4)], []),
    "a clock 30 min ahead empties the window": (
        [moment(0), moment(1), moment(2), moment(32), moment(33)],
        [("opens", 2), ("closes", 10)],
    ),
    "a clock 10 min behind stands still": (
        [moment(20), moment(10), moment(11), passes(29.9), passes(30)],
        [("opens", 20), ("closes", 30)],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_count(case: str) -> None:
    tolds, edges = TABLE[case]
    assert Key(THREE).tell(*tolds) == edges


def test_distinct_values_count_once_each_by_their_newest_edge() -> None:
    key = Key(ADDRESSES)
    assert key.tell(moment(0, value="a"), moment(1, value="a"), moment(2, value="b"), moment(3, value="a")) == []
    assert key.tell(moment(4, value="c")) == [("opens", 4)]
    assert key.tell(passes(99)) == [("closes", 12)]  # b ages out first


def test_an_edge_without_the_distinct_label_does_not_count() -> None:
    assert Key(ADDRESSES).tell(moment(0, value="a"), moment(1, value="b"), moment(2), moment(3)) == []


def test_the_edge_and_the_state_tell_the_count() -> None:
    key = Key(THREE)
    key.tell(moment(0), moment(1), moment(2))
    assert (key.edges[-1].count, key.state.value) == (3, 3.0)
    key.tell(passes(10))
    assert (key.edges[-1].count, key.state.value) == (2, 2.0)


def test_nothing_is_remembered_once_the_window_is_empty() -> None:
    key = Key(THREE)
    key.tell(moment(0), moment(4))
    assert key.state.due == at(14)
    key.tell(passes(14))
    assert at_rest(key.state)


EDGES = st.lists(st.tuples(st.integers(0, 8), st.sampled_from("abcd")), max_size=40)


@given(EDGES, st.integers(1, 4), st.booleans())
def test_agrees_with_counting_the_whole_history(gaps: list[tuple[int, str]], at_least: int, distinct: bool) -> None:
    key = Key(CountWhen(member(), at_least, 10 * MINUTE, "ip" if distinct else None))
    history, now = list[tuple[int, str]](), 0
    for gap, value in gaps:
        now += gap
        history.append((now, value))
        key.tell(Opened(at(now), momentary=True, value=value))
    key.tell(passes(now + 100))

    def enough(minute: int, arrived: int) -> bool:
        inside = [v for t, v in history[:arrived] if minute - 10 < t <= minute]
        return len(set(inside) if distinct else inside) >= at_least

    edges, is_open = list[tuple[bool, int]](), False
    for minute in range(now + 100):
        before = sum(t < minute for t, _ in history)
        for arrived in range(before, sum(t <= minute for t, _ in history) + 1):  # ageing first, then each edge
            if enough(minute, arrived) is not is_open:
                is_open = not is_open
                edges.append((is_open, at(minute)))
    assert [(e.opens, e.at) for e in key.edges] == edges
