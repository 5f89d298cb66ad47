"""What is computed at scrape: gauges from the rows in memory, and zeros for what is promised.

Series of configured services start at 0, so that ``rate`` and ratios work from the first
incident on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, get_args

from responder.core import availability, problem
from responder.core.availability import Meter
from responder.core.book import Book
from responder.core.catalogue import PRIORITIES
from responder.core.facts import Labels
from responder.core.incident import RESPONDER, UNRESOLVED, Incident
from responder.core.incident_commands import CANCEL_REASONS
from responder.core.problem import Origin, Problem
from responder.core.service_state import STATES, state_of
from responder.core.signal import SECOND, Instant
from responder.core.sla import Which, reading

Series = dict[Labels, float]
WORDS: Final[Mapping[str, str]] = {
    "incidents_unresolved": "Incidents that are not resolved, by state.",
    "sla_at_risk": "Unresolved incidents that have used the first warning's share of a target.",
    "sla_overdue": "Unresolved incidents that have missed a target.",
    "sla_next_due_timestamp_seconds": "The nearest due instant of an unresolved incident.",
    "sla_objective_ratio": "The share of incidents that must meet their target.",
    "sla_target_seconds": "Targets, in service time.",
    "service_info": "Always 1.",
    "service_state": "1 for the state that the service is in.",
    "service_availability_objective_ratio": "The availability that was agreed.",
    "problems_unresolved": "Problems that are not resolved, by state.",
    "known_errors_unresolved": "Problems whose cause or workaround is known and that are not resolved.",
    "calendar_open": "1 while the calendar is open.",
    "calendar_valid_until_timestamp_seconds": "End of the last year whose holidays are known.",
}
WORKING: Final = ("open", "acknowledged", "in_progress", "paused")
SCORES: Final = ("1", "2", "3", "4", "5")
ALWAYS: Final = ("am-api", "am-webhook", "grafana", "manual", "pagerduty", RESPONDER)
"""Sources of incidents that need no configuration."""
WHICHES: Final[tuple[Which, Which]] = ("response", "resolution")


Facts = Mapping[tuple[str, Labels], float]


def facts(book: Book, counted: Facts, meters: Iterable[Meter], at: Instant) -> dict[tuple[str, Labels], float]:
    """Return every facts series as of *at*: what was counted, and time that runs."""
    running = availability.facts(meters, book, at)
    return {**counted, **{series: span / SECOND for series, span in running.items()}}


def zeros(book: Book) -> dict[tuple[str, Labels], float]:
    """Return every facts series that the configuration promises, at zero."""
    found: dict[tuple[str, Labels], float] = {}
    heard = sorted({*ALWAYS, *book.sources})
    for service in book.services:
        own: Labels = (("service", service),)
        for name in ("service_failures_total", "incidents_correlated_total", "incidents_change_related_total"):
            found[name, own] = 0.0
        for origin in get_args(Origin):
            found["problems_opened_total", (*own, ("origin", origin))] = 0.0
        found["service_time_seconds_total", own] = 0.0
        for kind in ("unplanned", "planned"):
            found["service_downtime_seconds_total", (*own, ("kind", kind))] = 0.0
        for step in book.flow(service):
            found["incident_stages_overdue_total", (*own, ("stage", step.name))] = 0.0
            stage: Labels = (("stage", step.name),)
            found["incident_stage_seconds_sum", stage] = found["incident_stage_seconds_count", stage] = 0.0
        for score in SCORES:
            found["satisfaction_responses_total", (*own, ("score", score))] = 0.0
        for name in ("incident_restore_seconds_sum", "incident_restore_seconds_count"):
            found[name, own] = 0.0
        for reason in CANCEL_REASONS:
            found["incidents_cancelled_total", (*own, ("reason", reason))] = 0.0
        for priority in PRIORITIES:
            targets = book.terms(service).sla.targets.get(priority, (None, None))
            both: Labels = (*own, ("priority", priority))
            found["incidents_reopened_total", both] = 0.0
            for source in heard:
                found["incidents_opened_total", (*both, ("source", source))] = 0.0
            for resolution in ("recovered", "manual", "expired"):
                found["incidents_resolved_total", (*both, ("resolution", resolution))] = 0.0
            for name in ("incident_response_seconds", "incident_resolution_seconds"):
                found[name + "_count", both] = found[name + "_sum", both] = 0.0
            for which, target in zip(WHICHES, targets, strict=True):
                if target is None:
                    continue
                found["sla_breaches_total", (*both, ("target", which))] = 0.0
                for outcome in ("met", "breached", "exempt"):
                    found["sla_outcomes_total", (*both, ("target", which), ("outcome", outcome))] = 0.0
    return found


def now(book: Book, incidents: Iterable[Incident], problems: Iterable[Problem], at: Instant) -> dict[str, Series]:
    """Return the gauges of SPEC 7 that come from what is open and what is configured."""
    found: dict[str, Series] = {name: {} for name in WORDS}
    for service in book.services:
        for priority in PRIORITIES:
            for state in WORKING:
                found["incidents_unresolved"][("service", service), ("priority", priority), ("state", state)] = 0.0
        for which in WHICHES:
            found["sla_at_risk"][("service", service), ("target", which)] = 0.0
            found["sla_overdue"][("service", service), ("target", which)] = 0.0
    worst: dict[str, str] = {}
    planned: set[str] = set()
    unresolved: Counter[Labels] = Counter()
    for row in incidents:
        if row.state not in UNRESOLVED:
            continue
        service = book.metric_service(row.service)
        unresolved[("service", service), ("priority", row.priority), ("state", row.state)] += 1
        if "planned" in row.flags:
            planned.add(service)
        elif row.priority < worst.get(service, "P9"):
            worst[service] = row.priority
        _clocks(book, row, service, at, found)
    found["incidents_unresolved"].update(unresolved)
    _problems(book, problems, found)
    _promises(book, at, found)
    for service in book.services:
        state = state_of(
            worst.get(service), planned=service in planned or book.planned_until(service, {}, at) is not None
        )
        for name in STATES:
            found["service_state"][("service", service), ("state", name)] = float(name == state)
    return found


def _problems(book: Book, problems: Iterable[Problem], found: dict[str, Series]) -> None:
    for service in book.services:
        found["known_errors_unresolved"][(("service", service),)] = 0.0
        for state in problem.UNRESOLVED:
            found["problems_unresolved"][("service", service), ("state", state)] = 0.0
    unresolved: Counter[Labels] = Counter()
    for row in problems:
        if row.state in problem.UNRESOLVED:
            unresolved[("service", book.metric_service(row.service)), ("state", row.state)] += 1
    found["problems_unresolved"].update(unresolved)
    for labels, count in unresolved.items():
        if labels[1][1] == "known_error":
            found["known_errors_unresolved"][labels[:1]] = count


def _clocks(book: Book, row: Incident, service: str, at: Instant, found: dict[str, Series]) -> None:
    terms = book.terms(row.service)
    first_warning = min(terms.sla.warn_at, default=None)
    for which in WHICHES:
        shown = reading(row.clock, which, terms.sla, terms.calendar, at)
        if shown.target is None or shown.state not in ("running", "breached"):
            continue
        labels: Labels = (("service", service), ("target", which))
        if shown.state == "breached":
            found["sla_overdue"][labels] = found["sla_overdue"].get(labels, 0.0) + 1
        elif first_warning is not None and shown.elapsed * 100 >= shown.target * first_warning:
            found["sla_at_risk"][labels] = found["sla_at_risk"].get(labels, 0.0) + 1
        if shown.due_at is not None and shown.due_at >= at:
            due = found["sla_next_due_timestamp_seconds"]
            due[labels] = min(due.get(labels, float("inf")), shown.due_at / SECOND)


def _promises(book: Book, at: Instant, found: dict[str, Series]) -> None:
    for name, service in book.services.items():
        own = ("service", name)
        sla = book.terms(name).sla
        for which in WHICHES:
            if which in sla.objective:
                found["sla_objective_ratio"][own, ("target", which)] = sla.objective[which]
        for priority, targets in sla.targets.items():
            for which, target in zip(WHICHES, targets, strict=True):
                if target is not None:
                    labels: Labels = (own, ("priority", priority), ("target", which))
                    found["sla_target_seconds"][labels] = target / SECOND
        info: Labels = (own, ("team", service.team), ("org", service.org), ("supplier", service.supplier))
        found["service_info"][info] = 1.0
        if service.availability is not None:
            found["service_availability_objective_ratio"][(own,)] = service.availability
    for name, calendar in book.calendars.items():
        found["calendar_open"][(("calendar", name),)] = float(calendar.is_open(at))
        if calendar.valid_until is not None:
            found["calendar_valid_until_timestamp_seconds"][(("calendar", name),)] = calendar.valid_until / SECOND
