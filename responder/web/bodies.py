"""What ``/api/v1`` is sent: bodies of commands and parameters of lists, checked by pydantic."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from responder.core.incident import UNRESOLVED, Flag, State
from responder.core.instant import parse_instant, parse_span
from responder.core.problem import UNRESOLVED as OPEN_PROBLEMS
from responder.core.problem import Origin
from responder.core.problem import State as ProblemState
from responder.core.signal import DAY, Instant, Span
from responder.web.shapes import Level, Priority

MAJOR_UPDATES: Final[Span] = 7 * DAY
"""Longer pauses between two updates of a major incident are none."""
_ID = r"[1-9][0-9]{0,17}"
_INCIDENT = re.compile(rf"(INC-)?{_ID}")
_PROBLEM = re.compile(rf"(PRB-)?{_ID}")
_LINK = re.compile(r"^https?://[^\s\x00-\x1f\x7f]+$", re.IGNORECASE)
PLAIN: Final = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
"""Names are one line, more than blanks, and hold nothing that a database or a terminal would stumble over."""
NOT_EMPTY: Final = r"\S"
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
NO_NUL: Final = r"^[^\x00]*$"
CURSOR: Final = rf"^({_ID})?$"
VERSION: Final = rf'^(\*?|{_ID}|"{_ID}")$'
PROBLEM_NAME: Final = rf"^((PRB-)?{_ID})?$"


def _instant(value: object) -> Instant:
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        hint = "an instant is RFC 3339 with an offset: 2026-01-05T00:00:00Z, 2026-01-05T08:00:00+08:00"
        raise ValueError(hint) from None


def _interval(value: object) -> Span:
    if not isinstance(value, str):
        raise ValueError("a duration is text such as 30m or 1h30m")
    span = parse_span(value)
    if not 0 < span <= MAJOR_UPDATES:
        raise ValueError("must be longer than 0s and at most 7d")
    return span


def _number(value: object) -> int:
    if not isinstance(value, str) or _INCIDENT.fullmatch(value) is None:
        raise ValueError("an incident is named INC-12, or by its number")
    return int(value.removeprefix("INC-"))


Name: TypeAlias = Annotated[str, StringConstraints(pattern=PLAIN, max_length=200)]
Title: TypeAlias = Annotated[str, StringConstraints(pattern=PLAIN, max_length=500)]
Reason: TypeAlias = Annotated[str, StringConstraints(pattern=NOT_EMPTY, max_length=1000)]
Text: TypeAlias = Annotated[str, StringConstraints(max_length=10_000)]
At: TypeAlias = Annotated[Instant, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 with an offset; microseconds inside."""
Interval: TypeAlias = Annotated[
    Span,
    BeforeValidator(_interval),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]?m$|^[1-9]h$", "examples": ["30m"]}),
]


def _problem_number(value: object) -> int:
    if not isinstance(value, str) or _PROBLEM.fullmatch(value) is None:
        raise ValueError("a problem is named PRB-4, or by its number")
    return int(value.removeprefix("PRB-"))


IncidentRef: TypeAlias = Annotated[
    int,
    BeforeValidator(_number),
    WithJsonSchema({"type": "string", "pattern": f"^{_INCIDENT.pattern}$", "examples": ["INC-12"]}),
]
"""``INC-12`` or ``12``; a number inside."""
ProblemRef: TypeAlias = Annotated[
    int,
    BeforeValidator(_problem_number),
    WithJsonSchema({"type": "string", "pattern": f"^{_PROBLEM.pattern}$", "examples": ["PRB-4"]}),
]
Labels: TypeAlias = Annotated[
    dict[Name, Annotated[str, StringConstraints(max_length=1000)]],
    Field(max_length=64),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": PLAIN, "maxLength": 200},
            "additionalProperties": {"type": "string", "maxLength": 1000},
            "maxProperties": 64,
        }
    ),
]


