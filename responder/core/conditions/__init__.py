"""The conditions of SPEC 3.2: one pure function ``step(when, state, told) -> Turn`` per kind.

The :func:`step` here is the one to call: it applies what was due first, then dispatches.
"""

from collections.abc import Callable
from typing import Any, Final

from responder.core.conditions import absence, all_of, count, event, flapping, metric, sequence
from responder.core.conditions.state import Due, Edge, State, Told, Turn
from responder.core.rule import (
    AbsenceWhen,
    AllWhen,
    CountWhen,
    EventWhen,
    FlappingWhen,
    MetricWhen,
    SequenceWhen,
    When,
)
from responder.core.signal import DAY, Span

FORGET_AFTER: Final[Span] = 7 * DAY
"""A ``metric`` key that no evaluation has shown for so long is forgotten by the engine."""

_KINDS: Final[dict[type, Callable[[Any, State, Told], Turn]]] = {
    MetricWhen: metric.step,
    EventWhen: event.step,
    AbsenceWhen: absence.step,
    CountWhen: count.step,
    AllWhen: all_of.step,
    SequenceWhen: sequence.step,
    FlappingWhen: flapping.step,
}


def step(when: When, state: State, told: Told) -> Turn:
    """Return the state and the edges after *told*, with all that was due until then applied first.

    ``Due(at=now)`` only catches up until *now*: it is what a tick tells. However late it
    comes, each edge carries the instant at which it was due.

    Raises:
        RuntimeError: If a due instant does not move on, which is a bug of that kind.
    """
    kind = _KINDS[type(when)]
    if state.due is None or state.due > told.at:
        return Turn(state) if isinstance(told, Due) else kind(when, state, told)
    edges: tuple[Edge, ...] = ()
    while state.due is not None and state.due <= told.at:
        due = state.due
        turn = kind(when, state, Due(due))
        state, edges = turn.state, edges + turn.edges
        if state.due is not None and state.due <= due:
            raise RuntimeError(f"{type(when).__name__} is due at {due} again after it was due at {due}")
    if isinstance(told, Due):
        return Turn(state, edges)
    turn = kind(when, state, told)
    return Turn(turn.state, edges + turn.edges)


def at_rest(state: State) -> bool:
    """Say whether the state remembers nothing, so that no row need be kept for it."""
    return state.phase == "closed" and state.data is None and state.due is None and not state.firing
