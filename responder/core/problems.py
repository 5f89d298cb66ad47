"""Problems on the desk: onsets are considered, decisions carried out, causes ranked anew.

What belongs together is decided by :mod:`responder.core.correlation`, which cause is
likeliest by :mod:`responder.core.causes`; here their answers become rows and events.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from responder.core import facts, lifecycle, problem
from responder.core.board import Join, Merge, Onset, Part, Rows, Start
from responder.core.book import Book
from responder.core.causes import fact, rank
from responder.core.correlation import consider
from responder.core.desk import Desk, ProblemRow
from responder.core.event import TIMER, Actor, Event
from responder.core.incident import Incident, name_of
from responder.core.lifecycle import Invalid, NotThere, Refused
from responder.core.problem import KnownError, Problem, Unlawful
from responder.core.rule import Rule
from responder.core.signal import MINUTE, SECOND, Instant, Labels

RANK_EVERY: Final = SECOND
"""A problem that grows is ranked again at most so often."""
CHANGE_WINDOW: Final = 30 * MINUTE
CORRELATION: Final = Actor("rule", "correlation")


class Joining(Struct, frozen=True):
    """An alert, or a rule's open edge, on its way into an incident."""

    rule: Rule
    labels: Labels
    words: str
    at: Instant


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
    linked = next((link for spec in book.specs if (link := desk.board.linked(spec.id, incident.id))), None)
    if linked is not None:
        held = desk.board.held(linked.problem)
        _link(desk, book, linked.problem, incident.id, "it began again with the second cause", 1.0, joining.at,
              held.spec if held else "")  # fmt: skip


def after_opening(desk: Desk, book: Book, joining: Joining, incident: Incident) -> None:
    """Consider the onset that opened an incident."""
    for one in _consider(desk, book, joining, incident, opens=True, next_incident=0):
        _carry_out(desk, book, one, joining.at)
    offer_known_error(desk, book, incident, joining.at)


def offer_known_error(desk: Desk, book: Book, incident: Incident, at: Instant) -> None:
    """Show a known error with its workaround on an incident that looks like those before."""
    labels = {**incident.common, **incident.labels, "service": incident.service}
    for error in desk.known_errors():
        if problem.matches(error, incident.rule or "", labels):
            row = desk.incidents.get(incident.id) or incident
            desk.amend(row, known_error=error.problem)
            return


def _consider(
    desk: Desk, book: Book, joining: Joining, incident: Incident, *, opens: bool, next_incident: int
) -> tuple[Any, ...]:
    topology, labels = book.topology, joining.labels
    edges = topology.shown_by(labels, joining.at)
    if edges:
        topology.remember(edges)
        desk.edges += edges
    onset = Onset(
        incident=incident.id,
        opens=opens,
        rule=joining.rule.id,
        service=incident.service,
        labels={**incident.common, **incident.labels} if not opens else {**labels, **incident.labels},
        fact=fact(labels, incident.service, topology, joining.rule.id, joining.words),
        at=joining.at,
        next_problem=desk.head.next_problem,
        next_incident=next_incident,
    )
    turn = consider(book.specs, onset, desk.board, topology, book.weights)
    desk.board.apply(turn.rows)
    linked = {link.problem for spec in book.specs if (link := desk.board.linked(spec.id, incident.id))}
    for number in linked:
        _soil(desk, number, joining.at)
    return turn.decisions


def _carry_out(desk: Desk, book: Book, one: Any, at: Instant) -> None:
    match one:
        case Start(problem=number, spec=spec_id, incidents=incidents, reason=reason, after=after):
            spec = next((spec for spec in book.specs if spec.id == spec_id), None)
            begin(desk, book, problem.begun(spec, number, spec.owner if spec else "", at), incidents, reason, at, after)
        case Join(problem=number, incident=incident, reason=reason, score=score):
            held = desk.board.held(number)
            _link(desk, book, number, incident, reason, score, at, held.spec if held else "")
        case Merge(problem=number, into=into, reason=reason):
            _merge(desk, book, number, into, reason, at, TIMER)


