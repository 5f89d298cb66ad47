"""Rules and their tests as they are written; see :mod:`responder.config.models`."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, FiniteFloat

from responder.config.models import (
    LIST,
    MAPPING,
    TEXT,
    AtLeast,
    Form,
    Length,
    Moment,
    Name,
    Names,
    RecurringForm,
    Text,
    by_shape,
)
from responder.core.signal import MINUTE, Instant
from responder.ports import Duration, PriorityName

TESTS_START: Instant = 1_767_571_200_000_000
"""2026-01-05T00:00:00Z"""


def _rule_id(text: str) -> str:
    if not text.isprintable() or any(char.isspace() or char in "/?#%\\" for char in text):
        raise ValueError(
            f"{text!r} can't be the id of a rule\nit becomes a label and part of URLs: no blanks, none of / ? # % \\"
        )
    return text


RuleId: TypeAlias = Annotated[Name, AfterValidator(_rule_id)]


class ValueForm(Form):
    """What a label's value must be; all that is given must hold."""

    not_: "Value | None" = Field(default=None, alias="not")
    regex: Text | None = None
    prefix: Text | None = None
    exists: bool | None = None
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None


Value: TypeAlias = Annotated[
    Annotated[Text, TEXT] | Annotated[Annotated[list[Text], Field(min_length=1)], LIST] | Annotated[ValueForm, MAPPING],
    by_shape,
]


class MatchForm(Form):
    """What an alert must look like."""

    status: Literal["firing", "resolved"] | None = None
    labels: dict[Name, Value] = {}
    annotations: dict[Name, Value] = {}
    any: "list[AnyMatch]" = []
    none: "list[AnyMatch]" = []


AnyMatch: TypeAlias = Annotated[Annotated[Text, TEXT] | Annotated[MatchForm, MAPPING], by_shape]


class EventForm(Form):
    """Alerts of a source that look like ``match``; all of them without it."""

    source: Name | None = None
    match: AnyMatch = MatchForm()
    expire: Length | None = None


class MemberForm(Form):
    """Alerts, or the edges of another rule: exactly one of both."""

    event: EventForm | None = None
    rule: Name | None = None


class StepForm(MemberForm):
    name: Name
    absent: bool = False


class BoundForm(Form):
    """One threshold, and how long it must be met."""

    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    outside: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)] | None = None
    equal: FiniteFloat | None = None
    not_equal: FiniteFloat | None = None
    for_: Duration = Field(default=0, alias="for")


class MetricForm(Form):
    source: Name
    query: Annotated[str, Field(min_length=1, max_length=65_536)]
    every: Length
    open: BoundForm
    close: BoundForm | None = None
    no_data: Literal["keep", "close", "open"] = Field(
        description="what a series that is missing means: keep, close or open"
    )
    as_: Literal["value", "age", "rate"] = Field(default="value", alias="as")
    over: Length | None = None


class AbsenceForm(Form):
    of: MemberForm
    every: Length
    grace: Duration
    expect: list[dict[Name, Text]] = []


class CountForm(Form):
    of: MemberForm
    at_least: AtLeast
    within: Length
    distinct: Name | None = None


class AllForm(Form):
    of: Annotated[list[MemberForm], Field(min_length=2)]
    within: Length


class SequenceForm(Form):
    steps: Annotated[list[StepForm], Field(min_length=2)]
    within: Length


class ChangesForm(Form):
    changes: Annotated[int, Field(ge=0)]
    within: Length


class FlappingForm(Form):
    of: MemberForm
    start: ChangesForm
    stop: ChangesForm


class WhenForm(Form):
    """Exactly one kind of condition."""

    metric: MetricForm | None = None
    event: EventForm | None = None
    absence: AbsenceForm | None = None
    count: CountForm | None = None
    all: AllForm | None = None
    sequence: SequenceForm | None = None
    flapping: FlappingForm | None = None


class PriorityForm(Form):
    """The priority that a label's value stands for."""

    label: Name
    map: dict[str, PriorityName]
    default: PriorityName | None = None


class IncidentForm(Form):
    service: Text
    title: Text
    priority: Annotated[Annotated[PriorityName, TEXT] | Annotated[PriorityForm, MAPPING], by_shape] | None = None
    impact: Text | None = None
    urgency: Text | None = None
    runbook: Text | None = None
    labels: dict[Name, Text] = {}
    description: Text | None = None
    major: bool = False


class RuleForm(Form):
    id: RuleId
    by: Names = Field(description="the labels that make one key; [] makes one key of the whole rule")
    when: WhenForm
    incident: IncidentForm | None = None
    by_missing: Literal["separate", "skip"] = "separate"
    unclaimed: bool = False
    mode: Literal["observe", "notify"] = "notify"
    reopen_within: Duration = 30 * MINUTE
    max_age: Length | None = None
    absorbs: Names = []
    labels: dict[Name, Text] = {}
    description: Text = ""


class MaintenanceForm(Form):
    name: Name
    reason: Text
    services: Names = []
    match: AnyMatch | None = None
    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None
    recurring: RecurringForm | None = None


class SeriesForm(Form):
    """Samples in promtool's notation: ``10x4`` is five times 10."""

    series: Text
    interval: Length
    values: Text


class AlertForm(Form):
    at: Duration
    source: Name | None = None
    labels: dict[Name, str]
    annotations: dict[Name, str] = {}
    for_: Length | None = Field(default=None, alias="for")


class ExpectForm(Form):
    """What there is at an instant; each thing is compared on the fields that are given, as text."""

    eval_time: Duration
    incidents: list[dict[str, Any]] | None = None
    problems: list[dict[str, Any]] | None = None
    notifications: list[dict[str, Any]] | None = None


class TestForm(Form):
    name: Name
    rules: Names = []
    start: Moment = TESTS_START
    input_series: list[SeriesForm] = []
    input_alerts: list[AlertForm] = []
    expect: Annotated[list[ExpectForm], Field(min_length=1)]
