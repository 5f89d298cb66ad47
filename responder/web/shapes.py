"""The shapes of ``/api/v1`` answers: what :mod:`responder.web.views` makes and OpenAPI shows."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from responder.core.incident import State
from responder.core.sla import ClockState

At: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC."""
Priority: TypeAlias = Literal["P1", "P2", "P3", "P4", "P5"]
Level: TypeAlias = Literal["high", "medium", "low"]
IncidentId: TypeAlias = Annotated[str, Field(pattern=r"^INC-[1-9][0-9]*$", examples=["INC-12"])]
ServiceState: TypeAlias = Literal["operational", "degraded", "outage", "maintenance"]


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
    stage: str | None
    stages: list[StageShape]
    team: str
    owner: str
    lead: str | None
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
    cancel_reason: str | None
    reopened: int
    flags: list[str]
    snoozed_until: At | None
    labels: dict[str, str]
    alerts: list[AlertShape]
    alerts_count: int
    parent: IncidentId | None
    previous: IncidentId | None
    problem: str | None
    changes: list[int]
    known_error: str | None
    sla: ClocksShape
    allowed: list[str]


class CauseShape(TypedDict):
    service: str | None
    entity: str
    score: float
    reason: str


class ReviewShape(TypedDict):
    at: str
    effective: bool
    words: str


class ProblemShape(TypedDict):
    """A cause, or potential cause, of incidents."""

    id: str
    title: str
    state: str
    origin: str
    service: str | None
    incidents: list[str]
    probable_causes: list[CauseShape]
    root_cause: str | None
    workaround: str | None
    owner: str
    opened_at: str
    due_at: str | None
    resolved_at: str | None
    closed_at: str | None
    merged_into: str | None
    rule: str | None
    reviews: list[ReviewShape]


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
    health: Literal["ok", "failing"]
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


class ChangeShape(TypedDict):
    id: int
    at: At
    service: str
    kind: str
    version: str
    url: str


class IncidentList(TypedDict):
    items: list[IncidentShape]
    next: str | None


class EventList(TypedDict):
    items: list[EventShape]
    next: str | None


class RuleList(TypedDict):
    items: list[RuleShape]
    next: str | None


class ServiceList(TypedDict):
    items: list[ServiceShape]
    next: str | None


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


class ProblemDetails(_Problem, total=False):
    """RFC 9457. ``allowed``: the commands that the incident takes now."""

    detail: str
    errors: list[MistakeShape]
    allowed: list[str]
