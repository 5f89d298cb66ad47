"""Which incidents belong to one problem, decided as their alerts begin.

The engine tells :func:`consider` each onset (a firing that begins) and gets a turn:
decisions to carry out, and rows to keep. Nothing is joined by time alone: *anchors* say
what an incident may be joined by (values of labels, or the nodes near to it), and two
incidents that share one inside the window belong together. An anchor remembers its newest
incidents only, so a lookup costs the same with ten incidents and with a million closed ones.

What is usual does not disturb: an alert that keeps coming without a problem, or that flaps
inside one, is *not telling*: it joins, and neither starts nor prolongs anything. Where alerts
trickle in all day that nobody could call usual one by one, the *pulse* of the scope (a
running median of onsets a minute) says how many at once are news.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from responder.core.board import (
    Board,
    Decision,
    Depends,
    Group,
    Held,
    Join,
    Linked,
    Merge,
    Onset,
    Part,
    Pulse,
    Recur,
    Sighted,
    Spec,
    Start,
    Turn,
)
from responder.core.causes import Weights, clue, remembered, took_part
from responder.core.instant import format_span
from responder.core.signal import HOUR, MINUTE, SECOND, Instant, Labels, Span
from responder.core.topology import Topology, name_of

USUAL: Final = 3.0
"""So many onsets without a problem, fading, make an alert usual."""
FLAPS: Final = 3
"""So many onsets inside one incident, none an hour from the next, make an alert flap."""
_WAVE: Final = 8
_WAVE_SUSPECTS: Final = 3
_WAVE_WITHIN: Final[Span] = 30 * SECOND
_PAUSED: Final[Span] = MINUTE
"""A second cause: so many different alerts of a problem (a tenth of those that it has, when
that is more), of so many suspects, begin again inside so short a time, each after a pause."""
_RECENT: Final = 32
_CLUES_OF_ONE: Final = 256


class _Found(Struct):
    """What an incident's anchors lead to."""

    problems: dict[int, tuple[Held, float, str]]
    """Still current ones: with score and reason."""
    loose: dict[int, str]
    """Incidents inside the window that are in no problem: with reason."""
    stirring: set[int]
    """Problems that lapsed, whose incidents are news again inside the window."""


def consider(specs: Iterable[Spec], onset: Onset, board: Board, topology: Topology, weights: Weights) -> Turn:
    """Decide what an onset changes; *board* is only read.

    Call it for each firing edge of an incident's alerts before the alert joins, and for each
    open edge of a rule that asks metrics. On a :class:`Part` the alert opens a new incident.
    """
    layer = Board(board)
    specs = tuple(specs)
    telling, again = _note(onset, layer, weights)
    decisions: list[Decision] = []
    for spec in specs:
        match spec.how:
            case Depends() as how:
                found = _depends(spec, how, onset, telling, again, layer, topology, weights)
            case Group() | Recur() as how:
                found = _alike(spec, how, onset, layer, weights) if onset.opens else []
        decisions += found
        if any(isinstance(one, Start) for one in found):
            onset = replace(onset, next_problem=onset.next_problem + 1)
    if not any(layer.linked(spec.id, onset.incident) for spec in specs):
        memory = remembered(layer.memory(onset.fact.key), onset.fact.key, onset.at, weights)
        layer.rows.memory[memory.key] = replace(memory, alone=memory.alone + 1)
        memory = remembered(layer.memory(onset.fact.kind), onset.fact.kind, onset.at, weights)
        layer.rows.memory[memory.key] = replace(memory, alone=memory.alone + 1)
    return Turn(tuple(decisions), layer.rows)


