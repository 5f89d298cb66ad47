"""The way of an incident (SPEC 3.4): one path for every transition, whoever asks for it.

Everything here decides on a desk: it reads rows, records events, counts facts. Automatic and
manual transitions are the same functions with another actor; what people may ask for, and when,
is :mod:`responder.core.incident_commands`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from responder.core import availability, clocks, facts, keys, maintenance, plan, recurrence, satisfaction, stages
from responder.core.book import Book
from responder.core.desk import Change, Desk
from responder.core.event import TIMER, Actor, Event
from responder.core.incident import OVER, UNRESOLVED, Evidence, Incident, name_of
from responder.core.signal import MINUTE, Instant

CHANGE_WINDOW: Final = 30 * MINUTE
"""An incident that opens so soon after a change of its service is linked to it."""
MAJOR_EVERY: Final = 30 * MINUTE
"""How often there is news of an incident that a rule declares major."""
REMEMBERED: Final = 16_384
"""What time does next is remembered of so many incidents."""


class Refused(Exception):
    """The command does not fit the state of the incident; *allowed* is what does."""

    expected = True

    def __init__(self, message: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.allowed = allowed


class Invalid(Exception):
    """The command lacks something or names what is not there."""

    expected = True

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Opening(Struct, frozen=True):
    """Everything about an incident at the moment it opens."""

    service: str
    title: str
    priority: str
    source: str
    started_at: Instant
    rule: str | None = None
    key: dict[str, str] = {}
    key_hash: int = 0
    impact: str | None = None
    urgency: str | None = None
    labels: dict[str, str] = {}
    description: str = ""
    runbook: str = ""
    reopen_within: int = 0
    max_age: int | None = None
    major: bool = False
    evidence: Evidence | None = None
    about: dict[str, str] = {}
    """Labels of what opened it; maintenance windows look at them too."""


def open_incident(desk: Desk, book: Book, what: Opening, at: Instant, actor: Actor) -> Incident:
    """Begin an incident: the only way in which one comes to be."""
    id = desk.head.next_incident
    desk.head.next_incident += 1
    service = book.service(what.service)
    previous = desk.last_incident(what.rule, what.key_hash) if what.rule is not None else None
    planned_until = book.planned_until(what.service, {**what.about, **what.labels}, at)
    flags = [flag for flag, on in (("planned", planned_until is not None), ("major", what.major)) if on]
    first = stages.first(book, what.service, what.priority, at, planned=planned_until is not None)
    data: dict[str, Any] = {
        "rule": what.rule, "key": what.key, "key_hash": what.key_hash, "service": what.service, "team": service.team,
        "owner": first[0]["owner"] if first else service.team, "title": what.title, "priority": what.priority, "impact": what.impact,
        "urgency": what.urgency, "started_at": min(what.started_at, at), "labels": what.labels,
        "description": what.description, "runbook": what.runbook, "source": what.source,
        "reopen_within": what.reopen_within, "max_age": what.max_age, "previous": previous, "flags": flags,
        "planned_until": planned_until, "holds": what.rule is not None, "taking": what.rule is not None,
        "stages": first,
    }  # fmt: skip
    if what.evidence is not None:
        data["evidence"] = msgspec.to_builtins(what.evidence)
    if what.major:
        data |= {"lead": book.lead(service.team), "update_every": MAJOR_EVERY, "news_at": at}
    row = record(desk, book, id, "opened", at, actor, data)
    desk.count("incidents_opened_total", facts.of(book, row, "service", "priority", "source"))
    for change in desk.changes_of(what.service, at - CHANGE_WINDOW, at):
        row = _link_change(desk, book, row, change, at, actor)
    return row


def change_told_late(desk: Desk, book: Book, change: Change, at: Instant, actor: Actor) -> None:
    """Link what has opened since a change that was told afterwards."""
    for row in desk.living_incidents():
        if row.service == change.service and change.at <= row.opened_at <= change.at + CHANGE_WINDOW:
            row = pass_time(desk, book, row, at)
            if row.state not in OVER:
                _link_change(desk, book, row, change, at, actor)


def _link_change(desk: Desk, book: Book, row: Incident, change: Change, at: Instant, actor: Actor) -> Incident:
    if not row.changes:
        desk.count("incidents_change_related_total", facts.of(book, row, "service"))
    return record(desk, book, row.id, "change_linked", at, actor, {"change": change.id, "version": change.version})


def condition_returned(desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor) -> Incident:
    """The key's condition holds again while the incident takes."""
    if row.state == "resolved" and not row.holds:
        return reopen(desk, book, row, at, actor, "the condition returned", holds=True)
    if not row.holds:  # cancelled, or reopened by hand: it joins silently
        return record(desk, book, row.id, "flagged", at, actor, {"flag": "holds", "on": True})
    return row


