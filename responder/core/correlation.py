"""Which incidents belong to one problem, decided as their alerts begin.

The engine tells :func:`decide` each onset (a firing that begins) and gets decisions to carry
out; rows to keep are written beside. Nothing is joined by time alone: two incidents that
share one of their :mod:`responder.core.anchors` inside the window belong together. An anchor
remembers its newest incidents only, so a lookup costs the same with ten incidents and with a
million closed ones.

What is usual does not disturb: an alert that keeps coming without a problem, or that flaps
inside one, is *not telling*: it joins, and neither starts nor prolongs anything. Where alerts
trickle in all day that nobody could call usual one by one, the *pulse* of the scope (the
running median of what windows have) says how many at once are news.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from responder.core.anchors import Place, place, placed
from responder.core.board import (
    EQUAL,
    Board,
    Decision,
    Held,
    Join,
    Linked,
    Merge,
    Onset,
    Part,
    Pulse,
    Sighted,
    Start,
    Turn,
    newest,
)
from responder.core.catalogue import Depends, Group, ProblemSpec, Recur
from responder.core.causes import Clue, Memory, Weights, earlier, rated, remembered, took_part
from responder.core.instant import format_span
from responder.core.signal import HOUR, MINUTE, SECOND, Instant, Span
from responder.core.topology import Node, Topology, name_of

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
_KEPT: Final = 16
"""Incidents that are remembered under an anchor."""
_CLOSED: Final = Held(0, "", 0, 0, over=True)
"""Stands for a problem that is remembered no more, or that an incident which is closed no longer leads to."""
Lives: TypeAlias = Callable[[int], bool]
"""Says of an incident whether it is not closed yet."""


def _always(incident: int) -> bool:
    return True


class _Desk(Struct):
    """What every step of one decision needs."""

    layer: Board
    topology: Topology
    weights: Weights
    lives: Lives = _always
    memory: Memory = Memory(0)
    """Of the onset's alert, as it was before it."""
    problems: Memory = Memory(0)
    """Of problems as such, as it was before the onset, and before the problem that it joins."""
    clue: Clue | None = None
    """What the onset's alert says in its incident; none when the incident has too many."""
    first: bool = False
    """The alert says it for the first time; how rare it is will be known when the problem is."""
    decided: list[str] = []
    """The specs, but for ``recur``, that have had their say about the onset."""


class _Found(Struct):
    """What an incident's anchors lead to."""

    problems: dict[int, tuple[Held, int, int]]
    """Still current ones: with the steps to, and the number of, the incident that led to each."""
    loose: list[int]
    """Incidents inside the window that are in no problem, the nearest first."""
    stirring: dict[int, list[int]]
    """Problems that lapsed, with their incidents that are news again inside the window."""


def consider(
    specs: Iterable[ProblemSpec],
    onset: Onset,
    board: Board,
    topology: Topology,
    weights: Weights,
    lives: Lives = _always,
) -> Turn:
    """Decide what an onset changes; *board* is only read."""
    layer = Board(board)
    return Turn(decide(specs, onset, layer, topology, weights, lives), layer.rows)


