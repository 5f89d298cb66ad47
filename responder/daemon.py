"""Composition root: settings become objects, objects become a running daemon."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import uvicorn

from responder import __version__, metrics, notify, plugins
from responder.clock import Clock, SystemClock
from responder.config.regexes import compile_regex
from responder.config.settings import Listen, Loaded, Settings
from responder.core import availability, gauges, lifecycle, problems, reloading
from responder.core.book import Book, Tally
from responder.core.desk import Desk
from responder.core.event import Event
from responder.core.incident import Incident
from responder.core.instant import format_span
from responder.core.rule import AbsenceWhen
from responder.core.signal import DAY, HOUR, MINUTE, SECOND, Instant
from responder.dispatch import Dispatcher
from responder.handlers import commands, handle, ticks, upkeep
from responder.house import Source, book_of, build_channels, build_sources
from responder.intake import Intake, Item, Told, Unavailable
from responder.log import event_words
from responder.poller import Poller
from responder.ports import Context, Webhook
from responder.resident import Resident, collect_young
from responder.store import migrate
from responder.store.engine import DatabaseError, Engine, StorageError, open_engine, path_of, sentence
from responder.store.lock import FileLock
from responder.store.reader import Reader
from responder.store.transaction import DataRefused, Writer
from responder.web.app import App
from responder.web.protocol import LOOK_EVERY, Protocol

log = logging.getLogger(__name__)
DRAIN: Final = 20.0
"""Seconds that the end waits for open requests and queued items."""
CLOCK_JUMP: Final = 5.0
"""Seconds by which the wall clock may differ from the monotonic one between two ticks."""
READERS: Final = 4
OVERTAKEN: Final = 3
"""Exit status: the database went on without this daemon."""
OFFERED: Final = 500
"""Alerts that are offered to a new configuration in one transaction."""
BUILT_IN: Final = {"alertmanager": "am-webhook", "grafana": "grafana"}
"""Webhooks that need no source of the configuration: path -> name of their signals' source."""
ALWAYS_HEARD: Final = ("am-api", *BUILT_IN.values())
"""Sources of alerts that need no configuration."""


