"""People command: incidents, silences, changes; each command is one item of the queue."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from responder.core import (
    availability,
    incident_commands,
    lifecycle,
    problem_commands,
    problems,
    reloading,
    satisfaction,
)
from responder.core.book import Book
from responder.core.catalogue import meant_name
from responder.core.desk import Change, Desk, ProblemRow
from responder.core.event import Actor, Event
from responder.core.incident import Incident
from responder.core.maintenance import Posted, Window, windows_after
from responder.core.rule import Rule
from responder.core.signal import Instant
from responder.core.silence import Silence, SilenceNotFound, expire, set_silence


class NotFound(Exception):
    """There is no such thing, or it is over for good and can't be commanded any more."""

    expected = True


class Outdated(Exception):
    """The row has another version than the one the command was made for."""

    expected = True


class Command(Struct, frozen=True):
    """One of :data:`responder.core.incident_commands.COMMANDS` on one incident."""

    name: str
    incident: int
    args: Mapping[str, Any]
    actor: Actor
    version: int | None = None
    """Of ``If-Match``."""
    urgent: bool = True
    weight: int = 0


class OpenByHand(Struct, frozen=True):
    """A person reports an incident."""

    opening: lifecycle.Opening
    actor: Actor
    urgent: bool = True
    weight: int = 0


class ProblemCommand(Struct, frozen=True):
    """One of :data:`responder.core.problem_commands.COMMANDS` on one problem."""

    name: str
    problem: int
    args: Mapping[str, Any]
    actor: Actor
    version: int | None = None
    """Of ``If-Match``."""
    urgent: bool = True
    weight: int = 0


class OpenProblem(Struct, frozen=True):
    """A person sees one cause behind incidents."""

    args: Mapping[str, Any]
    actor: Actor
    urgent: bool = True
    weight: int = 0


class SetSilence(Struct, frozen=True):
    """Create or change a silence."""

    posted: Silence
    new_id: str
    actor: Actor
    urgent: bool = True
    weight: int = 0


class ExpireSilence(Struct, frozen=True):
    """End a silence now."""

    id: str
    actor: Actor
    urgent: bool = True
    weight: int = 0


class RecordChange(Struct, frozen=True):
    """A change or release was made to a service."""

    service: str
    kind: str
    version: str
    at: Instant | None
    url: str
    actor: Actor
    urgent: bool = True
    weight: int = 0


class Announce(Struct, frozen=True):
    """A maintenance window is announced, or the one of that name is changed."""

    posted: Posted
    window: Window
    actor: Actor
    urgent: bool = True
    weight: int = 0


class EndMaintenance(Struct, frozen=True):
    """A window that was announced is taken back, or ends early."""

    name: str
    actor: Actor
    urgent: bool = True
    weight: int = 0


class Rate(Struct, frozen=True):
    """A customer answers."""

    token_hash: str
    score: int
    comment: str
    urgent: bool = True
    weight: int = 0


class Loaded(Struct, frozen=True):
    """A configuration is in force from now on."""

    digest: str
    gone: tuple[str, ...]
    """Rules whose condition state ends, see :func:`responder.core.reloading.gone`."""
    expecting: tuple[Rule, ...] = ()
    unpromised: tuple[str, ...] = ()
    """Sources with an incident that their ``on_failure`` does not open any more."""
    urgent: bool = True
    weight: int = 0


class Spent(Exception):
    """The customer has answered already, or waited too long."""

    expected = True


def command(item: Command, desk: Desk, book: Book, now: Instant, careful: bool) -> Incident:
    """Run a command; what time did to the incident comes first.

    Raises:
        NotFound, Outdated, lifecycle.Refused, lifecycle.Invalid: Nothing is changed.
    """
    row = desk.incident(item.incident)
    if row is None:
        raise NotFound(f"there is no incident INC-{item.incident}")
    row = lifecycle.pass_time(desk, book, row, now)
    if item.version is not None and item.version != row.version:
        raise Outdated(f"INC-{row.id} has version {row.version}, not {item.version}")
    _refuse_misspelt(book, item.args, item.actor)
    return incident_commands.command(desk, book, item.name, row, item.args, now, item.actor)


def open_by_hand(item: OpenByHand, desk: Desk, book: Book, now: Instant, careful: bool) -> Incident:
    """Open an incident that a person reported; the clocks are the same as for an alert.

    Raises:
        lifecycle.Invalid: The service is misspelt.
    """
    _refuse_misspelt(book, {"service": item.opening.service}, item.actor)
    incident = lifecycle.open_incident(desk, book, item.opening, now, item.actor)
    return problems.after_reporting(desk, book, incident, now)


_NAMES: Final = {"service": "service", "to": "team", "owner": "team", "lead": "team"}
"""What a field of a command names, or should."""


def _refuse_misspelt(book: Book, args: Mapping[str, Any], actor: Actor) -> None:
    """Refuse a name that is nearly one of the catalogue.

    Other services arrive in labels as well, and other owners are people: who leads a team, or
    commands here, may be called nearly as a team is.
    """
    people = {actor.name, *(team.lead for team in book.teams.values())}
    for field, what in _NAMES.items():
        name = args.get(field) or ""
        meant = meant_name(name, book.services if what == "service" else book.teams)
        if meant is not None and (what == "service" or name not in people):
            raise lifecycle.Invalid(f'there is no {what} "{name}"; did you mean "{meant}"?', field)


def problem_command(item: ProblemCommand, desk: Desk, book: Book, now: Instant, careful: bool) -> ProblemRow:
    """Run a command on a problem.

    Raises:
        NotFound, Outdated, lifecycle.Refused, lifecycle.Invalid: Nothing is changed.
    """
    row = desk.problem(item.problem)
    if row is None:
        raise NotFound(f"there is no problem PRB-{item.problem}")
    if item.version is not None and item.version != row.version:
        raise Outdated(f"PRB-{item.problem} has version {row.version}, not {item.version}")
    _refuse_misspelt(book, item.args, item.actor)
    return problem_commands.command(desk, book, item.name, row, item.args, now, item.actor)