def decide(
    specs: Iterable[ProblemSpec], onset: Onset, layer: Board, topology: Topology, weights: Weights, lives: Lives
) -> tuple[Decision, ...]:
    """Decide what an onset changes; the rows are written to *layer*, which is dropped when the decision fails.

    Call it for each firing edge of an incident's alerts before the alert joins, and for each
    open edge of a rule that asks metrics. On a :class:`Part` the alert opens a new incident.
    """
    specs = tuple(specs)
    desk = _Desk(layer, topology, weights, lives)
    incident, key, at = onset.incident, onset.fact.key, onset.at
    desk.memory, desk.problems = _recall(key, at, desk), _recall(0, at, desk)
    telling, again = _note(onset, desk)
    decisions: list[Decision] = []
    for spec in specs:
        match spec.how:
            case Depends() as how:
                found = _depends(spec, how, onset, telling, again, desk)
            case Recur() if onset.planned:
                continue  # what maintenance brings about is no trend
            case Group() | Recur() as how:
                found = _alike(spec, how, onset, desk) if onset.opens else []
        if not isinstance(spec.how, Recur):
            desk.decided.append(spec.id)
        if not found:
            continue
        decisions += found
        if isinstance(found[0], Start):
            onset = replace(onset, next_problem=onset.next_problem + 1)
        if isinstance(found[-1], Part):
            break  # for the others the new incident opens like any other
    if not decisions and not any(_at_work(spec, onset, desk) for spec in specs):
        layer.rows.memory[key] = replace(desk.memory, alone=desk.memory.alone + 1)
    if desk.clue is not None:
        layer.rows.clues[incident][key] = _as_rare_as_it_is(desk.clue, desk)
    return tuple(decisions)


def _note(onset: Onset, desk: _Desk) -> tuple[bool, bool]:
    """Note the onset's clue; say whether the alert is telling, and whether it began again after a pause."""
    key, at, layer = onset.fact.key, onset.at, desk.layer
    known = None if onset.opens else layer.clue(onset.incident, key)
    if known is None:
        if not onset.opens and layer.clue_count(onset.incident) >= _CLUES_OF_ONE:
            return desk.memory.alone < USUAL, False
        made, again, desk.first = Clue(onset.fact, at, at), False, True
    else:
        count = known.count + 1 if at - known.last_at < HOUR else 1
        made, again = replace(known, last_at=at, count=count), at - known.last_at > _PAUSED
    desk.clue = layer.rows.clues.setdefault(onset.incident, {})[key] = made
    return desk.memory.alone < USUAL and made.count < FLAPS, again


def _depends(spec: ProblemSpec, how: Depends, onset: Onset, telling: bool, again: bool, desk: _Desk) -> list[Decision]:
    where = place(spec, onset, desk.topology)
    if where is None:
        return []
    layer, at = desk.layer, onset.at
    news = telling and _races(where, onset, desk)
    link = None if onset.opens else layer.linked(spec.id, onset.incident)
    own = layer.held(link.problem) if link else None
    if own is not None and _current(own, how.within, at):
        if news and again and (begun := _second_cause(spec, own, onset, desk)):
            if onset.incident in begun.incidents:
                return [begun]
            return [begun, *_part(spec, onset, begun.problem, begun.reason, where, desk)]
        if news:
            layer.rows.held[own.id] = _with(layer.held(own.id) or own, None, at, True)
        _took_part(own, where, onset, desk)
        return []
    if own is not None and desk.memory.alone >= USUAL:
        return []
    found = _look(spec, where, onset, desk)
    if own is not None and not news:
        return _follow(spec, onset, found, where, desk)
    if own is not None:
        return _left_behind(spec, onset, own, found, where, desk)
    if telling:
        _file(where, onset, desk)
    if found.problems:
        return _join(spec, onset, found, news, where, desk)
    if news and found.loose:
        _with_company(found, spec, onset, desk)
        score, reason = _relation(where, found.loose[0], onset, desk)
        return [replace(_start(spec, onset, (*reversed(found.loose), onset.incident), reason, desk), score=score)]
    return []


def _alike(spec: ProblemSpec, how: Group | Recur, onset: Onset, desk: _Desk) -> list[Decision]:
    where = place(spec, onset, desk.topology)
    if where is None or (isinstance(how, Recur) and _came_with_it(where, onset, desk)):
        return []
    found = _look(spec, where, onset, desk)
    _file(where, onset, desk, keep=max(how.at_least, 2))
    if found.problems:
        return _join(spec, onset, found, True, where, desk)
    count = len(found.loose) + 1
    if count < how.at_least:
        return []
    words = f"equal {where.alike}: {count} in {format_span(how.within)}"
    return [_start(spec, onset, (*reversed(found.loose), onset.incident), words, desk)]


