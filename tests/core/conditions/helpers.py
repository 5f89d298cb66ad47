"""A (rule, key) driven as the daemon drives it, and short names for what it is told."""

from typing import Any

import msgspec

from responder.core.conditions import step
from responder.core.conditions.state import Closed, Due, Edge, Expected, Opened, Sampled, Seen, State, Told
from responder.core.instant import parse_instant
from responder.core.rule import Bound, EventOf, Match, Member, MetricWhen, When
from responder.core.signal import MINUTE, SECOND, Instant

START = parse_instant("2026-01-05T00:00:00Z")
EVENT = EventOf(Match())


def at(minutes: float) -> Instant:
    return START + round(minutes * MINUTE)


def minutes(instant: Instant) -> float:
    return (instant - START) / MINUTE


def member(name: str = "m", **fields: Any) -> Member:
    return Member(name, event=EVENT, **fields)


def fires(m: float, member: int = 0, **fields: Any) -> Opened:
    return Opened(at(m), member, **fields)


def moment(m: float, member: int = 0, **fields: Any) -> Opened:
    return Opened(at(m), member, momentary=True, **fields)


def ends(m: float, member: int = 0, **fields: Any) -> Closed:
    return Closed(at(m), member, **fields)


def seen(m: float) -> Seen:
    return Seen(at(m))


def expected(m: float) -> Expected:
    return Expected(at(m))


def passes(m: float) -> Due:
    return Due(at(m))


class Key:
    """Steps through JSON: what a restart between any two steps would lose fails every test."""

    def __init__(self, when: When) -> None:
        self.when, self.state, self.edges = when, State(), list[Edge]()

    def tell(self, *tolds: Told) -> list[tuple[str, float]]:
        """Tell one thing after the other; return the edges as ("opens" or "closes", minute)."""
        before = len(self.edges)
        for told in tolds:
            turn = step(self.when, self.state, told)
            for edge in turn.edges:
                assert edge.opens is not (self.edges[-1].opens if self.edges else False), "edges alternate"
                assert not self.edges or edge.at >= self.edges[-1].at, "edges never go back"
                self.edges.append(edge)
            assert turn.state.due is None or turn.state.due > told.at, "what was due has been done"
            assert (turn.state.phase in ("open", "closing")) is bool(self.edges and self.edges[-1].opens)
            self.state = restarted(turn.state)
        return [("opens" if e.opens else "closes", minutes(e.at)) for e in self.edges[before:]]

    def tell_on_time(self, told: Told) -> None:
        """Tell it with a tick at each due instant before, none of them late."""
        while self.state.due is not None and self.state.due <= told.at:
            self.tell(Due(self.state.due))
        self.tell(told)


def restarted(state: State) -> State:
    """Return the state as it comes back from the store."""
    again = msgspec.json.decode(msgspec.json.encode(state), type=State)
    assert again == state
    return again


class Series:
    """A metric key that is sampled every 30 s, as the rule's poller would."""

    def __init__(self, no_data: Any = "keep", close: Bound | None = None, **bound: Any) -> None:
        hold = bound.pop("hold", 0)
        fields: dict[str, Any] = {"op": "above", "a": 600.0, **bound, "hold": round(hold * MINUTE)}
        self.when = MetricWhen("prometheus", "q", 30 * SECOND, Bound(**fields), no_data, close)
        self.key, self.now = Key(self.when), 0.0
        self.last: Instant | None = None

    def sample(self, *values: float, **of: float) -> list[tuple[str, float]]:
        """Evaluate once, 30 s after the last time: unnamed values are series 0, 1, ..., named ones are s<n>."""
        series = (*enumerate(values), *((int(name[1:]), value) for name, value in of.items()))
        now = at(self.now)
        edges = self.key.tell(Sampled(now, tuple(series), self.last))
        self.last = now
        self.now += 0.5
        return edges

    def run(self, *values: float | None) -> list[tuple[str, float]]:
        """Evaluate once per value of the one series; None is no data."""
        return [edge for value in values for edge in (self.sample() if value is None else self.sample(value))]

    def skip(self, minutes: float) -> None:
        self.now += minutes
