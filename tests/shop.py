"""A shop on a virtual clock whose daemon may be killed at any time: its store is all that stays."""

from typing import Any

from responder.config.regexes import compile_regex
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.event import Actor, Event
from responder.core.gauges import Facts, facts
from responder.core.incident import Incident
from responder.core.instant import parse_instant
from responder.core.lifecycle import Opening
from responder.core.rule import AbsenceWhen
from responder.core.signal import SECOND, Instant, Signal, Span, identity
from responder.handlers import upkeep
from responder.handlers.commands import Command, Loaded, OpenByHand
from responder.handlers.signals import Pushed
from responder.house import book_of
from responder.rehearsal import Rehearsal
from responder.resident import Resident
from tests.config.kit import load

START = parse_instant("2026-01-05T00:00:00Z")
"""A Monday."""
ANN = Actor("person", "ann")
HOUSE = """
teams:
  ops: {lead: ann, calendar: office}
  desk: {lead: dora}
  testers: {lead: tom}
calendars:
  office: {timezone: UTC, hours: {mon-fri: ["09:00-17:00"]}}
  always: {timezone: UTC, hours: 24x7}
slas:
  gold:
    calendar: always
    targets: {P1: {response: 10m, resolution: 1h}, P2: {response: 30m, resolution: 4h}}
    warn_at: [50]
  hours: {calendar: office, targets: {P1: {response: 1h, resolution: 8h}}}
flows:
  closed-loop:
    - {stage: register, owner: desk, within: 10m}
    - {stage: fix,      owner: service.team, within: sla.resolution}
    - {stage: verify,   owner: testers, within: 4h}
    - {stage: inform,   owner: desk, within: 8h, collect: satisfaction}
services:
  shop: {team: ops, sla: gold, availability: 0.999}
  bureau: {team: ops, sla: hours}
  hotline: {team: desk, sla: gold, flow: closed-loop}
rules:
  - id: each
    by: [alertname]
    when: {event: {match: {labels: {service: {exists: true}}}}}
    incident: {service: "{{ labels.service }}", title: "{{ labels.alertname }}"}
"""


class Shop(Rehearsal):
    """Instants are spans from :data:`START`."""

    def __init__(self, more: str = "", house: str = HOUSE) -> None:
        self.events: list[Event] = []
        super().__init__(book(house + more), START, self.events.append)

    def until(self, at: Span) -> None:
        self.advance(START + at)

    def take(self, item: Any) -> Any:
        result = super().take(item)
        self.flush()
        return result

    def restart(self) -> None:
        """Begin anew from what is stored; what was not stored is gone."""
        self._unwritten = Desk(self.resident)
        self.resident = Resident(self._reader, self._due_of, compile_regex)  # type: ignore[assignment]
        self.book.posted = self.resident.windows
        self.book.date_promises(self._reader.meters())
        self.resident.rebuild(self.now)
        self._unwritten = Desk(self.resident)

    def reload(self, text: str) -> None:
        """Put another configuration in force, as the daemon does."""
        after = book(text)
        after.posted = self.resident.windows
        self.take(upkeep.Settle())
        self.book = after
        self.resident.forget_rests()
        gone = tuple({row.rule for row in self.resident.states.values()} - after.rules.keys())
        expecting = tuple(r for r in after.rules.values() if isinstance(r.when, AbsenceWhen))
        self.take(Loaded("", gone, expecting))
        last: int | None = 0
        while last is not None:
            last = self.take(upkeep.Sweep(last))

    def fire(self, name: str = "A", *, firing: bool = True, **labels: str) -> None:
        """Push one alert; without a word about it, it is critical and of the shop."""
        known = {"alertname": name, "service": "shop", "severity": "critical", **labels}
        signal = Signal("am-api", identity(known), known, {}, firing, self.now, None if firing else self.now)
        self.take(Pushed("am-api", [signal]))

    def end(self, name: str = "A", **labels: str) -> None:
        self.fire(name, firing=False, **labels)

    def open(self, service: str = "shop", priority: str = "P1", **fields: Any) -> int:
        """Report an incident by hand; returns its number."""
        what = Opening(service, "by hand", priority, "manual", self.now, reopen_within=1800 * SECOND, **fields)
        row: Incident = self.take(OpenByHand(what, ANN))
        return row.id

    def do(self, name: str, incident: int = 1, by: str = "ann", **args: Any) -> Incident:
        row: Incident = self.take(Command(name, incident, args, Actor("person", by)))
        return row

    def see(self, incident: int = 1) -> Incident:
        row = self.resident.incidents.get(incident) or self._reader.incident(incident)
        assert row is not None
        return row

    def kinds(self, incident: int = 1) -> list[str]:
        return [e.kind for e in self.events if e.subject_kind == "incident" and e.subject == incident]

    def of_kind(self, kind: str, incident: int = 1) -> list[Event]:
        found = [e for e in self.events if e.subject_kind == "incident" and e.subject == incident]
        return [e for e in found if e.kind == kind]

    def facts(self) -> Facts:
        return facts(self.book, self.resident.facts, self.resident.all_meters(), self.now)

    def fact(self, name: str, **labels: str) -> float:
        """Return the sum of the series of a name that have these labels."""
        wanted = labels.items()
        return sum(
            value for (found, its), value in self.facts().items() if found == name and wanted <= dict(its).items()
        )


def book(text: str) -> Book:
    loaded = load(text)
    assert loaded.settings is not None, loaded.errors
    return book_of(loaded.settings)


def since_start(at: Instant | None) -> Span | None:
    return None if at is None else at - START
