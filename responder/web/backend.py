"""What the web sees of the daemon: rows in memory to look at, and a queue to hand things to."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from responder import __version__, metrics
from responder.config.regexes import compile_regex
from responder.core.alert import Alert, Joined
from responder.core.book import Book
from responder.core.event import Actor
from responder.core.incident import Incident
from responder.core.rule import EventWhen, Holds
from responder.core.shown import labels_of
from responder.core.signal import SECOND, Instant, Signal, identity
from responder.core.silence import Silence, Silences
from responder.handlers.commands import ExpireSilence, SetSilence
from responder.handlers.signals import Pushed
from responder.intake import Told
from responder.intake import Unavailable as QueueUnavailable
from responder.metrics import FactsPage
from responder.ports import Webhook
from responder.resident import Resident
from responder.store.reader import Reader
from responder.web.alertmanager import Unavailable, Undecided

NONE = ("none",)


class Core(Protocol):
    """What the daemon is to the web."""

    @property
    def book(self) -> Book: ...
    @property
    def started_at(self) -> Instant: ...
    @property
    def resident(self) -> Resident: ...
    @property
    def reader(self) -> Reader: ...
    @property
    def ready(self) -> bool: ...
    @property
    def sources(self) -> Mapping[str, Any]: ...
    @property
    def settings(self) -> Any: ...
    @property
    def failure(self) -> str | None: ...
    @property
    def facts(self) -> FactsPage: ...
    def now(self) -> Instant: ...
    def webhook(self, name: str) -> Webhook | None: ...
    def pagerduty(self) -> Sequence[Any]: ...
    def submit(self, item: Any) -> Awaitable[Any]: ...
    def take(self, item: Any, told: Told) -> None: ...
    def read(self, function: Callable[..., Any], *args: Any) -> Awaitable[Any]: ...
    def reload(self) -> Awaitable[list[str]]: ...


class Backend:
    """The daemon as the two APIs want it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.resident, self.reader = core.resident, core.reader
        self._received: dict[tuple[str, str], Any] = {}

    @property
    def started_at(self) -> Instant:
        return self._core.started_at

    def now(self) -> Instant:
        return self._core.now()

    def book(self) -> Book:
        return self._core.book

    async def submit(self, item: Any) -> Any:
        return await self._core.submit(item)

    async def read(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._core.read(function, *args)

    # Alertmanager's view.

    def alerts(self) -> Sequence[Alert]:
        """Return all alerts, and for each open key of another rule than ``event`` one that speaks of it.

        A key is open while its condition holds, whatever people did to the incident.
        """
        found = list(self.resident.alerts.values())
        rules = self._core.book.rules
        for incident in list(self.resident.incidents.values()):
            rule = rules.get(incident.rule or "")
            if rule is not None and incident.holds and not isinstance(rule.when, EventWhen):
                found.append(alert_of(incident))
        return found

    def silences(self) -> Silences:
        return self.resident.silencing

    def receivers(self) -> Sequence[str]:
        return list(dict.fromkeys([*self._core.book.rules, *NONE]))

    def receivers_of(self, alert: Alert) -> Sequence[str]:
        return list(dict.fromkeys(joined.rule for joined in alert.joined)) or NONE

    def group_by(self, receiver: str) -> Sequence[str]:
        rule = self._core.book.rules.get(receiver)
        return rule.by if rule is not None else ()

    def compile_regex(self, regex: str) -> Holds:
        return compile_regex(regex)

    def version(self) -> Mapping[str, str]:
        return {"version": __version__, "revision": ""}

    def config_text(self) -> str:
        """Return what clients of Alertmanager can read as its configuration: our rules are its receivers."""
        settings = self._core.settings
        names = "".join(f"- name: {json.dumps(name, ensure_ascii=False)}\n" for name in self.receivers())
        return (
            f"# responder {__version__}, configuration {settings.digest}: see GET /api/v1/rules, /api/v1/services\n"
            f"route:\n  receiver: none\nreceivers:\n{names}"
        )

    async def submit_alerts(self, signals: Sequence[Signal]) -> None:
        await self.push_whole("am-api", signals)

    async def push_whole(self, source: str, signals: Sequence[Signal]) -> None:
        """Store pushed signals for a sender that is not told of each.

        Raises:
            Unavailable: They are not stored; the sender is to try again.
            Undecided: Some are not stored, because deciding on them failed.
        """
        _require_whole(await self.push(source, signals))

    def take(self, source: str, signals: Sequence[Signal], told: Told) -> None:
        """Have pushed signals stored; *told* hears how it went, for :meth:`taken`.

        Raises:
            Unavailable: They are not stored; the sender is to try again.
        """
        try:
            self._core.take(Pushed(source, signals), told)
        except QueueUnavailable as error:
            raise Unavailable(str(error)) from error

    def taken(self, source: str, began: Instant, results: list[str], error: Exception | None) -> None:
        """Count what became of pushed signals.

        Raises:
            Unavailable, Undecided: As :meth:`push_whole` does.
        """
        if isinstance(error, QueueUnavailable):
            raise Unavailable(str(error)) from error
        if error is not None:
            raise error
        self._count(source, began, results)
        _require_whole(results)

    async def push(self, source: str, signals: Sequence[Signal]) -> list[str]:
        """Store pushed signals and return what became of each.

        Raises:
            Unavailable: They are not stored; the sender is to try again.
        """
        began = self._core.now()
        try:
            results: list[str] = await self._core.submit(Pushed(source, signals))
        except QueueUnavailable as error:
            raise Unavailable(str(error)) from error
        self._count(source, began, results)
        return results

    def _count(self, source: str, began: Instant, results: list[str]) -> None:
        for result in set(results):
            self._counter(source, result).inc(results.count(result))
        now = self._core.now()
        self._counter(source, "seconds").observe(max(0, now - began) / SECOND)
        self._counter(source, "last").set(now / SECOND)

    def _counter(self, source: str, what: str) -> Any:
        """Return a metric's child; to look it up by labels each time would cost more than to count."""
        found = self._received.get((source, what))
        if found is None:
            if what == "seconds":
                found = metrics.SIGNAL_PROCESSING_SECONDS.labels(source)
            elif what == "last":
                found = metrics.SOURCE_LAST_SIGNAL.labels(source)
            else:
                found = metrics.SIGNALS_RECEIVED.labels(source, what)
            self._received[source, what] = found
        return found

    async def submit_silence(self, posted: Silence) -> str:
        actor = Actor("person", posted.created_by or "anonymous")
        try:
            id: str = await self._core.submit(SetSilence(posted, str(uuid4()), actor))
        except QueueUnavailable as error:
            raise Unavailable(str(error)) from error
        return id

    async def expire_silence(self, id: str) -> None:
        try:
            await self._core.submit(ExpireSilence(id, Actor("person", "anonymous")))
        except QueueUnavailable as error:
            raise Unavailable(str(error)) from error


def _require_whole(results: list[str]) -> None:
    undecided = results.count("rejected")
    if undecided:
        raise Undecided(f"{undecided} of {len(results)} alerts could not be decided; the daemon's log says why")


def alert_of(incident: Incident) -> Alert:
    """Return the alert that stands for an open key, for amtool, karma and Grafana to see and silence."""
    labels = labels_of(incident)
    rule = incident.rule or ""
    return Alert(
        id=0, identity=identity(labels), source="responder", labels=labels,
        annotations={"summary": incident.title, "incident": f"INC-{incident.id}"},
        starts_at=incident.opened_at, since=incident.opened_at, ends_at=None, updated_at=incident.last_at,
        url=incident.runbook, joined=(Joined(rule, incident.key_hash, 0, incident.id),),
    )  # fmt: skip
