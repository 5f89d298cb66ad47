"""What the configuration says about services and promises: plain data.

Names refer to other entries and are known to exist. Spans are microseconds; what a user
may leave out is None or empty here only where "none" has a meaning of its own.
"""

import re
from collections.abc import Collection, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from responder.core.rule import Match
from responder.core.signal import DAY, MINUTE, SECOND, Instant, Span

PRIORITIES: Final = ("P1", "P2", "P3", "P4", "P5")
Occasion: TypeAlias = Literal["opened", "stage", "warned", "breached", "resolved"]
OCCASIONS: Final[tuple[Occasion, ...]] = ("opened", "stage", "warned", "breached", "resolved")
Hours: TypeAlias = tuple[int, int]
"""(start, end) in seconds since local midnight; end < start runs past midnight."""


class Service(Struct, frozen=True):
    """What customers use."""

    name: str
    team: str
    sla: str | None = None
    availability: float | None = None
    """The objective, as a ratio."""
    depends_on: tuple[str, ...] = ()
    org: str = ""
    supplier: str = ""
    users: int | None = None
    runbook: str = ""
    flow: str | None = None
    """None: :data:`DEFAULT_FLOW`."""
    description: str = ""


def meant_name(name: str, known: Collection[str]) -> str | None:
    """Return the service or team whose misspelt name this is; None for a known one, and for what may be another thing.

    ``order-2``, ``order:9090`` and ``order@eu`` may be instances of ``order``, ``node-6`` the neighbour of ``node-5``;
    ``orders`` is neither.
    """
    for near in () if name in known else get_close_matches(name, known, n=1, cutoff=0.8):
        if not re.match(rf"{re.escape(near)}[-_.:@/0-9]", name) and _unnumbered(near) != _unnumbered(name):
            return near
    return None


def _unnumbered(name: str) -> str:
    return name.rstrip("-_.0123456789")


class ChannelSpec(Struct, frozen=True):
    """How much a channel takes; its address and secrets are none of the core's business."""

    name: str
    bundle: Span = 30 * SECOND
    """The first message leaves at once, what comes so soon after it leaves as one."""
    rate: int = 20
    """At most so many messages in ``per``."""
    per: Span = MINUTE
    repeat: Span | None = None
    """While an incident is open and nobody acknowledged it."""


class ChannelRef(Struct, frozen=True):
    """A channel of a team, and what it is told of."""

    channel: str
    priorities: tuple[str, ...] = PRIORITIES
    on: tuple[Occasion, ...] = OCCASIONS


class Team(Struct, frozen=True):
    name: str
    lead: str
    channels: tuple[ChannelRef, ...] = ()
    lead_channels: tuple[ChannelRef, ...] = ()
    """Told of overdue stages; empty: the team's own channels."""
    calendar: str | None = None
    """None: that of the service's SLA."""


class CalendarSpec(Struct, frozen=True):
    """The arguments of :func:`responder.core.calendar.compile_calendar`; known to compile."""

    name: str
    timezone: str
    weekly: Mapping[int, tuple[Hours, ...]] = {}
    """Monday is 0."""
    holidays: tuple[date, ...] = ()
    overrides: Mapping[date, tuple[Hours, ...]] = {}
    always: bool = False
    """``hours: 24x7``; holidays and overrides still count."""


class SlaSpec(Struct, frozen=True):
    name: str
    calendar: str
    targets: Mapping[str, tuple[Span | None, Span | None]]
    """Priority -> (response, resolution), in service time."""
    response_objective: float | None = None
    resolution_objective: float | None = None
    warn_at: tuple[float, ...] = (75.0,)
    """Percent of a target, ascending."""


class Stage(Struct, frozen=True):
    """A hand-over step with one owner and one limit."""

    name: str
    owner: str
    """A team, or ``service.team``."""
    within: Span | Literal["sla.response", "sla.resolution"] | None = None
    """In the owner's calendar."""
    collect: Literal["satisfaction"] | None = None


class Flow(Struct, frozen=True):
    name: str
    stages: tuple[Stage, ...]


DEFAULT_FLOW: Final = Flow(
    "default",
    (Stage("respond", "service.team", "sla.response"), Stage("restore", "service.team", "sla.resolution")),
)


MATRIX: Final[Mapping[str, Mapping[str, str]]] = {
    "high": {"high": "P1", "medium": "P2", "low": "P3"},
    "medium": {"high": "P2", "medium": "P3", "low": "P4"},
    "low": {"high": "P3", "medium": "P4", "low": "P5"},
}
SEVERITY: Final[Mapping[str, str]] = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}


class PrioritySpec(Struct, frozen=True):
    """Priority = f(impact, urgency); ``severity`` is only the label that arrives from outside."""

    matrix: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MATRIX)
    """impact -> urgency -> priority"""
    severity: Mapping[str, str] = field(default_factory=lambda: SEVERITY)


class Recurring(Struct, frozen=True):
    """Maintenance on the same hours of some days; ``end < start`` runs past midnight."""

    days: tuple[int, ...]
    """Monday is 0."""
    start: int
    """Seconds since local midnight, as ``end``."""
    end: int
    timezone: str


class MaintenanceSpec(Struct, frozen=True):
    """A planned window: of services or of matching alerts, once or recurring."""

    name: str
    reason: str
    services: tuple[str, ...] = ()
    match: Match | None = None
    start: Instant | None = None
    end: Instant | None = None
    recurring: Recurring | None = None


class Group(Struct, frozen=True, tag="group"):
    """Incidents that agree on labels."""

    same: tuple[str, ...]
    at_least: int
    within: Span


class Depends(Struct, frozen=True, tag="depends"):
    """Incidents whose services or hosts are connected in the topology."""

    within: Span
    same: tuple[str, ...] = ()
    hold_notifications: Span = 0


class Recur(Struct, frozen=True, tag="recur"):
    """What came again and again; ``same`` may name ``rule`` and ``service`` beside labels."""

    same: tuple[str, ...]
    at_least: int
    within: Span


How: TypeAlias = Group | Depends | Recur


class ProblemSpec(Struct, frozen=True):
    """One entry of ``problems:``."""

    id: str
    owner: str
    """A team."""
    how: How
    due: Span | None = None

    @property
    def origin(self) -> Literal["group", "depends", "recur"]:
        """Return the kind, as the API and the metrics call it."""
        return self.how.__struct_config__.tag  # type: ignore[return-value]


class TopologySpec(Struct, frozen=True):
    """Edges read "from rests on to"; services' ``depends_on`` are edges too and not repeated here."""

    edges: tuple[tuple[str, str], ...] = ()
    from_labels: tuple[tuple[str, str], ...] = ()
    """Label names: an alert that carries both is an edge between their values."""
    scope: tuple[str, ...] = ()
    """Nodes of equal name differ when these labels do."""


class Retention(Struct, frozen=True):
    signals: Span = 30 * DAY
    closed_incidents: Span = 400 * DAY