class Daemon:
    """One running responder. ``load`` reads the configuration again; it raises nothing."""

    def __init__(self, settings: Settings, load: Callable[[], Loaded], clock: Clock | None = None) -> None:
        self.settings, self._load = settings, load
        self.clock = clock or SystemClock()
        self.started_at = self.clock.now()
        self.tally = Tally()
        self.book = book_of(settings, self.tally)
        self.ready = False
        self.status = 0
        """With which the process is to end."""
        self._away = ticks.Away(self.started_at, self.started_at + settings.startup_grace)
        self._stop = asyncio.Event()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._blocking = ThreadPoolExecutor(4, thread_name_prefix="blocking")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poller: Poller | None = None
        self._pool: plugins.HttpPool | None = None
        self.sources: dict[str, Source] = {}
        self._built_in: dict[str, Any] = {}
        self._next_upkeep = self._next_heartbeat = self.started_at
        self._last_head = ""
        path = path_of(settings.storage.url.reveal())
        self._lock = FileLock(path) if path is not None else None
        self._sockets: list[socket.socket] = []
        try:
            self._sockets = _sockets(settings.listen)  # before a database is made or migrated in vain
            self._open_store()
        except BaseException:
            self._let_go()
            raise

    # Opening, in the order in which things need each other.

    def _open_store(self) -> None:
        url = self.settings.storage.url.reveal()
        self.engine: Engine = open_engine(url, self.settings.storage.schema)
        if migrate.upgrade(self.engine):
            log.info("the schema was brought up to date", extra={"revision": migrate.HEAD})
        self.writer = Writer(self.engine, f"{socket.gethostname()}:{uuid.uuid4().hex[:8]}")
        self.writer.claim()
        self.reader = Reader(open_engine(url, self.settings.storage.schema, read_only=True))
        self.resident = Resident(self.reader, self.due_of, compile_regex)
        self.book.posted = self.resident.windows
        self.book.date_promises(self.reader.meters())
        self.resident.rebuild(self.started_at)
        ticks.grant_grace(self.resident, self.book, self._away)
        problems.put_in_force(self.book, self.resident.board, self.resident.edges.values())
        self._alive_at = self.reader.alive_at()
        self.writer.lead(self.started_at)
        self.book.secret = self.writer.secret
        self.intake = Intake(
            self.resident, self.writer, self.decide, self.clock, committed=self._committed, due_of=self.due_of,
            fenced=self._overtaken,
        )  # fmt: skip
        self.dispatcher = Dispatcher(self.resident.lanes, self.submit, self.clock)
        self.facts = metrics.FactsPage(
            lambda: gauges.facts(self.book, dict(self.resident.facts), self.resident.all_meters(), self.clock.now()),
            lambda: gauges.zeros(self.book),
            self._gauges,
        )

    def _overtaken(self) -> None:
        self.status = OVERTAKEN
        self._stop.set()

    def due_of(self, row: Incident) -> Instant | None:
        """Return when time changes an incident next."""
        return lifecycle.next_due(self.book, row)

    def decide(self, item: Item, desk: Desk, now: Instant, careful: bool) -> Any:
        """Hand an item to its handler; runs on the writer thread."""
        if isinstance(item, upkeep.Retain):
            return upkeep.retain(item, self.engine, desk, self.resident)
        if isinstance(item, upkeep.Replace):
            return self._replace(item, desk, now)
        if isinstance(item, upkeep.Returned):
            self._away = ticks.Away(now, now + self.settings.startup_grace)
            return ticks.grant_grace(self.resident, self.book, self._away)
        return handle(item, desk, self.book, now, self.resident, self._away, careful)

    def _replace(self, item: "upkeep.Replace", desk: Desk, now: Instant) -> None:
        """Put another rule book in force, between two batches."""
        availability.settle(desk, self.book, now)  # the time until now ran under the old one
        problems.put_in_force(item.book, self.resident.board, self.resident.edges.values())
        item.book.posted, item.book.secret = self.resident.windows, self.writer.secret
        self.book = item.book
        self.resident.forget_rests()
        commands.loaded(item.loaded, desk, self.book, now, True)

    def _committed(self, desk: Desk, events: Sequence[Event]) -> None:
        """Tell the dispatcher of messages, and the log what became true."""
        if self.resident.lanes.stirred and self._loop is not None:
            self._loop.call_soon_threadsafe(self.dispatcher.look)
        if not log.isEnabledFor(logging.INFO):
            return
        for event in (each for each in events if each.kind != "loaded"):  # of that, reload says more
            message, fields = event_words(event, desk)
            log.info("%s", message, extra=fields)

    # Running.

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP loads the configuration again."""
        sys.setswitchinterval(0.0005)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(self._readers)
        self._loop = loop
        self.intake.start(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload()))
        self._background: set[asyncio.Task[Any]] = set()
        self._pool = plugins.http_pool()
        self.sources = build_sources(self.settings, self._pool, self.run_blocking)
        self.dispatcher.replace(build_channels(self.settings, self._pool))
        await self._begin()
        app = App(self)
        server = _Server(
            uvicorn.Config(
                app, host=self.settings.listen.host, port=self.settings.listen.port, http=Protocol, loop="asyncio",
                lifespan="off", access_log=False, log_config=None, timeout_graceful_shutdown=int(DRAIN),
                server_header=False, proxy_headers=False, backlog=2048, ws="none",
            )
        )  # fmt: skip
        ticker = loop.create_task(self._tick())
        serving = loop.create_task(server.serve(self._sockets))
        self.ready = True
        self._say_that_it_listens()
        stopped = loop.create_task(self._stop.wait())
        await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        await self._end(server, serving, ticker, stopped)

    def _say_that_it_listens(self) -> None:
        log.info(
            "responder %s listens on http://%s", __version__, self.settings.listen,
            extra={"rules": len(self.book.rules), "open": len(self.resident.incidents),
                   "grace": format_span(self.settings.startup_grace)},
        )  # fmt: skip
        if not self.book.rules:
            log.warning(
                'there are no rules, so no signal opens an incident; include: ["pack:default"] takes the default ones'
            )

    async def _begin(self) -> None:
        """Put the loaded configuration in force and start the polls."""
        now = self.clock.now()
        metrics.BUILD_INFO.labels(__version__, "").set(1)
        metrics.CONFIG_SUCCESSFUL.set(1)
        metrics.CONFIG_SUCCESS_TIME.set(now / SECOND)
        try:
            if await self.intake.submit(self._loaded(self.settings.digest, self.book)):
                await self._sweep()
            await self._offer(frozenset())
        except (Unavailable, DataRefused) as error:
            raise StorageError(f"nothing was started: {error}") from error
        self._start_polls()
        self.dispatcher.look()

    def _gauges(self) -> dict[str, gauges.Series]:
        """Return what is computed at a scrape, from copies: the writer changes the originals."""
        incidents = list(self.resident.incidents.values())
        problems = [row.problem for row in list(self.resident.problems.values())]
        return gauges.now(self.book, incidents, problems, self.clock.now())

    async def _offer(self, heard: frozenset[str]) -> None:
        """Offer what fires already to the rules in force, a slice at a time; *heard*: those that opened nothing before."""
        firing = [alert.identity for alert in list(self.resident.alerts.values()) if not alert.ended]
        for first in range(0, len(firing), OFFERED):
            await self.intake.submit(upkeep.Offer(firing[first : first + OFFERED], heard=heard))
        rules = self.book.rules
        waiting = [key for key, row in list(self.resident.states.items()) if reloading.waits(rules.get(row.rule), row)]
        for first in range(0, len(waiting), OFFERED):
            await self.intake.submit(upkeep.Offer((), waiting[first : first + OFFERED], heard))

    def _start_polls(self) -> None:
        polled = [entry for source in self.sources.values() for entry in source.polled(self.book)]
        metrics.begin_at_zero(
            self.book.rules.values(),
            [name for name in self.sources if name in self.book.polled],
            {*ALWAYS_HEARD, *(name for name, source in self.sources.items() if source.hears)},
        )
        known = {(entry.source, entry.query): entry.last_at for entry in self._poller.polled} if self._poller else {}
        for entry in polled:
            entry.last_at = known.get((entry.source, entry.query), self._alive_at)
        self._poller = Poller(self.intake, self.clock, polled)
        self._poller.start()

    def _loaded(self, digest: str, book: Book) -> commands.Loaded:
        gone = reloading.gone(book, list(self.resident.states.values()))
        expecting = tuple(r for r in book.rules.values() if isinstance(r.when, AbsenceWhen) and r.when.expect)
        unpromised = reloading.unpromised(book, list(self.resident.sources.values()))
        return commands.Loaded(digest, gone, expecting, unpromised)

    async def _end(
        self, server: "_Server", serving: asyncio.Task[Any], ticker: asyncio.Task[Any], stopped: asyncio.Task[Any]
    ) -> None:
        self.ready = False
        notify.tell("STOPPING=1")
        log.info("stopping: open requests are answered, queued signals are stored")
        if self._poller is not None:
            await self._poller.stop()
        ticker.cancel()
        stopped.cancel()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(serving, DRAIN + 5)
        await self.dispatcher.stop()
        await self.intake.stop()
        await self._close_sources()
        if self._pool is not None:
            await self._pool.aclose()
        self.writer.close()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._blocking.shutdown(wait=False, cancel_futures=True)
        self._let_go()

    def _let_go(self) -> None:
        for held in self._sockets:
            held.close()
        if self._lock is not None:
            self._lock.release()

    async def _close_sources(self) -> None:
        for source in self.sources.values():
            await source.aclose()

    async def _tick(self) -> None:
        """Once a second: read the wall clock and have what is due applied.

        ``asyncio.sleep`` counts on the monotonic clock, so neither a set clock nor a suspended
        machine can make it stop.
        """
        loop = asyncio.get_running_loop()
        wall, steady = self.clock.now(), loop.time()
        while True:
            await asyncio.sleep(1)
            notify.tell("WATCHDOG=1")
            now, passed = self.clock.now(), loop.time() - steady
            jump = (now - wall) / SECOND - passed
            away = now - wall > MINUTE or jump < -CLOCK_JUMP
            wall, steady = now, loop.time()
            if abs(jump) > CLOCK_JUMP:
                log.warning("the clock jumped by %.0f s", jump)
                if self._poller is not None:
                    self._poller.restart()
                self.dispatcher.clock_jumped()
                self._next_heartbeat = self._next_upkeep = now
            self.dispatcher.look()
            self.dispatcher.count()
            try:
                if away:
                    await self.intake.submit(upkeep.Returned())
                await self._apply_due(now)
            except Unavailable:
                pass  # logged by the intake; the rows wait
            except Exception:  # a clock that stops would be worse than anything that happened here
                log.exception("a tick failed")
            metrics.QUEUE_LENGTH.set(self.intake.queued)
            metrics.flush(self.tally)
            collect_young()

    async def _apply_due(self, now: Instant) -> None:
        while (due := self.resident.next_due()) is not None and due <= now:
            metrics.SCHEDULER_LAG.set((now - due) / SECOND)
            await self.intake.submit(ticks.Tick(now))
        if now >= self._next_heartbeat or self.failure is not None:  # a store that failed is asked again
            self._next_heartbeat = now + MINUTE
            await self.intake.submit(upkeep.Heartbeat())
        if now >= self._next_upkeep:
            self._next_upkeep = now + HOUR
            self._spawn(self._tidy(now))

    async def _tidy(self, now: Instant) -> None:
        """Once an hour: forget what is old, in slices between which everything else goes on."""
        keep = self.settings.retention
        try:
            after: int | None = 0
            while after is not None:
                item = upkeep.Retain(now - keep.signals, now - keep.closed_incidents, now, after)
                after = await self.intake.submit(item)
            first = True
            while await self.intake.submit(upkeep.Forget(first)):
                first = False
            await self.intake.submit(upkeep.Settle())
        except Unavailable:
            return  # logged by the intake; the next hour does it
        except Exception:  # nobody waits for it who could say so
            log.exception("what is old could not be forgotten; the next hour tries again")
            return
        self._log_head(now)

    def _log_head(self, now: Instant) -> None:
        """Only an anchor outside shows a timeline that was rewritten as a whole: the log is one."""
        day = str(now // DAY)
        if day != self._last_head:
            self._last_head = day
            log.info("head of the timeline", extra={"anchor": f"{self.writer.head_seq}:{self.writer.head_hash.hex()}"})

    def stop(self) -> None:
        """Drain and end, as SIGTERM does."""
        self._stop.set()

    # What the web asks.

    def now(self) -> Instant:
        """Return the present instant."""
        return self.clock.now()

    @property
    def failure(self) -> str | None:
        """Return why the store takes no writes, or none."""
        return self.intake.failure

    def webhook(self, name: str) -> Webhook | None:
        """Return what reads the bodies posted to ``/webhooks/NAME``."""
        if name in BUILT_IN:
            found: Webhook = self._built_in.setdefault(name, plugins.webhook(BUILT_IN[name]))
            return found
        source = self.sources.get(name)
        return source.webhook if source is not None and source.kind == "webhook" else None

    def pagerduty(self) -> list[Any]:
        """Return the sources of kind ``pagerduty``; without one, any routing key is taken."""
        found = [source.adapter for source in self.sources.values() if source.kind == "pagerduty"]
        if not found and self._pool is not None:
            context = Context("pagerduty", self._pool, self.run_blocking)
            settings = plugins.source_settings("pagerduty")(kind="pagerduty")
            found = [self._built_in.setdefault("pagerduty", plugins.build(settings, context))]
        return found

    def submit(self, item: Item) -> "asyncio.Future[Any]":
        """See :meth:`responder.intake.Intake.submit`."""
        return self.intake.submit(item)

    def take(self, item: Item, told: Told) -> None:
        """See :meth:`responder.intake.Intake.take`."""
        self.intake.take(item, told)

    async def read(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a read in the pool of readers.

        Raises:
            Unavailable: The store does not answer.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, function, *args)
        except DatabaseError as error:
            raise Unavailable(f"the store can't be read: {error.orig}") from error

    async def run_blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something slow that is no read: SMTP, apprise."""
        return await asyncio.get_running_loop().run_in_executor(self._blocking, function, *args)

    async def reload(self) -> list[str]:
        """Load the configuration again; a bad one changes nothing. Returns what is wrong with it."""
        loaded = await self.read(self._load)
        wrong = [str(error) for error in loaded.errors]
        if loaded.settings is not None and not wrong:
            wrong = self._unchangeable(loaded.settings)
        if loaded.settings is None or wrong:
            return self._not_loaded(wrong)
        for warning in loaded.warnings:
            log.warning("the configuration: %s", str(warning).replace("\n  hint: ", "; "))
        settings: Settings = loaded.settings
        book = book_of(settings, self.tally)
        try:
            sources = build_sources(settings, self._pool, self.run_blocking, self.sources)
            channels = build_channels(settings, self._pool)
        except ValueError as error:
            return self._not_loaded([str(error)])
        before = self.book
        item = upkeep.Replace(book, self._loaded(settings.digest, book), lambda: setattr(self, "book", before))
        try:
            await self.intake.submit(item)
        except Unavailable as error:
            return self._not_loaded([str(error)])
        if self._poller is not None:
            await self._poller.stop()
        for name, source in self.sources.items():
            if sources.get(name) is not source:
                await source.aclose()
        self.settings, self.sources = settings, sources
        self.dispatcher.replace(channels)
        self._start_polls()
        await self._sweep()
        await self._offer(reloading.heard_from_now_on(before, book))
        metrics.CONFIG_SUCCESSFUL.set(1)
        metrics.CONFIG_SUCCESS_TIME.set(self.clock.now() / SECOND)
        log.info("the configuration was loaded", extra={"rules": len(book.rules), "digest": settings.digest})
        return []

    async def _sweep(self) -> None:
        """Let open incidents follow what is promised now, a slice at a time between batches."""
        after: int | None = 0
        while after is not None:
            after = await self.intake.submit(upkeep.Sweep(after))

    @staticmethod
    def _not_loaded(wrong: list[str]) -> list[str]:
        metrics.CONFIG_SUCCESSFUL.set(0)
        for mistake in wrong:
            log.error("the configuration was not loaded", extra={"error": mistake.replace("\n  hint: ", "; ")})
        return wrong

    def _unchangeable(self, settings: Settings) -> list[str]:
        found = []
        if settings.storage != self.settings.storage:
            found.append("storage can't change while the daemon runs: restart it")
        if settings.listen != self.settings.listen:
            found.append("listen can't change while the daemon runs: restart it")
        return found

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: the daemon ends it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_EVERY == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.end_if_stalled()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            notify.tell("READY=1")


