"""Promised clocks and commands at a size: folding again, ticks with much due, and stores that are full."""

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import process_time

from responder.config.regexes import compile_regex
from responder.core import lifecycle
from responder.core.desk import Desk
from responder.core.event import Actor, Event
from responder.core.incident import Incident, apply
from responder.core.signal import MINUTE, SECOND, Instant, Signal, identity
from responder.handlers import handle, ticks, upkeep
from responder.handlers.commands import Command
from responder.handlers.signals import Pushed
from responder.resident import Resident
from responder.store import migrate
from responder.store.engine import open_engine
from responder.store.reader import Reader
from responder.store.transaction import Writer
from tests.bench.table import Row, at_most
from tests.shop import START, book

MANY = 10_000
HOUSE = """
channels: {chat: {kind: webhook, url: "http://127.0.0.1:1/"}}
teams: {ops: {lead: ann, channels: [chat]}}
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: ["09:00-17:00"]}, holidays: ["2026-01-06"]}}
slas: {gold: {calendar: office, targets: {P1: {response: 10m, resolution: 1h}}, warn_at: [50, 75, 90]}}
services: {shop: {team: ops, sla: gold}}
rules:
  - id: each
    by: [host]
    when: {event: {match: {labels: {service: shop}}}}
    incident: {service: shop, title: "{{ key.host }} is down", priority: P1}
"""
ANN = Actor("person", "ann")
BEGIN = START + 8 * 60 * MINUTE
"""A Monday, nine o'clock in Berlin."""


class World:
    """The daemon's handlers, writer and memory over a file, without queue and threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{folder}/responder.db"
        engine = open_engine(url)
        migrate.upgrade(engine)
        self.book, self.now = book(HOUSE), BEGIN
        self.resident = Resident(Reader(open_engine(url, read_only=True)), self.due_of, compile_regex)
        self.resident.rebuild(self.now)
        self._writer = Writer(engine, "bench")
        self._writer.lead(self.now)

    def due_of(self, row: Incident) -> Instant | None:
        return lifecycle.next_due(self.book, row)

    def take(self, *items: object) -> list[object]:
        desk = Desk(self.resident)
        away = ticks.Away(BEGIN, BEGIN)
        results = [handle(item, desk, self.book, self.now, self.resident, away) for item in items]
        desk.dues = {row.id: self.due_of(row) for row in desk.stored_incidents()}
        self._writer.commit(desk, self.now)
        self.resident.apply(desk)
        self._writer.checkpoint()
        return results

    def fire(self, hosts: Sequence[str], alert: str = "Down", firing: bool = True) -> None:
        signals = []
        for host in hosts:
            labels = {"alertname": alert, "service": "shop", "host": host}
            signals.append(
                Signal("am-api", identity(labels), labels, {}, firing, self.now, None if firing else self.now)
            )
        for start in range(0, len(signals), 500):
            self.take(Pushed("am-api", signals[start : start + 500]))

    def pass_time(self, to: Instant) -> int:
        self.now = to
        count = 0
        while (due := self.resident.next_due()) is not None and due <= to:
            self.take(ticks.Tick(to))
            count += 1
        return count

    def sweep(self) -> None:
        after: object = 0
        while isinstance(after, int):
            [after] = self.take(upkeep.Sweep(after))

    def close(self) -> None:
        self._writer.close()


def refold(folder: Path, quick: bool) -> Iterator[Row]:
    """10,000 open incidents of 12 events are folded again, and follow another SLA."""
    count = MANY // 10 if quick else MANY
    lives = [_life(number) for number in range(count)]
    began = process_time()
    for events in lives:
        row: Incident | None = None
        for event in events:
            row = apply(row, event)
    folded = process_time() - began
    world = World(folder / "refold")
    world.fire([f"h{n}" for n in range(count)])
    began = process_time()
    world.sweep()
    swept = process_time() - began
    world.close()
    words = f"{folded:.2f} s to fold 12 events each, {swept:.2f} s to look for what is due next"
    yield at_most(f"re-fold of {count:,} open incidents", folded + swept, 2 * count / MANY, words, " s CPU")


def _life(id: int) -> list[Event]:
    first = {
        "rule": "each", "key": {"host": f"h{id}"}, "key_hash": id, "service": "shop", "team": "ops", "owner": "ops",
        "title": "down", "priority": "P1", "impact": None, "urgency": None, "started_at": BEGIN,
        "stages": [{"name": "respond", "owner": "ops", "started_at": BEGIN, "follows": "response"}],
    }  # fmt: skip
    kinds = [
        ("opened", first), ("sla_warned", {"target": "response", "percent": 50}), ("acknowledged", {}),
        ("handed_over", {"stage": "restore", "owner": "ops", "follows": "resolution"}), ("accepted", {"by": "ann"}),
        ("noted", {"text": "x"}), ("paused", {"reason": "supplier"}), ("resumed", {}), ("noted", {"text": "y"}),
        ("resolved", {"resolution": "manual"}), ("reopened", {"reason": "again"}), ("assigned", {"to": "fred"}),
    ]  # fmt: skip
    return [Event(BEGIN + n * SECOND, kind, "incident", id, ANN, data) for n, (kind, data) in enumerate(kinds)]


def due(folder: Path, quick: bool) -> Iterator[Row]:
    """10,000 incidents whose first warning is due at one instant: event, row and message each, committed."""
    count = MANY // 10 if quick else MANY
    world = World(folder / "due")
    world.fire([f"h{n}" for n in range(count)])
    began = process_time()
    transactions = world.pass_time(BEGIN + 5 * MINUTE)
    seconds = process_time() - began
    world.close()
    words = f"{seconds:.2f} s in {transactions} transactions, {1e6 * seconds / count:.0f} us a row"
    yield at_most(f"a tick with {count:,} due rows", seconds, count / MANY, words, " s CPU")


def full_store(folder: Path, quick: bool) -> Iterator[Row]:
    """Joining, acknowledging and resolving with 100 and with 100,000 incidents in the store."""
    large, rounds = (10_000, 5) if quick else (100_000, 9)
    worlds = {size: World(folder / f"store{size}") for size in (100, large)}
    for size, world in worlds.items():
        world.fire([f"h{n}" for n in range(size)])
    gc.collect()
    gc.freeze()  # as a start does
    seen: dict[str, list[tuple[float, float]]] = {"join": [], "acknowledge": [], "resolve": []}
    for turn in range(rounds):
        small, full = _commands(worlds[100], turn), _commands(worlds[large], turn)
        for name, found in seen.items():
            found.append((small[name], full[name]))
    gc.unfreeze()
    for world in worlds.values():
        world.close()
    for name, found in seen.items():
        ratio = median(b / a for a, b in found)
        words = " against ".join(f"{median(costs):.0f} us" for costs in zip(*found, strict=True))
        yield at_most(
            f"to {name} with {large:,} incidents in the store / with 100", ratio, 1.2, f"{ratio:.2f}x, {words}"
        )


def _commands(world: World, turn: int, count: int = 60) -> dict[str, float]:
    """Return microseconds of CPU for each, one transaction each."""
    hosts = [f"t{turn}-{n}" for n in range(count)]
    world.fire(hosts)
    first = world.resident.head.next_incident - count
    began = process_time()
    for host in hosts:
        world.fire([host], alert="Other")
    found = {"join": process_time() - began}
    for name in ("acknowledge", "resolve"):
        began = process_time()
        for id in range(first, first + count):
            world.take(Command(name, id, {}, ANN))
        found[name] = process_time() - began
    world.now += SECOND
    return {name: 1e6 * seconds / count for name, seconds in found.items()}