def anchors(spec: Spec, onset: Onset, topology: Topology) -> tuple[tuple[str, ...], dict[str, tuple[float, str]]]:
    """Return where an incident is filed, and where its like are looked for with score and reason.

    Both are empty when a label that must be equal is absent. What is filed reaches one step
    into the topology and what is looked for two, so three steps relate. With ``same``, an
    incident that the topology does not know is related by the equal labels; what the topology
    knows to be apart stays apart.
    """
    how = spec.how
    values = same_values(how.same, onset.rule, onset.service, onset.labels)
    if values is None:
        return (), {}
    base = "\xff".join((spec.id, *values))
    alike = ", ".join(f"{name}={value}" for name, value in zip(how.same, values, strict=True))
    if not isinstance(how, Depends):
        return (base,), {base: (1.0, f"equal {alike}")}
    known = [node for node in onset.fact.nodes if topology.knows(node)]
    if how.same and not known:
        return (f"{base}\xffany",), {f"{base}\xff{kind}": (0.5, f"equal {alike}") for kind in ("any", "known")}
    filed: dict[str, None] = {f"{base}\xffknown": None} if how.same else {}
    sought: dict[str, tuple[float, str]] = {}
    for node in known or onset.fact.nodes:
        for other, steps in topology.near(node).items():
            anchor = f"{base}\xff@{other}"
            if steps <= 1:
                filed[anchor] = None
            if anchor not in sought:
                words = f"{steps} step{'s' * (steps > 1)} from {name_of(other)}" if steps else "the same"
                sought[anchor] = (1 / (1 + steps), f"{name_of(node)}: {words}")
    if how.same:
        sought[f"{base}\xffany"] = (0.5, f"equal {alike}")
    return tuple(filed), sought


def same_values(same: tuple[str, ...], rule: str, service: str, labels: Labels) -> tuple[str, ...] | None:
    """Return the incident's values of the labels that must be equal; None when one is absent."""
    own = {"rule": rule, "service": service}
    values = tuple(labels.get(name) or own.get(name, "") for name in same)
    return values if all(values) else None


def _note(onset: Onset, layer: Board, weights: Weights) -> tuple[bool, bool]:
    """Write down the onset's clue; say whether the alert is telling, and whether it began again after a pause."""
    key, at = onset.fact.key, onset.at
    memory = remembered(layer.memory(key), key, at, weights)
    known = layer.clue(onset.incident, key)
    mine = layer.rows.clues.setdefault(onset.incident, {})
    if known is None:
        problems = remembered(layer.memory(0), 0, at, weights)
        if len(layer.clues(onset.incident)) < _CLUES_OF_ONE:
            mine[key] = clue(onset.fact, at, memory, problems, remembered(layer.memory(onset.fact.kind), onset.fact.kind, at, weights))
        return memory.alone < USUAL, False
    count = known.count + 1 if at - known.last_at < HOUR else 1
    mine[key] = replace(known, last_at=at, count=count)
    return memory.alone < USUAL and count < FLAPS, at - known.last_at > _PAUSED


def _depends(
    spec: Spec,
    how: Depends,
    onset: Onset,
    telling: bool,
    again: bool,
    layer: Board,
    topology: Topology,
    weights: Weights,
) -> list[Decision]:
    filed, sought = anchors(spec, onset, topology)
    if not filed:
        return []
    news = telling and _races(spec, how, onset, layer, topology)
    link = layer.linked(spec.id, onset.incident)
    own = layer.held(link.problem) if link else None
    if own is not None and _current(own, how.within, onset.at):
        if news and again and (begun := _second_cause(spec, own, onset, layer, weights)):
            if onset.incident in begun.incidents:
                return [begun]
            return [begun, *_part(spec, onset, begun.problem, begun.reason, filed, layer, weights)]
        if news:
            layer.rows.held[own.id] = _with(layer.held(own.id) or own, None, onset.at, True)
            _file(filed, onset.incident, onset.at, layer)
        _took_part(onset, layer, weights)
        return []
    found = _look(spec, how.within, onset, sought, layer)
    if own is not None:
        return _left_behind(spec, onset, own, found, news, filed, layer, weights)
    if telling:
        _file(filed, onset.incident, onset.at, layer)
    if found.problems:
        return _join(spec, onset, found, news, layer, weights)
    if news and found.loose:
        incidents = (*reversed(found.loose), onset.incident)
        return [_start(spec, onset, incidents, next(iter(found.loose.values())), layer, weights)]
    return []


