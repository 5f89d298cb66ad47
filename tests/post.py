"""A team with channels on a virtual clock, for tests of what leaves when."""

from typing import Any

from responder.core import rule as rules
from responder.core.book import Book
from responder.core.catalogue import (
    ChannelRef,
    ChannelSpec,
    Service,
    Team,
)
from responder.core.event import Actor, Event
from responder.core.incident import Incident
from responder.core.outbox import Message
from responder.core.rule import (
    EventOf,
    EventWhen,
    IncidentForm,
    Match,
    Priority,
    Rule,
)
from responder.core.signal import SECOND, Instant, Signal, identity
from responder.core.silence import Silence, Term
from responder.handlers.commands import Command, SetSilence
from responder.handlers.signals import Pushed
from responder.ports import Permanent, Transient
from responder.rehearsal import Rehearsal

T0 = 1_767_571_200 * SECOND  # 2026-01-05T00:00:00Z
ANNA = Actor("person", "anna")


def is_(label: str, value: str) -> rules.Test:
    return rules.Test(label, lambda found: found == value, f'{label}="{value}"', (value,))


def rule(id: str, alertname: str, **fields: Any) -> Rule:
    form = IncidentForm(
        service=lambda c: c["labels"].get("service", "shop"), title=lambda c: f"{c['key'].get('host')} is down",
        priority=Priority(label="severity", map={"critical": "P1", "warning": "P3"}, default="P3"),
    )  # fmt: skip
    return Rule(id, ("host",), EventWhen(EventOf(Match((is_("alertname", alertname),)))), form, **fields)


class Killed(Exception):
    """The process died while an attempt was under way."""


class Post:
    """A rehearsal whose channels are lists; ``fails`` says what an attempt comes to."""

    def __init__(
        self, *specs: ChannelSpec, refs: tuple[ChannelRef, ...] = (), lead: tuple[ChannelRef, ...] = (),
        book_rules: tuple[Rule, ...] = (rule("down", "Down"),), **book: Any,
    ) -> None:  # fmt: skip
        specs = specs or (ChannelSpec("chat"),)
        refs = refs or tuple(ChannelRef(spec.name) for spec in specs)
        teams = {"ops": Team("ops", "lead", refs, lead), **book.pop("teams", {})}
        services = {"shop": Service("shop", "ops"), **book.pop("services", {})}
        self.sent: list[tuple[Instant, Message]] = []
        self.tried: list[tuple[Instant, Message]] = []
        self.fails: dict[str, Transient | Permanent] = {}
        self.dies = False
        self.stage = Rehearsal(
            Book(book_rules, teams=teams, services=services, channels=specs, **book), T0, deliver=self._deliver
        )

    def _deliver(self, message: Message) -> Transient | Permanent | None:
        self.tried.append((self.stage.now, message))
        if self.dies:
            self.dies = False
            raise Killed
        error = self.fails.get(message.channel)
        if error is None:
            self.sent.append((self.stage.now, message))
        return error

    def at(self, seconds: float) -> "Post":
        self.stage.advance(T0 + round(seconds * SECOND))
        return self

    def restart(self) -> None:
        """Begin again with what is stored, as after ``kill -9``."""
        self.stage.flush()
        self.stage.resident.rebuild(self.stage.now)
        self.stage.advance(self.stage.now)

    def fire(self, *hosts: str, name: str = "Down", severity: str = "warning", **labels: str) -> None:
        self._push(True, hosts, {"alertname": name, "severity": severity, **labels})

    def clear(self, *hosts: str, name: str = "Down", severity: str = "warning", **labels: str) -> None:
        self._push(False, hosts, {"alertname": name, "severity": severity, **labels})

    def _push(self, firing: bool, hosts: tuple[str, ...], labels: dict[str, str]) -> None:
        sets = [{"host": host, **labels} for host in hosts]
        now = self.stage.now
        self.stage.take(Pushed("am-api", [Signal("am-api", identity(s), s, {}, firing, now) for s in sets]))

    def do(self, name: str, incident: int = 1, **args: Any) -> None:
        self.stage.take(Command(name, incident, args, ANNA))

    def silence(self, seconds: float, **labels: str) -> str:
        now = self.stage.now
        terms = tuple(Term(name, value) for name, value in labels.items())
        posted = Silence("", terms, now, now + round(seconds * SECOND), "anna", "quiet")
        id: str = self.stage.take(SetSilence(posted, "6f1b2a3c-0000-4000-8000-000000000000", ANNA))
        return id

    def said(self, channel: str = "chat") -> list[tuple[float, str, int, int]]:
        """(seconds, event, incident, more) of what a channel took."""
        return [
            ((at - T0) / SECOND, m.part.event, m.part.incident, len(m.bundle))
            for at, m in self.sent
            if m.channel == channel
        ]

    def kinds(self, channel: str = "chat") -> list[str]:
        return [event for _, event, _, _ in self.said(channel)]

    def timeline(self, incident: int = 1) -> list[Event]:
        return [entry.event for entry in self.stage.reader.timeline("incident", incident, 0, 1000)]

    def incident(self, id: int = 1) -> Incident:
        row = self.stage.reader.incident(id)
        assert row is not None
        return row

    def suppressed(self, channel: str = "chat") -> list[str]:
        return [m.held for m in self.stage.resident.outbox.values() if m.channel == channel]


AT_ONCE = ChannelSpec("chat", bundle=0, rate=1000)
