"""What correlation remembers: small rows that a Board holds in layers, and what it decides.

Every row is a value that is replaced, never changed; the store keeps them as they are.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from responder.core.causes import CLUES_AT_MOST, Clue, Fact, Memory
from responder.core.signal import MINUTE, Instant, Labels, Span
from responder.core.topology import Node

Owner = TypeVar("Owner")
K = TypeVar("K")
V = TypeVar("V")

# What is told.


class Onset(Struct, frozen=True):
    """A firing began on an incident: of an alert, or of a rule that asks metrics."""

    incident: int
    """The incident that it joins or reopens, or the number of the one that it opens."""
    opens: bool
    """It opens the incident: not a join, not a reopening."""
    rule: str
    service: str
    labels: Labels
    """Of the incident: its key, the rule's labels, and those equal on all its alerts."""
    fact: Fact
    at: Instant
    """When we accepted it."""
    next_problem: int
    """The number of a problem that this may start."""
    next_incident: int = 0
    """The number of an incident that this may open instead of joining; 0: it joins in any case."""
    planned: bool = False
    """The incident opens inside a maintenance of its service."""


# What is remembered.


class Held(Struct, frozen=True, gc=False):
    """A problem that is not closed."""

    id: int
    spec: str
    started_at: Instant
    last_at: Instant
    """The last telling onset: the window counts from here."""
    over: bool = False
    """A second cause followed, or a person resolved it: it takes no more incidents."""
    into: int | None = None
    """It was merged into this one."""
    recent: tuple[tuple[int, Instant], ...] = ()
    """Incidents linked last, with the instant."""
    apart: tuple[int, ...] = ()
    """A person split these off, or it off these: they are never made one again by themselves."""
    without: tuple[int, ...] = ()
    """Incidents that a person took out last: they don't come back by themselves."""
    again: tuple[tuple[Instant, int, Node], ...] = ()
    """Alerts of it that began again just now: (instant, key, suspect)."""


class Linked(Struct, frozen=True, gc=False):
    """An incident's place in a problem of one spec."""

    problem: int
    at: Instant


class Sighted(Struct, frozen=True, gc=False):
    """The incidents that were news under an anchor, the newest last."""

    recent: tuple[tuple[int, Instant], ...]
    until: Instant
    """When none of them is inside its window any more."""


EQUAL: Final = "\xffequal"
"""The anchor of ``group`` and ``recur``, where equal labels suffice: the only one that clues can't tell after a start."""


_LEARNS: Final = 0.1
"""What a window moves the median by, in onsets a minute, less in proportion where there is less than one: storms
of half an hour, quick or slow, are not yet usual, what goes on for longer is."""
_CHAINS: Final = 2.0
"""So many a window keep a problem going by chance; a run of fewer soon ends by itself."""


class Pulse(Struct, frozen=True, gc=False):
    """Telling onsets in one scope: in this minute and the one before, and what a minute usually has.

    That is the running median of what windows had, so that storms do not count as usual, yet a
    trickle does of which most minutes have nothing and each window something.
    """

    minute: int
    count: int = 0
    before: int = 0
    usual: float = 0.0
    earlier: int = 0
    """In the minutes of this window before this one."""

    def beat(self, at: Instant, window: Span) -> "Pulse":
        """Return the pulse after one more onset."""
        minute, length = at // MINUTE, _minutes(window)
        gone, passed = minute - self.minute, minute // length - self.minute // length
        if gone <= 0:
            return replace(self, count=self.count + 1)
        usual, earlier = self.usual, self.earlier + self.count
        if passed:
            rate = earlier / length
            step = _LEARNS * min(1.0, max(rate, usual))
            usual += step if rate > usual else -step if rate < usual else 0.0
            usual, earlier = max(0.0, usual - step * (passed - 1)), 0
        return Pulse(minute, 1, self.count if gone == 1 else 0, usual, earlier)

    def races(self, window: Span) -> bool:
        """Say whether more begins than is usual, by more than chance."""
        if self.usual * _minutes(window) < _CHAINS:
            return True
        return max(self.count, self.before) > self.usual + 2.0 * math.sqrt(self.usual)


