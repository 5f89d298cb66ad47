"""The configuration as it is written: everything but rules and their tests.

Models check shapes, one entry at a time; what concerns several entries is checked when
they are compiled. Scalars arrive as text (see :mod:`responder.config.nodes`). The words
under a field are the hint of a mistake there and the description in the JSON Schema.
"""

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    RootModel,
    StringConstraints,
    Tag,
)

from responder.core.catalogue import Occasion
from responder.core.causes import Weights
from responder.core.instant import parse_instant
from responder.core.signal import DAY, MINUTE, Instant, Span
from responder.ports import Duration, PriorityName, Secret, Url


class Form(BaseModel):
    """A mapping of the configuration; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _positive(span: Span) -> Span:
    if span <= 0:
        raise ValueError("must be longer than 0s")
    return span


def _shape(value: object) -> str | None:
    match value:
        case str():
            return "text"
        case list():
            return "list"
        case dict():
            return "mapping"
    return None


_LOCAL = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?)?")


def _instant(value: object) -> object:
    if not isinstance(value, str):
        return value
    if _LOCAL.fullmatch(value):
        raise ValueError(f"{value} has no offset\nadd Z or an offset: 2026-01-05T00:00:00+01:00")
    return parse_instant(value)


TEXT, LIST, MAPPING = Tag("text"), Tag("list"), Tag("mapping")
by_shape = Discriminator(_shape)
"""Chooses among members of a union by what stands there, so that a mistake is told once."""

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, StringConstraints(max_length=8192)]
Names: TypeAlias = list[Name]
Length: TypeAlias = Annotated[Duration, AfterValidator(_positive)]
Ratio: TypeAlias = Annotated[FiniteFloat, Field(ge=0, le=1)]
Percent: TypeAlias = Annotated[FiniteFloat, Field(gt=0, le=100)]
Level: TypeAlias = Literal["high", "medium", "low"]
AtLeast: TypeAlias = Annotated[int, Field(ge=1)]
Moment: TypeAlias = Annotated[Instant, BeforeValidator(_instant, json_schema_input_type=str)]
"""RFC 3339 with an offset."""


class StorageForm(Form):
    url: Url = Field(default=Secret("sqlite:///responder.db"), validate_default=False)
    schema_: Name | None = Field(default=None, alias="schema")


class TokenForm(Form):
    name: Name
    token: Secret
    role: Literal["viewer", "ingest", "responder", "admin"]


class AuthForm(Form):
    mode: Literal["none", "tokens"] = "none"
    tokens: list[TokenForm] = []


class ChannelRefForm(Form):
    channel: Name
    priorities: list[PriorityName] | None = None
    on: list[Occasion] | None = None


ChannelRefs: TypeAlias = list[Annotated[Annotated[Name, TEXT] | Annotated[ChannelRefForm, MAPPING], by_shape]]


class TeamForm(Form):
    lead: Name
    channels: ChannelRefs = []
    lead_channels: ChannelRefs = []
    calendar: Name | None = None


class CalendarForm(Form):
    timezone: Name = Field(description="an IANA name such as Europe/Berlin or UTC")
    hours: Annotated[Annotated[Literal["24x7"], TEXT] | Annotated[dict[Name, list[str]], MAPPING], by_shape] = Field(
        description='24x7, or {mon-fri: ["09:00-17:00"]}'
    )
    holidays: list[str] = []
    overrides: dict[str, list[str]] = {}


class TargetForm(Form):
    response: Duration | None = None
    resolution: Duration | None = None


class ObjectiveForm(Form):
    response: Ratio | None = None
    resolution: Ratio | None = None


class SlaForm(Form):
    calendar: Name
    targets: dict[PriorityName, TargetForm]
    objective: ObjectiveForm = ObjectiveForm()
    warn_at: list[Percent] = [75.0]


class PrioritiesForm(Form):
    matrix: dict[Level, dict[Level, PriorityName]] | None = None
    severity: dict[str, PriorityName] | None = None


class ServiceForm(Form):
    team: Name
    sla: Name | None = None
    availability: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = None
    depends_on: Names = []
    org: Text = ""
    supplier: Text = ""
    users: Annotated[int, Field(ge=0)] | None = None
    runbook: Text = ""
    flow: Name | None = None
    description: Text = ""


class StageForm(Form):
    stage: Name
    owner: Name = Field(description="a team, or service.team")
    within: Text | None = None
    collect: Literal["satisfaction"] | None = None


class FlowForm(RootModel[Annotated[list[StageForm], Field(min_length=1)]]):
    """Stages in their order; those before ``verify`` run until the incident is resolved."""


class EdgeForm(Form):
    """*from* rests on *to*."""

    from_: Name = Field(alias="from")
    to: Name


class TopologyForm(Form):
    edges: list[EdgeForm] = []
    file: Name | None = None
    from_labels: list[EdgeForm] = []
    scope: Names = []


_WEIGHTS = Weights()


class MemoryForm(Form):
    """Half-lives: after so long a memory counts half."""

    slow: Length = Field(default=_WEIGHTS.slow, description="of how often an alert is part of problems; 30d")
    fast: Length = Field(default=_WEIGHTS.fast, description="of what the problem just before was made of; 2h")
    alone: Length = Field(default=_WEIGHTS.alone, description="of alerts that came without a problem; 1d")


class CausesForm(Form):
    """What an alert weighs when probable causes are ranked."""

    memory: MemoryForm = MemoryForm()
    specificity: Annotated[FiniteFloat, Field(ge=0, le=10)] = Field(
        default=_WEIGHTS.specificity,
        description="the power to which the number of services with the same kind of alert divides its weight; 0: never",
    )
    earliness: Length = Field(
        default=_WEIGHTS.earliness,
        description="so long after the alerts of a problem began to gather, one weighs 1/e; 2m",
    )
    call: Ratio = Field(
        default=_WEIGHTS.call,
        description="what latency or errors of calls weigh, as a part of an entity's own resource alerts",
    )
    handed: Ratio = Field(
        default=_WEIGHTS.handed, description="the part of its symptoms that a caller hands to alerting callees"
    )


class GroupForm(Form):
    same: Annotated[Names, Field(min_length=1)]
    at_least: Annotated[int, Field(ge=2)]
    within: Length


class DependsForm(Form):
    within: Length
    same: Names = []
    hold_notifications: Duration = 0


class RecurForm(Form):
    same: Annotated[Names, Field(min_length=1)]
    at_least: Annotated[int, Field(ge=2)]
    within: Length


class ProblemForm(Form):
    id: Name
    owner: Name
    due: Length | None = None
    group: GroupForm | None = None
    depends: DependsForm | None = None
    recur: RecurForm | None = None


class RecurringForm(Form):
    days: Name
    from_: Name = Field(alias="from")
    to: Name
    timezone: Name


class RetentionForm(Form):
    signals: Length = 30 * DAY
    closed_incidents: Length = 400 * DAY


STARTUP_GRACE: Span = 5 * MINUTE
