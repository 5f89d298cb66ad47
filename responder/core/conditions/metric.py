"""``metric``: thresholds on the series of a query, judged at its evaluations as Prometheus does."""

from math import isfinite
from typing import Any, TypeAlias

from responder.core.conditions.state import Edge, Phase, Sampled, State, Told, Turn
from responder.core.rule import Bound, MetricWhen
from responder.core.signal import MINUTE, Instant

Pending: TypeAlias = list[list[Any]]
"""``[fingerprint of the series, instant since which it has met the bound]``; None stands for "no data"."""


def step(when: MetricWhen, state: State, told: Told) -> Turn:
    """Open when one series has met ``open`` for its hold, close when all have met ``close`` for theirs.

    At rest, and while open with nothing that closes it, the same state comes back: values
    alone change nothing. ``state.data`` is ``{"since": Pending}``, with ``lost``
    beside it while ``no_data: keep`` gets none: the instant of the last evaluation with data. A
    series that vanishes while others of its key remain is dropped: it neither opens the key nor
    keeps it open.
    """
    if not isinstance(told, Sampled):
        return Turn(state)
    at = max(told.at, state.since, told.last_at or state.since)
    if not told.values:
        return _without_data(when, state, told, at)
    if state.phase == "closed" or state.phase == "pending":
        return _judge_open(when, state, told, at)
    return _judge_close(when, state, told, at)


def meets(bound: Bound, value: float) -> bool:
    """Say whether a value meets a threshold; infinities compare like any number."""
    match bound.op:
        case "above":
            return value > bound.a
        case "below":
            return value < bound.a
        case "outside":
            return value < bound.a or value > bound.b
        case "equal":
            return value == bound.a
        case "not_equal":
            return value != bound.a


def _judge_open(when: MetricWhen, state: State, told: Sampled, at: Instant) -> Turn:
    bound = when.open
    met = [(fp, value) for fp, value in told.values if meets(bound, value)]
    if not met:
        return Turn(state) if state.data is None else Turn(State("closed", at))
    before = _before(when, state, told, at)
    since: Pending = [[fp, before.get(fp, at)] for fp, _ in met]
    ripe = [value for (_, value), (_, t) in zip(met, since, strict=True) if at - t >= bound.hold]
    if not ripe:
        return Turn(_waiting("pending", state, since, min(t for _, t in since)))
    return _opened(when, told, at, max(ripe, key=lambda value: _distance(bound, value)))


def _opened(when: MetricWhen, told: Sampled, at: Instant, value: float | None) -> Turn:
    since = [[fp, at] for fp, v in told.values if when.close and when.close.hold and meets(when.close, v)]
    data = {"since": since} if since else None
    stored = value if value is not None and isfinite(value) else None  # JSON has no infinity
    return Turn(State("open", at, stored, data=data), (Edge(True, at, value),))


def _judge_close(when: MetricWhen, state: State, told: Sampled, at: Instant) -> Turn:
    bound = when.close
    if bound is None:
        if any(meets(when.open, value) for _, value in told.values):
            return Turn(state)
        return _closed(when, told, at)
    met = [fp for fp, value in told.values if meets(bound, value)]
    all_met = len(met) == len(told.values)
    before = _before(when, state, told, at)
    since: Pending = [[fp, before.get(fp, at)] for fp in met]
    if all_met and all(at - t >= bound.hold for _, t in since):
        return _closed(when, told, at)
    if not met or not bound.hold:
        return Turn(_open_again(state, at))
    if all_met:
        return Turn(_waiting("closing", state, since, max(t for _, t in since)))
    return Turn(_waiting("open", state, since, state.since if state.phase == "open" else at))


def _without_data(when: MetricWhen, state: State, told: Sampled, at: Instant) -> Turn:
    holds = state.phase == "open" or state.phase == "closing"
    if when.no_data == "keep":
        if state.data is None or "lost" in state.data:
            return Turn(state)
        last = at if told.last_at is None else told.last_at
        return Turn(State(state.phase, state.since, state.value, data={**state.data, "lost": last}))
    if when.no_data == "close":
        if holds:
            return _closed(when, told, at)
        return Turn(state) if state.data is None else Turn(State("closed", at))
    if holds:
        return Turn(_open_again(state, at))
    since = _before(when, state, told, at).get(None, at)
    if at - since >= when.open.hold:
        return _opened(when, told, at, None)
    return Turn(_waiting("pending", state, [[None, since]], since))


def _before(when: MetricWhen, state: State, told: Sampled, at: Instant) -> dict[int | None, Instant]:
    """Return since when each series has met the bound; nothing after a long gap, which nobody can vouch for.

    The gap is measured from the last evaluation with data, else (after a start that does not
    know it) from the newest instant on record.
    """
    if state.data is None:
        return {}
    since: dict[int | None, Instant] = dict(state.data["since"])
    last = state.data.get("lost", told.last_at)
    gap = at - (max(since.values()) if last is None else last)
    return {} if gap > max(3 * when.every, 5 * MINUTE) else since


def _waiting(phase: Phase, state: State, pending: Pending, since: Instant) -> State:
    data = {"since": pending}
    if state.phase == phase and state.data == data:
        return state
    return State(phase, since, state.value, data=data)


def _open_again(state: State, at: Instant) -> State:
    if state.phase == "open":
        return state if state.data is None else State("open", state.since, state.value)
    return State("open", at, state.value)


def _closed(when: MetricWhen, told: Sampled, at: Instant) -> Turn:
    """Close with the value that is nearest to opening again, or none without data."""
    value = min((v for _, v in told.values), key=lambda v: _distance(when.open, v), default=None)
    return Turn(State("closed", at), (Edge(False, at, value),))


def _distance(bound: Bound, value: float) -> float:
    return abs(value - ((bound.a + bound.b) / 2 if bound.op == "outside" else bound.a))