def _alike(spec: Spec, how: Group | Recur, onset: Onset, layer: Board, weights: Weights) -> list[Decision]:
    filed, sought = anchors(spec, onset, Topology())
    if not filed:
        return []
    found = _look(spec, how.within, onset, sought, layer)
    _file(filed, onset.incident, onset.at, layer, keep=max(how.at_least, 2))
    if found.problems:
        return _join(spec, onset, found, True, layer, weights)
    if len(found.loose) + 1 < how.at_least:
        return []
    words = f"{next(iter(sought.values()))[1]}: {len(found.loose) + 1} in {format_span(how.within)}"
    return [_start(spec, onset, (*reversed(found.loose), onset.incident), words, layer, weights)]


def _look(spec: Spec, within: Span, onset: Onset, sought: dict[str, tuple[float, str]], layer: Board) -> _Found:
    found = _Found({}, {}, set())
    for anchor, (score, reason) in sought.items():
        sighted = layer.sighted(anchor)
        for incident, at in reversed(sighted.recent) if sighted else ():
            if incident == onset.incident:
                continue
            link = layer.linked(spec.id, incident)
            if link is None:
                if onset.at - at <= within:
                    found.loose.setdefault(incident, reason)
                continue
            held = layer.held(link.problem)
            if held is None:
                continue
            if _current(held, within, onset.at):
                lag = format_span(max(0, onset.at - held.last_at))
                if score > found.problems.get(held.id, (held, 0.0, ""))[1]:
                    found.problems[held.id] = held, score, f"{reason}; {lag} after its last news"
                break  # older ones under this anchor are in it too, or out of the window
            if onset.at - at <= within:
                found.stirring.add(held.id)
    return found


def _join(spec: Spec, onset: Onset, found: _Found, news: bool, layer: Board, weights: Weights) -> list[Decision]:
    """Join the nearest problem; an incident that is news and related to several shows that they are one."""
    several = sorted(found.problems.values(), key=lambda one: (-one[1], -one[0].last_at))
    target, score, reason = several[0]
    decisions: list[Decision] = []
    if news and len(several) > 1:
        oldest = min((one[0] for one in several), key=lambda held: (held.started_at, held.id))
        for held in sorted((one[0] for one in several if one[0].id != oldest.id), key=lambda held: held.id):
            decisions.append(Merge(held.id, oldest.id, f"incident {onset.incident} is related to both ({reason})"))
            layer.rows.held[held.id] = replace(held, into=oldest.id)
        target = replace(oldest, last_at=max(one[0].last_at for one in several))
    layer.rows.held[target.id] = _with(target, onset.incident, onset.at, news)
    _link(spec, onset.incident, target.id, onset.at, layer, weights)
    return [*decisions, Join(target.id, onset.incident, reason, round(score, 3))]


def _start(spec: Spec, onset: Onset, incidents: tuple[int, ...], reason: str, layer: Board, weights: Weights) -> Start:
    number, at = onset.next_problem, onset.at
    layer.rows.memory[0] = took_part(remembered(layer.memory(0), 0, at, weights))
    held = Held(number, spec.id, at, at)
    for incident in incidents:
        held = _with(held, incident, at, True)
        _link(spec, incident, number, at, layer, weights)
    layer.rows.held[number] = held
    return Start(number, spec.id, incidents, reason)


