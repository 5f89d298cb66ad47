"""An incident as the fold of its events: ``row' = apply(row, event)``.

Every field but the counts of alerts comes from events, so that the same timeline always
gives the same incident (``responder db verify`` and the tests fold it again).
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from responder.core.clocks import WOUND_BY, wind
from responder.core.event import Event
from responder.core.signal import MINUTE, Instant, Span
from responder.core.sla import ClockInputs

State: TypeAlias = Literal["open", "acknowledged", "in_progress", "paused", "resolved", "closed", "cancelled"]
KEPT_STAGES: Final = 50
"""Newest stages that an incident shows; the timeline knows all."""
Flag: TypeAlias = Literal["snoozed", "suppressed", "planned", "orphaned", "major", "review_due", "exempt"]
"""``suppressed`` is worked out when an incident is shown; the others stand in its row."""
RESPONDER: Final = "responder"
"""The source of what no signal opened: it did not come, or another rule's edge did."""
UNRESOLVED: Final = frozenset({"open", "acknowledged", "in_progress", "paused"})
OVER: Final = frozenset({"closed", "cancelled"})
"""With an instant in ``closed_at``, and only these."""


class Stage(Struct, frozen=True):
    """One step of the flow: one owner, one limit."""

    name: str
    owner: str
    started_at: Instant
    due_at: Instant | None = None
    accepted_at: Instant | None = None
    accepted_by: str | None = None
    ended_at: Instant | None = None
    overdue_at: Instant | None = None
    follows: Literal["", "response", "resolution"] = ""
    """The promised clock whose due instant is its limit, instead of ``due_at``."""
    begun_at: Instant | None = None
    """When the stage itself began, if another owner had it first: its limit runs on."""


class Evidence(Struct, frozen=True):
    """What a metric rule saw when the incident opened."""

    source: str
    query: str
    value: float | None
    """None: no data, or no finite number."""
    at: Instant
    """Of the evaluation."""


class Incident(Struct, frozen=True):
    id: int
    rule: str | None
    """None: opened by hand."""
    key: dict[str, str]
    key_hash: int
    service: str
    team: str
    owner: str
    title: str
    priority: str
    impact: str | None
    urgency: str | None
    started_at: Instant
    """The earliest start of its alerts; from the second one on counted, not folded."""
    opened_at: Instant
    clock: ClockInputs
    state: State = "open"
    stage: str | None = None
    stages: tuple[Stage, ...] = ()
    labels: dict[str, str] = {}
    description: str = ""
    runbook: str = ""
    source: str = ""
    """Of the signal that opened it; ``manual`` for a person, :data:`RESPONDER` when no signal did."""
    reopen_within: Span = 30 * MINUTE
    max_age: Span | None = None
    taking: bool = True
    """New alerts of its key join it; at most one incident of a key takes."""
    holds: bool = True
    """Its condition holds now, whatever a person said of the incident."""
    cleared_at: Instant | None = None
    """When the condition ceased to hold."""
    acknowledged_at: Instant | None = None
    recovered_at: Instant | None = None
    resolved_at: Instant | None = None
    closed_at: Instant | None = None
    resolution: Literal["", "recovered", "manual", "expired"] = ""
    cause: str = ""
    """What a person said at the resolution."""
    cancel_reason: str = ""
    paused_for: str = ""
    """Whom or what it waits for while it is paused."""
    before: State = "open"
    """The state that resume and reopen go back to."""
    reopened: int = 0
    flags: tuple[str, ...] = ()
    snoozed_until: Instant | None = None
    planned_until: Instant | None = None
    parent: int | None = None
    previous: int | None = None
    problem: int | None = None
    lead: str | None = None
    """Of a major incident."""
    update_every: Span | None = None
    news_at: Instant | None = None
    """When somebody wrote about it last; of a major incident there is news in each ``update_every``."""
    by_person: bool = False
    """A person set the priority; alerts don't change it any more."""
    alarmed_at: Instant = 0
    """Until when its clocks have been asked for warnings and breaches."""
    changes: tuple[int, ...] = ()
    known_error: int | None = None
    asked_at: Instant | None = None
    """When the customer was asked for a score."""
    score: int | None = None
    """What the customer gave last, 1 to 5."""
    comment: str = ""
    told: tuple[str, ...] = ()
    """Channels that took a message of it while it was open and have not been told of its end."""
    evidence: Evidence | None = None
    version: int = 0
    last_at: Instant = 0
    common: dict[str, str] = {}
    """Labels that are equal on all its alerts; counted, not folded."""
    alerts_count: int = 0
    """Occurrences that ever joined; counted, not folded."""
    firing: int = 0
    """Occurrences of it that fire now; counted, not folded."""


