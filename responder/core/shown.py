"""Incidents and problems as others see them: the JSON of SPEC 6, in messages and in the API."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from responder.core import stages
from responder.core.alert import Alert
from responder.core.clocks import Terms
from responder.core.desk import Change, ProblemRow
from responder.core.event import INSTANTS, SPANS, Event
from responder.core.incident import Evidence, Incident, Stage, name_of, update_due
from responder.core.incident_commands import allowed
from responder.core.instant import format_instant
from responder.core.problem import ALLOWED, Problem
from responder.core.problem_commands import allowed as commands_of
from responder.core.signal import SECOND, Instant, Span, shown_fingerprint
from responder.core.sla import WHICH, Which, reading

_SUBJECTS: Final = frozenset({"into", "from"})
"""Another incident of an incident, another problem of a problem."""
_INCIDENTS: Final = frozenset({"previous", "incident"})
_PROBLEMS: Final = frozenset({"problem", "instead"})
_HIDDEN: Final = frozenset({"key_hash", "settled"})
"""What only the fold of the timeline reads."""


def incident_json(
    row: Incident, terms: Terms, now: Instant, alerts: Sequence[Alert] = (), alerts_count: int | None = None,
    known: Problem | None = None, *, changes: Sequence[Change] = (), silenced: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return an incident with its clocks as of *now*.

    Args:
        terms: What is promised for its service.
        alerts: Its newest occurrences, newest first.
        alerts_count: Occurrences that ever joined; none: as the row has it.
        known: Its known error, if it has one.
        changes: Those that it is linked to.
        silenced: All its firing alerts are, by the silences in force at *now*.
    """
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
        "paused_for": row.paused_for or None,
        "stage": row.stage,
        "stages": [_stage(stage, due) for stage, due in stages.shown(terms, row)],
        "team": row.team,
        "owner": row.owner,
        "lead": row.lead,
        "update_due_at": _at(update_due(row)),
        "priority": row.priority,
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
        "cause": row.cause or None,
        "cancel_reason": row.cancel_reason or None,
        "reopened": row.reopened,
        "flags": [*row.flags, *(["suppressed"] if silenced else [])],
        "snoozed_until": _at(row.snoozed_until),
        "planned_until": _at(row.planned_until),
        "satisfaction": _satisfaction(row),
        "evidence": None if row.evidence is None else _evidence(row.evidence),
        "labels": {**row.common, **row.labels},
        "alerts": [alert_json(alert) for alert in alerts],
        "alerts_count": row.alerts_count if alerts_count is None else alerts_count,
        "parent": None if row.parent is None else name_of(row.parent),
        "previous": None if row.previous is None else name_of(row.previous),
        "problem": problem_name(row.problem),
        "changes": [change_json(change) for change in changes],
        "known_error": None if row.known_error is None else _known_error(row.known_error, known),
        "sla": {
            "response": _clock(row, "response", terms, as_of),
            "resolution": _clock(row, "resolution", terms, as_of),
        },
        "allowed": list(allowed(row)),
    }


def change_json(row: Change) -> dict[str, Any]:
    """Return a change or release of a service."""
    return {
        "id": row.id,
        "at": format_instant(row.at),
        "service": row.service,
        "kind": row.kind,
        "version": row.version,
        "url": row.url,
    }


def alert_json(row: Alert) -> dict[str, Any]:
    """Return one occurrence; while it fires, ``ends_at`` is when it lapses."""
    return {
        "fingerprint": shown_fingerprint(row.labels, row.identity),
        "status": row.ended or "firing",
        "labels": row.labels,
        "annotations": row.annotations,
        "starts_at": format_instant(row.starts_at),
        "ends_at": _at(row.ends_at),
        "url": row.url,
        "source": row.source,
    }


def labels_of(row: Incident) -> dict[str, str]:
    """Return the labels of the alert that stands for an open key of a rule that is none of alerts."""
    key = {name: value for name, value in row.key.items() if value and name != "fingerprint"}
    return {**key, "alertname": row.rule or "", "service": row.service, "priority": row.priority}


def _evidence(seen: Evidence) -> dict[str, Any]:
    return {"source": seen.source, "query": seen.query, "value": seen.value, "at": format_instant(seen.at)}


