"""Silence of a sender is not news while we were away; promises are kept at once, with their true instant."""

from pathlib import Path
from typing import Any

import pytest

from responder.config.regexes import compile_regex
from responder.core import lifecycle
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.incident import Incident
from responder.core.signal import HOUR, MINUTE, SECOND, Instant, Sample
from responder.handlers import handle, ticks
from responder.handlers.signals import AlertsPolled, MetricPolled, Pushed
from responder.house import book_of
from responder.resident import Resident
from responder.store import migrate
from responder.store.engine import open_engine
from responder.store.reader import Reader
from responder.store.transaction import Writer
from tests.config.kit import load
from tests.story import EACH, HOUSE, START, alert

GRACE = 5 * MINUTE
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


class Process:
    """A daemon that is started on the same file again and again; the test holds the clock."""

    def __init__(self, folder: Path) -> None:
        self._url = f"sqlite:///{folder}/responder.db"
        self.now = START
        self.start()

    def start(self, away: int = 0) -> None:
        loaded = load(RULES)
        assert loaded.settings is not None, loaded.errors
        self.now += away
        self.book: Book = book_of(loaded.settings)
        self._engine = open_engine(self._url)
        migrate.upgrade(self._engine)
        self.reader = Reader(open_engine(self._url, read_only=True))
        self.resident = Resident(self.reader, self._due_of, compile_regex)
        self.resident.rebuild(self.now)
        self._writer = Writer(self._engine, "test")
        self._writer.lead(self.now)
        self._away = ticks.Away(self.now, self.now + GRACE)
        ticks.grant_grace(self.resident, self.book, self._away)

    def stop(self) -> None:
        self._writer.close()

    def restart(self, away: int) -> None:
        """End, be away for a while, and start."""
        self.stop()
        self.start(away)

    def _due_of(self, row: Incident) -> Instant | None:
        return lifecycle.next_due(self.book, row)

    def take(self, *items: object) -> None:
        desk = Desk(self.resident)
        for item in items:
            handle(item, desk, self.book, self.now, self.resident, self._away)
        desk.dues = {row.id: self._due_of(row) for row in desk.stored_incidents()}
        self._writer.commit(desk, self.now)
        self.resident.apply(desk)

    def until(self, at: int) -> None:
        """Let time pass, a tick at each instant at which something is due."""
        while (due := self.resident.next_due()) is not None and due <= START + at:
            self.now = max(self.now, due)
            self.take(ticks.Tick(self.now))
        self.now = START + at

    def states(self) -> dict[str, str]:
        return {row.title: row.state for row in self.reader.incidents({}, None, 99)}

    def push(self, name: str, **more: Any) -> None:
        self.take(Pushed("am-api", [alert(name, self.now - START, **more)]))

    def kinds(self) -> list[str]:
        with self.reader.connect() as connection:
            return [row.kind for row in self.reader.events(connection) if row.subject_kind == "incident"]


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


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
