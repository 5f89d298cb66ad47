"""``count``: open while enough open edges, or distinct values, lie inside the window."""

from hashlib import blake2b
from typing import Any

from responder.core.conditions.state import Due, Edge, Opened, State, Told, Turn
from responder.core.rule import CountWhen
from responder.core.signal import Instant


def step(when: CountWhen, state: State, told: Told) -> Turn:
    """Open at the edge that makes ``at_least``, close when ageing takes the window below it.

    The window is ``(now - within, now]``, as a Prometheus range: an edge ages out exactly
    ``within`` after it came. ``state.data`` holds ``[instant, digest of the value or null]``,
    oldest first: the newest ``at_least`` decide, older ones are not kept. An edge without the
    ``distinct`` label has no value and does not count.
    """
    seen: list[Any] = state.data or []
    at = told.at
    if isinstance(told, Opened) and (told.value or when.distinct is None):
        at = max(at, state.since, seen[-1][0] if seen else at)
        value = None if when.distinct is None else _digest(told.value)
        seen = [*(s for s in seen if value is None or s[1] != value), [at, value]]
    elif not isinstance(told, Due):
        return Turn(state)
    return _judge(when, state, [s for s in seen[-when.at_least :] if s[0] > at - when.within], at)


def _judge(when: CountWhen, state: State, seen: list[Any], at: Instant) -> Turn:
    enough = len(seen) >= when.at_least
    since, edges = state.since, tuple[Edge, ...]()
    if enough is not (state.phase == "open"):
        since, edges = at, (Edge(enough, at, count=len(seen)),)
    if not seen:
        return Turn(State("closed", since), edges)
    # While closed, time takes away the last thing to remember; while open, the edge that makes it enough.
    due = (seen[0] if enough else seen[-1])[0] + when.within
    return Turn(State("open" if enough else "closed", since, float(len(seen)), due=due, data=seen), edges)


def _digest(value: str) -> str:
    """Return what stands for a value in the state, however long the value is."""
    return blake2b(value.encode(), digest_size=8).hexdigest()
