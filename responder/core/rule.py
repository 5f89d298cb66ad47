"""A rule as the engine sees it: compiled, immutable, no YAML and no text to parse.

``config`` builds these from the checked models; regexes and templates arrive as callables,
so that core needs neither RE2 nor Jinja.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from responder.core.signal import MINUTE, Labels, Span

Holds: TypeAlias = Callable[[str], bool]
"""Says whether one value satisfies a condition; a missing label is the empty string."""
Render: TypeAlias = Callable[[Mapping[str, Any]], str]
"""Fills a template; raises :class:`TemplateError` when it can't, or when it takes too much."""


class TemplateError(Exception):
    """A template could not be filled; the incident opens with a plain title all the same."""


class Test(Struct, frozen=True):
    """One condition on one label or annotation."""

    name: str
    holds: Holds
    words: str
    """The condition as written, for ``explain``: ``alertname =~ "Disk.*"``."""
    equals: tuple[str, ...] = ()
    """The only values that can hold, when they are known; the index files rules under these."""


class Match(Struct, frozen=True):
    """What an alert must look like."""

    labels: tuple[Test, ...] = ()
    annotations: tuple[Test, ...] = ()
    status: Literal["firing", "resolved"] | None = None
    any: tuple["Match", ...] = ()
    none: tuple["Match", ...] = ()
    words: str = ""
    """Canonical text; two rules with equal words match the same alerts."""


class EventOf(Struct, frozen=True):
    """Alerts of a source that look like ``match``."""

    match: Match
    source: str | None = None
    expire: Span | None = None
    """An alert without an end of its own lapses so long after it was last seen."""


class Member(Struct, frozen=True):
    """One thing that a compound condition waits for: alerts, or another rule's edges."""

    name: str
    event: EventOf | None = None
    rule: str | None = None
    absent: bool = False


class Bound(Struct, frozen=True):
    """One threshold with its pending time."""

    op: Literal["above", "below", "outside", "equal", "not_equal"]
    a: float
    b: float = 0.0
    """The upper end of ``outside: [a, b]``."""
    hold: Span = 0


class MetricWhen(Struct, frozen=True, tag="metric"):
    source: str
    query: str
    every: Span
    open: Bound
    no_data: Literal["keep", "close", "open"]
    close: Bound | None = None
    """None: the contrary of ``open``, at once."""
    read: Literal["value", "age", "rate"] = "value"
    over: Span = 0
    """``read: rate``: the length over which it is taken."""


class EventWhen(Struct, frozen=True, tag="event"):
    of: EventOf


class AbsenceWhen(Struct, frozen=True, tag="absence"):
    of: Member
    every: Span
    grace: Span
    expect: tuple[dict[str, str], ...] = ()


class CountWhen(Struct, frozen=True, tag="count"):
    of: Member
    at_least: int
    within: Span
    distinct: str | None = None


class AllWhen(Struct, frozen=True, tag="all"):
    of: tuple[Member, ...]
    within: Span


class SequenceWhen(Struct, frozen=True, tag="sequence"):
    steps: tuple[Member, ...]
    within: Span


class FlappingWhen(Struct, frozen=True, tag="flapping"):
    of: Member
    start_changes: int
    start_within: Span
    stop_changes: int
    stop_within: Span


When: TypeAlias = MetricWhen | EventWhen | AbsenceWhen | CountWhen | AllWhen | SequenceWhen | FlappingWhen


class Priority(Struct, frozen=True):
    """How an incident gets its priority; exactly one way is set, or none: from ``severity``."""

    fixed: str | None = None
    impact: Render | None = None
    urgency: Render | None = None
    label: str | None = None
    map: Mapping[str, str] = {}
    default: str | None = None


class IncidentForm(Struct, frozen=True):
    """The incident that a rule opens."""

    service: Render
    title: Render
    priority: Priority
    labels: Mapping[str, Render] = {}
    description: Render | None = None
    runbook: Render | None = None
    service_name: str | None = None
    """The service when the rule names it plainly."""
    title_words: str = ""
    """The title as written, for lists of rules."""
    major: bool = False


class Rule(Struct, frozen=True):
    id: str
    by: tuple[str, ...]
    when: When
    incident: IncidentForm | None = None
    by_missing: Literal["separate", "skip"] = "separate"
    unclaimed: bool = False
    mode: Literal["observe", "notify"] = "notify"
    reopen_within: Span = 30 * MINUTE
    max_age: Span | None = None
    absorbs: tuple[str, ...] = ()
    description: str = ""
    digest: str = ""
    """Of ``by`` and the kind: when it changes, the rule's condition state ends."""
    place: str = ""
    """``file:line:column`` of the rule."""

    @property
    def kind(self) -> str:
        """Return the kind of condition, as the configuration calls it."""
        return type(self.when).__struct_config__.tag  # type: ignore[return-value]


def members(rule: Rule) -> tuple[Member, ...]:
    """Return what a compound rule waits for, in order; empty for ``metric`` and ``event``."""
    match rule.when:
        case AbsenceWhen(of=of) | CountWhen(of=of) | FlappingWhen(of=of):
            return (of,)
        case AllWhen(of=many) | SequenceWhen(steps=many):
            return many
        case _:
            return ()


def key_of(by: tuple[str, ...], labels: Labels) -> dict[str, str]:
    """Return the values of the key's labels, missing ones as the empty string."""
    return {name: labels.get(name, "") for name in by}
