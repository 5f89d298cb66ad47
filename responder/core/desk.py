"""What a decision reads and writes: an overlay of immutable rows over those in memory.

Nothing is undone, ever: a decision writes to the overlay only. When it fails, its overlay is
dropped; when the commit succeeds, the overlay becomes the memory. A desk may lie on another
desk (one item of a batch over the batch), or on the resident rows.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from responder.core import incident as incidents
from responder.core.alert import Alert
from responder.core.availability import Meter
from responder.core.board import Board
from responder.core.board import Rows as BoardRows
from responder.core.conditions.state import State
from responder.core.event import Event
from responder.core.incident import Incident
from responder.core.maintenance import Posted
from responder.core.outbox import Message
from responder.core.problem import KnownError, Problem
from responder.core.signal import Instant
from responder.core.silence import Silence
from responder.core.topology import Edge

K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class Rows(Protocol[K_contra, V_co]):
    """Rows that can be looked up by their key."""

    def get(self, key: K_contra, /) -> V_co | None: ...


class Layer(Generic[K, V]):
    """Changed rows over others; None in ``changed`` is a row that was taken away."""

    __slots__ = ("base", "changed")

    def __init__(self, base: Rows[K, V]) -> None:
        self.base = base
        self.changed: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        changed = self.changed
        if key in changed:
            return changed[key]
        return self.base.get(key)

    def put(self, key: K, row: V) -> None:
        self.changed[key] = row

    def drop(self, key: K) -> None:
        self.changed[key] = None


class KeyState(Struct, frozen=True):
    """One (rule, key): its condition and the incident that takes its alerts."""

    rule: str
    key_hash: int
    key: dict[str, str]
    state: State
    digest: str
    seen_at: Instant
    incident: int | None = None
    fed_by: tuple[tuple[str, int], ...] = ()
    """The (rule, key hash) whose edges fed this key lately; ``absorbs`` asks."""
    former: int | None = None
    """The incident that was over while its alerts still fired: until there is another, they are those of the key."""


KEPT: Final = 1000
"""Incidents that a problem knows by number, half of them its newest: the root may come last. Every incident names its problem."""
_LATEST: Final = 32


class ProblemRow(Struct, frozen=True):
    """A problem with its incidents."""

    problem: Problem
    listed: tuple[int, ...] = msgspec.field(default=(), name="incidents")
    latest: tuple[int, ...] = ()
    """Linked after those that are listed: that a giant takes one more copies a few, not a thousand."""
    count: int = 0
    """How many there are."""
    due: Instant | None = None
    """When its causes are ranked again; none: its evidence has not changed."""
    error: KnownError | None = None
    """What new incidents are compared with, from the known error on."""
    version: int = 1
    """Of what people and incidents did to it; causes that are ranked again make none."""
    told: tuple[str, ...] = ()
    """Channels that believe it open."""

    @property
    def incidents(self) -> tuple[int, ...]:
        """Return its incidents in the order in which they were linked; of a giant the first and the newest."""
        known = (*self.listed, *self.latest)
        return known if len(known) <= KEPT else (*known[: KEPT // 2], *known[-(KEPT // 2) :])

    def taking(self, incident: int) -> "ProblemRow":
        """Return the row with one more incident."""
        row = self if len(self.latest) < _LATEST else self.listing(self.incidents)
        return msgspec.structs.replace(row, latest=(*row.latest, incident), count=row.count + 1)

    def listing(self, incidents: tuple[int, ...]) -> "ProblemRow":
        """Return the row with just these incidents listed."""
        return msgspec.structs.replace(self, listed=incidents, latest=())


class SourceState(Struct, frozen=True):
    """How it goes with a polled source."""

    name: str
    failing_since: Instant | None = None
    last_success: Instant | None = None
    last_error: str = ""
    incident: int | None = None


class Change(Struct, frozen=True):
    """A change or release that was made to a service."""

    id: int
    at: Instant
    service: str
    kind: str
    version: str
    url: str = ""


class Asked(Struct, frozen=True):
    """A customer was asked for a score; the link holds a token of which only the digest is kept."""

    token_hash: str
    incident: int
    asked_at: Instant
    expires_at: Instant
    rated_at: Instant | None = None


def _recounted(row: KeyState, before: KeyState) -> bool:
    """Say whether nothing differs but how many alerts of the key fire, and when it was seen last."""
    if row.state.firing == before.state.firing:
        return False
    state = msgspec.structs.replace(row.state, firing=before.state.firing)
    return msgspec.structs.replace(row, state=state, seen_at=before.seen_at) == before


class Head(Struct):
    """The counters of the leader row; numbers given out in a dropped overlay are given again."""

    next_alert: int = 1
    next_incident: int = 1
    next_problem: int = 1
    next_outbox: int = 1
    next_change: int = 1


Guard = Callable[["Desk", str, Callable[["Desk"], Any]], Any]
"""(desk, rule, work) -> what the work gave on a desk of its own over that one, or none if it failed."""
StateKey = tuple[str, int]
FactKey = tuple[str, tuple[tuple[str, str], ...]]


class Base(Protocol):
    """What a desk lies on: another desk, or the resident rows."""

    @property
    def alerts(self) -> Rows[int, Alert]: ...
    @property
    def states(self) -> Rows[StateKey, KeyState]: ...
    @property
    def incidents(self) -> Rows[int, Incident]: ...
    @property
    def silences(self) -> Rows[str, Silence]: ...
    @property
    def sources(self) -> Rows[str, SourceState]: ...
    @property
    def changes(self) -> Rows[int, Change]: ...
    @property
    def outbox(self) -> Rows[int, Message]: ...
    @property
    def problems(self) -> Rows[int, ProblemRow]: ...
    @property
    def meters(self) -> Rows[str, Meter]: ...
    @property
    def maintenance(self) -> Rows[str, Posted]: ...
    @property
    def board(self) -> Board: ...
    @property
    def head(self) -> Head: ...
    def all_meters(self) -> Iterable[Meter]: ...
    def all_maintenance(self) -> Iterable[Posted]: ...
    def living_incidents(self) -> Iterable[Incident]: ...
    def asked_of(self, token_hash: str) -> Asked | None: ...
    def errors_like(self, rule: str, service: str) -> Iterable[KnownError]: ...
    def former_problem(self, id: int) -> ProblemRow | None: ...
    def keys_of(self, rule: str) -> Iterable[int]: ...
    def last_incident(self, rule: str, key_hash: int) -> int | None: ...
    def delivered_before(self, source: str, dedup: str) -> Instant | None: ...
    def former_incident(self, id: int) -> Incident | None: ...
    def polled_of(self, source: str) -> Iterable[int]: ...
    def changes_of(self, service: str, since: Instant, until: Instant) -> Iterable[Change]: ...
    def rests_until(self, incident: int) -> Instant | None: ...


class Desk:
    """The overlay of one batch, or of one item of it."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self.alerts: Layer[int, Alert] = Layer(base.alerts)
        self.states: Layer[StateKey, KeyState] = Layer(base.states)
        self.incidents: Layer[int, Incident] = Layer(base.incidents)
        self.silences: Layer[str, Silence] = Layer(base.silences)
        self.sources: Layer[str, SourceState] = Layer(base.sources)
        self.changes: Layer[int, Change] = Layer(base.changes)
        self.outbox: Layer[int, Message] = Layer(base.outbox)
        self.problems: Layer[int, ProblemRow] = Layer(base.problems)
        self.meters: Layer[str, Meter] = Layer(base.meters)
        self.maintenance: Layer[str, Posted] = Layer(base.maintenance)
        self._layers: tuple[Layer[Any, Any], ...] = (
            self.alerts, self.states, self.incidents, self.silences, self.sources, self.changes, self.outbox,
            self.problems, self.meters, self.maintenance,
        )  # fmt: skip
        self.asked: dict[str, Asked] = {}
        """Customers that were asked, or that answered, by the digest of their token."""
        self._board: Board | None = None
        self.edges: tuple[Edge, ...] = ()
        """Edges that alerts showed, to be stored."""
        self.stale: tuple[Edge, ...] = ()
        """Edges that no alert has shown for long, to be deleted."""
        self.head = msgspec.structs.replace(base.head)
        self.events: list[Event] = []
        self.links: list[tuple[int, int]] = []
        """(incident id, alert id) as alerts joined."""
        self.occurrences: dict[int, Alert] = {}
        """Occurrences to store, by id. A repeat only shows in ``alerts``."""
        self.counted: set[int] = set()
        """Incidents of which nothing but the counts changed: nothing to store."""
        self.facts: dict[FactKey, float] = {}
        self.deduped: dict[tuple[str, str], Instant] = {}
        self._opened: dict[StateKey, int] = {}
        """Incidents that opened here, by their key."""
        self.dues: dict[int, Instant | None] = {}
        """When time changes each incident to store next; filled before the commit."""
        self.alive = False
        """That somebody is there is to be stored, though nothing may have changed."""
        self.guard: Guard | None = None
        """On the careful second look, what keeps the failure of one rule from the others; else it is the item's."""

    @property
    def board(self) -> Board:
        """Return what correlation remembers, with this desk's changes over it."""
        if self._board is None:
            self._board = Board(self._base.board)
        return self._board

    @property
    def board_rows(self) -> BoardRows | None:
        """Return what correlation changed, if anything."""
        return self._board.rows if self._board is not None else None

    def errors_like(self, rule: str, service: str) -> list[KnownError]:
        """Return what a new incident of this rule and service may be a recurrence of."""
        found = {error.problem: error for error in self._base.errors_like(rule, service)}
        for id, row in self.problems.changed.items():
            found.pop(id, None)
            if row is not None and row.error is not None:
                found[id] = row.error
        return [*found.values()]

    def all_meters(self) -> list[Meter]:
        """Return the meters of all services."""
        return _all(((row.service, row) for row in self._base.all_meters()), self.meters)

    def all_maintenance(self) -> list[Posted]:
        """Return the windows that were announced and have not been ended."""
        return _all(((row.name, row) for row in self._base.all_maintenance()), self.maintenance)

    def living_incidents(self) -> list[Incident]:
        """Return the incidents in memory: all that are not over, and some that are."""
        return _all(((row.id, row) for row in self._base.living_incidents()), self.incidents)

    def asked_of(self, token_hash: str) -> Asked | None:
        """Return whom a token was given to."""
        found = self.asked.get(token_hash)
        return found if found is not None else self._base.asked_of(token_hash)

    def problem(self, id: int) -> ProblemRow | None:
        """Return a problem in any state; one that is closed is read from the store."""
        row = self.problems.get(id)
        return row if row is not None else self._base.former_problem(id)

    def former_problem(self, id: int) -> ProblemRow | None:
        """Return a problem that is no longer in memory."""
        return self._base.former_problem(id)

    def keys_of(self, rule: str) -> set[int]:
        """Return the key hashes of which the rule has a state."""
        found = set(self._base.keys_of(rule))
        for (name, key_hash), row in self.states.changed.items():
            if name == rule:
                (found.discard if row is None else found.add)(key_hash)
        return found

    def last_incident(self, rule: str, key_hash: int) -> int | None:
        """Return the newest incident that the key ever had."""
        newest = self._opened.get((rule, key_hash))
        return newest if newest is not None else self._base.last_incident(rule, key_hash)

    def delivered_before(self, source: str, dedup: str) -> Instant | None:
        """Return when a momentary occurrence of this id was taken last."""
        at = self.deduped.get((source, dedup))
        return at if at is not None else self._base.delivered_before(source, dedup)

    def record(self, event: Event) -> Incident:
        """Write an event of an incident and return the incident after it."""
        before = None if event.kind == "opened" else self.incident(event.subject)
        row = incidents.apply(before, event)
        self.incidents.put(row.id, row)
        if before is None and row.rule is not None:
            self._opened[row.rule, row.key_hash] = row.id
        self.counted.discard(row.id)
        self.events.append(event)
        return row

    def count(self, name: str, labels: tuple[tuple[str, str], ...], by: float = 1.0) -> None:
        """Add to a facts counter; stored with what it counts, in the same transaction."""
        key = (name, labels)
        self.facts[key] = self.facts.get(key, 0.0) + by

    def incident(self, id: int) -> Incident | None:
        """Return an incident in any state; one that is over is read from the store."""
        row = self.incidents.get(id)
        return row if row is not None else self._base.former_incident(id)

    def former_incident(self, id: int) -> Incident | None:
        """Return an incident that is no longer in memory."""
        return self._base.former_incident(id)

    def polled_of(self, source: str) -> set[int]:
        """Return the alerts that a polled source reported last."""
        found = set(self._base.polled_of(source))
        for identity, row in self.alerts.changed.items():
            polled = row is not None and row.polled and not row.ended and row.source == source
            (found.add if polled else found.discard)(identity)
        return found

    def changes_of(self, service: str, since: Instant, until: Instant) -> list[Change]:
        """Return the changes to a service in a stretch of time, oldest first."""
        found = {row.id: row for row in self._base.changes_of(service, since, until)}
        for row in self.changes.changed.values():
            if row is not None and row.service == service and since <= row.at <= until:
                found[row.id] = row
        return sorted(found.values(), key=lambda row: (row.at, row.id))

    def recount(self, row: Incident, **counts: Any) -> Incident:
        """Change the counts of an incident: kept in memory, stored with its next event."""
        changed = self.incidents.changed
        if row.id not in changed:
            self.counted.add(row.id)
        changed[row.id] = row = msgspec.structs.replace(row, **counts)
        return row

    def amend(self, row: Incident, **fields: Any) -> Incident:
        """Change fields that no event speaks of."""
        row = msgspec.structs.replace(row, **fields)
        self.incidents.put(row.id, row)
        return row

    def rests_until(self, incident: int) -> Instant | None:
        """Return until when time can't change an incident, as far as that has been computed."""
        return None if incident in self.incidents.changed else self._base.rests_until(incident)

    def stored_incidents(self) -> list[Incident]:
        """Return the incidents that have to be stored."""
        return [row for id, row in self.incidents.changed.items() if row is not None and id not in self.counted]

    def stored_states(self) -> list[KeyState]:
        """Return the states that have to be stored; how many alerts fire is counted again at every start."""
        found = []
        for key, row in self.states.changed.items():
            if row is not None:
                before = self._base.states.get(key)
                if before is None or not _recounted(row, before):
                    found.append(row)
        return found

    def merge(self, item: "Desk") -> None:
        """Take over what an item decided over this desk."""
        if item.incidents.changed and (self.counted or item.counted):
            written = item.incidents.changed.keys() - item.counted
            self.counted -= written
            self.counted |= {id for id in item.counted if id not in self.incidents.changed}
        for mine, theirs in zip(self._layers, item._layers, strict=True):
            if theirs.changed:
                mine.changed.update(theirs.changed)
        if item._board is not None:
            self.board.apply(item._board.rows)
        self.edges += item.edges
        self.stale += item.stale
        self.head = item.head
        self.events += item.events
        self.links += item.links
        self.occurrences |= item.occurrences
        if self.facts:
            for key, by in item.facts.items():
                self.facts[key] = self.facts.get(key, 0.0) + by
        else:
            self.facts.update(item.facts)
        self.deduped |= item.deduped
        self._opened |= item._opened
        self.asked |= item.asked
        self.dues |= item.dues
        self.alive |= item.alive


def _all(below: Iterable[tuple[K, V]], layer: Layer[K, V]) -> list[V]:
    """Return the rows below a layer with its changes over them."""
    found: dict[K, V | None] = {**dict(below), **layer.changed}
    return [row for row in found.values() if row is not None]
