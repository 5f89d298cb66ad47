"""``flapping``: open while a thing changes too often, with its own measure of calm."""

from responder.core.conditions.state import Closed, Due, Edge, Opened, State, Told, Turn
from responder.core.rule import FlappingWhen


def step(when: FlappingWhen, state: State, told: Told) -> Turn:
    """Open at the change that makes ``start.changes``, close when at most ``stop.changes`` are left.

    A change is either edge; a momentary alert has both. Windows are ``(now - within, now]``.
    ``state.data`` holds the newest instants that either window can ask for.
    """
    changes: list[int] = state.data or []
    at = told.at
    if isinstance(told, Opened | Closed):
        at = max(at, state.since, changes[-1] if changes else at)
        both = isinstance(told, Opened) and told.momentary
        changes = [*changes, at, at] if both else [*changes, at]
    elif not isinstance(told, Due):
        return Turn(state)
    longest = max(when.start_within, when.stop_within)
    changes = [c for c in changes[-max(when.start_changes, when.stop_changes + 1) :] if c > at - longest]

    phase, since, edges = state.phase, state.since, list[Edge]()
    if phase == "closed" and not isinstance(told, Due):
        count = _inside(changes, at - when.start_within)
        if count >= when.start_changes:
            phase, since = "open", at
            edges.append(Edge(True, at, count=count))
    if phase == "open":
        count = _inside(changes, at - when.stop_within)
        if count <= when.stop_changes:
            phase, since = "closed", at
            edges.append(Edge(False, at, count=count))

    due = None
    if phase == "open":
        due = changes[-when.stop_changes - 1] + when.stop_within
    elif changes:
        due = changes[-1] + longest  # then nothing is left to remember
    value = float(len(changes)) if changes else None
    return Turn(State(phase, since, value, due=due, data=changes or None), tuple(edges))


def _inside(changes: list[int], after: int) -> int:
    return sum(c > after for c in changes)
