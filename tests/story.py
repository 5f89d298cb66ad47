"""Histories on a virtual clock: what arrives, what people do, and what time does, in a few words."""

from typing import Any

from responder.core import incident_commands
from responder.core.event import Actor, Event
from responder.core.incident import Incident
from responder.core.instant import parse_instant
from responder.core.signal import Instant, Sample, Signal, Span, identity
from responder.handlers.commands import Command
from responder.handlers.signals import AlertsPolled, MetricPolled, PollFailed, Pushed
from responder.house import book_of
from responder.rehearsal import Rehearsal
from tests.config.kit import load

START = parse_instant("2026-01-05T00:00:00Z")
ANN = Actor("person", "ann")
HOUSE = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
"""
EACH = """
rules:
  - id: each
    by: [alertname]
    when: {event: {match: {labels: {service: shop}}}}
    incident: {service: shop, title: "{{ labels.alertname }}"}
"""


class Story:
    """One rule book from its beginning at :data:`START`; instants are spans from there."""

    def __init__(self, rules: str = EACH) -> None:
        loaded = load(HOUSE + rules)
        assert loaded.settings is not None, loaded.errors
        self.events: list[Event] = []
        self.stage = Rehearsal(book_of(loaded.settings), START, self.events.append)

    @property
    def now(self) -> Span:
        return self.stage.now - START

    def until(self, at: Span) -> None:
        """Let time pass."""
        self.stage.advance(START + at)

    # What arrives.

    def push(self, *signals: Signal, source: str = "am-api") -> list[str]:
        result: list[str] = self.stage.take(Pushed(source, list(signals)))
        return result

    def fire(self, name: str = "A", **more: Any) -> str:
        """Push one firing alert; *more*: as :func:`alert` takes it."""
        return self.push(alert(name, self.now, **more))[0]

    def end(self, name: str = "A", **more: Any) -> str:
        """Push one resolved alert."""
        return self.push(alert(name, self.now, firing=False, **more))[0]

    def poll(self, source: str, *signals: Signal) -> None:
        """A polled source lists what fires."""
        self.stage.take(AlertsPolled(source, self.stage.now, list(signals)))

    def poll_fails(self, source: str) -> None:
        self.stage.take(PollFailed(source, self.stage.now, "refused"))

    def sample(self, *values: tuple[dict[str, str], float], last_at: Span | None = None) -> None:
        """Every query of the rules is answered with these series."""
        for query in self.stage.book.queries:
            at = None if last_at is None else START + last_at
            samples = [Sample(labels, value) for labels, value in values]
            self.stage.take(MetricPolled(query.source, query, self.stage.now, samples, at))

    def command(self, name: str, incident: int = 1, **args: Any) -> Incident:
        row: Incident = self.stage.take(Command(name, incident, args, ANN))
        return row

    # What became of it.

    def incidents(self) -> list[Incident]:
        return list(self.stage.incidents())

    def incident(self, id: int = 1) -> Incident:
        return self.incidents()[id - 1]

    def states(self) -> list[str]:
        return [row.state for row in self.incidents()]

    def kinds(self, id: int = 1) -> list[str]:
        """Return the kinds of the events of an incident."""
        return [e.kind for e in self.events if e.subject_kind == "incident" and e.subject == id]

    def at(self, instant: Instant | None) -> Span | None:
        """Return an instant as a span from the beginning."""
        return None if instant is None else instant - START

    def allowed(self, id: int = 1) -> tuple[str, ...]:
        return incident_commands.allowed(self.incident(id))


def alert(
    name: str, at: Span, *, firing: bool = True, starts: Span | None = None, ends: Span | None = None,
    source: str = "am-api", momentary: str = "", **labels: str,
) -> Signal:  # fmt: skip
    """Return an observation of an alert of the shop; without *ends* it never lapses, or ended just now."""
    known = {"alertname": name, "service": "shop", **labels}
    ends_at = START + ends if ends is not None else None if firing else START + at
    started = START + (starts if starts is not None else at)
    return Signal(
        source, identity(known), known, {}, firing, started, ends_at, momentary=bool(momentary), dedup=momentary,
        implied=starts is None and not firing,
    )  # fmt: skip
