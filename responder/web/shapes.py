"""The shapes of ``/api/v1`` answers: what :mod:`responder.web.views` makes and OpenAPI shows."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from responder.core.incident import State
from responder.core.problem import Origin
from responder.core.problem import State as ProblemState
from responder.core.service_state import ServiceState
from responder.core.sla import ClockState

At: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC."""
Priority: TypeAlias = Literal["P1", "P2", "P3", "P4", "P5"]
Level: TypeAlias = Literal["high", "medium", "low"]
IncidentId: TypeAlias = Annotated[str, Field(pattern=r"^INC-[1-9][0-9]*$", examples=["INC-12"])]
ProblemId: TypeAlias = Annotated[str, Field(pattern=r"^PRB-[1-9][0-9]*$", examples=["PRB-4"])]
answer = with_config(ConfigDict(defer_build=True))
"""What an endpoint answers: encoded by ourselves, so that pydantic needs to know it only when OpenAPI is asked for."""


class AlertShape(TypedDict):
    """One occurrence: one firing of an alert."""

    fingerprint: str
    status: Literal["firing", "resolved", "expired"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: At
    ends_at: At | None
    url: str
    source: str


class ClockShape(TypedDict):
    """What one clock shows now, in seconds of service time."""

    target_s: float | None
    elapsed_s: float
    due_at: At | None
    breached_at: At | None
    state: ClockState


class ClocksShape(TypedDict):
    response: ClockShape
    resolution: ClockShape


class StageShape(TypedDict):
    """One hand-over step that has begun."""

    stage: str
    owner: str
    started_at: At
    due_at: At | None
    accepted_at: At | None
    accepted_by: str | None
    ended_at: At | None
    overdue_at: At | None


class KnownErrorShape(TypedDict):
    """What is known of a problem whose incidents look like this one."""

    problem: ProblemId
    title: str | None
    root_cause: str | None
    workaround: str | None


class SatisfactionShape(TypedDict):
    """The customer was asked; ``link`` is for the customer, and only shown to who may command."""

    asked_at: At
    score: int | None
    comment: str
    link: str | None


@answer
class ChangeShape(TypedDict):
    """A change or a release of a service."""

    id: int
    at: At
    service: str
    kind: str
    version: str
    url: str


class EvidenceShape(TypedDict):
    """What a metric rule saw when it opened the incident; ``value`` is null without data."""

    source: str
    query: str
    value: float | None
    at: At


@answer
class IncidentShape(TypedDict):
    id: IncidentId
    version: int
    rule: str | None
    key: dict[str, str]
    service: str
    title: str
    description: str
    runbook: str
    state: State
    paused_for: str | None
    stage: str | None
    stages: list[StageShape]
    team: str
    owner: str
    lead: str | None
    update_due_at: At | None
    priority: Priority
    impact: str | None
    urgency: str | None
    source: str
    started_at: At
    opened_at: At
    acknowledged_at: At | None
    recovered_at: At | None
    resolved_at: At | None
    closed_at: At | None
    cleared_at: At | None
    resolution: Literal["recovered", "manual", "expired"] | None
    cause: str | None
    cancel_reason: str | None
    reopened: int
    flags: list[str]
    snoozed_until: At | None
    planned_until: At | None
    satisfaction: SatisfactionShape | None
    evidence: EvidenceShape | None
    labels: dict[str, str]
    alerts: list[AlertShape]
    alerts_count: int
    parent: IncidentId | None
    previous: IncidentId | None
    problem: ProblemId | None
    changes: list[ChangeShape]
    known_error: KnownErrorShape | None
    sla: ClocksShape
    allowed: list[str]


class CauseShape(TypedDict):
    """What may have broken first; ``service`` is null for a host or another entity."""

    service: str | None
    entity: str
    score: float
    reason: str


class ReviewShape(TypedDict):
    """Whether the solution held; ``by`` is null when an incident said so by coming again."""

    at: At
    effective: bool
    text: str
    by: str | None
    incident: IncidentId | None


class ActionShape(TypedDict):
    text: str
    owner: str
    due_at: At
    done_at: At | None
    overdue: bool


class ProblemShape(TypedDict):
    """A cause, or potential cause, of incidents. ``incidents`` are 1000 of ``incidents_count`` at most, the first and the newest."""

    id: ProblemId
    version: int
    title: str
    state: ProblemState
    origin: Origin
    rule: str | None
    service: str | None
    incidents: list[IncidentId]
    incidents_count: int
    probable_causes: list[CauseShape]
    root_cause: str | None
    workaround: str | None
    owner: str
    opened_at: At
    due_at: At | None
    overdue: bool
    resolved_at: At | None
    closed_at: At | None
    merged_into: ProblemId | None
    merged: list[ProblemId]
    reviews: list[ReviewShape]
    actions: list[ActionShape]
    allowed: list[str]
    next_states: list[ProblemState]


class LinkShape(TypedDict):
    """Why an incident belongs to a problem; 1 is as sure as it gets."""

    incident: IncidentId
    at: At
    score: float
    reason: str
    by: str


@answer
class ProblemPageShape(ProblemShape):
    """One problem with its links."""

    links: list[LinkShape]


class ActorShape(TypedDict):
    kind: Literal["person", "rule", "timer", "source"]
    name: str


class EventShape(TypedDict):
    """One entry of the timeline; ``hash`` is its place in the chain."""

    seq: int
    at: At
    recorded_at: At
    kind: str
    actor: ActorShape
    data: dict[str, Any]
    hash: str


class RuleShape(TypedDict):
    id: str
    kind: str
    by: list[str]
    mode: Literal["observe", "notify"]
    service: str | None
    title: str | None
    description: str
    place: str
    health: Literal["ok", "failing", "unknown"]
    """unknown: its source does not answer, ``last_error`` says why."""
    last_error: str | None
    last_match: At | None
    matches: int
    evaluations: int
    failures: int
    would_open: int
    open_incidents: int


class RatiosShape(TypedDict):
    """A ratio for each target; none: nothing was promised, or nothing was measured yet."""

    response: float | None
    resolution: float | None
    availability: float | None


class BriefShape(TypedDict):
    """An incident in one line."""

    id: IncidentId
    title: str
    state: State
    priority: Priority
    owner: str
    opened_at: At


@answer
class ServiceShape(TypedDict):
    name: str
    catalogued: bool
    team: str
    sla: str
    org: str
    supplier: str
    users: int | None
    runbook: str
    description: str
    depends_on: list[str]
    state: ServiceState
    summary: str
    open_count: int
    open_incidents: list[BriefShape]
    objective: RatiosShape
    attainment: RatiosShape
    budget: RatiosShape


class TargetsShape(TypedDict):
    """In seconds of service time."""

    response_s: float | None
    resolution_s: float | None


class OutcomesShape(TypedDict):
    met: int
    breached: int
    exempt: int


class OutcomesByTargetShape(TypedDict):
    response: OutcomesShape
    resolution: OutcomesShape


class SlaShape(TypedDict):
    """What is promised for a service and what became of it."""

    service: str
    sla: str
    calendar: str
    targets: dict[str, TargetsShape]
    objective: RatiosShape
    outcomes: OutcomesByTargetShape
    attainment: RatiosShape
    budget: RatiosShape


RecurringShape = TypedDict("RecurringShape", {"days": str, "from": str, "to": str, "timezone": str})
MaintenanceShape = TypedDict(
    "MaintenanceShape",
    {
        "name": str, "reason": str, "services": list[str], "match": str | None, "from": At | None, "to": At | None,
        "recurring": RecurringShape | None, "state": Literal["pending", "active", "ended"],
        "origin": Literal["configuration", "api"], "by": str | None, "posted_at": At | None, "ended_at": At | None,
    },
)  # fmt: skip
"""A planned window; ``from`` and ``to`` are null when it recurs."""
answer(MaintenanceShape)


@answer
class MaintenanceList(TypedDict):
    items: list[MaintenanceShape]
    next: str | None


@answer
class IncidentList(TypedDict):
    items: list[IncidentShape]
    next: str | None


@answer
class ChangeList(TypedDict):
    items: list[ChangeShape]
    next: str | None


@answer
class ProblemList(TypedDict):
    items: list[ProblemShape]
    next: str | None


@answer
class EventList(TypedDict):
    items: list[EventShape]
    next: str | None


@answer
class RuleList(TypedDict):
    items: list[RuleShape]
    next: str | None


@answer
class ServiceList(TypedDict):
    items: list[ServiceShape]
    next: str | None


@answer
class SlaList(TypedDict):
    items: list[SlaShape]
    next: str | None


class MistakeShape(TypedDict):
    loc: list[str | int]
    msg: str


class _Problem(TypedDict):
    type: str
    title: str
    status: int


@answer
class ProblemDetails(_Problem, total=False):
    """RFC 9457. ``allowed``: what the incident or the problem takes now."""

    detail: str
    errors: list[MistakeShape]
    allowed: list[str]