def _minutes(window: Span) -> int:
    return max(1, window // MINUTE)


# What is decided.


class Start(Struct, frozen=True, tag="start"):
    """A new problem with these incidents."""

    problem: int
    spec: str
    incidents: tuple[int, ...]
    reason: str
    score: float = 1.0
    """As of :class:`Join`."""
    after: int | None = None
    """The problem whose second wave this was taken for until now; these incidents leave it."""


class Join(Struct, frozen=True, tag="join"):
    problem: int
    incident: int
    reason: str
    score: float
    """1 for equal labels or the same node, less with each step between."""
    spec: str


class Merge(Struct, frozen=True, tag="merge"):
    """Two problems turned out to be one; *into* is the older and keeps both histories."""

    problem: int
    into: int
    reason: str


class Part(Struct, frozen=True, tag="part"):
    """This alert belongs to another cause than its incident does: it opens *new*, linked to
    *incident*, in *problem*; *incident* takes no more alerts and resolves with its last."""

    incident: int
    new: int
    problem: int
    reason: str


Decision: TypeAlias = Start | Join | Merge | Part


class Rows(Struct):
    """Changed rows by table and key; None: the row is gone."""

    memory: dict[int, Memory | None] = {}
    pulse: dict[str, Pulse | None] = {}
    sighted: dict[str, dict[str, Sighted | None]] = {}
    """By what must be equal, then by anchor: a node, or a name that is none."""
    held: dict[int, Held | None] = {}
    linked: dict[tuple[str, int], Linked | None] = {}
    clues: dict[int, dict[int, Clue | None]] = {}
    """By incident, then by key."""


class Turn(Struct, frozen=True):
    """What to do, in this order, and the rows that changed."""

    decisions: tuple[Decision, ...]
    rows: Rows


class Board:
    """The newest rows, in layers: resident, over it a batch, over that an item.

    A layer that is not wanted is dropped; ``beneath.apply(layer.rows)`` keeps it.
    """

    __slots__ = ("_layers", "rows")

    def __init__(self, beneath: "Board | None" = None) -> None:
        self.rows = Rows()
        self._layers: tuple[Rows, ...] = (self.rows,) if beneath is None else (self.rows, *beneath._layers)

    def apply(self, rows: Rows) -> None:
        """Take in the rows of a turn, or those of a layer above."""
        mine, bottom = self.rows, len(self._layers) == 1
        _take(rows.memory, mine.memory, bottom)
        _take(rows.pulse, mine.pulse, bottom)
        _take(rows.held, mine.held, bottom)
        _take(rows.linked, mine.linked, bottom)
        _take_by_owner(rows.sighted, mine.sighted, bottom)
        _take_by_owner(rows.clues, mine.clues, bottom)

    def memory(self, key: int) -> Memory | None:
        """Return what is remembered of an alert; key 0: of problems as such."""
        for rows in self._layers:
            if key in rows.memory:
                return rows.memory[key]
        return None

    def pulse(self, scope: str) -> Pulse | None:
        """Return the pulse of a scope of one spec."""
        for rows in self._layers:
            if scope in rows.pulse:
                return rows.pulse[scope]
        return None

    def sighted(self, base: str) -> list[dict[str, Sighted | None]]:
        """Return who was news where the same is equal, by anchor: as it lies in the layers, the newest first."""
        return [found for rows in self._layers if (found := rows.sighted.get(base))]

    def held(self, problem: int) -> Held | None:
        """Return a problem that is not closed, or the one that it was merged into."""
        for rows in self._layers:
            if problem in rows.held:
                found = rows.held[problem]
                return self.held(found.into) if found is not None and found.into is not None else found
        return None

    def linked(self, spec: str, incident: int) -> Linked | None:
        """Return the problem of this spec that the incident is in."""
        key = spec, incident
        for rows in self._layers:
            if key in rows.linked:
                return rows.linked[key]
        return None

    def clue(self, incident: int, key: int) -> Clue | None:
        """Return one clue of an incident."""
        for rows in self._layers:
            mine = rows.clues.get(incident)
            if mine is not None and key in mine:
                return mine[key]
        return None

    def clues(self, incident: int) -> dict[int, Clue]:
        """Return the clues of an incident."""
        known: dict[int, Clue | None] = {}
        for rows in reversed(self._layers):
            if mine := rows.clues.get(incident):
                known.update(mine)
        return {key: row for key, row in known.items() if row is not None}

    def some_clues(self, incident: int) -> list[Clue]:
        """Return the clues of an incident as they lie in the layers, the oldest first; one may come twice."""
        return [
            row
            for rows in reversed(self._layers)
            if (mine := rows.clues.get(incident))
            for row in mine.values()
            if row is not None
        ]

    def clue_keys(self, incident: int) -> set[int]:
        """Return which alerts gave the clues of an incident."""
        return set().union(*[rows.clues.get(incident, ()) for rows in self._layers])

    def clue_count(self, incident: int) -> int:
        """Return at least how many clues the incident has; cheap."""
        return sum([len(rows.clues.get(incident, ())) for rows in self._layers])

    def evidence(self, incidents: Iterable[int]) -> list[Clue]:
        """Return the clues of a problem's incidents; of too many those of the first and of the last ones."""
        left, found, late = deque(incidents), list[Clue](), list[Clue]()
        while left and len(found) < CLUES_AT_MOST // 2:
            found += self.clues(left.popleft()).values()
        while left and len(late) < CLUES_AT_MOST // 2:
            late += self.clues(left.pop()).values()
        return found + late


_NOTHING: Final = 0.05


def faded(memory: Memory) -> bool:
    """Say whether a remembered row, brought to now, says nothing any more and may be deleted."""
    return memory.slow < _NOTHING and memory.alone < _NOTHING


def newest(layers: Iterable[Mapping[K, V | None]], key: K) -> V | None:
    """Return a row from the first of the layers that knows of it."""
    for rows in layers:
        if key in rows:
            return rows[key]
    return None


def _take(theirs: dict[K, V | None], ours: dict[K, V | None], bottom: bool) -> None:
    ours.update(theirs)
    if bottom and None in theirs.values():  # nothing lies beneath that a None would have to hide
        for key in [key for key, row in theirs.items() if row is None]:
            del ours[key]


def _take_by_owner(theirs: dict[Owner, dict[K, V | None]], ours: dict[Owner, dict[K, V | None]], bottom: bool) -> None:
    for owner, rows in theirs.items():
        mine = ours.get(owner)
        if mine is None:
            mine = ours[owner] = {}
        _take(rows, mine, bottom)
        if not mine:
            del ours[owner]
