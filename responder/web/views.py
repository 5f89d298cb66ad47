"""Rows as JSON shapes: names instead of numbers, RFC 3339 instead of microseconds, seconds instead of spans."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, cast

from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.clocks import Terms
from responder.core.desk import Change, ProblemRow
from responder.core.event import Event
from responder.core.facts import Labels
from responder.core.incident import UNRESOLVED, Incident, name_of
from responder.core.instant import format_instant
from responder.core.problem import Problem
from responder.core.rule import Rule
from responder.core.service_state import read_out, state_of
from responder.core.shown import change_json, event_data, incident_json, problem_json
from responder.core.signal import SECOND, Instant, Span
from responder.core.sla import WHICH, Sla
from responder.store.reader import Recorded
from responder.web.shapes import (
    BriefShape,
    ChangeShape,
    EventShape,
    IncidentShape,
    LinkShape,
    OutcomesShape,
    ProblemPageShape,
    ProblemShape,
    RatiosShape,
    RuleShape,
    ServiceShape,
    SlaShape,
    TargetsShape,
)

BRIEFS: Final = 100
"""Open incidents that a service shows, the gravest first; the list of incidents has them all."""
Facts = Mapping[tuple[str, Labels], float]


def incident(
    row: Incident, alerts: Sequence[Alert], alerts_count: int, terms: Terms, now: Instant,
    known: Problem | None = None, *, changes: Sequence[Change] = (), silenced: bool = False,
) -> IncidentShape:  # fmt: skip
    """Return the incident of SPEC 6 as of *now*; the other arguments are those of :func:`incident_json`."""
    shown = incident_json(row, terms, now, alerts, alerts_count, known, changes=changes, silenced=silenced)
    return cast("IncidentShape", shown)


def problem(row: ProblemRow) -> ProblemShape:
    """Return a problem of SPEC 6."""
    return cast("ProblemShape", problem_json(row))


def problem_page(row: ProblemRow, links: Iterable[Event]) -> ProblemPageShape:
    """Return a problem with what linked its incidents to it."""
    shown: list[LinkShape] = [
        {
            "incident": name_of(of.subject),
            "at": format_instant(of.at),
            "score": of.data["score"],
            "reason": of.data["reason"],
            "by": of.actor.name,
        }
        for of in links
    ]
    return {**problem(row), "links": shown}


def event(row: Recorded) -> EventShape:
    """Return an entry of a timeline."""
    of = row.event
    return {
        "seq": of.seq,
        "at": format_instant(of.at),
        "recorded_at": format_instant(row.recorded_at),
        "kind": of.kind,
        "actor": {"kind": of.actor.kind, "name": of.actor.name},
        "data": event_data(of),
        "hash": row.hash,
    }


def change(row: Change) -> ChangeShape:
    """Return a change of a service."""
    return cast("ChangeShape", change_json(row))


def rules(book: Book, incidents: Iterable[Incident]) -> dict[str, RuleShape]:
    """Return every rule with its health, by its id; *incidents* are those that are not over."""
    unresolved: dict[str | None, int] = {}
    for row in incidents:
        if row.state in UNRESOLVED:
            unresolved[row.rule] = unresolved.get(row.rule, 0) + 1
    return {id: _rule(book, book.rules[id], unresolved.get(id, 0)) for id in sorted(book.rules)}


def services(book: Book, incidents: Iterable[Incident], facts: Facts, now: Instant) -> dict[str, ServiceShape]:
    """Return the catalogue by name, and services outside of it that have open incidents."""
    by_service: dict[str, list[Incident]] = {name: [] for name in book.services}
    for row in incidents:
        if row.state in UNRESOLVED:
            by_service.setdefault(row.service, []).append(row)
    record = outcomes(facts)
    return {name: _service(book, name, by_service[name], facts, record, now) for name in sorted(by_service)}


def slas(book: Book, facts: Facts) -> dict[str, SlaShape]:
    """Return what is promised for each service of the catalogue and what became of it."""
    record = outcomes(facts)
    return {name: _sla(book, name, facts, record) for name in sorted(book.services)}


def outcomes(facts: Facts) -> dict[tuple[str, str], OutcomesShape]:
    """Return the verdicts by (service, target), all priorities together."""
    found: dict[tuple[str, str], OutcomesShape] = {}
    for (name, labels), value in facts.items():
        if name == "sla_outcomes_total":
            of = dict(labels)
            counts = found.setdefault((of["service"], of["target"]), {"met": 0, "breached": 0, "exempt": 0})
            outcome = cast("Literal['met', 'breached', 'exempt']", of["outcome"])
            counts[outcome] += round(value)
    return found


def _rule(book: Book, rule: Rule, unresolved: int) -> RuleShape:
    tally, form = book.tally, rule.incident
    error, away = tally.last_error.get(rule.id) or tally.unfilled.get(rule.id), tally.unanswered.get(rule.id)
    return {
        "id": rule.id,
        "kind": rule.kind,
        "by": list(rule.by),
        "mode": rule.mode,
        "service": form.service_name if form is not None else None,
        "title": form.title_words if form is not None else None,
        "description": rule.description,
        "place": rule.place,
        "health": "failing" if error is not None else "unknown" if away is not None else "ok",
        "last_error": error or away,
        "last_match": _at(tally.last_match.get(rule.id)),
        "matches": tally.matches[rule.id],
        "evaluations": tally.evaluations[rule.id],
        "failures": tally.failures[rule.id],
        "would_open": tally.would_open[rule.id],
        "open_incidents": unresolved,
    }


def _service(
    book: Book, name: str, unresolved: list[Incident], facts: Facts, record: Mapping[tuple[str, str], OutcomesShape],
    now: Instant,
) -> ServiceShape:  # fmt: skip
    known = book.service(name)
    sla = book.terms(name).sla
    unresolved.sort(key=lambda row: (row.priority, row.id))
    planned = book.planned_until(name, {}, now)
    worst = min((row.priority for row in unresolved if "planned" not in row.flags), default=None)
    state = state_of(worst, planned=planned is not None or any("planned" in row.flags for row in unresolved))
    objective = _objective(sla, known.availability)
    attainment = _attainment(book.metric_service(name), facts, record)
    return {
        "name": name,
        "catalogued": name in book.services,
        "team": known.team,
        "sla": sla.name,
        "org": known.org,
        "supplier": known.supplier,
        "users": known.users,
        "runbook": known.runbook,
        "description": known.description,
        "depends_on": list(known.depends_on),
        "state": state,
        "summary": read_out(name, state, unresolved, book.terms(name), planned, now),
        "open_count": len(unresolved),
        "open_incidents": [_brief(row) for row in unresolved[:BRIEFS]],
        "objective": objective,
        "attainment": attainment,
        "budget": _budget(objective, attainment),
    }


def _sla(book: Book, name: str, facts: Facts, record: Mapping[tuple[str, str], OutcomesShape]) -> SlaShape:
    sla = book.terms(name).sla
    objective = _objective(sla, book.service(name).availability)
    attainment = _attainment(name, facts, record)
    none: OutcomesShape = {"met": 0, "breached": 0, "exempt": 0}
    return {
        "service": name,
        "sla": sla.name,
        "calendar": sla.calendar,
        "targets": {priority: _targets(pair) for priority, pair in sorted(sla.targets.items())},
        "objective": objective,
        "outcomes": {
            "response": record.get((name, "response"), none),
            "resolution": record.get((name, "resolution"), none),
        },
        "attainment": attainment,
        "budget": _budget(objective, attainment),
    }


def _targets(pair: tuple[Span | None, Span | None]) -> TargetsShape:
    return {"response_s": _seconds(pair[0]), "resolution_s": _seconds(pair[1])}


def _objective(sla: Sla, availability: float | None) -> RatiosShape:
    return {
        "response": sla.objective.get("response"),
        "resolution": sla.objective.get("resolution"),
        "availability": availability,
    }


def _attainment(name: str, facts: Facts, record: Mapping[tuple[str, str], OutcomesShape]) -> RatiosShape:
    """Return met / (met + breached), and the share of agreed service time without unplanned downtime."""
    ratios: dict[str, float | None] = {}
    for which in WHICH:
        counts = record.get((name, which))
        judged = counts["met"] + counts["breached"] if counts is not None else 0
        ratios[which] = counts["met"] / judged if counts is not None and judged else None
    agreed = facts.get(("service_time_seconds_total", (("service", name),)), 0.0)
    down = facts.get(("service_downtime_seconds_total", (("service", name), ("kind", "unplanned"))), 0.0)
    available = 1 - down / agreed if agreed > 0 else None
    return {"response": ratios["response"], "resolution": ratios["resolution"], "availability": available}


def _budget(objective: RatiosShape, attainment: RatiosShape) -> RatiosShape:
    """Return the share of allowed failures that is left: 1 nothing used, 0 all of it, below 0 overspent."""

    def left(promised: float | None, kept: float | None) -> float | None:
        if promised is None or kept is None or promised >= 1:
            return None
        return 1 - (1 - kept) / (1 - promised)

    return {
        "response": left(objective["response"], attainment["response"]),
        "resolution": left(objective["resolution"], attainment["resolution"]),
        "availability": left(objective["availability"], attainment["availability"]),
    }


def _brief(row: Incident) -> BriefShape:
    return {
        "id": name_of(row.id),
        "title": row.title,
        "state": row.state,
        "priority": row.priority,  # type: ignore[typeddict-item]
        "owner": row.owner,
        "opened_at": format_instant(row.opened_at),
    }


def _at(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)


def _seconds(span: Span | None) -> float | None:
    return None if span is None else span / SECOND