def begin(
    desk: Desk, book: Book, row: Problem, incidents: Iterable[int], reason: str, at: Instant, after: int | None = None,
    actor: Actor = CORRELATION,
) -> ProblemRow:  # fmt: skip
    """Open a problem and link its first incidents."""
    desk.head.next_problem = max(desk.head.next_problem, row.id + 1)
    first = next((found for id in incidents if (found := desk.incident(id))), None)
    row = msgspec.structs.replace(row, title=row.title or (first.title if first else ""),
                                  service=row.service or (first.service if first else ""))  # fmt: skip
    new = ProblemRow(row, (), at + RANK_EVERY)
    desk.problems.put(row.id, new)
    data = {"origin": row.origin, "spec": row.spec, "title": row.title, "service": row.service, "owner": row.owner}
    desk.events.append(Event(at, "opened", "problem", row.id, actor, data))
    desk.count("problems_opened_total", (("service", book.metric_service(row.service)), ("origin", row.origin)))
    for id in incidents:
        if after is not None:
            _unlink(desk, after, id, at, actor)
        _link(desk, book, row.id, id, reason, 1.0, at, row.spec, actor)
    return desk.problems.get(row.id) or new


def _link(
    desk: Desk, book: Book, number: int, id: int, reason: str, score: float, at: Instant, spec: str,
    actor: Actor = CORRELATION,
) -> None:  # fmt: skip
    row, incident = desk.problems.get(number), desk.incident(id)
    if row is None or incident is None or id in row.incidents:
        return
    order = [known.id for known in book.specs]
    current = desk.problems.get(incident.problem) if incident.problem is not None else None
    first = current is None or not spec or spec not in order or current.problem.spec not in order
    shown = first or order.index(spec) <= order.index(current.problem.spec)  # type: ignore[union-attr]
    data = {"problem": number, "reason": reason, "score": round(score, 4), "shown": shown}
    desk.record(Event(max(at, incident.last_at), "linked", "incident", id, actor, data))
    if incident.problem is None:
        desk.count("incidents_correlated_total", facts.of(book, incident, "service"))
    again = row.problem
    if again.state == "resolved":
        again = problem.recurred(again, name_of(id), at)
    desk.problems.put(
        number, msgspec.structs.replace(row, problem=again, incidents=(*row.incidents, id), due=row.due or at + RANK_EVERY)
    )


def _unlink(desk: Desk, number: int, id: int, at: Instant, actor: Actor) -> None:
    row, incident = desk.problems.get(number), desk.incident(id)
    if row is None or id not in row.incidents:
        return
    rest = tuple(known for known in row.incidents if known != id)
    desk.problems.put(number, msgspec.structs.replace(row, incidents=rest, due=row.due or at + RANK_EVERY))
    if incident is not None and incident.problem == number:
        desk.record(Event(max(at, incident.last_at), "unlinked", "incident", id, actor, {"problem": number}))


def _merge(desk: Desk, book: Book, number: int, into: int, reason: str, at: Instant, actor: Actor) -> None:
    row, target = desk.problems.get(number), desk.problems.get(into)
    if row is None or target is None:
        return
    for id in row.incidents:
        _unlink(desk, number, id, at, actor)
        _link(desk, book, into, id, reason, 1.0, at, target.problem.spec, actor)
    gone = msgspec.structs.replace(row.problem, state="closed", closed_at=at, merged_into=into)
    desk.problems.put(number, ProblemRow(gone, (), None))
    desk.events.append(Event(at, "merged", "problem", number, actor, {"into": into, "reason": reason}))


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
    services = {found.service for id in row.incidents if (found := desk.incident(id)) is not None}
    changes = _changes(desk, services, row.problem.opened_at)
    causes = rank(desk.board.evidence(row.incidents), book.topology, book.weights, changes)
    rated = problem.rated(row.problem, causes, len(row.incidents))
    desk.problems.put(number, msgspec.structs.replace(row, problem=rated, due=None))


def _changes(desk: Desk, services: Iterable[str], at: Instant) -> dict[str, str]:
    found = {}
    for service in services:
        for change in desk.changes_of(service, at - CHANGE_WINDOW, at):
            minutes = (at - change.at) // MINUTE
            found[service] = f"{change.kind} {change.version} of it {minutes} min before"
    return found


def known_error_of(desk: Desk, row: ProblemRow) -> KnownError | None:
    """Return what new incidents are compared with, if the problem is a known error."""
    if row.problem.state != "known_error":
        return None
    members = [found for id in row.incidents if (found := desk.incident(id)) is not None and found.rule]
    return problem.known_error(row.problem, [(m.rule or "", {**m.common, **m.labels, "service": m.service}) for m in members])