def condition_cleared(
    desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor, expired: bool = False,
    true_at: Instant | None = None,
) -> Incident:  # fmt: skip
    """The key's condition holds no more: what is not resolved yet resolves by that.

    We accept it *at*; it came about at *true_at*, which is kept within the incident's time.
    """
    if not row.holds:
        return row
    data = {"recovered_at": max(min(at if true_at is None else true_at, at), row.opened_at)}
    if row.state not in UNRESOLVED:
        return record(desk, book, row.id, "alert_cleared", at, actor, data)
    row = record(desk, book, row.id, "recovered", at, actor, data)
    return resolve(desk, book, row, at, actor, {"resolution": "expired" if expired else "recovered"})


def stop_taking(desk: Desk, book: Book, row: Incident, at: Instant) -> Incident:
    """From now on new alerts of the key open another incident."""
    return record(desk, book, row.id, "flagged", at, TIMER, {"flag": "taking", "on": False})


def orphan(desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor) -> Incident:
    """Its rule is gone or asks for another key: a person has to end the incident."""
    return record(desk, book, row.id, "orphaned", at, actor, {})


def raise_priority(desk: Desk, book: Book, row: Incident, priority: str, at: Instant, actor: Actor) -> Incident:
    """Follow a worse alert; upward only, and never against a person."""
    if row.by_person or priority >= row.priority or row.state not in UNRESOLVED:
        return row
    return record(desk, book, row.id, "priority_changed", at, actor, {"priority": priority, "from": row.priority})


def merge(desk: Desk, book: Book, row: Incident, args: Mapping[str, Any], at: Instant, actor: Actor) -> Incident:
    """Make it part of the incident ``into``."""
    into = desk.incidents.get(args["into"])
    if into is None or into.closed_at is not None:  # what is over is in memory while its alerts fire
        raise Invalid(f"there is no {name_of(args['into'])} that is still worked on", "into")
    ancestor: Incident | None = into
    while ancestor is not None:
        if ancestor.id == row.id:
            loop = f"{name_of(into.id)} is part of {name_of(row.id)} already"
            raise Invalid("an incident can't become part of itself" if into.id == row.id else loop, "into")
        ancestor = desk.incidents.get(ancestor.parent) if ancestor.parent is not None else None
    if row.parent == into.id:
        return row
    return record(desk, book, row.id, "merged", at, actor, {"into": into.id})


def rated(desk: Desk, book: Book, row: Incident, score: int, comment: str, at: Instant, actor: Actor) -> Incident:
    """Keep what the customer says; an incident that is over takes it too."""
    desk.count("satisfaction_responses_total", (*facts.of(book, row, "service"), ("score", str(score))))
    return record(desk, book, row.id, "satisfaction_rated", at, actor, {"score": score, "comment": comment})


# What time does.


def next_due(book: Book, row: Incident) -> Instant | None:
    """Return the instant at which time alone changes the incident next."""
    found = _due(book, row)
    return found[0] if found else None


def pass_time(desk: Desk, book: Book, row: Incident, now: Instant) -> Incident:
    """Apply everything that was due until *now*, in its order and dated with its true instant."""
    rests = desk.rests_until(row.id)
    if rests is not None and rests > now:
        return row
    while (found := _due(book, row)) is not None and found[0] <= now:
        at, act = found
        row = act(desk, book, row, at, now)
    return row


