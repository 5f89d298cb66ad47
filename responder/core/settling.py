"""What correlation may forget: when nothing can follow from it any more.

An incident is found for a window, a problem takes incidents while one of them lives or its
window is open, and what is remembered of alerts fades. All of it is looked at now and then,
a slice at a time, so that a long memory keeps nobody waiting.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from responder.core.board import Board, Held, Rows, faded, newest
from responder.core.catalogue import Depends, ProblemSpec
from responder.core.causes import Weights, remembered
from responder.core.signal import DAY, MINUTE, Instant

SLICE: Final = 2000
"""Rows that are looked at in one transaction."""
PULSE_KEPT: Final = DAY


class Settling:
    """One look at everything that is remembered, a slice at a time."""

    def __init__(self) -> None:
        self._left: deque[tuple[str, Any]] = deque()

    def begin(self, board: Board) -> None:
        """Look at everything from the beginning; *board*: the resident one."""
        rows = board.rows
        sightings = ((base, anchor) for base, found in rows.sighted.items() for anchor in found)
        tables: Iterable[tuple[str, Iterable[Any]]] = (
            ("held", rows.held), ("linked", rows.linked), ("clues", rows.clues), ("sighted", sightings),
            ("pulse", rows.pulse), ("memory", rows.memory),
        )  # fmt: skip
        self._left = deque((name, key) for name, keys in tables for key in keys)

    def forget(
        self, board: Board, specs: Iterable[ProblemSpec], weights: Weights, at: Instant,
        lives: Callable[[int], bool], incidents: Callable[[int], Iterable[int]],
    ) -> bool:  # fmt: skip
        """Drop what says nothing any more from *board*; returns whether there is more to look at.

        Args:
            board: Over the resident one: what is dropped from it is deleted from the store, too.
            lives: Whether an incident, by number, is not over.
            incidents: Those of a problem.
        """
        look = _Look(board, {spec.id: spec for spec in specs}, weights, at, lives, incidents)
        for _ in range(min(SLICE, len(self._left))):
            name, key = self._left.popleft()
            rows = getattr(look, name)(key)
            if rows is not None:
                board.apply(rows)
        return bool(self._left)


class _Look:
    """Each method says what goes with one row: nothing, or rows that are None."""

    def __init__(
        self, board: Board, specs: Mapping[str, ProblemSpec], weights: Weights, at: Instant, lives: Callable[[int], bool],
        incidents: Callable[[int], Iterable[int]],
    ) -> None:  # fmt: skip
        self._board, self._specs, self._weights, self._at = board, specs, weights, at
        self._lives, self._incidents = lives, incidents
        self._longest = max((spec.how.within for spec in specs.values() if isinstance(spec.how, Depends)), default=0)

    def held(self, problem: int) -> Rows | None:
        found = self._board.held(problem)
        return None if found is not None and not self._over(found) else Rows(held={problem: None})

    def _over(self, held: Held) -> bool:
        spec = self._specs.get(held.spec)
        if spec is not None and self._at - held.last_at < spec.how.within:
            return False
        return not any(map(self._lives, self._incidents(held.id)))

    def linked(self, key: tuple[str, int]) -> Rows | None:
        link = self._board.linked(*key)
        if link is None or self._lives(key[1]) or self._board.held(link.problem) is not None:
            return None
        spec = self._specs.get(key[0])
        if spec is not None and self._at - link.at < spec.how.within:
            return None  # its like still find it, and it is not news: it was counted
        return Rows(linked={key: None})

    def clues(self, incident: int) -> Rows | None:
        clues = self._board.clues(incident)
        if self._lives(incident) or any(self._at - clue.last_at < self._longest for clue in clues.values()):
            return None
        if any(self._needed(spec, incident) for spec in self._specs.values()):
            return None
        return Rows(clues={incident: dict.fromkeys(clues)})

    def _needed(self, spec: ProblemSpec, incident: int) -> bool:
        """Say whether a problem of the topology is still judged by the incident's clues."""
        link = self._board.linked(spec.id, incident) if isinstance(spec.how, Depends) else None
        return link is not None and self._board.held(link.problem) is not None

    def sighted(self, key: tuple[str, str]) -> Rows | None:
        base, anchor = key
        found = newest(self._board.sighted(base), anchor)
        if (
            found is None
            or found.until > self._at
            or any(self._goes_on(base, incident) for incident, _ in found.recent)
        ):
            return None
        return Rows(sighted={base: {anchor: None}})

    def _goes_on(self, base: str, incident: int) -> bool:
        """Say whether the incident leads to a problem that still takes more."""
        spec = self._specs.get(base.partition("\xff")[0])
        link = self._board.linked(spec.id, incident) if spec is not None else None
        held = self._board.held(link.problem) if link is not None else None
        return spec is not None and held is not None and not held.over and self._at - held.last_at < spec.how.within

    def pulse(self, scope: str) -> Rows | None:
        found = self._board.pulse(scope)
        quiet = found is not None and found.minute * MINUTE < self._at - PULSE_KEPT
        return Rows(pulse={scope: None}) if quiet else None

    def memory(self, key: int) -> Rows | None:
        found = self._board.memory(key)
        gone = found is not None and faded(remembered(found, key, self._at, self._weights))
        return Rows(memory={key: None}) if gone else None
