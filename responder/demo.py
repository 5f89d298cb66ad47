"""``responder demo``: the ordinary daemon on a simulated shop that breaks and heals.

Only the shop and its people are simulated. The shop is a ``/metrics`` page on a loopback port,
read by the ordinary ``scrape`` source under the pack ``demo``; messages go to its ``/chat`` by
the ordinary webhook channel; what is told here is the daemon's own timeline.
"""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from responder.clock import Clock, SystemClock
from responder.config.loader import load, packs
from responder.config.settings import Kinds, Loaded, Settings, Storage
from responder.core.event import Actor, Event
from responder.core.incident import UNRESOLVED, name_of
from responder.core.signal import SECOND, Instant
from responder.daemon import Daemon
from responder.handlers.commands import Command, ProblemCommand, RecordChange
from responder.intake import Unavailable
from responder.ports import Secret
from responder.store.reader import recorded

PACE: Final = 60
"""Seconds of the shop in one of ours."""
REGIONS: Final = {"eu": 40.0, "asia": 25.0}
"""Orders a minute, in the shop's minutes."""
ACT: Final = 42.0
"""Seconds from the beginning of one fault to that of the next."""
LOOK: Final = 0.25
TOLD: Final = frozenset({"opened", "breached", "overdue", "resolved"})
"""Messages that are told of; the others say what the timeline says anyway."""
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
)
Say = Callable[[str], None]


class CannotStart(Exception):
    """The demo can't run here; the sentence says why."""


class Shop:
    """Orders, carriers and a hotline. Two causes are switched from outside; everything else follows."""

    def __init__(self, now: float) -> None:
        self.compatible = True
        """Carrier north and we speak the same version of the interface."""
        self.line_south = True
        """The line to carrier south works."""
        self._at = now
        self._synced = {"north": now, "south": now}
        self._pending = dict.fromkeys(REGIONS, 3.0)
        self._processed = dict.fromkeys(REGIONS, 0.0)
        self._wait = dict.fromkeys(REGIONS, 0.3)
        self._calls, self._opened, self._solved = 2.0, 0.0, 0.0

    def page(self, now: float) -> str:
        """Return the metrics at an instant (seconds since the epoch), as a shop would show them."""
        self._live(now)

        def ago(minutes: float) -> str:
            return f"{now - minutes * PACE:.3f}"

        lines = [
            "# TYPE shop_orders_pending gauge",
            *(f'shop_orders_pending{{region="{r}"}} {count:.0f}' for r, count in self._pending.items()),
            "# TYPE shop_order_oldest_pending_timestamp_seconds gauge",
            *(f'shop_order_oldest_pending_timestamp_seconds{{region="{r}"}} {ago(m)}' for r, m in self._wait.items()),
            "# TYPE shop_orders_processed_total counter",
            *(f'shop_orders_processed_total{{region="{r}"}} {count:.0f}' for r, count in self._processed.items()),
            "# TYPE logistics_last_sync_timestamp_seconds gauge",
            *(
                f'logistics_last_sync_timestamp_seconds{{carrier="{c}"}} {ago(now - at)}'
                for c, at in self._synced.items()
            ),
            "# TYPE hotline_calls_waiting gauge",
            f"hotline_calls_waiting {self._calls:.0f}",
            "# TYPE hotline_complaints_opened_total counter",
            f"hotline_complaints_opened_total {self._opened:.0f}",
            "# TYPE hotline_complaints_resolved_total counter",
            f"hotline_complaints_resolved_total {self._solved:.0f}",
        ]
        return "\n".join(lines) + "\n"

    def _live(self, now: float) -> None:
        """Let the shop's minutes pass: each of our seconds is one."""
        minutes, self._at = now - self._at, now
        if self.compatible:
            self._synced["north"] = now
        if self.line_south:
            self._synced["south"] = now
        stuck = now - self._synced["north"] > 3  # north carries what eu orders: without its label nothing leaves
        for region, rate in REGIONS.items():
            stands = stuck and region == "eu"
            done = 0.0 if stands else min(self._pending[region] + rate * minutes - 3, 6 * rate * minutes)
            self._pending[region] += rate * minutes - done
            self._processed[region] += done
            self._wait[region] = self._wait[region] + minutes if stands else max(0.3, self._wait[region] - 5 * minutes)
        angry = self._wait["eu"] > 5
        self._calls = self._calls + 9 * minutes if angry else max(2.0, self._calls - 25 * minutes)
        self._opened += minutes * (6 if angry else 0.5)
        self._solved = min(self._opened, self._solved + 3 * minutes)


