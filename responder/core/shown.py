"""Incidents and problems as others see them: the JSON of SPEC 6, in messages and in the API."""

from collections.abc import Sequence
from typing import Any

from responder.core.alert import Alert
from responder.core.clocks import Terms
from responder.core.desk import ProblemRow
from responder.core.incident import Incident, Stage, name_of
from responder.core.instant import format_instant
from responder.core.lifecycle import allowed
from responder.core.signal import SECOND, Instant, Span, fingerprint_text
from responder.core.sla import Which, reading


def incident_json(
    row: Incident, terms: Terms, now: Instant, alerts: Sequence[Alert] = (), alerts_count: int | None = None
) -> dict[str, Any]:
    """Return an incident with its clocks as of *now*.

    Args:
        terms: What is promised for its service.
        alerts: Its newest occurrences, newest first.
        alerts_count: Occurrences that ever joined; none: as the row has it.
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
        "stage": row.stage,
        "stages": [_stage(stage) for stage in row.stages],
        "team": row.team,
        "owner": row.owner,
        "lead": row.lead,
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
        "cancel_reason": row.cancel_reason or None,
        "reopened": row.reopened,
        "flags": list(row.flags),
        "snoozed_until": _at(row.snoozed_until),
        "labels": {**row.common, **row.labels},
        "alerts": [alert_json(alert) for alert in alerts],
        "alerts_count": row.alerts_count if alerts_count is None else alerts_count,
        "parent": None if row.parent is None else name_of(row.parent),
        "previous": None if row.previous is None else name_of(row.previous),
        "problem": _problem(row.problem),
        "changes": list(row.changes),
        "known_error": _problem(row.known_error),
        "sla": {
            "response": _clock(row, "response", terms, as_of),
            "resolution": _clock(row, "resolution", terms, as_of),
        },
        "allowed": list(allowed(row)),
    }


def problem_json(row: ProblemRow) -> dict[str, Any]:
    """Return a problem with its ranked causes."""
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
        "merged_into": _problem(known.merged_into),
        "rule": known.spec or None,
        "reviews": [{"at": format_instant(r.at), "effective": r.effective, "words": r.words} for r in known.reviews],
    }


def alert_json(row: Alert) -> dict[str, Any]:
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


def labels_of(row: Incident) -> dict[str, str]:
    """Return the labels of the alert that stands for an open key of a rule that is none of alerts."""
    key = {name: value for name, value in row.key.items() if value and name != "fingerprint"}
    return {**key, "alertname": row.rule or "", "service": row.service, "priority": row.priority}


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "owner": stage.owner,
        "started_at": format_instant(stage.started_at),
        "due_at": _at(stage.due_at),
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


def _problem(id: int | None) -> str | None:
    return None if id is None else f"PRB-{id}"


def _at(at: Instant | None) -> str | None:
    return None if at is None else format_instant(at)


def _seconds(span: Span | None) -> float | None:
    return None if span is None else span / SECOND
