import pytest

from responder.core.conditions.state import Told
from responder.core.rule import AbsenceWhen
from responder.core.signal import MINUTE

from .helpers import Key, at, ends, expected, fires, member, moment, passes, seen

HOURLY = AbsenceWhen(member(), every=60 * MINUTE, grace=5 * MINUTE)

TABLE: dict[str, tuple[list[Told], list[tuple[str, float]]]] = {
    "opens after every + grace and not before": ([fires(0), passes(64.9), passes(65)], [("opens", 65)]),
    "a repeat restarts the clock": ([fires(0), seen(30), passes(94.9), passes(95)], [("opens", 95)]),
    "an edge restarts it, momentary or not": ([moment(0), moment(30), fires(60), passes(125)], [("opens", 125)]),
    "the end of an alert is no observation": ([fires(0), ends(30), passes(65)], [("opens", 65)]),
    "the next observation closes": ([fires(0), passes(70), seen(80)], [("opens", 65), ("closes", 80)]),
    "and starts the clock again": (
        [fires(0), passes(70), moment(80), passes(145)],
        [("opens", 65), ("closes", 80), ("opens", 145)],
    ),
    "an observation that comes too late opens at the due instant first": (
        [fires(0), seen(300)],
        [("opens", 65), ("closes", 300)],
    ),
    "an observation exactly at the due instant is too late": ([fires(0), seen(65)], [("opens", 65), ("closes", 65)]),
    "a key that was never seen waits for nothing": ([passes(999)], []),
    "an expected key waits from the load": ([expected(0), passes(65)], [("opens", 65)]),
    "a reload does not start the clock of what waits already": (
        [expected(0), expected(60), passes(65)],
        [("opens", 65)],
    ),
    "nor of what was seen": ([seen(0), expected(60), passes(65)], [("opens", 65)]),
    "nor of what is open": ([expected(0), passes(65), expected(70), passes(999)], [("opens", 65)]),
    "duplicates change nothing": ([seen(0), seen(0), passes(65), passes(65)], [("opens", 65)]),
    "a clock 30 min ahead is time like any other": ([seen(0), passes(30), seen(60), passes(125)], [("opens", 125)]),
    "a clock 10 min behind does not shorten the wait": (
        [seen(20), seen(10), passes(84.9), passes(85)],
        [("opens", 85)],
    ),
    "nor does it close before it opened": ([seen(0), passes(65), seen(55)], [("opens", 65), ("closes", 65)]),
}


@pytest.mark.parametrize("case", TABLE)
def test_absence(case: str) -> None:
    tolds, edges = TABLE[case]
    assert Key(HOURLY).tell(*tolds) == edges


def test_the_due_instant_is_in_the_state() -> None:
    key = Key(HOURLY)
    key.tell(seen(7))
    assert (key.state.phase, key.state.due) == ("closed", at(72))
    key.tell(passes(72))
    assert (key.state.phase, key.state.due) == ("open", None)