def _came_with_it(where: Place, onset: Onset, desk: _Desk) -> bool:
    """Say whether an alike incident is in a problem with this one: what belongs together came once, not once more."""
    sighted = newest(desk.layer.sighted(where.base), EQUAL)
    if sighted is None:
        return False
    mine = {link.problem for other in desk.decided if (link := desk.layer.linked(other, onset.incident)) is not None}
    return bool(mine) and any(
        (link := desk.layer.linked(other, incident)) is not None and link.problem in mine
        for incident, _ in sighted.recent
        for other in desk.decided
    )


def _look(spec: ProblemSpec, where: Place, onset: Onset, desk: _Desk) -> _Found:
    """Look around; what is closed came to an end before the onset, and is no part of its cause, but may have recurred."""
    lives = desk.lives if isinstance(where.how, Depends) else _always
    layer, me, at, within = desk.layer, onset.incident, onset.at, spec.how.within
    problems: dict[int, tuple[Held, int, int]] = {}
    loose: dict[int, None] = {}
    stirring: dict[int, list[int]] = {}
    seen: dict[int, Held | None] = {}  # many anchors lead to one incident, and many incidents to one problem
    known: dict[int, Held] = {}
    near = False
    sightings = layer.sighted(where.base)
    for anchor, steps in where.sought():
        if near and steps > 1:
            break  # what is next to it goes before what is farther
        sighted = newest(sightings, anchor)
        if sighted is None:
            continue
        for incident, since in reversed(sighted.recent):
            if incident == me:
                continue
            if incident in seen:
                held = seen[incident]
            else:
                link = layer.linked(spec.id, incident)
                if link is None:
                    held = None
                elif link.problem in known:
                    held = known[link.problem]
                else:
                    held = layer.held(link.problem) or _CLOSED
                    held = known[link.problem] = _CLOSED if me in held.without else held
                if held is not None and held.id in problems and problems[held.id][1] <= steps:
                    break  # known from nearer; whether this one lives says no more
                held = seen[incident] = held if lives(incident) else _CLOSED
            if held is not None and _current(held, within, at):
                if held.id not in problems or steps < problems[held.id][1]:
                    problems[held.id] = held, steps, incident
                near = near or steps <= 1
                break  # older ones under this anchor are in it too, or out of the window
            if at - since >= within:
                continue
            if held is None:
                loose[incident] = None
            elif incident not in (stirs := stirring.setdefault(held.id, [])):
                stirs.append(incident)
        else:  # nothing here is in a problem that goes on: what is older than the window says no more
            fresh = tuple([one for one in sighted.recent if at - one[1] < within])
            if len(fresh) < len(sighted.recent):
                layer.rows.sighted.setdefault(where.base, {})[anchor] = Sighted(fresh, sighted.until)
    return _Found(problems, list(loose), stirring)


def _relation(where: Place, incident: int, onset: Onset, desk: _Desk) -> tuple[float, str]:
    """Return the score and, in words that can be checked, why two incidents belong together."""
    nearest: tuple[int, Node, Node] | None = None  # steps, from here, to there
    if isinstance(where.how, Depends):
        clues = desk.layer.some_clues(incident)[:8]
        for node in where.nodes:
            for one in clues:
                for other in one.fact.nodes:
                    pair = node.near.get(other, 3), node.node, other
                    if (nearest is None or pair < nearest) and (where.known or other == node.node):
                        nearest = pair
    if nearest is None:
        return 1.0, f"equal {where.alike}"
    steps, here, there = nearest[0], name_of(nearest[1]), name_of(nearest[2])
    if not steps:
        return 1.0, f"both at {here}"
    return round(1 / (1 + steps), 3), f"{here} is {steps} step{'s' * (steps > 1)} from {there}"