class Street:
    """The loopback server of the shop: its metrics, and the chat of its people."""

    def __init__(self, shop: Shop, clock: Clock) -> None:
        self._shop, self._clock = shop, clock
        self.messages = 0

    async def open(self) -> tuple[asyncio.Server, str]:
        """Return the server and its address."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; a connection is not kept, so none is left at the end."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next((line[15:] for line in head.splitlines() if line.startswith("content-length:")), "0")
            await reader.readexactly(int(length))
            body = b""
            if head.startswith("get /metrics"):
                body = self._shop.page(self._clock.now() / SECOND).encode()
            elif head.startswith("post /chat"):
                self.messages += 1
            writer.write(_HEAD % len(body) + body)
            await writer.drain()


class People:
    """Those who release, acknowledge and repair, through the daemon's ordinary commands."""

    def __init__(self, daemon: Daemon, shop: Shop, say: Say) -> None:
        self._daemon, self._shop, self._say = daemon, shop, say
        self._release = 0

    async def work(self) -> None:
        """Play one act after the other until cancelled."""
        await asyncio.sleep(4)
        while True:
            for act in (self._bad_release, self._broken_line):
                ends = asyncio.get_running_loop().time() + ACT
                await act()
                await asyncio.sleep(ends - asyncio.get_running_loop().time())

    async def _bad_release(self) -> None:
        self._release += 1
        await self._change("release", f"4.{self._release + 1}.0", "it speaks a newer version than carrier north")
        self._shop.compatible = False
        await asyncio.sleep(9)
        await self._acknowledge("lars", "logistics-api")
        await asyncio.sleep(10)
        self._say("olga was at lunch: nobody took the order incident in time")
        await self._acknowledge("olga", "order")
        await asyncio.sleep(3)
        await self._acknowledge("dora", "hotline")
        await self._change("rollback", f"4.{self._release}.0", "carrier north understands us again")
        self._shop.compatible = True
        await self._understand("the release speaks a version that carrier north does not know", "take the release back")

    async def _broken_line(self) -> None:
        self._say("the line to carrier south is cut; no order rests on it")
        self._shop.line_south = False
        await asyncio.sleep(8)
        await self._acknowledge("lars", "logistics-api")
        await asyncio.sleep(6)
        self._say("the line to carrier south is mended")
        self._shop.line_south = True

    async def _change(self, kind: str, version: str, why: str) -> None:
        self._say(f"{kind} {version} of logistics-api: {why}")
        await self._do(RecordChange("logistics-api", kind, version, None, "", Actor("person", "pipeline")))

    async def _acknowledge(self, who: str, service: str) -> None:
        for row in list(self._daemon.resident.incidents.values()):
            if row.service == service and row.state in UNRESOLVED:
                await self._do(Command("acknowledge", row.id, {}, Actor("person", who)))

    async def _understand(self, cause: str, workaround: str) -> None:
        """Make a known error of what is still an open problem: the next incident like it will show its workaround."""
        for number, row in list(self._daemon.resident.problems.items()):
            if row.problem.state == "open":
                for name, args in (
                    ("state", {"state": "investigating"}),
                    ("cause", {"text": cause}),
                    ("workaround", {"text": workaround}),
                    ("state", {"state": "known_error"}),
                ):
                    await self._do(ProblemCommand(name, number, args, Actor("person", "lars")))

    async def _do(self, item: Any) -> None:
        with contextlib.suppress(Unavailable):  # the daemon stops
            await self._daemon.submit(item)