def name_of(id: int) -> str:
    """Return the name that people use: ``INC-12``."""
    return f"INC-{id}"


def update_due(row: Incident) -> Instant | None:
    """Return when there has to be news of a major incident."""
    if row.update_every is None or row.news_at is None or row.resolved_at is not None or row.closed_at is not None:
        return None
    return row.news_at + row.update_every


def apply(row: Incident | None, event: Event) -> Incident:
    """Return the incident after an event of its timeline."""
    if row is None:
        return _opened(event)
    changed: dict[str, Any] = {"version": row.version + 1, "last_at": max(row.last_at, event.at)}
    data = event.data
    match event.kind:
        case "linked":  # first, because a storm has as many of them as incidents
            if data.get("shown", True):
                changed["problem"] = data["problem"]
        case "acknowledged":
            changed |= {"acknowledged_at": row.acknowledged_at or event.at}
            if row.state == "open":
                changed["state"] = "acknowledged"
            elif row.state == "paused" and row.before == "open":
                changed["before"] = "acknowledged"
        case "assigned":
            changed |= {"owner": data["to"], "stages": _assign(row.stages, data["to"])}
        case "accepted":
            if row.state in ("open", "acknowledged") and data.get("working", True):
                changed["state"] = "in_progress"
            changed |= {"owner": data["by"], "stages": _accept(row.stages, data["by"], event.at)}
        case "handed_over":
            changed |= {
                "stage": data["stage"],
                "owner": data["owner"],
                "stages": _next_stage(row.stages, {"name": data["stage"], **data}, event.at),
            }
            if data.get("collect") == "satisfaction":
                changed["asked_at"] = event.at
        case "paused":
            changed |= {"state": "paused", "before": row.state, "paused_for": data["reason"]}
        case "resumed":
            changed |= {"state": row.before, "paused_for": ""}
        case "recovered":
            changed |= {"recovered_at": data.get("recovered_at", event.at), "holds": False, "cleared_at": event.at}
        case "alert_cleared":
            changed |= {"recovered_at": data.get("recovered_at", event.at), "holds": False, "cleared_at": event.at}
        case "resolved":
            if row.state in UNRESOLVED:
                changed |= {
                    "state": "resolved",
                    "before": row.before if row.state == "paused" else row.state,
                    "resolved_at": event.at,
                    "resolution": data["resolution"],
                    "cause": data.get("cause", ""),
                    "paused_for": "",
                    "stages": _end_stage(row.stages, event.at),
                }
                if "major" in row.flags:
                    changed["flags"] = _flag(row.flags, "review_due", True)
        case "reopened":
            changed |= {
                "state": row.before, "resolved_at": None, "recovered_at": None, "cleared_at": None, "holds": True,
                "resolution": "", "cause": "", "reopened": row.reopened + 1,
            }  # fmt: skip
            changed["flags"] = _flag(row.flags, "review_due", False)
            if "begins" in data:
                changed["stages"] = _next_stage(row.stages, data["begins"], event.at)
            if not data.get("holds", True):
                changed |= {"holds": False, "cleared_at": row.cleared_at}
        case "sla_warned" | "sla_breached" | "verified" | "customer_informed":
            pass
        case "noted":
            changed["news_at"] = event.at
            if data.get("review"):
                changed["flags"] = _flag(row.flags, "review_due", False)
        case "update_overdue":
            changed["news_at"] = data["next_from"]
        case "satisfaction_rated":
            changed |= {"score": data["score"], "comment": data["comment"]}
        case "notified" | "notification_failed":  # no change of the incident: who holds its version is not outdated
            changed |= {"version": row.version, "told": _told(row.told, data)}
        case "closed":
            changed |= {
                "state": "closed",
                "closed_at": event.at,
                "taking": False,
                "stages": _end_stage(row.stages, event.at),
            }
        case "cancelled":
            changed |= {"state": "cancelled", "closed_at": event.at, "cancel_reason": data["reason"], "paused_for": ""}
            changed["stages"] = _end_stage(row.stages, event.at)
            if not row.holds:
                changed["taking"] = False
        case "priority_changed":
            changed |= {"priority": data["priority"], "by_person": row.by_person or event.actor.kind == "person"}
            for field in ("impact", "urgency"):
                if field in data:
                    changed[field] = data[field]
        case "snoozed":
            changed |= {"snoozed_until": data["until"], "flags": _flag(row.flags, "snoozed", data["until"] is not None)}
        case "merged":
            changed["parent"] = data["into"]
        case "unmerged":
            changed["parent"] = None
        case "unlinked":
            changed["problem"] = data.get("instead")
        case "known_error_found":
            changed["known_error"] = data["problem"]
        case "change_linked":
            changed["changes"] = (*row.changes, data["change"])
        case "stage_overdue":
            changed["stages"] = _overdue(row.stages, event.at)
        case "orphaned":
            changed |= {
                "flags": _flag(row.flags, "orphaned", True),
                "holds": False,
                "cleared_at": event.at,
                "taking": False,
            }
        case "flagged":
            changed["flags"] = _flag(row.flags, data["flag"], data["on"])
            if data["flag"] == "planned":
                changed["planned_until"] = data.get("until")
                if "due_at" in data:
                    changed["stages"] = _limited(row.stages, data["due_at"])
            if data["flag"] == "major":
                changed |= {"lead": data.get("lead"), "update_every": data.get("every"), "news_at": event.at}
                if row.state == "resolved":
                    changed["flags"] = _flag(changed["flags"], "review_due", True)
            if data["flag"] == "taking":
                changed |= {"flags": row.flags, "taking": data["on"]}
            if data["flag"] == "holds":
                changed |= {"flags": row.flags, "holds": True, "cleared_at": None}
        case "sla_exempted":
            changed["flags"] = _flag(row.flags, "exempt", True)
        case _:
            raise ValueError(f"an incident knows no event {event.kind!r}")
    if event.kind in WOUND_BY:
        priority = changed.get("priority", row.priority)
        changed["clock"] = clock = wind(row.clock, event, priority)
        if clock.response != row.clock.response or clock.resolution != row.clock.resolution:
            changed["alarmed_at"] = event.at - 1  # a new target warns anew
    return msgspec.structs.replace(row, **changed)