def _join(spec: ProblemSpec, onset: Onset, found: _Found, news: bool, where: Place, desk: _Desk) -> list[Decision]:
    """Join the nearest problem; an incident that is news and related to several shows that they are one."""
    target, _, by = _nearest(found)
    score, reason = _relation(where, by, onset, desk)
    reason += f"; {format_span(max(0, onset.at - target.last_at))} after its last news"
    decisions: list[Decision] = []
    if news and len(found.problems) > 1:
        held = [one[0] for one in found.problems.values() if one[0].id not in target.apart]
        oldest = min(held, key=lambda one: (one.started_at, one.id))
        target = replace(oldest, last_at=max(one.last_at for one in held))
        for one in sorted(held, key=lambda one: one.id):
            if one.id != oldest.id:
                decisions.append(Merge(one.id, oldest.id, f"INC-{onset.incident} is related to both: {reason}"))
                desk.layer.rows.held[one.id] = replace(one, into=oldest.id)
    desk.layer.rows.held[target.id] = _with(target, onset.incident, onset.at, news)
    _came_later(target, onset, desk)
    _link(spec, onset.incident, target.id, onset.at, desk)
    decisions.append(Join(target.id, onset.incident, reason, score, spec.id))
    if news and found.loose:
        decisions += _fetch(spec, onset, target, found.loose, where, desk)
    return decisions


def _fetch(
    spec: ProblemSpec, onset: Onset, target: Held, loose: list[int], where: Place, desk: _Desk
) -> list[Decision]:
    """Join what was news before, out of the problem's reach, and is connected with it by this incident."""
    decisions: list[Decision] = []
    for incident in reversed(loose):
        if incident not in target.without:
            score, reason = _relation(where, incident, onset, desk)
            held = desk.layer.held(target.id) or target
            desk.layer.rows.held[target.id] = _with(held, incident, onset.at, False)
            _link(spec, incident, target.id, onset.at, desk)
            decisions.append(Join(target.id, incident, reason, score, spec.id))
    return decisions


def _nearest(found: _Found) -> tuple[Held, int, int]:
    """Return the nearest problem, of several that with the newest news; the steps to the incident by which; which."""
    if len(found.problems) == 1:
        return next(iter(found.problems.values()))
    return min(found.problems.values(), key=lambda one: (one[1], -one[0].last_at))


def _start(spec: ProblemSpec, onset: Onset, incidents: tuple[int, ...], reason: str, desk: _Desk) -> Start:
    number, at = onset.next_problem, onset.at
    desk.layer.rows.memory[0] = took_part(_recall(0, at, desk))
    held = Held(number, spec.id, at, at)
    for incident in incidents:
        held = _with(held, incident, at, True)
        _link(spec, incident, number, at, desk)
    desk.layer.rows.held[number] = held
    return Start(number, spec.id, incidents, reason)


