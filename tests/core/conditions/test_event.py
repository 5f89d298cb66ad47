import pytest

from responder.core.conditions import at_rest
from responder.core.conditions.state import Told
from responder.core.rule import EventWhen

from .helpers import EVENT, Key, ends, fires, moment, passes, seen

TABLE: dict[str, tuple[list[Told], list[tuple[str, float]]]] = {
    "opens with the first and closes with the last": (
        [fires(1), fires(2), ends(3), fires(4), ends(5), ends(6)],
        [("opens", 1), ("closes", 6)],
    ),
    "opens again after it closed": (
        [fires(1), ends(2), fires(3), ends(4)],
        [("opens", 1), ("closes", 2), ("opens", 3), ("closes", 4)],
    ),
    "a momentary alert opens and closes at once": ([moment(1)], [("opens", 1), ("closes", 1)]),
    "each momentary alert does": ([moment(1), moment(1)], [("opens", 1), ("closes", 1)] * 2),
    "a momentary alert does not close what fires": ([fires(1), moment(2), ends(3)], [("opens", 1), ("closes", 3)]),
    "an end that nothing opened is nothing": ([ends(1), fires(2), ends(3), ends(4)], [("opens", 2), ("closes", 3)]),
    "time and repeats change nothing": ([passes(0), fires(1), seen(2), passes(999)], [("opens", 1)]),
    "a clock 30 min ahead": ([fires(1), ends(31), fires(32)], [("opens", 1), ("closes", 31), ("opens", 32)]),
    "a clock 10 min behind stands still": ([fires(20), ends(10)], [("opens", 20), ("closes", 20)]),
}


@pytest.mark.parametrize("case", TABLE)
def test_event(case: str) -> None:
    tolds, edges = TABLE[case]
    assert Key(EventWhen(EVENT)).tell(*tolds) == edges


def test_the_close_says_that_the_last_alert_only_fell_silent() -> None:
    key = Key(EventWhen(EVENT))
    key.tell(fires(1), fires(2), ends(3), ends(4, expired=True))
    assert [e.expired for e in key.edges] == [False, True]
    key.tell(fires(5), fires(6), ends(7, expired=True), ends(8))
    assert [e.expired for e in key.edges[2:]] == [False, False]


def test_counts_what_fires_and_is_at_rest_afterwards() -> None:
    key = Key(EventWhen(EVENT))
    key.tell(fires(1), fires(2), moment(3))
    assert key.state.firing == 2 and not at_rest(key.state)
    key.tell(ends(4), ends(5))
    assert at_rest(key.state)