def _opened(event: Event) -> Incident:
    """Return the incident that an ``opened`` event begins; its data are the fields by name."""
    data = dict(event.data)
    stages = tuple(msgspec.convert(stage, Stage) for stage in data.pop("stages", ()))
    evidence = msgspec.convert(data.pop("evidence", None), Evidence | None)
    return Incident(
        id=event.subject,
        opened_at=event.at,
        last_at=event.at,
        version=1,
        stages=stages,
        evidence=evidence,
        stage=stages[0].name if stages else None,
        flags=tuple(data.pop("flags", ())),
        clock=wind(None, event, data["priority"]),
        **data,
    )


def _told(told: tuple[str, ...], data: dict[str, Any]) -> tuple[str, ...]:
    if "told" not in data:
        return told
    rest = tuple(channel for channel in told if channel != data["channel"])
    return (*rest, data["channel"]) if data["told"] else rest


def _flag(flags: tuple[str, ...], flag: str, on: bool) -> tuple[str, ...]:
    rest = tuple(f for f in flags if f != flag)
    return (*rest, flag) if on else rest


def _end_stage(stages: tuple[Stage, ...], at: Instant) -> tuple[Stage, ...]:
    if not stages or stages[-1].ended_at is not None:
        return stages
    return (*stages[:-1], msgspec.structs.replace(stages[-1], ended_at=at))


def _next_stage(stages: tuple[Stage, ...], data: dict[str, Any], at: Instant) -> tuple[Stage, ...]:
    stage = msgspec.convert({"started_at": at, **data}, Stage)
    return (*_end_stage(stages, at)[-KEPT_STAGES:], stage)


def _accept(stages: tuple[Stage, ...], by: str, at: Instant) -> tuple[Stage, ...]:
    if not stages or stages[-1].accepted_at is not None:
        return stages
    return (*stages[:-1], msgspec.structs.replace(stages[-1], accepted_at=at, accepted_by=by))


def _assign(stages: tuple[Stage, ...], to: str) -> tuple[Stage, ...]:
    """Give the running stage to another owner, who has not accepted it."""
    if not stages or stages[-1].ended_at is not None:
        return stages
    return (*stages[:-1], msgspec.structs.replace(stages[-1], owner=to, accepted_at=None, accepted_by=None))


def _overdue(stages: tuple[Stage, ...], at: Instant) -> tuple[Stage, ...]:
    return (*stages[:-1], msgspec.structs.replace(stages[-1], overdue_at=at)) if stages else stages


def _limited(stages: tuple[Stage, ...], due_at: Instant | None) -> tuple[Stage, ...]:
    return (*stages[:-1], msgspec.structs.replace(stages[-1], due_at=due_at)) if stages else stages