class Form(BaseModel):
    """A body; unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Commands on one incident.


class Nothing(Form):
    """No field."""


class Assign(Form):
    to: Name


class Handover(Form):
    to: Name | None = None
    note: Text | None = None


class Pause(Form):
    reason: Literal["customer", "supplier", "change"]
    note: Text | None = None


class Resolve(Form):
    cause: Text | None = None
    note: Text | None = None


class Reopen(Form):
    reason: Reason


class Cancel(Form):
    reason: Literal["false_positive", "duplicate", "exercise"]
    note: Text | None = None


class Note(Form):
    text: Annotated[str, StringConstraints(pattern=NOT_EMPTY, max_length=10_000)]
    review: StrictBool = False
    """It is the review that a major incident waits for."""


_RATED: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["priority"], "properties": {"priority": {"type": "string"}}},
        {
            "required": ["impact", "urgency"],
            "properties": {"impact": {"type": "string"}, "urgency": {"type": "string"}},
        },
    ]
}


class Rated(Form):
    """What has a priority: given, or by impact and urgency."""

    model_config = ConfigDict(json_schema_extra=_RATED)

    priority: Priority | None = None
    impact: Level | None = None
    urgency: Level | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.priority is None and (self.impact is None or self.urgency is None):
            raise ValueError("give priority, or impact and urgency")
        return self


class SetPriority(Rated):
    reason: Reason


class Exempt(Form):
    reason: Reason


class Snooze(Form):
    until: At


class Merge(Form):
    into: IncidentRef


class Major(Form):
    lead: Name
    every: Interval


RULE: Final = (
    "A command that asks for what holds already (a second acknowledge, a pause while paused, an assignment to the owner) "
    "is answered 200 and changes nothing. One that does not fit the state, or that takes back what was never done (resume, "
    "reopen, unmerge), is refused with 409 and `allowed`: what fits now."
)
"""Of commands, for those who send them."""
COMMANDS: Final[Mapping[str, tuple[type[Form], str]]] = {
    "acknowledge": (Nothing, "Take notice; ends the response clock."),
    "assign": (Assign, "Name another owner: a team or a person."),
    "handover": (
        Handover,
        "End the stage and name the owner of the next. To end the last one before `verify` resolves the incident; the last of all goes on with that owner.",
    ),
    "accept": (Nothing, "Accept the stage as its owner, and work on it."),
    "pause": (Pause, "Stop the resolution clock while somebody else has to act."),
    "resume": (Nothing, "Let the resolution clock run on."),
    "resolve": (Resolve, "The service is restored."),
    "reopen": (Reopen, "It was not over."),
    "close": (Nothing, "Nothing more will happen to it."),
    "cancel": (Cancel, "It was a false positive, a duplicate or an exercise: outside of all ratios."),
    "note": (Note, "Write a note into the timeline."),
    "priority": (SetPriority, "Set the priority; alerts don't change it any more."),
    "exempt": (Exempt, "Take it out of the ratios of its SLA."),
    "snooze": (Snooze, "Let messages wait until an instant; clocks run on."),
    "merge": (Merge, "Make it part of another incident."),
    "unmerge": (Nothing, "Let it stand alone again."),
    "major": (Major, "Declare a major incident: who leads it, and how often there is news."),
}
OPTIONAL: Final = frozenset({Nothing, Handover, Resolve})
"""Bodies without a mandatory field may be left out."""


# Commands on one problem.


class SetState(Form):
    state: ProblemState


class Words(Form):
    text: Annotated[str, StringConstraints(max_length=10_000)]
    """Empty: take it back."""


class SetCause(Words):
    service: Name | None = None


class OfIncident(Form):
    incident: IncidentRef


class MergeProblem(Form):
    into: ProblemRef


class Split(Form):
    incidents: Annotated[list[IncidentRef], Field(min_length=1, max_length=1000)]


class Review(Note):
    effective: StrictBool
    incident: IncidentRef | None = None


class SetDue(Form):
    due: At


class AddAction(Note):
    owner: Name
    due: At


class Done(Form):
    action: Annotated[int, Field(ge=1, le=1000, strict=True)]


PROBLEM_COMMANDS: Final[Mapping[str, tuple[type[Form], str]]] = {
    "note": (Note, "Write a note into the timeline."),
    "state": (SetState, "Say how far it has come."),
    "workaround": (Words, "Say what helps until it is solved."),
    "cause": (SetCause, "Name the root cause, and the service that it lies in."),
    "assign": (Assign, "Name another owner: a team or a person."),
    "due": (SetDue, "Say until when it is to be resolved."),
    "link": (OfIncident, "Add an incident."),
    "unlink": (OfIncident, "Take an incident out."),
    "merge": (MergeProblem, "Both are one: the other problem has both histories."),
    "split": (Split, "Move incidents into a new problem."),
    "review": (Review, "Look back: did the solution hold, what is to be learned."),
    "action": (AddAction, "Add an action item."),
    "done": (Done, "An action item is done; the first is 1."),
}


# What begins by a person's or a pipeline's hand.


class OpenIncident(Rated):
    service: Name
    title: Title
    description: Text = ""
    labels: Labels = {}
    runbook: Annotated[str, StringConstraints(max_length=1000)] = ""
    started_at: At | None = None
    """When the failure began, if that was before now."""
    major: StrictBool = False


class OpenProblem(Form):
    title: Title
    incidents: Annotated[list[IncidentRef], Field(max_length=1000)] = []
    owner: Name | None = None
    """Default: the team of the service, else of the first incident, else who reports it."""
    service: Name | None = None
    due: At | None = None


class Recurs(Form):
    days: Name = Field(examples=["mon-fri"])
    from_: Name = Field(alias="from", examples=["02:00"])
    to: Name = Field(examples=["04:00"])
    timezone: Name = Field(examples=["Europe/Berlin"])


class NewMaintenance(Form):
    """Of services, or of what alerts match; once, or on the same hours of some days."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"oneOf": [{"required": ["services"]}, {"required": ["match"]}]},
                {"oneOf": [{"required": ["to"]}, {"required": ["recurring"]}]},
            ]
        }
    )

    name: Name
    reason: Reason
    services: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    match: Annotated[str, StringConstraints(min_length=2, max_length=2000)] | None = Field(
        default=None, examples=['{host=~"db.*"}']
    )
    """A Prometheus selector."""
    from_: At | None = Field(default=None, alias="from")
    """Left out: now."""
    to: At | None = None
    recurring: Recurs | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.services is None) is (self.match is None):
            raise ValueError("give either services or match")
        if (self.to is None) is (self.recurring is None):
            raise ValueError("give either to or recurring")
        if self.recurring is not None and self.from_ is not None:
            raise ValueError("what recurs has its from inside of recurring")
        return self