# Commands. Each gives the problem after it.

Args = Mapping[str, Any]


def set_state(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    try:
        moved = problem.move(row.problem, args["state"], at)
    except Unlawful as error:
        raise Refused(str(error), error.allowed) from None
    if moved.state in ("resolved", "closed"):
        desk.board.apply(problem.ended(row.problem.id, desk.board))
    if moved.state == "closed":
        desk.board.apply(Rows(held={row.problem.id: None}))
    data = {"state": moved.state, "from": row.problem.state}
    new = _changed(desk, row, moved, "state_changed", at, actor, data)
    return _keep_error(desk, new)


def set_workaround(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    after = msgspec.structs.replace(row.problem, workaround=args["text"])
    return _keep_error(desk, _changed(desk, row, after, "workaround_changed", at, actor, {"text": args["text"]}))


def set_cause(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    after = msgspec.structs.replace(row.problem, root_cause=args["text"])
    return _changed(desk, row, after, "cause_changed", at, actor, {"text": args["text"]})


def note(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    return _changed(desk, row, row.problem, "noted", at, actor, {"text": args["text"]})


def link(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if row.problem.closed_at is not None:
        raise Refused("a closed problem takes no incidents", ("note",))
    if desk.incident(args["incident"]) is None:
        raise Invalid("incident names none that is here", "incident")
    turn = problem.link(row.problem.id, row.problem.spec, args["incident"], at, desk.board)
    desk.board.apply(turn.rows)
    _link(desk, book, row.problem.id, args["incident"], "by hand", 1.0, at, row.problem.spec, actor)
    return desk.problems.get(row.problem.id) or row


def unlink(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if args["incident"] not in row.incidents:
        raise Invalid("incident names none of this problem", "incident")
    desk.board.apply(problem.unlink(row.problem.spec, args["incident"]))
    _unlink(desk, row.problem.id, args["incident"], at, actor)
    return desk.problems.get(row.problem.id) or row


def merge(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    target = desk.problems.get(args["into"])
    if target is None:
        raise Invalid("into names no problem that is open", "into")
    try:
        turn = problem.merge(row.problem.id, args["into"], desk.board)
    except Unlawful as error:
        raise Refused(str(error), error.allowed) from None
    desk.board.apply(turn.rows)
    _merge(desk, book, row.problem.id, args["into"], "by hand", at, actor)
    return desk.problems.get(args["into"]) or target


def split(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    chosen = tuple(args["incidents"])
    if not chosen or any(id not in row.incidents for id in chosen):
        raise Invalid("incidents names one that is not of this problem", "incidents")
    number = desk.head.next_problem
    desk.board.apply(problem.split(row.problem.id, row.problem.spec, chosen, number, at, desk.board).rows)
    new = msgspec.structs.replace(row.problem, id=number, opened_at=at, causes=(), title="", service="", state="open",
                                  root_cause="", workaround="", reviews=(), actions=())  # fmt: skip
    return begin(desk, book, new, chosen, "split by hand", at, row.problem.id, actor)


Command = Callable[[Desk, Book, ProblemRow, Args, Instant, Actor], ProblemRow]
COMMANDS: Final[Mapping[str, Command]] = {
    "note": note, "state": set_state, "workaround": set_workaround, "cause": set_cause, "link": link, "unlink": unlink,
    "merge": merge, "split": split,
}  # fmt: skip


def command(desk: Desk, book: Book, name: str, number: int, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    """Run a command on a problem.

    Raises:
        NotThere, Refused, Invalid: Nothing is changed.
    """
    row = desk.problems.get(number)
    if row is None:
        raise NotThere(f"there is no problem PRB-{number}")
    return COMMANDS[name](desk, book, row, args, at, actor)


def _changed(
    desk: Desk, row: ProblemRow, after: Problem, kind: str, at: Instant, actor: Actor, data: dict[str, Any]
) -> ProblemRow:
    new = msgspec.structs.replace(row, problem=after)
    desk.problems.put(after.id, new)
    desk.events.append(Event(at, kind, "problem", after.id, actor, data))
    return new


def _keep_error(desk: Desk, row: ProblemRow) -> ProblemRow:
    """Remember what a known error looks like, as of now."""
    new = msgspec.structs.replace(row, error=known_error_of(desk, row))
    desk.problems.put(row.problem.id, new)
    return new