class Teller:
    """Reads the daemon's timeline and says each event in words."""

    def __init__(self, daemon: Daemon, url: str, say: Callable[[Instant, str, str], None]) -> None:
        self._daemon, self._url, self._say = daemon, url, say
        self._seq = 0
        self._causes: dict[int, str] = {}
        self.opened: dict[int, str] = {}
        self.counts = dict.fromkeys(("problems", "resolved", "sla_breached"), 0)

    async def work(self) -> None:
        """Tell until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Tell what is new."""
        for event in await self._daemon.read(self._news):
            self._seq = event.seq
            if event.subject_kind == "incident":
                self._incident(event)
            elif event.subject_kind == "problem":
                self._problem(event)
        for number, row in list(self._daemon.resident.problems.items()):
            top = next(iter(row.problem.causes), None)
            if top is not None and self._causes.get(number) != top.service:
                self._causes[number] = top.service
                words = f"PRB-{number}: the likeliest cause is {top.reason}"
                self._say(self._daemon.now(), "problem", words)

    def _news(self) -> list[Event]:
        with self._daemon.reader.connect() as connection:
            return [recorded(row).event for row in self._daemon.reader.events(connection, self._seq)]

    def _incident(self, event: Event) -> None:
        data, name = event.data, name_of(event.subject)
        if event.kind == "opened":
            self.opened[event.subject] = data["service"]
        if event.kind in self.counts:
            self.counts[event.kind] += 1
        kind, words = _words(event, name, self.opened.get(event.subject, ""))
        if event.kind == "opened":
            words += f"\n{'':25}{self._url}/api/v1/incidents/{name}"
        if words:
            self._say(event.at, kind, words)
        row = self._daemon.resident.incidents.get(event.subject)
        known = self._daemon.resident.problems.get(row.known_error or 0) if row is not None else None
        if event.kind == "opened" and known is not None:
            words = f"{name}: a known error, PRB-{known.problem.id}: {known.problem.workaround}"
            self._say(event.at, "problem", words)

    def _problem(self, event: Event) -> None:
        name = f"PRB-{event.subject}"
        if event.kind == "cause_changed":
            self._say(event.at, "problem", f"{name}: {event.actor.name} found the cause: {event.data['text']}")
        if event.kind == "state_changed" and event.data["state"] == "known_error":
            self._say(event.at, "problem", f"{name} is a known error now; its workaround will be offered")
        if event.kind != "opened":
            return
        self.counts["problems"] += 1
        words = f"{name}: these incidents have one cause; {event.data['owner']} looks for it"
        self._say(event.at, "problem", f"{words}\n{'':25}{self._url}/api/v1/problems/{name}")


def _words(event: Event, name: str, service: str) -> tuple[str, str]:
    """Return the kind of an incident's event and a sentence, or no sentence."""
    data, who = event.data, event.actor.name
    match event.kind:
        case "opened":
            return "incident", f"{name} opened, {data['priority']} for {service}: {data['title']}"
        case "acknowledged":
            return "incident", f"{name} ({service}) acknowledged by {who}"
        case "resolved":
            return (
                "incident",
                f"{name} ({service}) resolved: {'by itself' if data['resolution'] == 'recovered' else who}",
            )
        case "reopened":
            return "incident", f"{name} ({service}) reopened: {data['reason']}"
        case "closed":
            return "incident", f"{name} ({service}) closed: it stayed well"
        case "sla_warned":
            return "clock", f"{name} ({service}): {data['percent']}% of the {data['target']} time is used"
        case "sla_breached":
            return "clock", f"{name} ({service}): the {data['target']} target is missed"
        case "linked":
            return "problem", f"{name} ({service}) belongs to PRB-{data['problem']}: {data['reason']}"
        case "change_linked":
            return "incident", f"{name} ({service}) began soon after version {data['version']} of it came"
        case "notified" if data["event"] in TOLD:
            return "message", f"{data['channel']} heard of {name} ({service}): {data['event']}"
    return "", ""


