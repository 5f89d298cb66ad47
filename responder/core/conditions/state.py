"""What one (rule, key) remembers, what it is told, and what it says: shared by every kind.

closed -> pending -> open -> closing -> closed. A kind is one pure function
``step(when, state, told) -> Turn``. A state owns its time: ``due`` is the next instant at
which time alone changes it, and whoever touches the key applies what was due first
(:func:`responder.core.conditions.step` does so).
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from responder.core.signal import Instant

Phase: TypeAlias = Literal["closed", "pending", "open", "closing"]


class State(Struct, frozen=True):
    """Bounded: instants and counts, never payloads. Everything is JSON through msgspec."""

    phase: Phase = "closed"
    since: Instant = 0
    """When the phase began."""
    value: float | None = None
    """What was judged last: the metric's value, a count."""
    firing: int = 0
    """Alerts of this key that fire now. Rebuilt from the alerts at start, never stored."""
    due: Instant | None = None
    data: Any = None
    """What only this kind needs; plain JSON values (dict, list, int, float, str, None)."""


# What a condition is told. `at` never goes back for one key.


class Opened(Struct, frozen=True):
    """A member had an open edge: an alert began to fire, or a rule opened."""

    at: Instant
    member: int = 0
    momentary: bool = False
    """Its close edge comes by itself; it is not stateful."""
    value: str = ""
    """The value of the ``distinct`` label."""


class Closed(Struct, frozen=True):
    """A member had a close edge."""

    at: Instant
    member: int = 0
    expired: bool = False
    """The sender fell silent; nobody said that it is over."""


class Seen(Struct, frozen=True):
    """A firing member was observed again without an edge; only ``absence`` asks for it."""

    at: Instant
    member: int = 0


class Sampled(Struct, frozen=True):
    """The key's series at one evaluation instant: (fingerprint of the series, value).

    Empty: the key is known and the query gave none of its series. NaN is no sample and
    never arrives here.
    """

    at: Instant
    values: tuple[tuple[int, float], ...]
    last_at: Instant | None = None
    """The rule's evaluation before this one, if any: a long gap restarts pending."""


class Expected(Struct, frozen=True):
    """The rule was loaded with this key among its ``expect``: the clock runs from here."""

    at: Instant


class Due(Struct, frozen=True):
    """Time has passed ``state.due``; *at* is that due instant."""

    at: Instant


Told: TypeAlias = Opened | Closed | Seen | Sampled | Expected | Due


class Edge(Struct, frozen=True):
    """The condition began or ceased to hold."""

    opens: bool
    at: Instant
    """Its true instant: that of what was told, or the due instant."""
    value: float | None = None
    count: int | None = None
    expired: bool = False
    momentary: bool = False
    """Of a momentary alert: it opens and closes at once."""
    steps: tuple[tuple[str, Instant], ...] = ()
    """``sequence`` and ``all``: (member name, instant) as they came."""


class Turn(Struct, frozen=True):
    state: State
    edges: tuple[Edge, ...] = ()