class CannotListen(Exception):
    """The address can't be had; the sentence says which and why."""


def _sockets(listen: Listen) -> list[socket.socket]:
    """Return the sockets of systemd, else one of our own; raises :class:`CannotListen`."""
    try:
        return notify.inherited(listen.host, listen.port) or [_bound(listen.host, listen.port)]
    except ValueError as error:  # systemd listens elsewhere
        raise CannotListen(str(error)) from None


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that has the address and does not listen yet: the state is rebuilt before.

    Raises:
        CannotListen: Another process has it, or it is none of this machine.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise CannotListen(
            f"{host}:{port} can't be listened on: {error.strerror}; another daemon?\n"
            "  hint: end that one, or choose another address with listen: or --listen HOST:PORT"
        ) from None
    return bound


def run(settings: Settings, load: Callable[[], Loaded]) -> int:
    """Run the daemon until it is told to stop; returns the exit status."""
    try:
        daemon = Daemon(settings, load)
    except (DatabaseError, StorageError, CannotListen) as error:
        return _not_started(error)
    try:
        asyncio.run(daemon.run())
    except (DatabaseError, StorageError, ValueError) as error:  # ValueError: a source or channel that can't be made
        return _not_started(error)
    return daemon.status


def _not_started(error: Exception) -> int:
    reason = sentence(error) if isinstance(error, DatabaseError | StorageError) else str(error)
    sys.stderr.write(f"responder: {reason}\n")
    return 1
