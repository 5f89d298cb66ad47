"""Which service or host broke first: what alerts say about causes, and how it adds up.

Each different alert of a problem is one *clue*. Its weight is the product of

- rarity: how surprising it is that this very alert takes part in a problem, judged by a
  memory that fades slowly and by one that fades fast;
- specificity: the fewer suspects show the same kind of alert, the more it says, and of those of
  one suspect the second says a half, the third a third: its instances make it no likelier;
- earliness: e^(-age / 120 s) since the storm began: where the evidence gathers, which need not be the
  problem's first alert, for what came by chance minutes before may have begun the problem;
- kind: what is felt in calls between services (latency, errors) weighs .15 of what an
  entity says about itself (processor, memory, disk, restarts).

Callers then hand .3 of what is a symptom in them to the alerting suspects they rest on; where
several rest on the same thing that says nothing itself, part of what they say counts for that.
The numbers are the defaults of :class:`Weights`, which ``causes:`` of the configuration sets.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from math import exp, log
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from responder.core.instant import format_span
from responder.core.signal import DAY, HOUR, SECOND, Instant, Labels, Span
from responder.core.speaking import speaks_of
from responder.core.topology import Node, Topology, name_of

CLUES_AT_MOST: Final = 1000
"""Different alerts that one problem is judged by, give or take those of an incident."""
_HANDING_AT_MOST: Final = 64
_GATHERED: Final = 2 / 3
"""A storm begins where first so much follows of the most evidence that follows any one alert, each fading with its delay."""
_PEER_LABELS: Final = frozenset(
    {
        "caller", "callee", "client", "peer", "upstream", "downstream", "source_service", "destination_service",
        "source_workload", "destination_workload", "client_service", "server_service", "operation", "span", "span_name",
        "route", "rpc_method",
    }
)  # fmt: skip
_PLAIN_LABELS: Final = frozenset({"alertname", "service", "severity", "job"})
_RESOURCE: Final = re.compile(
    r"cpu|mem(ory)?|disk|fs|filesystem|inode|swap|oom|thread|gc|heap|load|network|bytes|packet|io|i/o|temperature|"
    r"restart(s|ed|ing)?|crash(ed|loop\w*)?|kill(ed)?|evict(ed)?|full|pressure|saturat\w*|fd|handles|connections|pool"
)
_CALL: Final = re.compile(
    r"latenc(y|ies)|slow(ly|er)?|durations?|rtt|responses?|timeouts?|apdex|errors?|"
    r"errs?|success|fail(ed|ure|ures|ing)?|5xx|4xx|requests?|availability|unavailable|burn(rate)?|slo|rpc"
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z]+|i/o", re.ASCII)


class Weights(Struct, frozen=True):
    """How much each observation says: ``causes:`` of the configuration, with these defaults."""

    call: float = 0.15
    """Of a call's latency or errors, against an entity's own resource; 0..1."""
    handed: float = 0.3
    """The part of its symptoms that a caller hands to those beneath it; 0..1."""
    specificity: float = 1.0
    """The power to which the number of suspects with the same kind of alert divides; not below 0."""
    earliness: Span = 120 * SECOND
    """An alert so much after the storm began says 1/e of what it would have said then."""
    slow: Span = 30 * DAY
    """Half-life of the memory that knows what is usual."""
    fast: Span = 2 * HOUR
    """Half-life of the memory that knows what is still going on from the problem before."""
    alone: Span = DAY
    """Half-life of the memory of alerts that came without a problem."""


class Memory(Struct, frozen=True, gc=False):
    """How often something happened, fading: one very alert, or (key 0) problems as such."""

    key: int
    slow: float = 0.0
    fast: float = 0.0
    alone: float = 0.0
    """How much oftener the alert came without a problem than with one."""
    at: Instant = 0


class Fact(Struct, frozen=True, gc=False):
    """What one alert says, whatever problem it belongs to; depends on nothing but labels and topology."""

    key: int
    """Of this very alert: kind and subject."""
    kind: int
    words: str
    """The alert in words, at most 100 characters."""
    suspect: Node
    """The service or entity that it counts for."""
    service: str
    """The suspect when it is a service, else empty."""
    call: bool
    nodes: tuple[Node, ...]
    """Where it stands in the topology: its service, its subject."""


class Clue(Struct, frozen=True, gc=False):
    """One different alert of a problem. Stored by (problem, key)."""

    fact: Fact
    first_at: Instant
    last_at: Instant
    slow: float = 0.0
    """The part of earlier problems that it took part in when it came, slowly and fast fading; problems known."""
    fast: float = 0.0
    rarity: float = 0.0
    count: int = 1
    filed: tuple[tuple[str, Instant], ...] = ()
    """Where its incident is found since this alert, by the entries of the topology: (what must be equal, when)."""


class Cause(Struct, frozen=True):
    """One probable cause, as the API shows it. ``service`` is empty for a host or another entity."""

    service: str
    entity: str
    score: float
    """Its part of the evidence, 0..1."""
    reason: str


def fact(labels: Labels, service: str, topology: Topology, rule: str = "", words: str = "") -> Fact:
    """Return what an alert says.

    Args:
        labels: Of the alert; for rules that are not of kind ``event`` the key's labels and the rule's.
        service: Of the incident; of several names see :func:`speaks_of`.
        topology: Tells instances from hosts.
        rule: Names the alert when it has no ``alertname``.
        words: Further text that says what it is about: a summary, a metric's name.
    """
    service, subject = speaks_of(labels, service, topology)
    own = topology.node(service, labels) if service else ""
    suspect = _suspect(own, subject, topology)
    if suspect == own and labels.get("service") != service and _is_filed_only(own, subject, labels, topology):
        suspect = subject
    apart, who, suspected = topology.naming_labels, (service, name_of(subject)), name_of(suspect)
    rest = [
        (name, value)
        for name, value in labels.items()
        if name not in _PLAIN_LABELS and name not in apart and value not in who
    ]
    kind, shown, said = _said(rule, labels.get("alertname") or rule, words, tuple(sorted(rest)))
    return Fact(
        key=_hash(str(kind), own, subject),
        kind=kind,
        words=shown,
        suspect=suspect,
        service=suspected if suspect == own or suspected in topology.services else "",
        call=felt_in_calls(labels, said),
        nodes=tuple([node for node in ((own, subject) if own != subject else (own,)) if node]),
    )


@lru_cache(4096)
def _said(rule: str, name: str, words: str, rest: tuple[tuple[str, str], ...]) -> tuple[int, str, str]:
    """Return what alerts of one kind have in common: (kind, shown in words, all that is said)."""
    text = " ".join((name, *(value for _, value in rest))).strip()
    shown = text if len(text) <= 100 else text[:99] + "…"
    return _hash(rule, name, *(part for pair in rest for part in pair)), shown, f"{name} {rule} {words} {text}"


def felt_in_calls(labels: Labels, words: str) -> bool:
    """Say whether an alert is felt in calls between services rather than in one entity itself.

    It is when it names the other side or the call (``caller``, ``operation``), or when its words
    speak of latency, errors or requests and of no resource.
    """
    return not _PEER_LABELS.isdisjoint(labels) or _speaks_of_calls(words)


@lru_cache(4096)
def _speaks_of_calls(words: str) -> bool:
    parts = {part.lower() for part in _WORDS.findall(words)}
    if any(_RESOURCE.fullmatch(part) for part in parts):
        return False
    return any(_CALL.fullmatch(part) for part in parts)


def remembered(memory: Memory | None, key: int, at: Instant, weights: Weights) -> Memory:
    """Return the memory as it has faded by *at*; an unknown key was never seen."""
    if memory is None:
        return Memory(key, at=at)
    if memory.at >= at:
        return memory
    age = at - memory.at
    return Memory(
        key,
        memory.slow * 0.5 ** (age / weights.slow),
        memory.fast * 0.5 ** (age / weights.fast),
        memory.alone * 0.5 ** (age / weights.alone),
        at,
    )


def took_part(memory: Memory) -> Memory:
    """Return the memory after one more problem."""
    return replace(memory, slow=memory.slow + 1, fast=memory.fast + 1, alone=max(0.0, memory.alone - 1))


def rated(said: Clue, memory: Memory, problems: Memory) -> Clue:
    """Return the clue of an alert's first appearance in a problem with what memory says of it.

    The rarity is fixed here, so that ranking asks no memory: the surprise (-log of the
    part of problems with this alert) in the slow memory times that in the fast one, divided
    by the square of one and the times that the alert came without a problem.
    """
    surprise = _surprise(problems.slow, memory.slow) * _surprise(problems.fast, memory.fast)
    return replace(
        said,
        slow=min(1.0, memory.slow / problems.slow) if problems.slow >= 0.5 else 0.0,
        fast=min(1.0, memory.fast / problems.fast) if problems.fast >= 0.5 else 0.0,
        rarity=surprise / (1.0 + memory.alone) ** 2,
    )


def earlier(problems: Memory, started_at: Instant, at: Instant, weights: Weights) -> Memory:
    """Return the memory of problems without the one that began then: for an alert that joins it."""
    age = max(0, at - started_at)
    slow, fast = problems.slow - 0.5 ** (age / weights.slow), problems.fast - 0.5 ** (age / weights.fast)
    return replace(problems, slow=max(0.0, slow), fast=max(0.0, fast))


def _surprise(problems: float, mine: float) -> float:
    # Never below nothing: memories that faded under other weights may have more of an alert than of problems.
    return max(0.0, log((problems + 2) / (mine + 1)))


def since(clues: Collection[Clue], at: Instant) -> Collection[Clue]:
    """Return what was news since *at*; an alert that began before and again since counts from when it last began.

    Without it one alert that was there long before the problem would be its start, and all others late.
    Where nothing was news since, everything is evidence.
    """
    if all(one.first_at >= at for one in clues):
        return clues
    news = [one for one in clues if one.last_at >= at]
    return [one if one.first_at >= at else replace(one, first_at=one.last_at) for one in news] or clues


def rank(
    clues: Collection[Clue], topology: Topology, weights: Weights, changes: Mapping[str, str] | None = None
) -> tuple[Cause, ...]:
    """Return the probable causes, the likeliest first; empty without clues.

    Args:
        clues: All of one problem.
        changes: For a service, a recent change of it in words: ``release 1.4.2 of it 6 min before``.
    """
    clues = [one for one in clues if one.fact.suspect]
    if not clues:
        return ()
    start = min(one.first_at for one in clues)
    shows: dict[int, set[Node]] = {}
    for one in clues:
        shows.setdefault(one.fact.kind, set()).add(one.fact.suspect)
    score: dict[Node, float] = {}
    symptom: dict[Node, float] = {}
    best: dict[Node, tuple[float, Clue]] = {}
    alike: dict[tuple[Node, int], int] = {}
    said: list[tuple[Clue, float]] = []
    for one in sorted(clues, key=lambda one: (one.first_at, one.fact.key)):
        node, kind = one.fact.suspect, one.fact.kind
        alike[node, kind] = nth = alike.get((node, kind), 0) + 1
        weight = one.rarity * (weights.call if one.fact.call else 1.0)
        said.append((one, weight / (nth * len(shows[kind]) ** weights.specificity)))
    for (one, weight), early in zip(said, _early(said, weights.earliness), strict=True):
        node = one.fact.suspect
        weight *= early
        if one.fact.call:
            symptom[node] = symptom.get(node, 0.0) + weight
        score[node] = score.get(node, 0.0) + weight
        if node not in best or weight > best[node][0]:
            best[node] = weight, one
    silent = _blame_silent(_hand(score, symptom, topology, weights.handed), score, topology)
    order = sorted(score, key=lambda node: (-score[node], best[node][1].first_at if node in best else start, node))
    total = sum(score.values()) or 1.0
    services = {one.fact.suspect: one.fact.service for one in clues}
    services |= {node: name if (name := name_of(node)) in topology.services else "" for node in silent}
    return tuple(
        Cause(
            service=services[node],
            entity=name_of(node),
            score=round(score[node] / total, 4),
            reason=f"{_share(node, order, score[node] / total)}: "
            + (silent[node] if node in silent else _observed(best[node][1], start))
            + (f"; {changes[services[node]]}" if changes and services[node] in changes else ""),
        )
        for node in order[:10]
    )


def _early(said: list[tuple[Clue, float]], fades: Span) -> list[float]:
    """Return how much the instant of each clue says, 0..1: of those before the storm, by how little of it follows them."""
    follows: list[float] = []
    mass, later = 0.0, 0
    for one, weight in reversed(said):
        mass = weight + (mass * exp((one.first_at - later) / fades) if mass else 0.0)
        later = one.first_at
        follows.append(mass)
    follows.reverse()
    enough = _GATHERED * max(follows)
    begins = next(n for n, mass in enumerate(follows) if mass >= enough)
    start = said[begins][0].first_at
    before = [mass / enough for mass in follows[:begins]]
    return before + [exp((start - one.first_at) / fades) for one, _ in said[begins:]]


def _hand(score: dict[Node, float], symptom: Mapping[Node, float], topology: Topology, part: float) -> list[Node]:
    """Move a part of each caller's symptoms down to what it rests on; inside a ring nothing moves.

    Return those beneath which nothing alerts.
    """
    loudest = dict.fromkeys(sorted(score, key=lambda node: -score[node])[:_HANDING_AT_MOST])
    beneath = {node: topology.beneath(node, loudest) for node in loudest}
    rings = _rings(beneath)
    flow = {node: symptom.get(node, 0.0) for node in loudest}
    for _ in range(4):  # what was handed is handed on, ever less
        received: dict[Node, float] = {}
        for node, amount in flow.items():
            lower = [other for other in beneath[node] if rings[other] != rings[node]]
            if amount <= 0.0 or not lower:
                continue
            score[node] = max(0.0, score[node] - part * amount)
            for other in lower:
                received[other] = received.get(other, 0.0) + part * amount / len(lower)
        for node, amount in received.items():
            score[node] += amount
        flow = received
    return [node for node, lower in beneath.items() if not lower]


def _blame_silent(lowest: Iterable[Node], score: dict[Node, float], topology: Topology) -> dict[Node, str]:
    """Let what says nothing itself be a suspect; return in words why each is one.

    Several that nothing alerting beneath them explains and that rest on the same silent node
    alert together by chance, or by it. The loudest may have failed by itself; the evidence of the
    others moves to the node, by the part of those resting on it that do alert. What rests on several
    such nodes divides it between them.
    """
    beside = {node: [other for other in topology.under(node) if other not in score] for node in lowest}
    above: dict[Node, list[float]] = {}
    for node, others in beside.items():
        for other in others:
            above.setdefault(other, []).append(score[node])
    part: dict[Node, float] = {}
    words: dict[Node, str] = {}
    for silent, scores in above.items():
        if len(scores) > 1 and sum(scores) > 0.0:
            over = topology.over(silent)
            alerting = sum(1 for node in over if node in score)
            part[silent] = (1.0 - max(scores) / sum(scores)) * alerting / len(over)
            words[silent] = f"says nothing itself; of {len(over)} that rest on it {alerting} alert"
    for node, others in beside.items():
        blamed = [other for other in others if other in part]
        total, said = sum(part[other] for other in blamed), score[node]
        for other in blamed if total else ():
            moved = said * part[other] ** 2 / total
            score[node] -= moved
            score[other] = score.get(other, 0.0) + moved
    return words


def _rings(beneath: Mapping[Node, Iterable[Node]]) -> dict[Node, int]:
    """Number the nodes so that those which rest on each other in a ring have the same number."""
    reach = {}
    for node in beneath:
        seen, queue = {node}, [node]
        for here in queue:
            fresh = [other for other in beneath[here] if other not in seen]
            seen.update(fresh)
            queue.extend(fresh)
        reach[node] = seen
    number: dict[Node, int] = {}
    for node in beneath:
        for other in reach[node]:
            if node in reach[other]:
                number.setdefault(other, number.get(node, len(number)))
    return number


def _is_filed_only(own: Node, subject: Node, labels: Labels, topology: Topology) -> bool:
    """Say whether a service is a rule's word only: no label names it, and it stands nowhere in the topology."""
    return name_of(own) not in labels.values() and topology.knows(subject) and not topology.knows(own)


def _suspect(own: Node, subject: Node, topology: Topology) -> Node:
    """Return what the alert counts for: instances for their service, hosts for themselves."""
    if not subject or subject == own:
        return own
    if own and not topology.knows(subject):
        return own
    if (owner := topology.owner(subject)) is not None and (not own or owner == name_of(own)):
        return own or topology.over(subject)[0]
    if topology.carries(subject) or not own:
        return subject
    return own


def _share(node: Node, order: list[Node], part: float) -> str:
    others = [other for other in order if other != node]
    following = f"; next {name_of(others[0])}" if order[0] == node and others else ""
    return f"{name_of(node)} ({part * 100:.0f} % of the evidence{following})"


def _observed(best: Clue, start: Instant) -> str:
    late = best.first_at - start
    when = f"{format_span(late)} after the start" if late >= SECOND else "at the start"
    earlier = f"{best.slow * 100:.0f} % of earlier problems" if best.slow else "no earlier problem"
    return f"{best.fact.words} {when}, in {earlier}"


def _hash(*parts: str) -> int:
    digest = blake2b("\xff".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1
