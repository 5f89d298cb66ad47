"""``sequence``: open when things came in order, or when the last of them did not come in time."""

from msgspec import Struct, convert, to_builtins

from responder.core.conditions.state import Closed, Due, Edge, Opened, State, Told, Turn
from responder.core.rule import SequenceWhen
from responder.core.signal import Instant


class Memory(Struct):
    """What ``state.data`` holds; its size depends on the number of steps alone."""

    firing: list[int] = []
    """By step: how many of its alerts fire."""
    chains: list[list[Instant]] = []
    """By step but the last: when it and those before it came, for the newest first step that leads to it."""
    armed: list[Instant] = []
    """The oldest chain that still waits for its absent last step."""
    awaits: int | None = None
    """While open: the step whose end closes it; None: time does, or the awaited edge."""


def step(when: SequenceWhen, state: State, told: Told) -> Turn:
    """Open on the last step, all steps having come in order within ``within`` of the first.

    The window is ``(now - within, now]``. A new first step begins anew and takes over from an
    older one at each step it reaches. A last ``absent`` step opens it ``within`` after the
    first step of the oldest chain that waits, and closes it whenever it comes. Otherwise the
    last step, in order, that fires at the opening closes it by its end; when none fires, it
    closes ``within`` after the last completion. A step counts by its edge even if its alert
    is over by then; alerts that reach two steps at once are told the later step first.
    """
    if not isinstance(told, Opened | Closed | Due):
        return Turn(state)
    memory = convert(state.data, Memory) if state.data else Memory()
    at = told.at if isinstance(told, Due) else max(told.at, state.since, *(c[-1] for c in memory.chains if c))
    memory.chains = [c if c and c[0] > at - when.within else [] for c in memory.chains]
    memory.chains += [[] for _ in range(len(when.steps) - 1 - len(memory.chains))]  # a reload may have added steps
    memory.firing += [0] * (len(when.steps) - len(memory.firing))
    if isinstance(told, Opened):
        return _came(when, state, memory, told, at)
    if isinstance(told, Closed):
        ends = memory.firing[told.member] == 1 and memory.awaits == told.member
        memory.firing[told.member] = max(memory.firing[told.member] - 1, 0)
        return _close(when, memory, at, told.expired) if ends else Turn(_unchanged(when, state, memory))
    if state.phase == "open":
        return _close(when, memory, at)
    return _open(when, state, memory, memory.armed, at) if memory.armed else Turn(_unchanged(when, state, memory))


def _came(when: SequenceWhen, state: State, memory: Memory, told: Opened, at: Instant) -> Turn:
    step, last, absent = told.member, len(when.steps) - 1, when.steps[-1].absent
    memory.firing[step] += not told.momentary
    if step == last and absent:
        memory.armed = []
        return _close(when, memory, at) if state.phase == "open" else Turn(_unchanged(when, state, memory))
    before = memory.chains[step - 1] if step else []
    if step and not before:
        return Turn(_unchanged(when, state, memory))
    chain = [*before, at]
    if step == last:
        return _open(when, state, memory, chain, at)
    memory.chains[step] = chain
    if absent and step == last - 1 and state.phase == "closed":
        memory.armed = memory.armed or chain
    return Turn(_unchanged(when, state, memory))


def _open(when: SequenceWhen, state: State, memory: Memory, chain: list[Instant], at: Instant) -> Turn:
    """Open; or, when it is open already, measure anew what will close it."""
    memory.armed, due = [], None
    if not when.steps[-1].absent:
        memory.awaits = max((n for n, firing in enumerate(memory.firing) if firing), default=None)
        due = at + when.within if memory.awaits is None else None
    if state.phase == "open":
        return Turn(State("open", state.since, due=due, data=to_builtins(memory)))
    steps = tuple((step.name, t) for step, t in zip(when.steps, chain, strict=False))  # an absent step has no instant
    return Turn(State("open", at, due=due, data=to_builtins(memory)), (Edge(True, at, steps=steps),))


def _close(when: SequenceWhen, memory: Memory, at: Instant, expired: bool = False) -> Turn:
    memory.awaits = None
    return Turn(_closed(when, memory, at), (Edge(False, at, expired=expired),))


def _unchanged(when: SequenceWhen, state: State, memory: Memory) -> State:
    if state.phase == "open":
        return State("open", state.since, due=state.due, data=to_builtins(memory))
    return _closed(when, memory, state.since)


def _closed(when: SequenceWhen, memory: Memory, since: Instant) -> State:
    waits = memory.armed or (memory.chains[0] if memory.chains else [])  # no chain is newer than the first step's
    if not waits:
        return State("closed", since, data=to_builtins(memory) if any(memory.firing) else None)
    return State("closed", since, due=waits[0] + when.within, data=to_builtins(memory))