Act = Callable[[Desk, Book, Incident, Instant, Instant], Incident]


def _due(book: Book, row: Incident) -> tuple[Instant, Act] | None:
    """Return what time does to the incident next; asked of one row several times, worked out once."""
    known = book.dues.get(row.id)
    if known is not None and known[0] is row:
        return known[1]
    if len(book.dues) >= REMEMBERED:
        book.dues.clear()
    found = _next(book, row)
    book.dues[row.id] = row, found
    return found


def _next(book: Book, row: Incident) -> tuple[Instant, Act] | None:
    if row.state == "closed" or (row.state == "cancelled" and not row.taking):
        return None
    waits: list[tuple[Instant, Act]] = []
    cleared = max(row.cleared_at or 0, row.resolved_at or row.closed_at or 0)
    if row.state == "resolved":
        assert row.resolved_at is not None
        if row.holds:
            waits.append((row.resolved_at + row.reopen_within, _still_firing))
        elif not stages.waits_for_people(book, row) and "review_due" not in row.flags:
            waits.append((cleared + row.reopen_within, _verified))
        elif row.taking:
            waits.append((cleared + row.reopen_within, _release))
    if row.state == "cancelled":
        if not row.holds:
            waits.append((cleared + row.reopen_within, _release))
    else:
        if row.snoozed_until is not None:
            waits.append((row.snoozed_until, _wake))
        if row.planned_until is not None and row.state in UNRESOLVED:
            waits.append((row.planned_until, _window_ended))
        if row.update_every is not None and row.news_at is not None and row.state in UNRESOLVED:
            waits.append((row.news_at + row.update_every, _no_news))
        waits += clocks.due(book, row)
        waits += stages.due(book, row)
    return min(waits, key=lambda wait: wait[0], default=None)


def _still_firing(desk: Desk, book: Book, row: Incident, at: Instant, now: Instant) -> Incident:
    return reopen(desk, book, row, at, TIMER, "still firing", holds=True)


def _verified(desk: Desk, book: Book, row: Incident, at: Instant, now: Instant) -> Incident:
    record(desk, book, row.id, "verified", at, TIMER, {"by": "monitor"})
    return close(desk, book, desk.incidents.get(row.id) or row, at, TIMER)


def _release(desk: Desk, book: Book, row: Incident, at: Instant, now: Instant) -> Incident:
    return stop_taking(desk, book, row, at)


def _wake(desk: Desk, book: Book, row: Incident, at: Instant, now: Instant) -> Incident:
    return record(desk, book, row.id, "snoozed", at, TIMER, {"until": None})


def _window_ended(desk: Desk, book: Book, row: Incident, at: Instant, now: Instant) -> Incident:
    """Maintenance is over and the incident is not: from here on it counts, unless another window goes on."""
    return _replan(desk, book, row, book.planned_until(row.service, {**row.common, **row.labels}, at), at, TIMER)


def replan(desk: Desk, book: Book, windows: Iterable[maintenance.Window], at: Instant, actor: Actor) -> None:
    """Let planned incidents follow other windows: their maintenance ends earlier or later now."""
    windows = tuple(windows)
    for row in desk.living_incidents():
        if "planned" in row.flags and row.state in UNRESOLVED:
            until = maintenance.latest_end(windows, row.service, {**row.common, **row.labels}, at)
            if until != row.planned_until:
                _replan(desk, book, pass_time(desk, book, row, at), until, at, actor)


def _replan(desk: Desk, book: Book, row: Incident, until: Instant | None, at: Instant, actor: Actor) -> Incident:
    if until is not None:
        return record(desk, book, row.id, "flagged", at, actor, {"flag": "planned", "on": True, "until": until})
    data: dict[str, Any] = {"flag": "planned", "on": False}
    step, stage = stages.current(book, row), stages.running(row)
    if step is not None and stage is not None:
        data["due_at"] = stages.limit(book, row.service, row.priority, step, stage.owner, max(at, row.last_at))
    return record(desk, book, row.id, "flagged", at, actor, data)


