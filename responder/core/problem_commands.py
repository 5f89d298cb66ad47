"""What people do to problems; each command gives the problem after it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from responder.core import plan, problem, problems
from responder.core.board import Rows
from responder.core.book import Book
from responder.core.desk import Desk, ProblemRow
from responder.core.event import Actor, Event
from responder.core.incident import Incident, name_of
from responder.core.lifecycle import Invalid, Refused
from responder.core.problem import Action, Problem, Review, Unlawful
from responder.core.signal import Instant

Args = Mapping[str, Any]
Command = Callable[[Desk, Book, ProblemRow, Args, Instant, Actor], ProblemRow]


def note(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    return problems.changed(desk, row, row.problem, "noted", at, actor, {"text": args["text"]})


def set_state(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if args["state"] == "closed":
        _looked_back(desk, row)
    try:
        moved = problem.move(row.problem, args["state"], at)
    except Unlawful as error:
        raise Refused(str(error), error.allowed) from None
    if moved.state in ("resolved", "closed"):
        desk.board.apply(problem.ended(row.problem.id, desk.board))
    if moved.state == "closed":
        desk.board.apply(Rows(held={row.problem.id: None}))
    data = {"state": moved.state, "from": row.problem.state}
    new = problems.changed(desk, row, moved, "state_changed", at, actor, data)
    if row.problem.state in problem.UNRESOLVED and moved.state not in problem.UNRESOLVED:
        plan.problem_ended(desk, book, new, at)
    elif row.problem.state == "resolved" and moved.state in problem.UNRESOLVED:
        desk.board.apply(problem.resumed(row.problem.id, at, desk.board))
        plan.problem_opened(desk, book, new, at)
    return new


def _looked_back(desk: Desk, row: ProblemRow) -> None:
    """A major incident requires a review before its problem is closed."""
    if any(review.by for review in row.problem.reviews):
        return
    for id in row.incidents:
        incident = desk.incident(id)
        if incident is not None and "major" in incident.flags:
            raise Refused(f"INC-{id} was a major incident: write a review first", ("review",))


def set_workaround(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    after = msgspec.structs.replace(row.problem, workaround=args["text"])
    return problems.changed(desk, row, after, "workaround_changed", at, actor, {"text": args["text"]})


def set_cause(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    service = args.get("service") or row.problem.service
    after = msgspec.structs.replace(row.problem, root_cause=args["text"], service=service)
    data = {"text": args["text"], "service": service}
    return problems.changed(desk, row, after, "cause_changed", at, actor, data)


def assign(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if args["to"] == row.problem.owner:
        return row
    after = msgspec.structs.replace(row.problem, owner=args["to"])
    return problems.changed(desk, row, after, "assigned", at, actor, {"to": args["to"], "from": row.problem.owner})


def set_due(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if args["due"] == row.problem.due_at:
        return row
    after = msgspec.structs.replace(row.problem, due_at=args["due"], overdue=False)
    return problems.changed(desk, row, after, "due_changed", at, actor, {"due_at": after.due_at})


def link(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    incident, of = desk.incident(args["incident"]), row.problem
    if incident is None:
        raise Invalid(f"there is no {name_of(args['incident'])}", "incident")
    if incident.problem == of.id or incident.id in row.incidents:
        return row
    former = _former(desk, of.spec, incident)
    if former is not None:
        _take_out(desk, book, former, incident.id)
    desk.board.apply(problem.link(of.id, of.spec, incident.id, at, desk.board).rows)
    problems.link(desk, book, of.id, incident.id, "by hand", 1.0, at, "", actor)
    _say(desk, of.id, "linked", at, actor, incident=incident.id)
    if former is not None and former != of.id:
        problems.unlink(desk, book, former, incident.id, at, actor)
        _say(desk, former, "unlinked", at, actor, incident=incident.id, instead=of.id)
    return desk.problems.get(of.id) or row


def _former(desk: Desk, spec: str, incident: Incident) -> int | None:
    """Return the problem of the same entry, or of people, that loses an incident which goes to another.

    What is long over correlation has forgotten; the incident itself knows its problem still.
    """
    linked = problem.problem_of(spec, incident.id, desk.board)
    for number in (linked, incident.problem):
        row = desk.problems.get(number) if number is not None else None
        if row is not None and row.problem.closed_at is None and (number == linked or row.problem.spec == spec):
            return number
    return None


def unlink(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    incident = desk.incident(args["incident"])
    if incident is None or (incident.problem != row.problem.id and incident.id not in row.incidents):
        raise Invalid(f"{name_of(args['incident'])} is not of this problem", "incident")
    _take_out(desk, book, row.problem.id, args["incident"])
    problems.unlink(desk, book, row.problem.id, args["incident"], at, actor)
    _say(desk, row.problem.id, "unlinked", at, actor, incident=args["incident"])
    return desk.problems.get(row.problem.id) or row


def _say(desk: Desk, number: int, kind: str, at: Instant, actor: Actor, **data: int) -> None:
    """Write on the problem's own timeline what a person moved; what correlation links is on those of the incidents."""
    desk.events.append(Event(at, kind, "problem", number, actor, data))


def _take_out(desk: Desk, book: Book, number: int, incident: int) -> None:
    """Have correlation forget that the incident is in the problem, whichever entries put it there."""
    specs = ("", *(spec.id for spec in book.specs))
    desk.board.apply(problem.unlink(number, incident, specs, desk.board))


