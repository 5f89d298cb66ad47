"""What people do to incidents; each command gives the incident after it.

One rule for all of them (SPEC 3.4 and 3.5-14), kept by :func:`command`:

- A command that the state of the incident takes (:func:`allowed`) is done.
- One that asks for what holds already (acknowledge what is acknowledged, assign to its owner,
  pause what is paused, close what is closed, ...) is a repeat: it changes nothing and is no mistake.
- Everything else is refused with what is allowed. A command that takes something back (resume,
  reopen, unmerge) is no repeat of anything: without a pause, a resolution or a parent it is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from responder.core import clocks, facts, lifecycle, stages
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.event import Actor
from responder.core.incident import UNRESOLVED, Incident, State
from responder.core.lifecycle import Invalid, Refused, enter, record
from responder.core.signal import Instant

PAUSE_REASONS: Final = ("customer", "supplier", "change")
CANCEL_REASONS: Final = ("false_positive", "duplicate", "exercise")
LEFT: Final[Mapping[str, str]] = {"verify": "verified", "inform": "customer_informed"}
"""What it means that a team hands such a stage over."""
LEADS_TO: Final[Mapping[str, State]] = {
    "pause": "paused", "resolve": "resolved", "close": "closed", "cancel": "cancelled",
}  # fmt: skip
"""In the state that it leads to, a command is a repeat."""

Args = Mapping[str, Any]
Command = Callable[[Desk, Book, Incident, Args, Instant, Actor], Incident]


def allowed(row: Incident) -> tuple[str, ...]:
    """Return the commands that the incident takes in its state."""
    always = ("note", "unmerge") if row.parent is not None else ("note",)
    if row.state in ("closed", "cancelled"):
        return always
    shared = ("assign", "handover", "accept", "cancel", "exempt", "snooze", "merge", "major", *always)
    if row.state == "resolved":
        return ("reopen", *(() if "review_due" in row.flags else ("close",)), *shared)
    working = ("acknowledge", "resolve", "priority", *shared)
    if row.state == "paused":
        return ("resume", *(name for name in working if name != "accept"))
    return ("pause", *working)


def command(desk: Desk, book: Book, name: str, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    """Run a command on an incident.

    Raises:
        Refused, Invalid: Nothing is changed.
    """
    if name in allowed(row):
        return COMMANDS[name](desk, book, row, args, at, actor)
    if LEADS_TO.get(name) == row.state:
        return row
    raise _refusal(row, name)


def _acknowledge(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if row.acknowledged_at is not None:
        return row
    row = record(desk, book, row.id, "acknowledged", at, actor, {})
    step = stages.on_acknowledge(book, row)
    return row if step is None else enter(desk, book, row, step, at, actor, row.owner, {})


def _assign(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if row.owner == args["to"]:
        return row
    return record(desk, book, row.id, "assigned", at, actor, {"to": args["to"], "from": row.owner})


def _accept(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    stage = stages.running(row)
    if stage is not None and stage.accepted_at is not None and row.owner == actor.name:
        return row
    if row.state in UNRESOLVED:
        row = _acknowledge(desk, book, row, {}, at, actor)
    data = {"by": actor.name, "stage": row.stage, "working": stages.is_working(book, row)}
    return record(desk, book, row.id, "accepted", at, actor, data)


def _hand_over(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    """End the stage: the next one begins with its owner; the end of the last one closes the incident.

    Who hands over has taken notice. Stages before ``verify`` run until resolved (SPEC 3.4), so to end
    the last of them is to say that it is repaired: the incident resolves. Without a stage after it,
    the same one goes on with another owner. The stages ``verify`` and ``inform`` leave their own events.
    """
    to, note = args.get("to"), _given(args, "note")
    step, here = stages.after(book, row), stages.current(book, row)
    ends = here is not None and here.runs_resolved and row.state == "resolved"
    if not ends and (step is None or row.state == "resolved"):
        return _pass_on(desk, book, row, to, note, at, actor)
    if ends and step is None and "review_due" in row.flags:
        raise _refusal(row, "close")
    row = _noticed(desk, book, row, at, actor)
    if here is not None and here.name in LEFT and ends:
        row = record(desk, book, row.id, LEFT[here.name], at, actor, {"by": row.owner} | note)
    if step is None:
        return lifecycle.close(desk, book, row, at, actor)
    if step.runs_resolved and row.state in UNRESOLVED:
        return lifecycle.resolve(desk, book, row, at, actor, {"resolution": "manual", "stage": row.stage} | note, to)
    return enter(desk, book, row, step, at, actor, to, note)


def _pass_on(
    desk: Desk, book: Book, row: Incident, to: str | None, note: dict[str, Any], at: Instant, actor: Actor
) -> Incident:
    """Give the stage that runs to its next owner: a record of its own, under the limit of the stage."""
    if not to:
        raise Invalid("there is no stage after this one: say to whom it goes", "to")
    stage = stages.running(row)
    if stage is None:
        return record(desk, book, row.id, "assigned", at, actor, {"to": to, "from": row.owner} | note)
    row = _noticed(desk, book, row, at, actor)
    return record(desk, book, row.id, "handed_over", at, actor, stages.passed_on(stage, to) | note)


def _noticed(desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor) -> Incident:
    if row.acknowledged_at is not None or row.state not in UNRESOLVED:
        return row
    return record(desk, book, row.id, "acknowledged", at, actor, {})


def _pause(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if args["reason"] not in PAUSE_REASONS:
        raise Invalid(f"reason is one of {', '.join(PAUSE_REASONS)}", "reason")
    return record(desk, book, row.id, "paused", at, actor, _given(args, "reason", "note"))


def _resume(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    return record(desk, book, row.id, "resumed", at, actor, {})


def _resolve(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    return lifecycle.resolve(desk, book, row, at, actor, {"resolution": "manual"} | _given(args, "cause", "note"))


def _reopen(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    return lifecycle.reopen(desk, book, row, at, actor, args["reason"], holds=row.holds)


def _close(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    return lifecycle.close(desk, book, row, at, actor)


def _cancel(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if args["reason"] not in CANCEL_REASONS:
        raise Invalid(f"reason is one of {', '.join(CANCEL_REASONS)}", "reason")
    stages.count_end(desk, row, at)
    data = _given(args, "reason", "note") | clocks.verdict(book, row, at)
    row = record(desk, book, row.id, "cancelled", at, actor, data)
    desk.count("incidents_cancelled_total", (*facts.of(book, row, "service"), ("reason", row.cancel_reason)))
    clocks.settle(desk, book, row, exempt=True)
    return row


def _note(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if not args.get("review"):
        return record(desk, book, row.id, "noted", at, actor, {"text": args["text"]})
    if row.state not in ("resolved", "closed"):
        raise _refusal(row, "review")
    return record(desk, book, row.id, "noted", at, actor, {"text": args["text"], "review": True})


def _set_priority(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    given = _given(args, "impact", "urgency", "reason")
    priority = args.get("priority") or book.priority(args.get("impact"), args.get("urgency"))
    if priority is None:
        raise Invalid("give priority, or impact and urgency", "priority")
    if priority == row.priority and row.by_person:
        return row
    data = {"priority": priority, "from": row.priority} | given
    return record(desk, book, row.id, "priority_changed", at, actor, data)


def _exempt(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if "exempt" in row.flags:
        return row
    return record(desk, book, row.id, "sla_exempted", at, actor, {"reason": args["reason"]})


def _snooze(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    until: Instant = args["until"]
    if until <= at:
        raise Invalid("until lies in the past", "until")
    if until == row.snoozed_until:
        return row
    return record(desk, book, row.id, "snoozed", at, actor, {"until": until})


def _unmerge(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    return record(desk, book, row.id, "unmerged", at, actor, {"from": row.parent})


def _major(desk: Desk, book: Book, row: Incident, args: Args, at: Instant, actor: Actor) -> Incident:
    if "major" in row.flags and (row.lead, row.update_every) == (args["lead"], args["every"]):
        return row
    data = {"flag": "major", "on": True, "lead": args["lead"], "every": args["every"]}
    return record(desk, book, row.id, "flagged", at, actor, data)


COMMANDS: Final[Mapping[str, Command]] = {
    "acknowledge": _acknowledge, "assign": _assign, "handover": _hand_over, "accept": _accept, "pause": _pause,
    "resume": _resume, "resolve": _resolve, "reopen": _reopen, "close": _close, "cancel": _cancel, "note": _note,
    "priority": _set_priority, "exempt": _exempt, "snooze": _snooze, "merge": lifecycle.merge, "unmerge": _unmerge,
    "major": _major,
}  # fmt: skip


def _refusal(row: Incident, name: str) -> Refused:
    can = allowed(row)
    if name == "close" and row.state == "resolved":
        return Refused("a major incident is closed after its review: write it as a note with review: true", can)
    is_so = "part of no other" if name == "unmerge" else row.state
    return Refused(f"an incident that is {is_so} takes no {name}; it takes {', '.join(can)}", can)


def _given(args: Args, *names: str) -> dict[str, Any]:
    return {name: args[name] for name in names if args.get(name) is not None}