def _no_news(desk: Desk, book: Book, row: Incident, at: Instant, now: Instant) -> Incident:
    """Remind the lead of a major incident; what was missed while nobody looked is one reminder."""
    assert row.update_every is not None
    data = {"lead": row.lead, "every": row.update_every, "next_from": now - (now - at) % row.update_every}
    return record(desk, book, row.id, "update_overdue", at, TIMER, data)


def resolve(
    desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor, data: dict[str, Any], to: str | None = None
) -> Incident:
    """The service is restored; a stage that runs from then on begins, with *to* as its owner if given."""
    stages.count_end(desk, row, at)
    row = record(desk, book, row.id, "resolved", at, actor, data)
    labels = (*facts.of(book, row, "service", "priority"), ("resolution", row.resolution))
    desk.count("incidents_resolved_total", labels)
    step = stages.on_resolve(book, row)
    if step is not None:
        note: dict[str, Any] = {name: data[name] for name in ("note", "cause") if name in data}
        row = enter(desk, book, row, step, at, actor, to, note)
    return row


def reopen(desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor, reason: str, *, holds: bool) -> Incident:
    """It was not over: go back to where it was, and to the stage in which people work on it."""
    step = stages.on_reopen(book, row)
    data = {"reason": reason, "holds": holds} | clocks.settled(book, row)
    if step is not None and step.name == row.stage:  # who had it has it still
        due_at = stages.limit(
            book, row.service, row.priority, step, row.stages[-1].owner, max(at, row.last_at), row.clock
        )
        data["begins"] = {"name": step.name, "owner": row.stages[-1].owner, "due_at": due_at} | stages.follows(step)
    row = record(desk, book, row.id, "reopened", at, actor, data)
    desk.count("incidents_reopened_total", facts.of(book, row, "service", "priority"))
    if row.problem is not None and (solved := desk.problem(row.problem)) is not None:
        recurrence.came(desk, solved, row.id, at, again=True)
    if step is not None and "begins" not in data:
        row = enter(desk, book, row, step, at, actor, None, {})
    return row


def close(desk: Desk, book: Book, row: Incident, at: Instant, actor: Actor) -> Incident:
    """Nothing more will happen to it: its verdicts count."""
    stages.count_end(desk, row, at)
    row = record(desk, book, row.id, "closed", at, actor, clocks.verdict(book, row, at))
    clocks.settle(desk, book, row, exempt="exempt" in row.flags or "planned" in row.flags)
    return row


def enter(
    desk: Desk, book: Book, row: Incident, step: stages.Step, at: Instant, actor: Actor, to: str | None,
    extra: dict[str, Any],
) -> Incident:  # fmt: skip
    """End the stage that runs and begin another."""
    stages.count_end(desk, row, at)
    owner = to or stages.owner_of(book, row.service, step)
    data: dict[str, Any] = {"stage": step.name, "owner": owner} | stages.follows(step)
    if "planned" not in row.flags:
        data["due_at"] = stages.limit(book, row.service, row.priority, step, owner, max(at, row.last_at), row.clock)
    if step.collect is not None:
        data["collect"] = step.collect
    row = record(desk, book, row.id, "handed_over", at, actor, data | extra)
    if step.collect is not None:
        satisfaction.ask(desk, book, row)
    return row


def record(desk: Desk, book: Book, id: int, kind: str, at: Instant, actor: Actor, data: dict[str, Any]) -> Incident:
    """Write one event; an incident's instants never go back."""
    row = None if kind == "opened" else desk.incident(id)
    at = at if row is None else max(at, row.last_at)
    new = plan.record(desk, book, row, Event(at, kind, "incident", id, actor, data))
    clocks.observe(desk, book, row, new)
    availability.weigh(desk, book, row, new, at)
    if row is not None and row.taking and not new.taking:
        keys.release(desk, book, new)
    return new
