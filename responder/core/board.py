"""What correlation remembers: small rows that a Board holds in layers, and what it decides.

Every row is a value that is replaced, never changed; the store keeps them as they are.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct
from msgspec.structs import replace

from responder.core.causes import CLUES_AT_MOST, Clue, Fact, Memory
from responder.core.signal import MINUTE, Instant, Labels, Span
from responder.core.topology import Node

# What is configured.


class Group(Struct, frozen=True, tag="group"):
    """Incidents with equal labels."""

    same: tuple[str, ...]
    at_least: int
    within: Span


class Depends(Struct, frozen=True, tag="depends"):
    """Incidents near to each other in the topology."""

    within: Span
    same: tuple[str, ...] = ()
    hold_notifications: Span = 0


class Recur(Struct, frozen=True, tag="recur"):
    """Incidents that come back; ``rule`` and ``service`` stand for the incident's own."""

    same: tuple[str, ...]
    at_least: int
    within: Span


How: TypeAlias = Group | Depends | Recur


class Spec(Struct, frozen=True):
    """One entry of ``problems:``."""

    id: str
    owner: str
    how: How
    due: Span | None = None

    @property
    def origin(self) -> Literal["group", "depends", "recur"]:
        """Return the kind, as the API and the metrics call it."""
        return self.how.__struct_config__.tag  # type: ignore[return-value]


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


# What is remembered.


class Held(Struct, frozen=True):
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
    stored: bool = False
    """What the clues can't tell after a start: anchors of ``group`` and ``recur``."""


_LEARNS: Final = 0.1
"""What a minute moves the median by: a storm of ten minutes is not yet usual, a trickle of an hour is."""


class Pulse(Struct, frozen=True, gc=False):
    """Telling onsets a minute in one scope: this minute, the one before, the running median."""

    minute: int
    count: int = 0
    before: int = 0
    usual: float = 0.0

    def beat(self, at: Instant) -> "Pulse":
        """Return the pulse after one more onset."""
        gone = at // MINUTE - self.minute
        if gone <= 0:
            return replace(self, count=self.count + 1)
        step = _LEARNS if self.count > self.usual else -_LEARNS if self.count < self.usual else 0.0
        usual = max(0.0, self.usual + step - _LEARNS * (gone - 1))
        return Pulse(at // MINUTE, 1, self.count if gone == 1 else 0, usual)

    def races(self) -> bool:
        """Say whether more begins than is usual, by more than chance."""
        return self.usual < 1.0 or max(self.count, self.before) > self.usual + 2.0 * math.sqrt(self.usual)


# What is decided.


class Start(Struct, frozen=True, tag="start"):
    """A new problem with these incidents."""

    problem: int
    spec: str
    incidents: tuple[int, ...]
    reason: str
    after: int | None = None
    """The problem whose second wave this was taken for until now; these incidents leave it."""


class Join(Struct, frozen=True, tag="join"):
    problem: int
    incident: int
    reason: str
    score: float
    """1 for equal labels or the same node, less with each step between."""


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
    sighted: dict[str, Sighted | None] = {}
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

    def __init__(self, beneath: "Board | None" = None) -> None:
        self.rows, self._beneath = Rows(), beneath

    def apply(self, rows: Rows) -> None:
        """Take in the rows of a turn, or those of a layer above."""
        mine = self.rows
        for theirs, ours in (
            (rows.memory, mine.memory), (rows.pulse, mine.pulse), (rows.sighted, mine.sighted),
            (rows.held, mine.held), (rows.linked, mine.linked),
        ):  # fmt: skip
            _take(theirs, ours, bottom=self._beneath is None)
        for incident, clues in rows.clues.items():
            own = mine.clues.setdefault(incident, {})
            _take(clues, own, bottom=self._beneath is None)
            if not own:
                del mine.clues[incident]

    def memory(self, key: int) -> Memory | None:
        """Return what is remembered of an alert; key 0: of problems as such."""
        board: Board | None = self
        while board is not None:
            found = board.rows.memory.get(key, UNSET)
            if found is not UNSET:
                return found
            board = board._beneath
        return None

    def pulse(self, scope: str) -> Pulse | None:
        """Return the pulse of a scope of one spec."""
        board: Board | None = self
        while board is not None:
            found = board.rows.pulse.get(scope, UNSET)
            if found is not UNSET:
                return found
            board = board._beneath
        return None

    def sighted(self, anchor: str) -> Sighted | None:
        """Return who was news under the anchor."""
        board: Board | None = self
        while board is not None:
            found = board.rows.sighted.get(anchor, UNSET)
            if found is not UNSET:
                return found
            board = board._beneath
        return None

    def held(self, problem: int) -> Held | None:
        """Return a problem that is not closed, or the one that it was merged into."""
        board: Board | None = self
        while board is not None:
            if problem in board.rows.held:
                found = board.rows.held[problem]
                return self.held(found.into) if found is not None and found.into is not None else found
            board = board._beneath
        return None

    def linked(self, spec: str, incident: int) -> Linked | None:
        """Return the problem of this spec that the incident is in."""
        board: Board | None = self
        key = spec, incident
        while board is not None:
            found = board.rows.linked.get(key, UNSET)
            if found is not UNSET:
                return found
            board = board._beneath
        return None

    def clue(self, incident: int, key: int) -> Clue | None:
        """Return one clue of an incident."""
        board: Board | None = self
        while board is not None:
            mine = board.rows.clues.get(incident)
            if mine is not None and key in mine:
                return mine[key]
            board = board._beneath
        return None

    def clues(self, incident: int) -> dict[int, Clue]:
        """Return the clues of an incident."""
        known = {**self._beneath.clues(incident)} if self._beneath else {}
        for key, row in self.rows.clues.get(incident, {}).items():
            if row is not None:
                known[key] = row
            else:
                known.pop(key, None)
        return known

    def some_clues(self, incident: int) -> Iterator[Clue]:
        """Yield the clues of an incident as they lie in the layers, the oldest first; one may come twice."""
        if self._beneath is not None:
            yield from self._beneath.some_clues(incident)
        yield from (row for row in self.rows.clues.get(incident, {}).values() if row is not None)

    def clue_count(self, incident: int) -> int:
        """Return at least how many clues the incident has; cheap."""
        mine = len(self.rows.clues.get(incident, ()))
        return mine + (self._beneath.clue_count(incident) if self._beneath else 0)

    def evidence(self, incidents: Iterable[int]) -> list[Clue]:
        """Return the clues of a problem's incidents, those of the first ones when there are too many."""
        found: list[Clue] = []
        for incident in incidents:
            found.extend(self.clues(incident).values())
            if len(found) >= CLUES_AT_MOST:
                break
        return found[:CLUES_AT_MOST]


_NOTHING: Final = 0.05


def faded(memory: Memory) -> bool:
    """Say whether a remembered row, brought to now, says nothing any more and may be deleted."""
    return memory.slow < _NOTHING and memory.alone < _NOTHING


def _take(theirs: dict[Any, Any], ours: dict[Any, Any], bottom: bool) -> None:
    ours.update(theirs)
    if bottom:  # nothing lies beneath that a None would have to hide
        for key in [key for key, row in theirs.items() if row is None]:
            del ours[key]