def _link(value: str) -> str:
    if value and _LINK.match(value) is None:
        raise ValueError("a link begins with http:// or https://, and holds no spaces")
    return value


Link: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=2000),
    AfterValidator(_link),
    WithJsonSchema(
        {"type": "string", "maxLength": 2000, "pattern": f"^$|{_LINK.pattern}", "examples": ["https://ci.example/7"]}
    ),
]


class NewChange(Form):
    service: Name
    kind: Name = Field(examples=["release"])
    version: Name
    at: At | None = None
    url: Link = ""


# Parameters of lists. One that is empty, as in ``?state=&service=``, is not there.

Wanted: TypeAlias = Annotated[str, StringConstraints(pattern=ONE_LINE, max_length=200)]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=1000)]
Newest: TypeAlias = Literal["newest", "all"]
StateFilter: TypeAlias = Literal["", "unresolved", State]


def _parts(values: object) -> object:
    """Split alternatives that are written with commas: ``state=open,paused`` is ``state=open&state=paused``."""
    if not isinstance(values, list):
        return values
    return [part for value in values for part in (value.split(",") if isinstance(value, str) else [value])]


Parts: Final = BeforeValidator(_parts)


class Page(Form):
    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(max_length=1000)] = ""
    """``next`` of the page before."""


class NumberedPage(Form):
    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(pattern=CURSOR)] = ""
    """``next`` of the page before."""


class Filters(Form):
    """Which incidents; values of one parameter are alternatives, parameters narrow each other."""

    state: Annotated[list[StateFilter], Parts] = []
    service: list[Wanted] = []
    priority: Annotated[list[Literal["", Priority]], Parts] = []
    rule: list[Wanted] = []
    team: list[Wanted] = []
    owner: list[Wanted] = []
    problem: Annotated[str, StringConstraints(pattern=PROBLEM_NAME)] = ""
    flag: Literal["", Flag] = ""
    q: Annotated[str, StringConstraints(pattern=NO_NUL, max_length=200)] = ""
    """Text within the title, or the id."""
    alerts: Newest = "newest"

    def where(self) -> dict[str, Any]:
        """Return the filters as :meth:`responder.store.reader.Reader.incidents` takes them."""
        states = {*self.state, *(UNRESOLVED if "unresolved" in self.state else ())} - {"", "unresolved"}
        return {
            "state": sorted(states),
            "service": [name for name in self.service if name],
            "priority": [name for name in self.priority if name],
            "rule": [name for name in self.rule if name],
            "team": [name for name in self.team if name],
            "owner": [name for name in self.owner if name],
            "problem": int(self.problem.removeprefix("PRB-")) if self.problem else None,
            "flag": self.flag,
            "q": self.q,
            "q_id": int(self.q.upper().removeprefix("INC-")) if _INCIDENT.fullmatch(self.q.upper()) else None,
        }


class IncidentPage(Filters, NumberedPage):
    """A page of incidents, newest first."""


class ChangePage(NumberedPage):
    """A page of changes, newest first."""

    service: list[Wanted] = []


class ProblemPage(NumberedPage):
    """A page of problems, newest first."""

    state: Annotated[list[Literal["", "unresolved", ProblemState]], Parts] = []
    service: list[Wanted] = []
    origin: Annotated[list[Literal["", Origin]], Parts] = []

    def where(self) -> dict[str, Any]:
        """Return the filters as :meth:`responder.store.reader.Reader.problems` takes them."""
        states = {*self.state, *(OPEN_PROBLEMS if "unresolved" in self.state else ())} - {"", "unresolved"}
        return {
            "state": sorted(states),
            "service": [name for name in self.service if name],
            "origin": [name for name in self.origin if name],
        }