def open_problem(item: OpenProblem, desk: Desk, book: Book, now: Instant, careful: bool) -> ProblemRow:
    """Open a problem by hand.

    Raises:
        lifecycle.Invalid: The service or the owner is misspelt, or there is no such incident.
    """
    _refuse_misspelt(book, item.args, item.actor)
    return problem_commands.open_by_hand(desk, book, item.args, now, item.actor)


def silence(item: SetSilence, desk: Desk, book: Book, now: Instant, careful: bool) -> str:
    """Create or change a silence by Alertmanager's rules; returns its id."""
    known = desk.silences.get(item.posted.id) if item.posted.id else None
    written, id = set_silence(known, item.posted, now, item.new_id)
    for row in written:
        desk.silences.put(row.id, row)
        desk.events.append(Event(now, "created", "silence", 0, item.actor, {"id": row.id, "comment": row.comment,
                                 "from": row.starts_at, "until": row.ends_at}))  # fmt: skip
    return id


def end_silence(item: ExpireSilence, desk: Desk, book: Book, now: Instant, careful: bool) -> None:
    """End a silence; one that has ended already stays as it is.

    Raises:
        SilenceNotFound: There is no such silence.
    """
    known = desk.silences.get(item.id)
    if known is None:
        raise SilenceNotFound
    row = expire(known, now)
    if row != known:
        desk.silences.put(row.id, row)
        desk.events.append(Event(now, "expired", "silence", 0, item.actor, {"id": row.id}))


def record_change(item: RecordChange, desk: Desk, book: Book, now: Instant, careful: bool) -> Change:
    """Remember a change; incidents of its service that open soon after, or have, are linked to it.

    Raises:
        lifecycle.Invalid: The service is misspelt.
    """
    _refuse_misspelt(book, {"service": item.service}, item.actor)
    change = Change(desk.head.next_change, item.at if item.at is not None else now, item.service, item.kind,
                    item.version, item.url)  # fmt: skip
    desk.head.next_change += 1
    desk.changes.put(change.id, change)
    if change.at < now:
        lifecycle.change_told_late(desk, book, change, now, item.actor)
    return change


def announce(item: Announce, desk: Desk, book: Book, now: Instant, careful: bool) -> Posted:
    """Announce maintenance; planned incidents follow it, and what has passed stays as it was.

    Raises:
        lifecycle.Refused: The configuration has a window of that name.
    """
    row = item.posted
    if any(window.name == row.name for window in book.windows):
        raise lifecycle.Refused(f"the configuration has a window {row.name!r}: give this one another name")
    _put_window(desk, book, row, item.window, now, item.actor)
    data = {"name": row.name, "reason": row.reason, "from": row.start, "until": row.end or None}
    desk.events.append(Event(now, "created", "maintenance", 0, item.actor, data))
    return row


def end_maintenance(item: EndMaintenance, desk: Desk, book: Book, now: Instant, careful: bool) -> Posted:
    """End a window now; one that has ended already stays as it is.

    Raises:
        NotFound: No window of that name was announced.
    """
    row = desk.maintenance.get(item.name)
    if row is None:
        raise NotFound(f"no maintenance {item.name!r} was announced, or it was ended")
    if row.recurring is None and row.end <= now:
        return row
    row = msgspec.structs.replace(row, ended_at=now)
    _put_window(desk, book, row, None, now, item.actor)
    desk.events.append(Event(now, "expired", "maintenance", 0, item.actor, {"name": row.name}))
    return row


def _put_window(desk: Desk, book: Book, row: Posted, window: Window | None, now: Instant, actor: Actor) -> None:
    availability.settle(desk, book, now)
    desk.maintenance.put(row.name, row)
    lifecycle.replan(desk, book, windows_after(book.windows, book.posted, row.name, window), now, actor)


def rate(item: Rate, desk: Desk, book: Book, now: Instant, careful: bool) -> Incident:
    """Keep a customer's score, once.

    Raises:
        NotFound: Nobody was given such a token, or its incident is gone.
        Spent: It was used, or is too old.
    """
    asked = desk.asked_of(item.token_hash)
    row = desk.incident(asked.incident) if asked is not None else None
    if asked is None or row is None:
        raise NotFound("nobody was asked by this link")
    if asked.rated_at is not None:
        raise Spent("used")
    if asked.expires_at <= now:
        raise Spent("expired")
    desk.asked[asked.token_hash] = msgspec.structs.replace(asked, rated_at=now)
    return lifecycle.rated(desk, book, row, item.score, item.comment, now, satisfaction.CUSTOMER)


def loaded(item: Loaded, desk: Desk, book: Book, now: Instant, careful: bool) -> bool:
    """Put a configuration in force: end what has no rule any more, start clocks that run from load.

    Returns whether it promises something else: then open incidents follow (:class:`upkeep.Sweep`).
    """
    desk.events.append(Event(now, "loaded", "config", 0, Actor("source", "config"), {"digest": item.digest}))
    for rule in item.gone:
        reloading.orphan(desk, book, rule, desk.keys_of(rule), now)
    for source in item.unpromised:
        reloading.orphan_source(desk, book, source, now)
    for rule_ in item.expecting:
        for key in getattr(rule_.when, "expect", ()):
            reloading.expect(desk, book, rule_, key, now)
    changed = availability.configure(desk, book, now)
    lifecycle.replan(desk, book, (*book.windows, *book.posted.values()), now, Actor("source", "config"))
    return changed
