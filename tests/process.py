"""A daemon without its rim that is ended and started on one file; the test holds the clock."""

from functools import partial
from pathlib import Path
from typing import Any

from responder.config.regexes import compile_regex
from responder.config.settings import Settings
from responder.core import lifecycle, problems, reloading
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.rule import AbsenceWhen
from responder.core.signal import MINUTE, Span
from responder.handlers import handle, ticks, upkeep
from responder.handlers.commands import Loaded
from responder.handlers.signals import Pushed
from responder.house import book_of
from responder.resident import Resident
from responder.store import migrate
from responder.store.engine import open_engine
from responder.store.reader import Reader
from responder.store.transaction import Writer
from tests.config.kit import load
from tests.story import START, alert

GRACE = 5 * MINUTE


def settings_of(rules: str) -> Settings:
    loaded = load(rules)
    assert loaded.settings is not None, loaded.errors
    return loaded.settings


class Process:
    """A daemon that is started on the same file again and again; the test holds the clock."""

    def __init__(self, folder: Path, rules: str, grace: Span = GRACE) -> None:
        self._settings, self._url = settings_of(rules), f"sqlite:///{folder}/responder.db"
        self.now, self._grace = START, grace
        self.start()

    def start(self, away: int = 0) -> None:
        self.now += away
        self._engine = open_engine(self._url)
        migrate.upgrade(self._engine)
        self.reader = Reader(open_engine(self._url, read_only=True))
        self.resident, self.book = self.rebuilt()
        self._writer = Writer(self._engine, "test")
        self._writer.lead(self.now)
        self._away = ticks.Away(self.now, self.now + self._grace)
        ticks.grant_grace(self.resident, self.book, self._away)

    def reload(self, rules: str) -> None:
        """Put another configuration in force as the daemon does: end, load, offer what fires and what holds."""
        self._settings, before = settings_of(rules), self.book
        self.book = book = book_of(self._settings)
        problems.put_in_force(book, self.resident.board, self.resident.edges.values())
        book.posted = self.resident.windows
        self.resident.forget_rests()
        rows = list(self.resident.states.values())
        expecting = tuple(rule for rule in book.rules.values() if isinstance(rule.when, AbsenceWhen))
        unpromised = reloading.unpromised(book, list(self.resident.sources.values()))
        self.take(Loaded("", reloading.gone(book, rows), expecting, unpromised))
        after: int | None = 0
        while after is not None:
            after = self.take(upkeep.Sweep(after))
        firing = [alert.identity for alert in self.resident.alerts.values() if not alert.ended]
        waiting = [key for key, row in self.resident.states.items() if reloading.waits(book.rules.get(row.rule), row)]
        self.take(upkeep.Offer(firing, waiting, reloading.heard_from_now_on(before, book)))

    def rebuilt(self) -> tuple[Resident, Book]:
        """Return what a process that starts now reads back, with a rule book of its own."""
        book = book_of(self._settings)
        resident = Resident(self.reader, partial(lifecycle.next_due, book), compile_regex)
        book.posted = resident.windows
        book.date_promises(self.reader.meters())
        resident.rebuild(self.now)
        problems.put_in_force(book, resident.board, resident.edges.values())
        return resident, book

    def stop(self) -> None:
        self._writer.close()

    def restart(self, away: int) -> None:
        """End, be away for a while, and start."""
        self.stop()
        self.start(away)

    def take(self, *items: object) -> Any:
        """Decide and store; returns the result of the last item, whose errors come through."""
        desk, result = Desk(self.resident), None
        for item in items:
            result = handle(item, desk, self.book, self.now, self.resident, self._away)
        desk.dues = {row.id: lifecycle.next_due(self.book, row) for row in desk.stored_incidents()}
        self._writer.commit(desk, self.now)
        self.resident.apply(desk)
        return result

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
