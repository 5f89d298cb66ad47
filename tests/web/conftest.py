"""A real store, writer and memory behind the web; only the clock is ours."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from responder.config.regexes import compile_regex
from responder.core import lifecycle
from responder.core.book import Book
from responder.core.catalogue import Service, SlaSpec, Team
from responder.core.desk import Desk
from responder.core.instant import parse_instant
from responder.core.rule import EventOf, EventWhen, IncidentForm, Match, Priority, Rule
from responder.core.signal import HOUR, MINUTE, Instant, Signal, identity
from responder.handlers import commands, signals, ticks
from responder.intake import Intake, Unavailable
from responder.resident import Resident
from responder.store import schema
from responder.store.engine import open_engine
from responder.store.reader import Reader
from responder.store.transaction import Writer
from responder.web.api import build_api

START = parse_instant("2026-01-05T00:00:00Z")
HANDLERS: dict[type, Callable[..., Any]] = {
    signals.Pushed: signals.pushed,
    commands.Command: commands.command,
    commands.OpenByHand: commands.open_by_hand,
    commands.RecordChange: commands.record_change,
    commands.SetSilence: commands.silence,
    commands.ProblemCommand: commands.problem_command,
    commands.OpenProblem: commands.open_problem,
    commands.Announce: commands.announce,
    commands.EndMaintenance: commands.end_maintenance,
}
RULE = Rule(
    id="host-alerts",
    by=("instance",),
    when=EventWhen(EventOf(Match())),
    incident=IncidentForm(
        service=lambda _: "order",
        title=lambda known: f"trouble on {known['key']['instance']}",
        priority=Priority(fixed="P2"),
        service_name="order",
        title_words="trouble on {{ key.instance }}",
    ),
    digest="1",
)
BOOK = Book(
    [RULE],
    services={
        "order": Service("order", "order-ops", sla="gold", availability=0.999, depends_on=("db",), org="hq"),
        "db": Service("db", "noc", sla="gold"),
    },
    teams={"order-ops": Team("order-ops", "order-lead"), "noc": Team("noc", "noc-lead")},
    slas=[SlaSpec("gold", "24x7", {"P1": (10 * MINUTE, HOUR), "P2": (30 * MINUTE, 4 * HOUR)}, 0.95, 0.9)],
)


class House:
    """The backend of the API, as the daemon lends it."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.at = START
        self.down: str | None = None
        self._engine = engine
        self._book = BOOK
        self.reader = Reader(open_engine(f"sqlite:///{path}", read_only=True))
        self.resident = Resident(self.reader, self._due_of, compile_regex)
        self._writer = Writer(engine, "test")
        self._writer.lead(START)
        self._readers = ThreadPoolExecutor(2)
        self.intake = Intake(
            self.resident, self._writer, self._decide, self, committed=lambda desk, events: None, due_of=self._due_of
        )

    def book(self) -> Book:
        return self._book

    def now(self) -> Instant:
        return self.at

    def advance(self, span: int) -> None:
        self.at += span

    async def submit(self, item: Any) -> Any:
        if self.down is not None:
            raise Unavailable(self.down)
        return await self.intake.submit(item)

    async def read(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *args)

    async def start(self) -> None:
        self.intake.start(asyncio.get_running_loop())

    async def stop(self) -> None:
        await self.intake.stop()

    def close(self) -> None:
        self._readers.shutdown()
        self._writer.close()
        self._engine.dispose()

    def _due_of(self, row: Any) -> Instant | None:
        return lifecycle.next_due(self._book, row)

    def _decide(self, item: Any, desk: Desk, now: Instant, careful: bool) -> Any:
        if isinstance(item, ticks.Tick):
            return ticks.tick(item, desk, self._book, now, self.resident, ticks.Away(START, START))
        return HANDLERS[type(item)](item, desk, self._book, now, careful)


class Door:
    """Leads to the house of the test that runs: to describe the API takes longer than most tests."""

    house: House

    def __getattr__(self, name: str) -> Any:
        return getattr(self.house, name)


DOOR: Any = Door()


@cache
def described() -> FastAPI:
    return build_api(DOOR)


class Client:
    """Asks the API over ASGI, in one event loop, as somebody by name."""

    def __init__(self, house: House, runner: asyncio.Runner) -> None:
        self.house, self._runner = house, runner
        DOOR.house = house
        self.app = described()

    def __call__(self, method: str, path: str, *, by: str | None = "alice", **options: Any) -> httpx.Response:
        return self._runner.run(self._ask(method, path, by, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self("POST", path, **({} if body is None else {"json": body}), **options)

    def fire(self, instance: str, firing: bool = True, **labels: str) -> None:
        """Push one alert; its incident is that of the instance."""
        all_labels = {"alertname": "HostDown", "instance": instance, **labels}
        at = self.house.at
        signal = Signal(
            "am-api", identity(all_labels), all_labels, {"summary": "down"}, firing, at,
            None if firing else at, "http://prometheus/graph",
        )  # fmt: skip
        self.submit(signals.Pushed("am-api", [signal]))

    def tick(self) -> None:
        """Apply what is due."""
        self.submit(ticks.Tick(self.house.at))

    def submit(self, item: Any) -> Any:
        return self._runner.run(self.house.submit(item))

    async def _ask(self, method: str, path: str, by: str | None, **options: Any) -> httpx.Response:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope | ({} if by is None else {"principal": by}), receive, send)

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://responder") as client:
            return await client.request(method, path, **options)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    path = tmp_path / "responder.db"
    engine = open_engine(f"sqlite:///{path}", fast=True)
    schema.metadata.create_all(engine)
    built = House(engine, path)
    yield built
    built.close()


@pytest.fixture
def api(house: House) -> Iterator[Client]:
    with asyncio.Runner() as runner:
        runner.run(house.start())
        yield Client(house, runner)
        runner.run(house.stop())
