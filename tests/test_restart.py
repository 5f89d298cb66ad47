"""Silence of a sender is not news while we were away; promises are kept at once, with their true instant."""

from pathlib import Path

import pytest

from responder.core.signal import HOUR, MINUTE, SECOND, Sample
from responder.handlers import ticks
from responder.handlers.signals import AlertsPolled, MetricPolled, Pushed
from tests.process import GRACE, Process
from tests.story import EACH, HOUSE, START, alert

RULES = (
    HOUSE
    + 'sources: {prom: {kind: prometheus, url: "http://x"}, am: {kind: alertmanager, url: "http://y"}}'
    + EACH
    + """
  - id: slow
    by: []
    when: {metric: {source: prom, query: q, every: 30s, open: {above: 1}, no_data: close}}
    incident: {service: shop, title: slow, priority: P2}
  - id: watchdog
    by: []
    when: {absence: {of: {event: {match: {labels: {alertname: Watchdog}}}}, every: 2m, grace: 1m}}
    incident: {service: shop, title: watchdog, priority: P1}
"""
)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path, RULES)


def test_a_restart_of_five_minutes_neither_resolves_nor_reopens_anything(process: Process) -> None:
    query = next(iter(process.book.queries))
    process.push("fires", ends=4 * MINUTE)
    process.push("over", ends=4 * MINUTE)
    process.take(Pushed("am-api", [alert("over", 0, firing=False, starts=0)]))
    process.push("Watchdog", ends=4 * MINUTE)
    process.take(AlertsPolled("am", process.now, [alert("polled", 0, ends=4 * MINUTE, source="am")]))
    process.take(MetricPolled("prom", query, process.now, [Sample({}, 5.0)]))
    process.until(MINUTE)
    before, kinds = process.states(), process.kinds()
    assert before == {"fires": "open", "over": "resolved", "polled": "open", "slow": "open", "Watchdog": "open"}
    process.restart(away=5 * MINUTE)
    process.until(6 * MINUTE)
    assert (process.states(), process.kinds()) == (before, kinds)
    # its senders come back within their minute, as if nothing had been
    process.until(7 * MINUTE)
    for name in ("fires", "Watchdog"):
        process.push(name, starts=0, ends=11 * MINUTE)
    process.take(AlertsPolled("am", process.now, [alert("polled", 0, ends=11 * MINUTE, source="am")]))
    process.take(MetricPolled("prom", query, process.now, [Sample({}, 5.0)], process.now - 30 * SECOND))
    process.until(9 * MINUTE)
    assert (process.states(), process.kinds()) == (before, kinds)
    process.stop()


def test_a_query_that_gives_nothing_soon_after_a_start_closes_nothing_yet(process: Process) -> None:
    query = next(iter(process.book.queries))
    process.take(MetricPolled("prom", query, process.now, [Sample({}, 5.0)]))
    process.restart(away=5 * MINUTE)
    for seconds in (0, 30, 270):
        process.until(5 * MINUTE + seconds * SECOND)
        process.take(MetricPolled("prom", query, process.now, []))
        assert process.states() == {"slow": "open"}
    process.until(5 * MINUTE + GRACE)
    process.take(MetricPolled("prom", query, process.now, []))
    assert process.states() == {"slow": "resolved"}
    process.stop()


def test_a_sender_that_stays_silent_after_the_grace_has_expired(process: Process) -> None:
    process.push("fires", ends=4 * MINUTE)
    process.push("Watchdog", ends=4 * MINUTE)
    process.restart(away=HOUR)
    process.until(HOUR + GRACE - SECOND)
    assert process.states() == {"fires": "open", "Watchdog": "open"}
    process.until(HOUR + GRACE + SECOND)
    states = process.states()
    assert (states["fires"], states["watchdog"]) == ("resolved", "open")
    row = process.reader.incident(1)
    assert row is not None and row.resolution == "expired" and row.resolved_at == START + HOUR + GRACE
    process.stop()


def test_what_was_promised_is_told_at_once_with_its_true_instant(process: Process) -> None:
    process.push("fires")
    process.take(Pushed("am-api", [alert("over", 0), alert("over", 0, firing=False, starts=0)]))
    process.restart(away=24 * HOUR)
    process.take(ticks.Tick(process.now))
    assert process.states() == {"fires": "open", "over": "closed"}
    row = process.reader.incident(2)
    assert row is not None and row.closed_at == START + 30 * MINUTE
    process.stop()


def test_nothing_is_done_twice_by_starting_often(process: Process) -> None:
    process.push("fires", ends=4 * MINUTE)
    kinds = process.kinds()
    for _ in range(5):
        process.restart(away=2 * MINUTE)
        process.take(ticks.Tick(process.now))
        assert process.kinds() == kinds
    process.stop()