def _satisfaction(row: Incident) -> dict[str, Any] | None:
    if row.asked_at is None:
        return None
    return {"asked_at": format_instant(row.asked_at), "score": row.score, "comment": row.comment, "link": None}


def _stage(stage: Stage, due: Instant | None) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "owner": stage.owner,
        "started_at": format_instant(stage.started_at),
        "due_at": _at(due),
        "accepted_at": _at(stage.accepted_at),
        "accepted_by": stage.accepted_by,
        "ended_at": _at(stage.ended_at),
        "overdue_at": _at(stage.overdue_at),
    }


def _clock(row: Incident, which: Which, terms: Terms, as_of: Instant) -> dict[str, Any]:
    shown = reading(row.clock, which, terms.sla, terms.calendar, as_of)
    return {
        "target_s": _seconds(shown.target),
        "elapsed_s": shown.elapsed / SECOND,
        "due_at": _at(shown.due_at),
        "breached_at": _at(shown.breached_at),
        "state": shown.state,
    }


def problem_json(row: ProblemRow) -> dict[str, Any]:
    """Return a problem with its probable causes, the likeliest first."""
    of = row.problem
    return {
        "id": problem_name(of.id),
        "version": row.version,
        "title": of.title,
        "state": of.state,
        "origin": of.origin,
        "rule": of.spec or None,
        "service": of.service or None,
        "incidents": [name_of(id) for id in row.incidents],
        "incidents_count": row.count,
        "probable_causes": [
            {"service": cause.service or None, "entity": cause.entity, "score": cause.score, "reason": cause.reason}
            for cause in of.causes
        ],
        "root_cause": of.root_cause or None,
        "workaround": of.workaround or None,
        "owner": of.owner,
        "opened_at": format_instant(of.opened_at),
        "due_at": _at(of.due_at),
        "overdue": of.overdue,
        "resolved_at": _at(of.resolved_at),
        "closed_at": _at(of.closed_at),
        "merged_into": problem_name(of.merged_into),
        "merged": [problem_name(id) for id in of.merged],
        "reviews": [
            {
                "at": format_instant(review.at),
                "effective": review.effective,
                "text": review.words,
                "by": review.by or None,
                "incident": None if review.incident is None else name_of(review.incident),
            }
            for review in of.reviews
        ],
        "actions": [
            {
                "text": action.text,
                "owner": action.owner,
                "due_at": format_instant(action.due_at),
                "done_at": _at(action.done_at),
                "overdue": action.overdue,
            }
            for action in of.actions
        ],
        "allowed": list(commands_of(of)),
        "next_states": list(ALLOWED[of.state]),
    }


def event_data(of: Event) -> dict[str, Any]:
    """Return what an event says, as people read it; the chain hashes it as it was written.

    Names for numbers, instants as RFC 3339, spans in seconds under the name with ``_s``.
    """
    return dict(_entry(of.subject_kind, name, value) for name, value in of.data.items() if name not in _HIDDEN)


def _entry(subject: str, name: str, value: Any) -> tuple[str, Any]:
    if name == "verdict":
        return name, {which: _entries(subject, shown) for which, shown in zip(WHICH, value, strict=True)}
    if name in ("begins", "evidence"):
        return name, _entries(subject, value)
    if name == "stages":
        return name, [_entries(subject, stage) for stage in value]
    if name in SPANS and not isinstance(value, str):
        return f"{name}_s", _seconds(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return name, value
    if name in _PROBLEMS or (name in _SUBJECTS and subject == "problem"):
        return name, problem_name(value)
    if name in _INCIDENTS or (name in _SUBJECTS and subject == "incident"):
        return name, name_of(value)
    return name, format_instant(value) if name in INSTANTS else value


def _entries(subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_entry(subject, name, value) for name, value in data.items())


def problem_name(id: int | None) -> str | None:
    """Return the name that people use: ``PRB-4``."""
    return None if id is None else f"PRB-{id}"


def _known_error(id: int, known: Problem | None) -> dict[str, Any]:
    return {
        "problem": problem_name(id),
        "title": known.title if known is not None else None,
        "root_cause": (known.root_cause or None) if known is not None else None,
        "workaround": (known.workaround or None) if known is not None else None,
    }


def _at(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)


def _seconds(span: Span | None) -> float | None:
    return None if span is None else span / SECOND
