"""``all``: open when several things came about within one window."""

from msgspec import Struct, convert, to_builtins

from responder.core.conditions.state import Closed, Due, Edge, Opened, State, Told, Turn
from responder.core.rule import AllWhen
from responder.core.signal import Instant


class Memory(Struct):
    """What ``state.data`` holds, by member."""

    last: list[Instant | None] = []
    """The newest open edge while it is inside the window."""
    firing: list[int] = []


def step(when: AllWhen, state: State, told: Told) -> Turn:
    """Open when each member had an open edge inside ``within``, close as soon as one of them ends.

    Only edges open it, in any order: a member that has fired for longer than ``within`` had
    its edge too early, and one that is over by now had its edge all the same. The window is
    ``(now - within, now]``. A member ends when none of its alerts fires any more. While none
    fires at all (momentary ones, or already over), it closes ``within`` after the last edge at
    which each member was inside the window.
    """
    if not isinstance(told, Opened | Closed | Due):
        return Turn(state)
    memory = convert(state.data, Memory) if state.data else Memory()
    at = told.at if isinstance(told, Due) else max(told.at, state.since, *(t for t in memory.last if t is not None))
    missing = len(when.of) - len(memory.firing)  # a reload may have added members
    memory.last = [None if t is None or t <= at - when.within else t for t in memory.last] + [None] * missing
    memory.firing += [0] * missing
    if isinstance(told, Opened):
        memory.last[told.member] = at
        memory.firing[told.member] += not told.momentary
        return _came(when, state, memory, at)
    ends, expired = True, False
    if isinstance(told, Closed):
        ends, expired = memory.firing[told.member] == 1, told.expired
        memory.firing[told.member] = max(memory.firing[told.member] - 1, 0)
    if state.phase == "closed":
        return Turn(_closed(when, memory, state.since))
    if not ends:
        return Turn(State("open", state.since, due=state.due, data=to_builtins(memory)))
    return Turn(_closed(when, memory, at), (Edge(False, at, expired=expired),))


def _came(when: AllWhen, state: State, memory: Memory, at: Instant) -> Turn:
    came = [(member.name, t) for member, t in zip(when.of, memory.last, strict=False) if t is not None]
    complete = len(came) == len(when.of)
    if state.phase == "closed" and not complete:
        return Turn(_closed(when, memory, state.since))
    due = None if any(memory.firing) else at + when.within if complete else state.due
    if state.phase == "open":
        return Turn(State("open", state.since, due=due, data=to_builtins(memory)))
    steps = tuple(sorted(came, key=lambda step: step[1]))
    return Turn(State("open", at, due=due, data=to_builtins(memory)), (Edge(True, at, steps=steps),))


def _closed(when: AllWhen, memory: Memory, since: Instant) -> State:
    newest = max((t for t in memory.last if t is not None), default=None)
    if newest is None:
        return State("closed", since, data=to_builtins(memory) if any(memory.firing) else None)
    return State("closed", since, due=newest + when.within, data=to_builtins(memory))