def run(kinds: Kinds, listen: str, seconds: float | None, say: Say) -> None:
    """Run the demo until SIGINT or SIGTERM, or for *seconds*; its store is gone afterwards.

    Raises:
        CannotStart: The address is taken or makes no sense.
    """
    with tempfile.TemporaryDirectory(prefix="responder-demo-") as folder:
        asyncio.run(_play(kinds, listen, seconds, say, Path(folder)))


async def _play(kinds: Kinds, listen: str, seconds: float | None, say: Say, folder: Path) -> None:
    clock = SystemClock()
    began = clock.now()
    shop = Shop(began / SECOND)
    street = Street(shop, clock)
    server, address = await street.open()
    async with server:
        settings = _settings(kinds, listen, address, clock.now(), folder)

        def tell(at: Instant, kind: str, words: str) -> None:
            passed = (at - began) / SECOND
            say(f"{passed // 60:02.0f}:{passed % 60:04.1f}  {kind:<16} {words}")

        daemon = Daemon(settings, lambda: Loaded(settings, [], [], settings.digest, ()))
        url = f"http://{settings.listen}"
        teller = Teller(daemon, url, tell)
        people = People(daemon, shop, lambda words: tell(clock.now(), "shop", words))
        say(_greeting(url, address))
        await _until_it_ends(daemon, seconds, teller.work, people.work, teller.look)
        say(_farewell(teller, street.messages))


async def _until_it_ends(daemon: Daemon, seconds: float | None, *work: Callable[[], Awaitable[None]]) -> None:
    running = asyncio.ensure_future(daemon.run())
    beside = [asyncio.ensure_future(each()) for each in work[:2]]
    try:
        await asyncio.wait({running, *beside}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        daemon.stop()
        await running


def _settings(kinds: Kinds, listen: str, address: str, now: Instant, folder: Path) -> Settings:
    env = {"RESPONDER_DEMO_SHOP": f"{address}/metrics", "RESPONDER_DEMO_CHAT": f"{address}/chat"}
    loaded = load([packs()["demo"]], kinds=kinds, env=env, strict_secrets=True, now=now, listen=listen)
    if loaded.settings is None:
        raise CannotStart("\n".join(str(error) for error in loaded.errors))
    where = loaded.settings.listen
    try:
        socket.create_server((where.host, where.port)).close()
    except OSError as error:
        raise CannotStart(
            f"{where} can't be used: {os.strerror(error.errno or 0)}; choose another with --listen 127.0.0.1:PORT"
        ) from None
    return msgspec.structs.replace(loaded.settings, storage=Storage(Secret(f"sqlite:///{folder}/demo.db")))


def _greeting(url: str, address: str) -> str:
    return f"""A shop with orders, logistics and a hotline, watched by responder. A minute of the shop takes a second here.

  incidents      {url}/api/v1/incidents
  services       {url}/api/v1/services
  our metrics    {url}/metrics
  the API        {url}/openapi.json
  shop's metrics {address}/metrics

In another terminal: responder incidents list --url {url}
Ctrl-C ends it and leaves nothing behind.
"""


def _farewell(teller: Teller, messages: int) -> str:
    opened, counts = teller.opened, teller.counts
    return f"""
Incidents: {len(opened)} at {len(set(opened.values()))} services, {counts["resolved"]} resolved. Problems behind them: {counts["problems"]}.
Promises missed: {counts["sla_breached"]}. Messages sent: {messages}. Nothing is left behind."""