def merge(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    target = desk.problems.get(args["into"])
    if target is None or target.problem.closed_at is not None or target.problem.id == row.problem.id:
        raise Invalid(f"there is no other problem PRB-{args['into']} that is not closed", "into")
    try:
        turn = problem.merge(row.problem.id, args["into"], row.incidents, at, desk.board)
    except Unlawful as error:
        raise Invalid(str(error), "into") from None
    desk.board.apply(turn.rows)
    problems.unite(desk, book, row.problem.id, args["into"], "by hand", at, actor)
    return desk.problems.get(args["into"]) or target


def split(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    chosen = tuple(dict.fromkeys(args["incidents"]))
    for id in chosen:
        if id not in row.incidents:
            raise Invalid(f"{name_of(id)} is not of this problem", "incidents")
    if len(chosen) == row.count:
        raise Invalid("incidents names all of this problem: one at least stays", "incidents")
    for id in chosen:
        _take_out(desk, book, row.problem.id, id)
    number = desk.head.next_problem
    desk.board.apply(problem.split(row.problem.id, row.problem.spec, chosen, number, at, desk.board).rows)
    of = row.problem
    new = Problem(number, of.origin, of.owner, at, spec=of.spec, due_at=of.due_at, overdue=of.overdue)
    begun = problems.begin(desk, book, new, chosen, f"split by hand from PRB-{of.id}", at, of.id, actor)
    for id in chosen:
        _say(desk, number, "linked", at, actor, incident=id)
        _say(desk, of.id, "unlinked", at, actor, incident=id, instead=number)
    return begun


def review(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if args.get("incident") is not None and desk.incident(args["incident"]) is None:
        raise Invalid(f"there is no {name_of(args['incident'])}", "incident")
    made = Review(at, args["effective"], args["text"], actor.name, args.get("incident"))
    data = {"effective": made.effective, "text": made.words, "incident": made.incident}
    return problems.changed(desk, row, problem.reviewed(row.problem, made), "reviewed", at, actor, data)


def action(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    if len(row.problem.actions) >= problem.KEPT:
        raise Refused(f"a problem has at most {problem.KEPT} action items", ("done",))
    made = Action(args["text"], args["owner"], args["due"])
    after = msgspec.structs.replace(row.problem, actions=(*row.problem.actions, made))
    data = {"text": made.text, "owner": made.owner, "due_at": made.due_at, "action": len(after.actions)}
    return problems.changed(desk, row, after, "action_added", at, actor, data)


def done(desk: Desk, book: Book, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    number, actions = args["action"], [*row.problem.actions]
    if not 0 < number <= len(actions):
        raise Invalid("action names none of this problem: the first is 1", "action")
    if actions[number - 1].done_at is not None:
        return row
    actions[number - 1] = msgspec.structs.replace(actions[number - 1], done_at=at)
    after = msgspec.structs.replace(row.problem, actions=tuple(actions))
    return problems.changed(desk, row, after, "action_done", at, actor, {"action": number})


COMMANDS: Final[Mapping[str, Command]] = {
    "note": note, "state": set_state, "workaround": set_workaround, "cause": set_cause, "assign": assign, "due": set_due, "link": link,
    "unlink": unlink, "merge": merge, "split": split, "review": review, "action": action, "done": done,
}  # fmt: skip
_AFTERWARDS: Final = ("note", "review", "action", "done")


def allowed(of: Problem) -> tuple[str, ...]:
    """Return the commands that a problem takes in its state; what was merged is worked on as the other."""
    if of.closed_at is None:
        return tuple(COMMANDS)
    return _AFTERWARDS if of.merged_into is None else ("note",)


def command(desk: Desk, book: Book, name: str, row: ProblemRow, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    """Run a command on a problem.

    Raises:
        Refused, Invalid: Nothing is changed.
    """
    can = allowed(row.problem)
    if name == "state" and args["state"] == row.problem.state:
        return row  # said again
    if name not in can:
        is_so = "closed" if row.problem.merged_into is None else f"part of PRB-{row.problem.merged_into}"
        raise Refused(f"a problem that is {is_so} takes no {name}; it takes {', '.join(can)}", can)
    after = COMMANDS[name](desk, book, row, args, at, actor)
    if row.problem.closed_at is None:
        for id in (row.problem.id, after.problem.id):
            problems.know_again(desk, id)
    return desk.problems.get(after.problem.id) or after


def open_by_hand(desk: Desk, book: Book, args: Args, at: Instant, actor: Actor) -> ProblemRow:
    """Open a problem that a person sees; ``title``, ``incidents``, perhaps ``owner``, ``service`` and ``due``.

    Raises:
        Invalid: An incident is not there; nothing is changed.
    """
    chosen = tuple(dict.fromkeys(args["incidents"]))
    found = [desk.incident(id) for id in chosen]
    if None in found:
        raise Invalid(f"there is no {name_of(chosen[found.index(None)])}", "incidents")
    number, owner = desk.head.next_problem, args.get("owner") or _team_of(book, args.get("service"), found, actor)
    new = Problem(
        number, "manual", owner, at, title=args["title"], service=args.get("service") or "", due_at=args.get("due")
    )
    formers = {one.id: _former(desk, "", one) for one in found if one is not None}
    for id, former in formers.items():
        if former is not None:
            _take_out(desk, book, former, id)
        desk.board.apply(problem.link(number, "", id, at, desk.board).rows)
    row = problems.begin(desk, book, new, chosen, "by hand", at, actor=actor)
    for id, former in formers.items():
        if former is not None:
            problems.unlink(desk, book, former, id, at, actor)
    return row


def _team_of(book: Book, service: str | None, chosen: Sequence[Incident | None], actor: Actor) -> str:
    """Return who owns a problem that nobody was named for: the service's team, else that of its first incident."""
    if service in book.services:
        return book.services[service].team
    return chosen[0].team if chosen and chosen[0] is not None else actor.name
