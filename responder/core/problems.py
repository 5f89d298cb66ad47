"""Problems on the desk: onsets are considered, decisions carried out, causes ranked anew.

What belongs together is decided by :mod:`responder.core.correlation`, which cause is
likeliest by :mod:`responder.core.causes`; here their answers become rows and events.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from responder.core import facts, lifecycle, plan, problem, recurrence
from responder.core.board import Board, Join, Merge, Onset, Part, Start
from responder.core.book import UNKNOWN, Book
from responder.core.causes import fact, rank, since
from responder.core.correlation import decide, refile
from responder.core.desk import Desk, ProblemRow
from responder.core.event import TIMER, Actor, Event
from responder.core.incident import Incident
from responder.core.problem import Problem
from responder.core.recurrence import CORRELATION
from responder.core.signal import MINUTE, SECOND, Instant, Labels
from responder.core.topology import Edge

RANK_EVERY: Final = SECOND
"""A problem that grows is ranked again at most so often."""
CHANGE_WINDOW: Final = 30 * MINUTE
LOOKED_AT: Final = 50
"""So many incidents of a problem say what its like looks like; those that are closed are read from the store."""


class Joining(Struct, frozen=True):
    """An alert, a rule's open edge or a person's word, on its way into an incident."""

    rule: str
    """Empty when a person reports it."""
    labels: Labels
    name: str
    """What it is called when no label ``alertname`` says so."""
    words: str
    """What else is said about it."""
    at: Instant


def put_in_force(book: Book, board: Board, edges: Iterable[Edge]) -> None:
    """Tell a rule book what alerts showed before, and have everything found again under its topology."""
    book.topology.remember(edges)
    refile(book.specs, board, book.topology, book.weights)


def after_reporting(desk: Desk, book: Book, incident: Incident, at: Instant) -> Incident:
    """Consider an incident that a person opened: it is about a service, and called as the person called it."""
    if not book.specs:
        return incident
    labels = {"service": incident.service} if service_of(incident) else {}
    joining = Joining("", labels, incident.title, incident.description[:200], at)
    after_opening(desk, book, joining, incident)
    return desk.incidents.get(incident.id) or incident


def before_joining(desk: Desk, book: Book, joining: Joining, incident: Incident, *, part: bool = True) -> bool:
    """Consider an onset of an incident that exists; True: it is to open another incident instead.

    A second cause can follow while the first still shows: then this alert's incident takes no
    more, and the next one is linked to it.
    """
    number = desk.head.next_incident if part else 0
    decisions = _consider(desk, book, joining, incident, opens=False, next_incident=number)
    parted = any(isinstance(one, Part) for one in decisions)
    if parted:
        lifecycle.stop_taking(desk, book, incident, joining.at)
    for one in decisions:
        if not isinstance(one, Part):
            _carry_out(desk, book, one, joining.at)
    return parted


def after_parting(desk: Desk, book: Book, joining: Joining, incident: Incident) -> None:
    """Link the incident that a parted alert opened to its problem."""
    linked = next((found for spec in book.specs if (found := desk.board.linked(spec.id, incident.id))), None)
    if linked is not None:
        held = desk.board.held(linked.problem)
        link(desk, book, linked.problem, incident.id, "it began again with the second cause", 1.0, joining.at,
             held.spec if held else "")  # fmt: skip


def after_opening(desk: Desk, book: Book, joining: Joining, incident: Incident) -> None:
    """Consider the onset that opened an incident."""
    for one in _consider(desk, book, joining, incident, opens=True, next_incident=0):
        _carry_out(desk, book, one, joining.at)
    if book.holds:
        _hold(desk, book, joining, incident)


def _hold(desk: Desk, book: Book, joining: Joining, incident: Incident) -> None:
    """Let the first messages of a symptom wait, so that a root that follows is told before it; clocks run on."""
    nodes = fact(joining.labels, service_of(incident), book.topology).nodes
    waits = (problem.hold_until(spec, incident.priority, nodes, book.topology, joining.at) for spec in book.specs)
    until = max((wait for wait in waits if wait is not None), default=None)
    id = desk.head.next_outbox - 1
    while until is not None and (message := desk.outbox.changed.get(id)) is not None:
        if message.part.problem is None:  # a problem that began meanwhile waits for its causes anyway
            if message.part.incident != incident.id:
                break
            desk.outbox.put(id, msgspec.structs.replace(message, not_before=until))
        id -= 1


def service_of(incident: Incident) -> str:
    """Return the service of an incident; empty when nothing said one, because what is absent joins nothing."""
    return "" if incident.service == UNKNOWN else incident.service


def recognise(desk: Desk, incident: Incident, labels: Labels, at: Instant) -> Incident:
    """Compare an incident that opens with what is known.

    When it looks like a known error, it shows it with its workaround: of several that with which
    it has most in common, of these the newest. When it looks like what was said to be solved,
    the solution did not hold, and the problem says so.

    Args:
        labels: Of what opened it.
    """
    shown = {**labels, **incident.labels, "service": incident.service}
    rule = incident.rule or ""
    for error in sorted(desk.errors_like(rule, incident.service), key=lambda one: (-len(one.labels), -one.problem)):
        row = desk.problem(error.problem) if problem.matches(error, rule, shown) else None
        if row is None or (error.until is not None and error.until < at):
            continue
        if row.problem.state != "known_error":
            recurrence.came(desk, row, incident.id, at)
        elif incident.known_error is None:
            found = Event(max(at, incident.last_at), "known_error_found", "incident", incident.id, CORRELATION,
                          {"problem": error.problem})  # fmt: skip
            incident = desk.record(found)
            again = Event(at, found.kind, "problem", error.problem, CORRELATION, {"incident": incident.id})
            desk.events.append(again)
    return incident


def _consider(
    desk: Desk, book: Book, joining: Joining, incident: Incident, *, opens: bool, next_incident: int
) -> tuple[Any, ...]:
    topology, labels = book.topology, joining.labels
    service = service_of(incident)
    if topology.from_labels and (edges := topology.shown_by(labels, joining.at)):
        topology.remember(edges)
        desk.edges += edges
    onset = Onset(
        incident=incident.id,
        opens=opens,
        rule=joining.rule,
        service=service,
        labels={**incident.common, **incident.labels} if not opens else {**labels, **incident.labels},
        fact=fact(labels, service, topology, joining.name, joining.words),
        at=joining.at,
        next_problem=desk.head.next_problem,
        next_incident=next_incident,
        planned="planned" in incident.flags,
    )
    decisions = decide(book.specs, onset, desk.board, topology, book.weights, partial(_lives, desk))
    for spec in () if opens else book.specs:
        if found := desk.board.linked(spec.id, incident.id):
            _soil(desk, found.problem, joining.at)
    return decisions


def _lives(desk: Desk, id: int) -> bool:
    incident = desk.incidents.get(id)
    return incident is not None and incident.closed_at is None


def _carry_out(desk: Desk, book: Book, one: Any, at: Instant) -> None:
    match one:
        case Join(problem=number, incident=incident, reason=reason, score=score, spec=spec_id):
            link(desk, book, number, incident, reason, score, at, spec_id)
        case Start(problem=number, spec=spec_id, incidents=incidents, reason=reason, score=score, after=after):
            spec = next((spec for spec in book.specs if spec.id == spec_id), None)
            row = problem.begun(spec, number, spec.owner if spec else "", at)
            begin(desk, book, row, incidents, reason, at, after, score=score)
        case Merge(problem=number, into=into, reason=reason):
            unite(desk, book, number, into, reason, at, CORRELATION)


def begin(
    desk: Desk, book: Book, row: Problem, incidents: Iterable[int], reason: str, at: Instant, after: int | None = None,
    actor: Actor = CORRELATION, *, score: float = 1.0,
) -> ProblemRow:  # fmt: skip
    """Open a problem and link its first incidents; *after*: the problem that they leave."""
    desk.head.next_problem = max(desk.head.next_problem, row.id + 1)
    incidents = tuple(incidents)
    first = next((found for id in incidents if (found := desk.incident(id))), None)
    row = msgspec.structs.replace(row, title=row.title or (first.title if first else ""),
                                  service=row.service or (first.service if first else ""))  # fmt: skip
    new = ProblemRow(row, due=at + RANK_EVERY)
    desk.problems.put(row.id, new)
    data = {"origin": row.origin, "spec": row.spec, "title": row.title, "service": row.service, "owner": row.owner}
    desk.events.append(Event(at, "opened", "problem", row.id, actor, data))
    desk.count("problems_opened_total", (("service", book.metric_service(row.service)), ("origin", row.origin)))
    for id in incidents:
        link(desk, book, row.id, id, reason, score, at, row.spec, actor)
        if after is not None:
            unlink(desk, book, after, id, at, actor)
    new = desk.problems.get(row.id) or new
    plan.problem_opened(desk, book, new, at)
    return new


def link(
    desk: Desk, book: Book, number: int, id: int, reason: str, score: float, at: Instant, spec: str,
    actor: Actor = CORRELATION,
) -> None:  # fmt: skip
    """Link an incident to a problem that is not closed; one that it leaves for it is unlinked afterwards."""
    row, incident = desk.problems.get(number), desk.incident(id)
    if row is None or incident is None or (incident.problem is not None and _in(row, incident)):
        return
    current = desk.problems.get(incident.problem) if incident.problem is not None else None
    shown = current is None or _goes_before(book, spec, current.problem.spec)
    data = {"problem": number, "reason": reason, "score": round(score, 4), "shown": shown}
    desk.record(Event(max(at, incident.last_at), "linked", "incident", id, actor, data))
    if incident.problem is None:
        desk.count("incidents_correlated_total", facts.of(book, incident, "service"))
    if row.problem.resolved_at is not None and incident.opened_at > row.problem.resolved_at:
        row = recurrence.came(desk, row, id, at)
    _put(desk, row.taking(id), at)


def _in(row: ProblemRow, incident: Incident) -> bool:
    return incident.problem == row.problem.id or incident.id in row.incidents


def _goes_before(book: Book, spec: str, other: str) -> bool:
    """Say which of two problems an incident shows: what a person made, else the entry that stands first."""
    if not spec or not other:
        return not spec
    order = [known.id for known in book.specs]
    return spec not in order or other not in order or order.index(spec) <= order.index(other)


def unlink(desk: Desk, book: Book, number: int, id: int, at: Instant, actor: Actor) -> None:
    """Take an incident out of a problem; when another one has it too, it shows that."""
    row, incident = desk.problems.get(number), desk.incident(id)
    if row is None or incident is None or not _in(row, incident):
        return
    rest = tuple(known for known in row.incidents if known != id)
    _put(desk, msgspec.structs.replace(row.listing(rest), count=max(len(rest), row.count - 1)), at)
    instead = incident.problem if incident.problem != number else _other(desk, book, number, id)
    data = {"problem": number, "instead": instead}
    desk.record(Event(max(at, incident.last_at), "unlinked", "incident", id, actor, data))


def _other(desk: Desk, book: Book, left: int, id: int) -> int | None:
    """Return another problem that has the incident: one that a person made, else that of the first entry."""
    numbers = (problem.problem_of(spec, id, desk.board) for spec in ("", *(spec.id for spec in book.specs)))
    return next((one for one in numbers if one is not None and one != left and desk.problems.get(one)), None)


def _put(desk: Desk, row: ProblemRow, at: Instant) -> None:
    due = row.due or at + RANK_EVERY
    desk.problems.put(row.problem.id, msgspec.structs.replace(row, due=due, version=row.version + 1))


def unite(desk: Desk, book: Book, number: int, into: int, reason: str, at: Instant, actor: Actor) -> None:
    """Make two problems one; *into* has the incidents and what people wrote of both."""
    row, target = desk.problems.get(number), desk.problems.get(into)
    if row is None or target is None:
        return
    for id in row.incidents:
        link(desk, book, into, id, reason, 1.0, at, target.problem.spec, actor)
        unlink(desk, book, number, id, at, actor)
    target, row = desk.problems.get(into) or target, desk.problems.get(number) or row
    gone = msgspec.structs.replace(row.problem, state="closed", closed_at=at, merged_into=into)
    empty = msgspec.structs.replace(row.listing(()), count=0, due=None, error=None)
    plan.problem_ended(
        desk, book, changed(desk, empty, gone, "merged", at, actor, {"into": into, "reason": reason}), at
    )
    both = problem.absorbed(target.problem, row.problem)
    changed(desk, target, both, "merged", at, actor, {"from": number, "reason": reason})


def changed(
    desk: Desk, row: ProblemRow, after: Problem, kind: str, at: Instant, actor: Actor, data: dict[str, Any]
) -> ProblemRow:
    """Write what happened to a problem and return it as it is then."""
    new = msgspec.structs.replace(row, problem=after, version=row.version + 1)
    desk.problems.put(after.id, new)
    desk.events.append(Event(at, kind, "problem", after.id, actor, data))
    return new


def _soil(desk: Desk, number: int, at: Instant) -> None:
    """Have a problem ranked again soon: its evidence grew."""
    row = desk.problems.get(number)
    if row is not None and row.due is None and row.problem.closed_at is None:
        desk.problems.put(number, msgspec.structs.replace(row, due=at + RANK_EVERY))


def rank_again(desk: Desk, book: Book, number: int, at: Instant) -> None:
    """Rank the probable causes of a problem; their order settles as alerts join."""
    row = desk.problems.get(number)
    if row is None or row.due is None:
        return
    spec = next((spec for spec in book.specs if spec.id == row.problem.spec), None)
    window = spec.how.within if spec is not None else row.problem.opened_at
    clues = since(desk.board.evidence(row.incidents), row.problem.opened_at - window)
    changes = _changes(desk, {clue.fact.service for clue in clues if clue.fact.service}, row.problem.opened_at)
    causes = rank(clues, book.topology, book.weights, changes)
    rated = problem.rated(row.problem, causes, row.count)
    desk.problems.put(number, msgspec.structs.replace(row, problem=rated, due=None))
    if rated.state == "known_error":
        know_again(desk, number)


def pass_time(desk: Desk, book: Book, number: int, now: Instant) -> None:
    """Do what is due on a problem: rank its causes again, and say what was not done in time."""
    rank_again(desk, book, number, now)
    row = desk.problem(number)
    if row is None:
        return
    after, passed = problem.overdue(row.problem, now)
    if passed:
        desk.problems.put(number, msgspec.structs.replace(row, problem=after))
    for due, action in passed:
        data = {"due_at": due} if not action else {"due_at": due, "action": action}
        desk.events.append(Event(due, "overdue", "problem", number, TIMER, data))
        plan.problem_overdue(desk, book, after, action, due)


def know_again(desk: Desk, number: int) -> None:
    """Have new incidents compared with what the incidents of a problem look like by now."""
    row = desk.problems.get(number)
    if row is None:
        return
    members = [found for id in row.incidents[:LOOKED_AT] if (found := desk.incident(id)) is not None and found.rule]
    like = [(m.rule or "", {**m.common, **m.labels, "service": m.service}) for m in members]
    error = problem.known_error(row.problem, like)
    if error != row.error:
        desk.problems.put(number, msgspec.structs.replace(row, error=error))


def _changes(desk: Desk, services: Iterable[str], at: Instant) -> dict[str, str]:
    found = {}
    for service in services:
        for change in desk.changes_of(service, at - CHANGE_WINDOW, at):
            minutes = (at - change.at) // MINUTE
            found[service] = f"{change.kind} {change.version} of it {minutes} min before"
    return found
