"""``event``: open while at least one alert of the key fires."""

from responder.core.conditions.state import Closed, Edge, Opened, State, Told, Turn
from responder.core.rule import EventWhen


def one_more(state: State) -> State:
    """Return the state of an open key after one more alert began: no edge."""
    return State("open", state.since, None, state.firing + 1)


def step(when: EventWhen, state: State, told: Told) -> Turn:
    """Open with the first firing alert, close when none fires any more.

    A momentary alert opens and closes at once; while others fire it changes nothing.
    """
    if isinstance(told, Opened):
        if state.phase == "open" and not told.momentary:
            return Turn(one_more(state))
        if state.phase == "open" and state.firing:
            return Turn(state)
        at = max(told.at, state.since)
        if state.phase == "open":  # what fires has stayed with the incident before this one
            return Turn(State("closed", at), (Edge(False, at),))
        if told.momentary:
            return Turn(State("closed", at), (Edge(True, at, momentary=True), Edge(False, at, momentary=True)))
        return Turn(State("open", at, None, 1), (Edge(True, at),))
    if isinstance(told, Closed) and state.phase == "open":
        if state.firing > 1:
            return Turn(State("open", state.since, None, state.firing - 1))
        at = max(told.at, state.since)
        return Turn(State("closed", at), (Edge(False, at, expired=told.expired),))
    return Turn(state)
