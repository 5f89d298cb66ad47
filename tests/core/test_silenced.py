"""An incident is silenced while all its firing alerts are: the one rule of who shows it and who sends."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from responder.config.regexes import compile_regex
from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.incident import Incident
from responder.core.rule import SequenceWhen
from responder.core.signal import HOUR, MINUTE
from responder.core.silence import Silence, Silences, Term
from responder.core.silenced import silenced_until
from responder.core.sla import ClockInputs, InForce
from tests.post import T0, rule

DOWN = rule("down", "Down")
BOTH = replace(rule("both", "Down"), when=SequenceWhen((), HOUR))
BOOK = Book((DOWN, BOTH))
CLOCK = ClockInputs(T0, "P2", InForce(), InForce())
ROW = Incident(7, "down", {"host": "a"}, 1, "shop", "ops", "lead", "t", "P2", None, None, T0, T0, CLOCK)
OPEN_KEY = replace(ROW, rule="both")


class Known:
    """The alerts of one incident by their hosts: those that fire, and what came last."""

    def __init__(self, *firing: str, last: str = "") -> None:
        self._firing, self._last = firing, last

    def firing_of(self, incident: int) -> Sequence[Alert]:
        assert incident == ROW.id
        return [alert(host) for host in self._firing]

    def newest_of(self, incident: int, limit: int) -> Sequence[Alert]:
        assert (incident, limit) == (ROW.id, 1)
        return [alert(self._last)] if self._last else []


def alert(host: str) -> Alert:
    return Alert(1, 1, "am-api", {"alertname": "Down", "host": host}, {}, T0, None, T0)


def silences(*ends: tuple[str, int], since: int = T0) -> Silences:
    rows = [
        Silence(str(n), (Term("host", host),), since, T0 + minutes * MINUTE, "ann", "c")
        for n, (host, minutes) in enumerate(ends)
    ]
    return Silences(rows, compile_regex)


def until(row: Incident, known: Known, found: Silences, *, ended: bool = False) -> int | None:
    """Return the minutes for which an incident is silenced."""
    at = silenced_until(row, BOOK, found, known, T0, ended=ended)
    return None if at is None else (at - T0) // MINUTE


@pytest.mark.parametrize(
    ("firing", "ends", "minutes"),
    [
        ("", [("a", 5)], None),
        ("a", [], None),
        ("a", [("a", 5)], 5),
        ("a", [("b", 5)], None),
        ("ab", [("a", 5)], None),
        ("ab", [("a", 9), ("b", 5)], 5),
        ("a", [("a", 5), ("a", 9)], 9),
        ("ab", [("a", 5), ("a", 9), ("b", 7)], 7),
    ],
)
def test_it_is_silenced_until_the_first_of_its_firing_alerts_is_not(
    firing: str, ends: list[tuple[str, int]], minutes: int | None
) -> None:
    assert until(ROW, Known(*firing), silences(*ends)) == minutes


def test_a_silence_that_begins_later_silences_nothing_yet() -> None:
    assert until(ROW, Known("a"), silences(("a", 5), since=T0 + MINUTE)) is None


@pytest.mark.parametrize(("ended", "minutes"), [(False, 5), (True, None)])
def test_when_nothing_fires_what_fired_last_counts_except_for_the_end(ended: bool, minutes: int | None) -> None:
    assert until(ROW, Known(last="a"), silences(("a", 5)), ended=ended) == minutes
    assert until(replace(OPEN_KEY, holds=False), Known(), silences(("a", 5)), ended=ended) == minutes


def test_while_something_fires_what_fired_last_does_not_count() -> None:
    assert until(ROW, Known("a", last="b"), silences(("a", 5))) == 5
    assert until(ROW, Known("a", last="b"), silences(("b", 5))) is None


def test_the_open_key_of_a_rule_that_hears_no_alerts_is_its_own_alert() -> None:
    assert until(OPEN_KEY, Known("b"), silences(("a", 5))) == 5
    assert until(OPEN_KEY, Known("a"), silences(("b", 5))) is None
    assert until(OPEN_KEY, Known(), silences(("a", 5)), ended=True) == 5, "a person ended it while it holds"


def test_what_was_reported_by_hand_has_no_alert() -> None:
    assert until(replace(ROW, rule=None), Known("a", last="a"), silences(("a", 5))) is None


hosts = st.sampled_from("abc")


@given(st.lists(hosts, max_size=4), st.lists(st.tuples(hosts, st.integers(1, 9)), max_size=6))
def test_it_is_silenced_up_to_that_instant_and_not_at_it(firing: list[str], ends: list[tuple[str, int]]) -> None:
    found, known = silences(*ends), Known(*firing)
    at = silenced_until(ROW, BOOK, found, known, T0, ended=False)
    if at is not None:
        assert silenced_until(ROW, BOOK, found, known, at - 1, ended=False) == at
        assert silenced_until(ROW, BOOK, found, known, at, ended=False) is None