def _second_cause(spec: ProblemSpec, own: Held, onset: Onset, desk: _Desk) -> Start | None:
    """Note that an alert of the problem began again; when it is a wave, a new problem begins with it.

    What came into the old problem since the wave began moves to the new one.
    """
    fact, at = onset.fact, onset.at
    wave = tuple(one for one in own.again if one[0] >= at - _WAVE_WITHIN and one[1] != fact.key)
    wave = (*wave, (at, fact.key, fact.suspect))[-_RECENT:]
    desk.layer.rows.held[own.id] = replace(own, again=wave)
    kinds = sum(desk.layer.clue_count(incident) for incident, _ in own.recent)
    if not onset.next_incident or len({one[2] for one in wave}) < _WAVE_SUSPECTS:
        return None
    if len(wave) < max(_WAVE, min(_RECENT, kinds // 10)):
        return None
    moved = tuple(incident for incident, since in own.recent if since >= wave[0][0])
    desk.layer.rows.held[own.id] = replace(own, over=True, again=())
    words = f"a second cause: {len(wave)} alerts began again in {format_span(at - wave[0][0])}"
    return replace(_start(spec, onset, moved, words, desk), after=own.id)


def _left_behind(
    spec: ProblemSpec, onset: Onset, own: Held, found: _Found, where: Place, desk: _Desk
) -> list[Decision]:
    """Decide about an alert that is news and whose incident is in a problem that lapsed or is over.

    When another problem is at work around it, the alert belongs there and its incident is
    parted. When only the old problem's own incidents stir again, that problem goes on.
    """
    if found.problems and onset.next_incident:
        held, _, by = _nearest(found)
        _, reason = _relation(where, by, onset, desk)
        return _part(spec, onset, held.id, reason, where, desk)
    if found.loose and onset.next_incident:
        _with_company(found, spec, onset, desk)
        score, reason = _relation(where, found.loose[0], onset, desk)
        begun = replace(_start(spec, onset, tuple(reversed(found.loose)), reason, desk), score=score)
        return [begun, *_part(spec, onset, begun.problem, begun.reason, where, desk)]
    _file(where, onset, desk)
    if own.id in found.stirring and not own.over:
        desk.layer.rows.held[own.id] = _with(own, None, onset.at, True)
        _took_part(own, where, onset, desk)
        _with_company(found, spec, onset, desk)
    return []


def _with_company(found: _Found, spec: ProblemSpec, onset: Onset, desk: _Desk) -> None:
    """Take back that the alerts which stirred first came without a problem: one begins or goes on with this onset."""
    for incident in {one for problem, stirs in found.stirring.items() if problem != _CLOSED.id for one in stirs}:
        for key, clue in desk.layer.clues(incident).items():
            if onset.at - clue.last_at < spec.how.within and key != onset.fact.key:
                memory = _recall(key, onset.at, desk)
                desk.layer.rows.memory[key] = replace(memory, alone=max(0.0, memory.alone - 1))


def _follow(spec: ProblemSpec, onset: Onset, found: _Found, where: Place, desk: _Desk) -> list[Decision]:
    """Decide about a flapping alert, not yet a usual one, whose incident is in a problem that lapsed or is over.

    Another problem at work around it takes it, as it takes what flaps and is in none: several
    causes in an hour make one symptom flap.
    """
    if not found.problems or not onset.next_incident:
        return []
    held, _, by = _nearest(found)
    _, reason = _relation(where, by, onset, desk)
    return _part(spec, onset, held.id, reason, where, desk, news=False)


def _part(
    spec: ProblemSpec, onset: Onset, problem: int, reason: str, where: Place, desk: _Desk, *, news: bool = True
) -> list[Decision]:
    """Open a new incident for the alert, in the problem that it belongs to; only what is news prolongs that."""
    new, at = onset.next_incident, onset.at
    held, known = desk.layer.held(problem), desk.clue
    assert held is not None
    if known is not None:
        count = 1 if news else max(FLAPS, known.count)
        begun = replace(known, first_at=at, last_at=at, count=count, filed=_filed(known, where, at))
        desk.layer.rows.clues[new] = {onset.fact.key: _as_rare_as_it_is(begun, desk)}
    desk.layer.rows.held[problem] = _with(held, new, at, news)
    _link(spec, new, problem, at, desk)
    _sight(where, new, at, desk, _KEPT)
    return [Part(onset.incident, new, problem, reason)]


def _current(held: Held, within: Span, at: Instant) -> bool:
    return not held.over and at - held.last_at < within


def _with(held: Held, incident: int | None, at: Instant, news: bool) -> Held:
    recent = held.recent if incident is None else (*held.recent[1 - _RECENT :], (incident, at))
    return replace(held, last_at=max(at, held.last_at) if news else held.last_at, recent=recent)


def _link(spec: ProblemSpec, incident: int, problem: int, at: Instant, desk: _Desk) -> None:
    desk.layer.rows.linked[spec.id, incident] = Linked(problem, at)
    for key in desk.layer.clue_keys(incident):
        _remember(key, at, desk)


def _took_part(own: Held, where: Place, onset: Onset, desk: _Desk) -> None:
    """An alert joined an incident of a problem: its first time counts in the memory, and it may stand elsewhere."""
    if desk.clue is not None and desk.clue.count == 1:
        _came_later(own, onset, desk)
        _remember(onset.fact.key, onset.at, desk)
        _file(where, onset, desk)


def _came_later(own: Held, onset: Onset, desk: _Desk) -> None:
    """An alert is rare or not by the problems before the one that it joins."""
    if desk.first:
        desk.problems = earlier(desk.problems, own.started_at, onset.at, desk.weights)


def _as_rare_as_it_is(said: Clue, desk: _Desk) -> Clue:
    return rated(said, desk.memory, desk.problems) if desk.first else said


def _at_work(spec: ProblemSpec, onset: Onset, desk: _Desk) -> bool:
    link = desk.layer.linked(spec.id, onset.incident)
    held = desk.layer.held(link.problem) if link and isinstance(spec.how, Depends) else None
    return held is not None and _current(held, spec.how.within, onset.at)


def _recall(key: int, at: Instant, desk: _Desk) -> Memory:
    return remembered(desk.layer.memory(key), key, at, desk.weights)


def _remember(key: int, at: Instant, desk: _Desk) -> None:
    rows = desk.layer.rows.memory
    asked = key == desk.memory.key and key not in rows
    rows[key] = took_part(desk.memory if asked else _recall(key, at, desk))


def _races(where: Place, onset: Onset, desk: _Desk) -> bool:
    """Count a telling onset in its scope's pulse; say whether more begins there than is usual."""
    scope = where.base
    if not where.how.same and where.nodes:
        scope = f"{scope}\xff{where.nodes[0].part}"
    window = where.how.within
    pulse = (desk.layer.pulse(scope) or Pulse(onset.at // MINUTE)).beat(onset.at, window)
    desk.layer.rows.pulse[scope] = pulse
    return pulse.races(window)


def _file(where: Place, onset: Onset, desk: _Desk, keep: int = _KEPT) -> None:
    """Have the incident found by its anchors; the clue says so, for the next start."""
    _sight(where, onset.incident, onset.at, desk, keep, fresh=onset.opens)
    if isinstance(where.how, Depends) and desk.clue is not None:
        desk.clue = replace(desk.clue, filed=_filed(desk.clue, where, onset.at))


def _filed(known: Clue, where: Place, at: Instant) -> tuple[tuple[str, Instant], ...]:
    return (*(one for one in known.filed if one[0] != where.base), (where.base, at))


def _sight(where: Place, incident: int, at: Instant, desk: _Desk, keep: int, *, fresh: bool = False) -> None:
    layer, until, here = desk.layer, at + where.how.within, ((incident, at),)
    alone, rest = Sighted(here, until), 1 - keep
    sightings = layer.sighted(where.base)
    rows = layer.rows.sighted.setdefault(where.base, {})
    for anchor in dict.fromkeys(where.filed()):
        known = newest(sightings, anchor)
        if known is None:
            rows[anchor] = alone
        elif fresh:
            rows[anchor] = Sighted(known.recent[rest:] + here, until)
        else:
            others = tuple([one for one in known.recent if one[0] != incident])
            rows[anchor] = Sighted(others[rest:] + here, until)


def refile(specs: Iterable[ProblemSpec], board: Board, topology: Topology, weights: Weights) -> None:
    """Have everything found again by its anchors, which are not stored: at start, and under another topology."""
    hows = {spec.id: spec.how for spec in specs}
    desk = _Desk(board, topology, weights)
    sighted = board.rows.sighted
    for base, rows in [*sighted.items()]:
        if EQUAL not in rows:
            del sighted[base]
    filed = [
        (at, incident, base, clue.fact.nodes)
        for incident, clues in board.rows.clues.items()
        for clue in clues.values()
        if clue is not None
        for base, at in clue.filed
    ]
    for at, incident, base, nodes in sorted(filed):
        how = hows.get(base.partition("\xff")[0])
        if isinstance(how, Depends):
            _sight(placed(base, (), how, nodes, topology), incident, at, desk, _KEPT)
