"""The promised clocks on the incident's way: warnings and breaches as events, verdicts as facts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from responder.core import facts, plan
from responder.core.calendar import Calendar
from responder.core.event import TIMER, Event
from responder.core.signal import MINUTE, SECOND, Instant
from responder.core.sla import WHICH, Alarm, ClockInputs, Reading, Sla, next_alarms, reading
from responder.core.sla import apply as run
from responder.core.sla import settle as settle_runs

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.desk import Desk
    from responder.core.incident import Incident

MANY_RUNS = 32
REMEMBERED = 1024
"""A decision asks for the alarms of an incident several times, so those of so many are remembered."""
_BEFORE_ALL = -(1 << 62)
WOUND_BY: Final = frozenset(
    {
        "opened", "acknowledged", "paused", "resumed", "resolved", "reopened", "priority_changed", "flagged",
        "sla_breached", "sla_exempted", "closed", "cancelled",
    }
)  # fmt: skip
"""The kinds of events that the clocks know; after the others nothing has to be asked."""
LATE = MINUTE
"""A warning or breach found so long after its instant is marked late."""


class Terms(Struct, frozen=True):
    """What was promised for a service, and when it counts."""

    sla: Sla
    calendar: Calendar


def wind(inputs: ClockInputs | None, event: Event, priority: str) -> ClockInputs:
    """Return the clocks of an incident after one of its events."""
    kind, data = event.kind, event.data
    if kind == "flagged" and data["flag"] == "planned" and not data["on"]:
        kind = "restarted"
    breach = data["target"] if kind == "sla_breached" else None
    planned = kind == "opened" and "planned" in data.get("flags", ())
    verdict = msgspec.convert(data["verdict"], tuple[Reading, Reading]) if "verdict" in data else None
    clocks = run(inputs, kind, event.at, priority, planned=planned, breach=breach, verdict=verdict)
    return settle_runs(clocks, *data["settled"]) if "settled" in data else clocks


def settled(book: "Book", row: "Incident") -> dict[str, Any]:
    """Return what an event carries to keep an incident small that was reopened often; mostly nothing."""
    if len(row.clock.runs) < MANY_RUNS:
        return {}
    calendar = book.terms(row.service).calendar
    return {"settled": (MANY_RUNS, sum(calendar.service_time(a, b) for a, b in row.clock.runs[:MANY_RUNS]))}


def verdict(book: "Book", row: "Incident", at: Instant) -> dict[str, Any]:
    """Return what both clocks show, as data of the event that ends the incident."""
    terms = book.terms(row.service)
    at = max(at, row.last_at)
    stopped = row.clock if row.clock.resolved_at is not None else run(row.clock, "resolved", at)
    shown = [msgspec.to_builtins(reading(stopped, which, terms.sla, terms.calendar, at)) for which in WHICH]
    return {"verdict": shown, "sla": terms.sla.name, "sla_version": terms.sla.version}


def due(book: "Book", row: "Incident") -> list[tuple[Instant, Callable[..., "Incident"]]]:
    """Return when the next warning or breach has to be told, if one is ahead."""
    alarms = _ahead(book, row)
    return [(alarms[0].acts_at, _tell)] if alarms else []


def settle(desk: "Desk", book: "Book", row: "Incident", *, exempt: bool) -> None:
    """Count the verdicts of an incident that is over: once, at closed or cancelled.

    How long it took is no measure when it was cancelled or planned: the clocks of maintenance stand at 0.
    """
    terms = book.terms(row.service)
    for which in WHICH:
        shown = reading(row.clock, which, terms.sla, terms.calendar, row.last_at)
        if shown.target is None:
            continue
        outcome = "exempt" if exempt or shown.state == "exempt" else "breached" if shown.met is False else "met"
        labels = (*facts.of(book, row, "service", "priority"), ("target", which), ("outcome", outcome))
        desk.count("sla_outcomes_total", labels)
    if row.state == "closed" and "planned" not in row.flags:
        spent = reading(row.clock, "resolution", terms.sla, terms.calendar, row.last_at).elapsed
        facts.observe(desk, "incident_resolution_seconds", facts.of(book, row, "service", "priority"), spent / SECOND)
        if row.resolved_at is not None:
            restored = (row.resolved_at - row.started_at) / SECOND
            facts.observe(desk, "incident_restore_seconds", facts.of(book, row, "service"), restored)


def observe(desk: "Desk", book: "Book", before: "Incident | None", row: "Incident") -> None:
    """Note the response time when the response clock stops; that of maintenance has not begun."""
    if before is None or before.clock.responded_at is not None or row.clock.responded_at is None:
        return
    if row.state == "cancelled" or "planned" in row.flags:
        return
    terms = book.terms(row.service)
    spent = reading(row.clock, "response", terms.sla, terms.calendar, row.last_at).elapsed
    facts.observe(desk, "incident_response_seconds", facts.of(book, row, "service", "priority"), spent / SECOND)


def _ahead(book: "Book", row: "Incident") -> list[Alarm]:
    if row.clock.closed or row.clock.exempt:
        return []
    terms = book.terms(row.service)
    known = book.alarms.get(row.id)
    if known is None or known[0] is not row.clock or known[1] is not terms:
        if len(book.alarms) >= REMEMBERED:
            book.alarms.clear()
        known = row.clock, terms, next_alarms(row.clock, terms.sla, terms.calendar, _BEFORE_ALL)
        book.alarms[row.id] = known
    return [alarm for alarm in known[2] if alarm.acts_at > row.alarmed_at]


def _tell(desk: "Desk", book: "Book", row: "Incident", at: Instant, now: Instant) -> "Incident":
    """Record what the clocks have to say at one instant."""
    for alarm in [alarm for alarm in _ahead(book, row) if alarm.acts_at == at]:
        data: dict[str, Any] = {"target": alarm.which}
        if now - alarm.at > LATE:
            data["late"] = True
        if alarm.percent is not None:
            kind = "sla_warned"
            data["percent"] = alarm.percent
        else:
            kind = "sla_breached"
            labels = (*facts.of(book, row, "service", "priority"), ("target", alarm.which))
            desk.count("sla_breaches_total", labels)
        row = plan.record(desk, book, row, Event(alarm.at, kind, "incident", row.id, TIMER, data))
    row = msgspec.structs.replace(row, alarmed_at=at)
    desk.incidents.put(row.id, row)
    return row
