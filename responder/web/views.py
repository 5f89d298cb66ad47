"""Rows as JSON shapes: names instead of numbers, RFC 3339 instead of microseconds, seconds instead of spans."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast

from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.clocks import Terms
from responder.core.desk import Change, ProblemRow
from responder.core.event import Event
from responder.core.facts import Labels
from responder.core.incident import UNRESOLVED, Incident, Stage, name_of
from responder.core.instant import format_instant, format_span
from responder.core.lifecycle import allowed
from responder.core.rule import Rule
from responder.core.signal import SECOND, Instant, Span, fingerprint_text
from responder.core.sla import WHICH, Sla, Which, reading
from responder.store.reader import Recorded
from responder.web.shapes import (
    AlertShape,
    BriefShape,
    ChangeShape,
    ClockShape,
    EventShape,
    IncidentShape,
    OutcomesShape,
    ProblemShape,
    RatiosShape,
    RuleShape,
    ServiceShape,
    ServiceState,
    SlaShape,
    StageShape,
    TargetsShape,
)

BRIEFS: Final = 100
"""Open incidents that a service shows, the gravest first; the list of incidents has them all."""
_INSTANTS: Final = frozenset(
    {"until", "from", "due_at", "started_at", "recovered_at", "planned_until", "accepted_at", "ended_at", "overdue_at"}
)
_SPANS: Final = frozenset({"every", "reopen_within", "max_age"})
_INCIDENTS: Final = frozenset({"into", "previous"})
_HIDDEN: Final = frozenset({"key_hash"})

Facts = Mapping[tuple[str, Labels], float]


def incident(row: Incident, alerts: Sequence[Alert], alerts_count: int, terms: Terms, now: Instant) -> IncidentShape:
    """Return the incident of SPEC 6 with its clocks as of *now*."""
    as_of = max(now, row.last_at)
    return {
        "id": name_of(row.id),
        "version": row.version,
        "rule": row.rule,
        "key": row.key,
        "service": row.service,
        "title": row.title,
        "description": row.description,
        "runbook": row.runbook,
        "state": row.state,
        "stage": row.stage,
        "stages": [_stage(stage) for stage in row.stages],
        "team": row.team,
        "owner": row.owner,
        "lead": row.lead,
        "priority": row.priority,  # type: ignore[typeddict-item]
        "impact": row.impact,
        "urgency": row.urgency,
        "source": row.source,
        "started_at": format_instant(row.started_at),
        "opened_at": format_instant(row.opened_at),
        "acknowledged_at": _at(row.acknowledged_at),
        "recovered_at": _at(row.recovered_at),
        "resolved_at": _at(row.resolved_at),
        "closed_at": _at(row.closed_at),
        "cleared_at": _at(row.cleared_at),
        "resolution": row.resolution or None,
        "cancel_reason": row.cancel_reason or None,
        "reopened": row.reopened,
        "flags": list(row.flags),
        "snoozed_until": _at(row.snoozed_until),
        "labels": {**row.common, **row.labels},
        "alerts": [alert(one) for one in alerts],
        "alerts_count": alerts_count,
        "parent": _name(row.parent),
        "previous": _name(row.previous),
        "problem": None if row.problem is None else f"PRB-{row.problem}",
        "changes": list(row.changes),
        "known_error": None if row.known_error is None else f"PRB-{row.known_error}",
        "sla": {
            "response": _clock(row, "response", terms, as_of),
            "resolution": _clock(row, "resolution", terms, as_of),
        },
        "allowed": list(allowed(row)),
    }


def problem(row: ProblemRow) -> ProblemShape:
    """Return a problem as ``/api/v1`` shows it."""
    known = row.problem
    return {
        "id": f"PRB-{known.id}",
        "title": known.title,
        "state": known.state,
        "origin": known.origin,
        "service": known.service or None,
        "incidents": [name_of(id) for id in row.incidents],
        "probable_causes": [
            {"service": cause.service or None, "entity": cause.entity, "score": cause.score, "reason": cause.reason}
            for cause in known.causes
        ],
        "root_cause": known.root_cause or None,
        "workaround": known.workaround or None,
        "owner": known.owner,
        "opened_at": format_instant(known.opened_at),
        "due_at": _at(known.due_at),
        "resolved_at": _at(known.resolved_at),
        "closed_at": _at(known.closed_at),
        "merged_into": f"PRB-{known.merged_into}" if known.merged_into is not None else None,
        "rule": known.spec or None,
        "reviews": [{"at": format_instant(r.at), "effective": r.effective, "words": r.words} for r in known.reviews],
    }


def alert(row: Alert) -> AlertShape:
    """Return one occurrence; while it fires, ``ends_at`` is when it lapses."""
    return {
        "fingerprint": fingerprint_text(row.fp),
        "status": row.ended or "firing",
        "labels": row.labels,
        "annotations": row.annotations,
        "starts_at": format_instant(row.starts_at),
        "ends_at": _at(row.ends_at),
        "url": row.url,
        "source": row.source,
    }


def event(row: Recorded) -> EventShape:
    """Return an entry of a timeline."""
    of = row.event
    return {
        "seq": of.seq,
        "at": format_instant(of.at),
        "recorded_at": format_instant(row.recorded_at),
        "kind": of.kind,
        "actor": {"kind": of.actor.kind, "name": of.actor.name},
        "data": _data(of),
        "hash": row.hash,
    }


def change(row: Change) -> ChangeShape:
    """Return a change of a service."""
    return {
        "id": row.id,
        "at": format_instant(row.at),
        "service": row.service,
        "kind": row.kind,
        "version": row.version,
        "url": row.url,
    }


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


def _data(of: Event) -> dict[str, Any]:
    """Return what an event says, as people read it; the chain hashes it as it was written."""
    return {name: _value(of.kind, name, value) for name, value in of.data.items() if name not in _HIDDEN}


def _value(kind: str, name: str, value: Any) -> Any:
    if name == "stages":
        return [{key: _value(kind, key, one) for key, one in stage.items()} for stage in value]
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if name in _INCIDENTS or (kind == "unmerged" and name == "from"):
        return name_of(value)
    if name == "problem":
        return f"PRB-{value}"
    if name in _INSTANTS:
        return format_instant(value)
    return format_span(value) if name in _SPANS else value


def _rule(book: Book, rule: Rule, unresolved: int) -> RuleShape:
    tally, form = book.tally, rule.incident
    error = tally.last_error.get(rule.id)
    return {
        "id": rule.id,
        "kind": rule.kind,
        "by": list(rule.by),
        "mode": rule.mode,
        "service": form.service_name if form is not None else None,
        "title": form.title_words if form is not None else None,
        "description": rule.description,
        "place": rule.place,
        "health": "ok" if error is None else "failing",
        "last_error": error,
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
        "state": _state(book, name, unresolved, now),
        "open_count": len(unresolved),
        "open_incidents": [_brief(row) for row in unresolved[:BRIEFS]],
        "objective": objective,
        "attainment": attainment,
        "budget": _budget(objective, attainment),
    }


def _state(book: Book, name: str, unresolved: Sequence[Incident], now: Instant) -> ServiceState:
    """The same words as ``responder_service_state``."""
    worst = min((row.priority for row in unresolved if "planned" not in row.flags), default=None)
    if worst == "P1":
        return "outage"
    if worst is not None and worst <= "P3":
        return "degraded"
    planned = any("planned" in row.flags for row in unresolved) or book.planned_until(name, {}, now) is not None
    return "maintenance" if planned else "operational"


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


def _stage(row: Stage) -> StageShape:
    return {
        "stage": row.name,
        "owner": row.owner,
        "started_at": format_instant(row.started_at),
        "due_at": _at(row.due_at),
        "accepted_at": _at(row.accepted_at),
        "accepted_by": row.accepted_by,
        "ended_at": _at(row.ended_at),
        "overdue_at": _at(row.overdue_at),
    }


def _clock(row: Incident, which: Which, terms: Terms, as_of: Instant) -> ClockShape:
    shown = reading(row.clock, which, terms.sla, terms.calendar, as_of)
    return {
        "target_s": _seconds(shown.target),
        "elapsed_s": shown.elapsed / SECOND,
        "due_at": _at(shown.due_at),
        "breached_at": _at(shown.breached_at),
        "state": shown.state,
    }


def _at(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)


def _seconds(span: Span | None) -> float | None:
    return None if span is None else span / SECOND


def _name(id: int | None) -> str | None:
    return None if id is None else name_of(id)
