"""``absence``: open when what should come again and again has not come in time."""

from responder.core.conditions.state import Due, Edge, Expected, Opened, Seen, State, Told, Turn
from responder.core.rule import AbsenceWhen


def step(when: AbsenceWhen, state: State, told: Told) -> Turn:
    """Open at the last observation + every + grace, close with the next observation.

    A firing observation is one, be it an edge or a repeat; the end of an alert is none.
    ``state.data`` is the instant of the last one. ``Expected`` starts the clock of a key
    that was never seen and is not awaited yet.
    """
    if isinstance(told, Opened | Seen):
        return _observed(when, state, told.at)
    if isinstance(told, Expected) and state.phase == "closed" and state.due is None:
        return Turn(State("closed", told.at, due=told.at + when.every + when.grace))
    if isinstance(told, Due) and state.due is not None and state.due <= told.at:
        return Turn(State("open", state.due, data=state.data), (Edge(True, state.due),))
    return Turn(state)


def _observed(when: AbsenceWhen, state: State, at: int) -> Turn:
    at = max(at, state.since, state.data or 0)
    due = at + when.every + when.grace
    if state.phase == "open":
        return Turn(State("closed", at, due=due, data=at), (Edge(False, at),))
    since = at if state.due is None else state.since
    return Turn(State("closed", since, due=due, data=at))
