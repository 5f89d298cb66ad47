"""The daemon's handlers on a virtual clock: what ``replay`` and ``test`` run, and many tests.

Nothing is stepped second by second: time goes from one thing that happens to the next.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from responder.config.regexes import compile_regex
from responder.core import lifecycle, problems
from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.desk import Desk, ProblemRow, StateKey
from responder.core.event import Event
from responder.core.incident import Incident
from responder.core.outbox import Message
from responder.core.rule import AbsenceWhen
from responder.core.signal import Instant
from responder.dispatch import AT_ONCE, report
from responder.handlers import commands, deliveries, handle, ticks
from responder.ports import Permanent, Transient
from responder.resident import Resident
from responder.store.engine import scratch
from responder.store.reader import Reader
from responder.store.transaction import Writer

PAGE = 500
UNWRITTEN = 2000
"""Events, or occurrences of alerts, that are decided before they are written together."""


class _Memory(Resident):
    """Knows every incident there ever was, so that no decision has to read the store."""

    def __init__(
        self, reader: Reader, due_of: Callable[[Incident], Instant | None], flush: Callable[[], None], rank: bool
    ) -> None:
        super().__init__(reader, due_of, compile_regex)
        self._flush, self._rank = flush, rank
        self._newest: dict[StateKey, int] = {}

    def apply(self, desk: Desk) -> None:
        for row in desk.incidents.changed.values():
            if row is not None and row.rule is not None:
                key = (row.rule, row.key_hash)
                self._newest[key] = max(row.id, self._newest.get(key, 0))
        super().apply(desk)

    def _await_ranking(self, problem: int, due: Instant) -> None:
        """When nobody is told on the way, causes are ranked once, at the end: they change no decision."""
        if self._rank:
            super()._await_ranking(problem, due)

    def last_incident(self, rule: str, key_hash: int) -> int | None:
        return self._newest.get((rule, key_hash))

    def former_incident(self, id: int) -> Incident | None:
        self._flush()
        return super().former_incident(id)

    def former_problem(self, id: int) -> ProblemRow | None:
        self._flush()
        return super().former_problem(id)

    def firing_of(self, incident: int) -> list[Alert]:
        self._flush()
        return super().firing_of(incident)

    def newest_of(self, incident: int, limit: int) -> list[Alert]:
        self._flush()
        return super().newest_of(incident, limit)

    def delivered_before(self, source: str, dedup: str) -> Instant | None:
        self._flush()
        return super().delivered_before(source, dedup)


class Rehearsal:
    """One rule book and one store in memory; the caller moves the clock."""

    def __init__(
        self, book: Book, start: Instant, on_event: Callable[[Event], None] | None = None, file: Path | None = None,
        deliver: Callable[[Message], Transient | Permanent | None] | None = None, timeline: bool = True,
    ) -> None:  # fmt: skip
        """Begin at *start* with an empty store in memory or, for long histories, in a file of no durability.

        *deliver* makes an attempt and returns what went wrong; without it no messages are written.
        Without a *timeline* neither events are kept nor facts: who shows rows at the end needs neither.
        """
        self.book, self.now, self._deliver, self._timeline = book, start, deliver, timeline
        self._on_event = on_event
        engine = scratch(file)
        self._reader = Reader(engine)
        self.resident = _Memory(self._reader, self._due_of, self.flush, rank=deliver is not None)
        book.posted = self.resident.windows
        self.resident.rebuild(start)
        problems.put_in_force(book, self.resident.board, self.resident.edges.values())
        self._writer = Writer(engine, "rehearsal")
        self._writer.lead(start)
        self._unwritten = Desk(self.resident)
        self._away = ticks.Away(start, start)
        expecting = tuple(r for r in book.rules.values() if isinstance(r.when, AbsenceWhen) and r.when.expect)
        self.take(commands.Loaded("", (), expecting))

    @property
    def reader(self) -> Reader:
        """Return read access to everything that has happened."""
        self.flush()
        return self._reader

    def take(self, item: Any) -> Any:
        """Handle one item now, as the daemon would; its errors come through."""
        result = self._take(item)
        if self._deliver is not None:
            self._dispatch(self._deliver)
        return result

    def _dispatch(self, deliver: Callable[[Message], Transient | Permanent | None]) -> None:
        """Let what is due leave; an attempt takes no time."""
        lanes = self.resident.lanes
        while (channel := lanes.next_channel(self.book, self.now)) is not None:
            for message in self._take(deliveries.Claim(channel, AT_ONCE)).messages:
                self._take(report(message, deliver(message)))

    def _take(self, item: Any) -> Any:
        desk = Desk(self.resident)
        result = handle(item, desk, self.book, self.now, self.resident, self._away)
        if self._deliver is None:
            desk.outbox.changed.clear()
        desk.dues = {row.id: self._due_of(row) for row in desk.stored_incidents()}
        if self._on_event is not None:
            for event in desk.events:
                self._on_event(event)
        if not self._timeline:
            desk.events.clear()
            desk.facts.clear()
        self.resident.apply(desk)
        self._unwritten.merge(desk)
        if max(len(self._unwritten.events), len(self._unwritten.occurrences)) >= UNWRITTEN:
            self.flush()
        return result

    def flush(self) -> None:
        """Write what was decided; memory has it already."""
        desk, self._unwritten = self._unwritten, Desk(self.resident)
        self._writer.commit(desk, self.now)

    def advance(self, to: Instant) -> None:
        """Let time pass until *to*: everything due on the way happens at its instant."""
        while (due := self._next_due()) is not None and due <= to:
            self.now = max(self.now, due)
            self.take(ticks.Tick(self.now))
        self.now = max(self.now, to)
        self.resident.forget_ended(self.now)

    def at(self, instant: Instant, item: Any) -> Any:
        """Let time pass until *instant* and handle an item then."""
        self.advance(instant)
        return self.take(item)

    def incidents(self) -> Iterator[Incident]:
        """Yield every incident, oldest first, with its counts."""
        reader, above = self.reader, 0
        while page := reader.incidents_above(above, PAGE):
            above = page[-1].id
            yield from (self.resident.incidents.get(row.id, row) for row in page)

    def _next_due(self) -> Instant | None:
        self.resident.drop_outdated()
        due = self.resident.next_due()
        leaves = self.resident.lanes.next_due(self.book) if self._deliver is not None else None
        return due if leaves is None else leaves if due is None else min(due, leaves)

    def problems(self) -> Iterator[ProblemRow]:
        """Yield every problem that has incidents, oldest first, with its causes ranked."""
        for number in [number for number, row in self.resident.problems.items() if row.due is not None]:
            desk = Desk(self.resident)
            problems.rank_again(desk, self.book, number, self.now)
            self.resident.apply(desk)
            self._unwritten.merge(desk)
        reader = self.reader
        for number in range(1, self.resident.head.next_problem):
            row = reader.problem(number)
            if row is not None and row.incidents:
                yield row

    def _due_of(self, row: Incident) -> Instant | None:
        return lifecycle.next_due(self.book, row)
