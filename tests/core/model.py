"""Rules and incidents as SPEC 3.2 to 3.4 tell them, computed from the whole history: slow, and easy to believe.

Shares no code with the product. Times are minutes. A moment is (minute, number): of one minute,
number 0 is what time itself brings about, before the observations that arrive in it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Rule: TypeAlias = Mapping[str, Any]
"""As it is written in YAML, with durations in whole minutes."""
Key: TypeAlias = tuple[tuple[str, str], ...]
Moment: TypeAlias = tuple[int, int]
History: TypeAlias = list[tuple[str, int]]
"""What happened to one incident, and when."""


class Seen(NamedTuple):
    """One observation of an alert."""

    minute: int
    what: str
    """fires, ends or occurs (a momentary one)."""
    name: str
    host: str
    starts: int
    lapses: int | None = None


@dataclass(eq=False)
class Firing:
    """One occurrence of an alert."""

    name: str
    host: str
    begins: Moment
    seen: list[Moment]
    ends: Moment | None = None
    momentary: bool = False


class Edge(NamedTuple):
    """Something that a rule is told of a member, or tells itself."""

    at: Moment
    opens: bool
    of: object
    momentary: bool = False
    repeated: bool = False


@dataclass(eq=False)
class Incident:
    opened: int
    history: History
    firing: int = 0
    resolved: int | None = None
    closed: bool = False


def minutes(text: str) -> int:
    return int(text.removesuffix("m"))


def firings(history: Sequence[Seen], end: int) -> list[Firing]:
    """Return the occurrences of all alerts; those that nobody ended lapse when their sender said so."""
    found: list[Firing] = []
    for name, host in sorted({(seen.name, seen.host) for seen in history}):
        current, lapses, resolved = None, None, -1
        for number, seen in enumerate([*history, Seen(end, "stands", name, host, end)], 1):
            if (seen.name, seen.host) != (name, host):
                continue
            if current is not None and lapses is not None and lapses <= seen.minute:
                current.ends, current = (lapses, 0), None
            moment = (seen.minute, number)
            if seen.what == "occurs":
                found.append(Firing(name, host, moment, [moment], moment, momentary=True))
            elif seen.what == "fires" and current is not None:
                current.seen.append(moment)
                lapses = seen.lapses if lapses is None or seen.lapses is None else max(lapses, seen.lapses)
            elif seen.what == "fires" and seen.starts > resolved:  # else it is an old message
                current, lapses = Firing(name, host, moment, [moment]), seen.lapses
                found.append(current)
            elif seen.what == "ends" and current is not None:
                current.ends, current, resolved = moment, None, seen.starts
    return found


class Model:
    """What a list of rules makes of a history."""

    def __init__(self, rules: Iterable[Rule], history: Sequence[Seen], end: int) -> None:
        self._rules = {rule["id"]: rule for rule in rules}
        self._firings, self._end = firings(history, end), end
        self._known: dict[str, dict[Key, list[Edge]]] = {}

    def incidents(self) -> dict[tuple[str, Key], list[History]]:
        """Return the histories of the incidents of each key, in the order in which they opened."""
        found = {}
        for id, rule in self._rules.items():
            told = self._told(rule, {"event": rule["when"]["event"]}) if "event" in rule["when"] else self.edges(id)
            for key, edges in told.items():
                histories = [incident.history for incident in self._live(rule, edges)[0]]
                if histories:
                    found[id, key] = histories
        return found

    def edges(self, id: str) -> dict[Key, list[Edge]]:
        """Return the edges of a rule's condition."""
        if id not in self._known:
            rule = self._rules[id]
            [(kind, when)] = rule["when"].items()
            members = when["of"] if kind == "all" else [rule["when"] if kind == "event" else when["of"]]
            told = [self._told(rule, member) for member in members]
            judge: Callable[..., list[Edge]] = getattr(self, f"_{kind}")
            keys = sorted({key for one in told for key in one})
            self._known[id] = {key: judge(rule, when, [one.get(key, []) for one in told]) for key in keys}
        return self._known[id]

    def _told(self, rule: Rule, member: Mapping[str, Any]) -> dict[Key, list[Edge]]:
        found: dict[Key, list[Edge]] = {}
        if "rule" in member:
            for key, edges in self.edges(member["rule"]).items():
                mine = tuple(label for label in key if label[0] in rule["by"])
                found.setdefault(mine, []).extend(edge._replace(of=key) for edge in edges)
        else:
            for one in self._firings:
                if one.name == member["event"]["match"]["labels"]["alertname"]:
                    edges = found.setdefault((("host", one.host),) if rule["by"] else (), [])
                    edges += [Edge(at, True, one, one.momentary, at != one.begins) for at in one.seen]
                    edges += [Edge(one.ends, False, one, one.momentary)] if one.ends else []
        for edges in found.values():
            edges.sort(key=lambda edge: edge.at)
        return found

    # One function for each kind.

    def _event(self, rule: Rule, when: Any, told: list[list[Edge]]) -> list[Edge]:
        return self._live(rule, told[0])[1]

    def _absence(self, rule: Rule, when: Any, told: list[list[Edge]]) -> list[Edge]:
        wait, found = minutes(when["every"]) + minutes(when["grace"]), list[Edge]()
        observed = [edge.at for edge in told[0] if edge.opens]
        for at, after in zip(observed, [*observed, None][1:], strict=True):
            due = at[0] + wait
            if due <= self._end and (after is None or due <= after[0]):
                found.append(Edge((due, 0), True, None))
                found += [Edge(after, False, None)] if after else []
        return found

    def _count(self, rule: Rule, when: Any, told: list[list[Edge]]) -> list[Edge]:
        within = minutes(when["within"])
        edges = [edge for edge in told[0] if edge.opens and not edge.repeated]
        return self._judged(edges, within, lambda at, n, _: _inside(edges[:n], at - within) >= when["at_least"])

    def _flapping(self, rule: Rule, when: Any, told: list[list[Edge]]) -> list[Edge]:
        edges = [edge for edge in told[0] if not edge.repeated]
        start, stop = minutes(when["start"]["within"]), minutes(when["stop"]["within"])
        many, few = int(when["start"]["changes"]), int(when["stop"]["changes"])

        def holds(at: int, known: int, open_: bool) -> bool:
            return _inside(edges[:known], at - stop) > few if open_ else _inside(edges[:known], at - start) >= many

        return self._judged(edges, stop, holds)

    def _judged(self, edges: list[Edge], ages: int, holds: Callable[[int, int, bool], bool]) -> list[Edge]:
        """Judge when an edge ages, where it can only close, and at each edge."""
        instants = [((edge.at[0] + ages, 0), 0) for edge in edges]
        instants += [(edge.at, n) for n, edge in enumerate(edges, 1) if not _half(edge, edges[n:])]
        found, open_, known = list[Edge](), False, 0
        for at, n in sorted(instant for instant in instants if instant[0][0] <= self._end):
            known = max(known, n)
            if n and not open_ and holds(at[0], known, False):
                found.append(Edge(at, open_ := True, None))
            if open_ and not holds(at[0], known, True):
                found.append(Edge(at, open_ := False, None))
        return found

    def _all(self, rule: Rule, when: Any, told: list[list[Edge]]) -> list[Edge]:
        within, found, open_, complete = minutes(when["within"]), list[Edge](), False, 0
        last, firing = dict[int, int](), [set[object]() for _ in told]
        instants = [(edge.at, n, edge) for n, edges in enumerate(told) for edge in edges if not edge.repeated]
        for at, n, edge in [*sorted(instants, key=lambda one: one[:2]), ((self._end, 0), 0, None)]:
            if open_ and not any(firing) and complete + within <= at[0]:  # none of them has an end
                open_ = False
                found.append(Edge((complete + within, 0), False, None))
            if edge is None or (edge.momentary and not edge.opens):
                continue
            if edge.opens:
                last[n] = at[0]
                firing[n] |= set() if edge.momentary else {edge.of}
                if len([one for one in last.values() if one > at[0] - within]) == len(told):
                    complete = at[0]
                    found += [] if open_ else [Edge(at, True, None)]
                    open_ = True
            elif edge.of in firing[n]:
                firing[n].remove(edge.of)
                if open_ and not firing[n]:
                    open_ = False
                    found.append(Edge(at, False, None))
        return found

    def _live(self, rule: Rule, edges: Iterable[Edge]) -> tuple[list[Incident], list[Edge]]:
        """Return the incidents that edges lead to, and what other rules hear: when the newest one's alerts fire."""
        window, age = minutes(rule["reopen_within"]), minutes(rule.get("max_age", "1000000m"))
        found, heard = list[Incident](), list[Edge]()
        home: dict[object, Incident] = {}
        for edge in [*edges, Edge((self._end, 0), False, None, repeated=True)]:
            at = edge.at[0]
            for one in found:
                if one.resolved is not None and not one.closed and one.resolved + window <= at:
                    one.closed = True
                    one.history.append(("closed", one.resolved + window))
            if edge.repeated:
                continue
            newest = found[-1] if found else None
            if edge.opens:
                if newest is None or not newest.firing:
                    heard.append(Edge(edge.at, True, None, edge.momentary))
                if newest is None or newest.closed or at >= newest.opened + age:
                    newest = Incident(at, [("opened", at)])
                    found.append(newest)
                elif newest.resolved is not None:
                    newest.resolved = None
                    newest.history.append(("reopened", at))
                newest.firing += 1
                home[edge.of] = newest
            else:
                left = home.pop(edge.of)
                left.firing -= 1
                if not left.firing:
                    left.resolved = at
                    left.history.append(("resolved", at))
                    if left is newest:
                        paired = bool(heard) and heard[-1].opens and heard[-1].momentary and heard[-1].at == edge.at
                        heard.append(Edge(edge.at, False, None, paired))
        return found, heard


def _half(edge: Edge, later: Sequence[Edge]) -> bool:
    """Say whether it is the beginning of a momentary one, whose end comes with it."""
    return edge.momentary and edge.opens and bool(later) and later[0].at == edge.at


def _inside(edges: Iterable[Edge], after: int) -> int:
    return sum(edge.at[0] > after for edge in edges)