def _second_cause(spec: Spec, own: Held, onset: Onset, layer: Board, weights: Weights) -> Start | None:
    """Note that an alert of the problem began again; when it is a wave, a new problem begins with it.

    What came into the old problem since the wave began moves to the new one.
    """
    fact, at = onset.fact, onset.at
    wave = tuple(one for one in own.again if one[0] >= at - _WAVE_WITHIN and one[1] != fact.key)
    wave = (*wave, (at, fact.key, fact.suspect))[-_RECENT:]
    layer.rows.held[own.id] = replace(own, again=wave)
    kinds = sum(len(layer.clues(incident)) for incident, _ in own.recent)
    if not onset.next_incident or len({one[2] for one in wave}) < _WAVE_SUSPECTS:
        return None
    if len(wave) < max(_WAVE, min(_RECENT, kinds // 10)):
        return None
    moved = tuple(incident for incident, since in own.recent if since >= wave[0][0])
    layer.rows.held[own.id] = replace(own, over=True, again=())
    words = f"a second cause: {len(wave)} alerts began again in {format_span(at - wave[0][0])}"
    return replace(_start(spec, onset, moved, words, layer, weights), after=own.id)


def _left_behind(
    spec: Spec, onset: Onset, own: Held, found: _Found, news: bool, filed: Iterable[str], layer: Board, weights: Weights
) -> list[Decision]:
    """Decide about an alert whose incident is in a problem that lapsed or is over.

    When another problem is at work around it, the alert belongs there and its incident is
    parted. When only the old problem's own incidents stir again, that problem goes on.
    """
    if not news:
        return []
    if found.problems and onset.next_incident:
        held, _, reason = max(found.problems.values(), key=lambda one: (one[1], one[0].last_at))
        return _part(spec, onset, held.id, reason, filed, layer, weights)
    if found.loose and onset.next_incident:
        begun = _start(spec, onset, tuple(found.loose), next(iter(found.loose.values())), layer, weights)
        return [begun, *_part(spec, onset, begun.problem, begun.reason, filed, layer, weights)]
    _file(filed, onset.incident, onset.at, layer)
    if own.id in found.stirring and not own.over:
        layer.rows.held[own.id] = _with(own, None, onset.at, True)
        _took_part(onset, layer, weights)
    return []


def _part(
    spec: Spec, onset: Onset, problem: int, reason: str, filed: Iterable[str], layer: Board, weights: Weights
) -> list[Decision]:
    """Open a new incident for the alert, in the problem that it belongs to."""
    new, at = onset.next_incident, onset.at
    held, known = layer.held(problem), layer.clue(onset.incident, onset.fact.key)
    assert held is not None
    if known is not None:
        layer.rows.clues[new] = {onset.fact.key: replace(known, first_at=at, last_at=at, count=1)}
    layer.rows.held[problem] = _with(held, new, at, True)
    _link(spec, new, problem, at, layer, weights)
    _file(filed, new, at, layer)
    return [Part(onset.incident, new, problem, reason)]


def _current(held: Held, within: Span, at: Instant) -> bool:
    return not held.over and at - held.last_at <= within


def _with(held: Held, incident: int | None, at: Instant, news: bool) -> Held:
    recent = held.recent if incident is None else (*held.recent, (incident, at))[-_RECENT:]
    return replace(held, last_at=max(at, held.last_at) if news else held.last_at, recent=recent)


def _link(spec: Spec, incident: int, problem: int, at: Instant, layer: Board, weights: Weights) -> None:
    layer.rows.linked[spec.id, incident] = Linked(problem, at)
    for key,c in layer.clues(incident).items():
        _remember(key, at, layer, weights)
        _remember(c.fact.kind, at, layer, weights)


def _took_part(onset: Onset, layer: Board, weights: Weights) -> None:
    known = layer.clue(onset.incident, onset.fact.key)
    if known is not None and known.count == 1:
        _remember(onset.fact.key, onset.at, layer, weights)
        _remember(onset.fact.kind, onset.at, layer, weights)


def _remember(key: int, at: Instant, layer: Board, weights: Weights) -> None:
    layer.rows.memory[key] = took_part(remembered(layer.memory(key), key, at, weights))


def _races(spec: Spec, how: Depends, onset: Onset, layer: Board, topology: Topology) -> bool:
    """Count a telling onset in its scope's pulse; say whether more begins there than is usual."""
    nodes = onset.fact.nodes
    known = next((node for node in nodes if topology.knows(node)), nodes[0] if nodes else "")
    where = same_values(how.same, onset.rule, onset.service, onset.labels) if how.same else (topology.part(known),)
    scope = "\xff".join((spec.id, *(where or ())))
    pulse = (layer.pulse(scope) or Pulse(onset.at // MINUTE)).beat(onset.at)
    layer.rows.pulse[scope] = pulse
    return pulse.races()


def _file(filed: Iterable[str], incident: int, at: Instant, layer: Board, keep: int = 16) -> None:
    for anchor in filed:
        known = layer.sighted(anchor)
        others = tuple(one for one in known.recent if one[0] != incident) if known else ()
        layer.rows.sighted[anchor] = Sighted((*others, (incident, at))[-keep:])
