"""The daemon's handlers on a virtual clock: what ``replay`` and ``test`` run, and many tests.

Nothing is stepped second by second: time goes from one thing that happens to the next.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from responder.config.regexes import compile_regex
from responder.core import lifecycle
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.event import Event
from responder.core.incident import Incident
from responder.core.rule import AbsenceWhen
from responder.core.signal import Instant
from responder.handlers import commands, handle, ticks
from responder.resident import Resident
from responder.store.reader import Reader
from responder.store.schema import metadata
from responder.store.transaction import Writer


class Rehearsal:
    """One rule book and one store in memory; the caller moves the clock."""

    def __init__(self, book: Book, start: Instant, on_event: Callable[[Event], None] | None = None) -> None:
        self.book, self.now = book, start
        self._on_event = on_event
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        metadata.create_all(engine)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=OFF")
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
        self.reader = Reader(engine)
        self.resident = Resident(self.reader, self._due_of, compile_regex)
        self.resident.rebuild(start)
        self._writer = Writer(engine, "rehearsal")
        self._writer.lead(start)
        self._away = ticks.Away(start, start)
        expecting = tuple(r for r in book.rules.values() if isinstance(r.when, AbsenceWhen) and r.when.expect)
        self.take(commands.Loaded("", (), expecting))

    def take(self, item: Any) -> Any:
        """Handle one item now, as the daemon would; its errors come through."""
        desk = Desk(self.resident)
        result = handle(item, desk, self.book, self.now, self.resident, self._away)
        outcome = self._writer.commit(desk, self.now, self._due_of)
        self.resident.apply(desk)
        if self._on_event is not None:
            for event in outcome.events:
                self._on_event(event)
        return result

    def advance(self, to: Instant) -> None:
        """Let time pass until *to*: everything due on the way happens at its instant."""
        while (due := self.resident.next_due()) is not None and due <= to:
            self.now = max(self.now, due)
            self.take(ticks.Tick(self.now))
        self.now = max(self.now, to)
        self.resident.forget_ended(self.now)

    def at(self, instant: Instant, item: Any) -> Any:
        """Let time pass until *instant* and handle an item then."""
        self.advance(instant)
        return self.take(item)

    def incidents(self) -> Sequence[Incident]:
        """Return every incident, oldest first, with its counts."""
        found: list[Incident] = []
        below: int | None = None
        while page := self.reader.incidents({}, below, 1000):
            found += page
            below = page[-1].id
        return [self.resident.incidents.get(row.id, row) for row in reversed(found)]

    def _due_of(self, row: Incident) -> Instant | None:
        return lifecycle.next_due(self.book, row)
