"""Which messages a change gives, and what becomes of them when their time has come.

A channel believes that an incident is open or that it is over; ``Incident.told`` names those
that believe it open, because of whatever message they took of it. Openings and resolutions bring that belief in line with the incident,
so they are owed and only put off while something suppresses them; the other messages speak
of a moment and are dropped when nobody may hear of it.

Who owns a problem hears of it once, when the order of its probable causes has settled, and
of its end; the owner's lead hears when it, or an action item of it, was not done in time. Such
a message leaves with the most urgent incident of the problem in it.
"""

from collections.abc import Set
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from responder.core.catalogue import ChannelRef, Occasion, Team
from responder.core.event import Actor, Event
from responder.core.outbox import FROM_BIRTH, LEASE, Kind, Message, Part
from responder.core.problem import UNRESOLVED, Problem
from responder.core.signal import HOUR, MINUTE, SECOND, Instant, Span

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.desk import Desk, ProblemRow
    from responder.core.incident import Incident

Reason: TypeAlias = Literal["moot", "merged", "snoozed", "planned", "silenced"]
OWED: Final = frozenset({"opened", "repeat", "resolved"})
"""Put off while suppressed; other kinds are dropped."""
ATTEMPTS: Final = 12
"""After so many, in half an hour, another channel is told instead, if the team has one that does not know."""
GIVE_UP_AFTER: Final[Span] = 4 * HOUR
_FIRST_PAUSE: Final[Span] = SECOND
_LONGEST_PAUSE: Final[Span] = 15 * MINUTE
SETTLED: Final[Span] = MINUTE
"""The probable causes of a problem are in their order by then."""
_LOOK_AGAIN: Final[Span] = HOUR
"""For what is suppressed until something happens; that it happens is noticed at once."""
_RANK: Final[dict[Kind, int]] = {
    "opened": 0, "breached": 1, "overdue": 2, "warned": 3, "repeat": 4, "stage": 5, "resolved": 6,
}  # fmt: skip
_ABOUT: Final = frozenset({"target", "percent", "late", "stage", "owner", "reason", "note", "cause"})


class Verdict(Struct, frozen=True):
    """What the look just before sending finds: leave, never leave, or wait."""

    do: Literal["send", "drop", "hold"]
    reason: Reason | Literal[""] = ""
    until: Instant | None = None
    by: int | None = None
    """The incident that it is part of."""


SEND: Final = Verdict("send")
MOOT: Final = Verdict("drop", "moot")


def record(desk: "Desk", book: "Book", before: "Incident | None", event: Event) -> "Incident":
    """Write an event of an incident with the messages that it gives: the one way to write one."""
    row = desk.record(event)
    announce(desk, book, before, row, event)
    return row


def announce(desk: "Desk", book: "Book", before: "Incident | None", row: "Incident", event: Event) -> None:
    """Write the messages that an event gives; whether they may leave is asked when they are due."""
    data = event.data
    match event.kind:
        case "opened" | "reopened":
            _tell(desk, _opening_hears(book, row), _part("opened", row, event))
        case "handed_over":
            channels = _team_hears(book, row, "stage") + _hears(book.teams.get(data["owner"]), row, "stage")
            _tell(desk, channels, _part("stage", row, event))
        case "sla_warned":
            _tell(desk, _team_hears(book, row, "warned"), _part("warned", row, event))
        case "sla_breached":
            _tell(desk, _team_hears(book, row, "breached"), _part("breached", row, event))
        case "stage_overdue":
            _tell(desk, _lead_hears(book, row, data["owner"]), _part("overdue", row, event))
        case "update_overdue":
            part = _part("overdue", row, event)
            _tell(desk, _lead_hears(book, row, row.team), replace(part, about={"stage": row.stage, "news": True}))
        case "priority_changed" | "assigned" | "flagged" if before is not None and not over(row):
            part, channels = _part("opened", row, event), _opening_hears(book, row)
            if row.priority < before.priority:
                part = replace(part, about={**part.about, "raised_from": before.priority})
            else:
                known = {*row.told, *_opening_hears(book, before)}
                channels = [name for name in channels if name not in known]
            _tell(desk, channels, part)
        case "resolved" | "cancelled" if before is not None and not over(before):
            channels = [name for name in row.told if _hears_the_end(book, row, name)]
            _tell(desk, channels, _part("resolved", row, event))
        case "notified" | "notification_failed":
            _after_delivery(desk, book, before, row, event)


def over(row: "Incident") -> bool:
    """Say whether nobody has to work on the incident any more: resolved, closed or cancelled."""
    return row.resolved_at is not None or row.closed_at is not None


def look(
    part: Part, channel: str, row: "Incident | None", parent: "Incident | None", book: "Book", now: Instant,
    silenced_until: Instant | None, *, perhaps: bool = False, instead: bool = False,
) -> Verdict:  # fmt: skip
    """Look at the state again, just before a message leaves.

    Args:
        row: The incident as it is now; None: it is gone.
        parent: The incident that it is part of, if any.
        silenced_until: When its silence ends; None: it is not silenced.
        perhaps: The message may have arrived already.
        instead: Another channel of the team, which was to hear of it, could not be reached.
    """
    if row is None or _moot(part, channel, row, book, perhaps or instead):
        return MOOT
    found = suppression(row, parent, book, now, silenced_until)
    past = part.event == "opened" and over(row)  # only what is open when the silence ends is announced
    if found is None or (part.event in OWED and not past):
        return found or SEND
    return Verdict("drop", found.reason)


def urgency(part: Part, row: "Incident | None") -> tuple[bool, str, int, Instant, int]:
    """Return what orders messages, the most urgent first."""
    return part.event == "resolved", row.priority if row else "", _RANK[part.event], part.at, part.incident


def claimed(message: Message, now: Instant) -> Message:
    """Return a message with its next attempt under way."""
    return replace(
        message, attempt=message.attempt + 1, claimed_at=message.claimed_at or now, not_before=now + LEASE, leased=True,
        asked=False, held="", held_by=None,
        notification_id=message.notification_id or notification_id(message),
    )  # fmt: skip


def held(message: Message, verdict: Verdict, now: Instant) -> Message:
    """Return a message that waits for the end of what suppresses it."""
    until = verdict.until if verdict.until is not None and verdict.until > now else now + _LOOK_AGAIN
    return replace(message, not_before=until, held=verdict.reason, held_by=verdict.by, leased=False)


def dropped(desk: "Desk", message: Message) -> None:
    """Let a message go unsent; who may have heard the opening is told of the end."""
    desk.outbox.put(message.id, replace(message, state="dropped", leased=False))
    if not message.perhaps:
        return
    for part in message.parts:
        if part.problem is not None:
            problem = desk.problem(part.problem)
            if part.event == "opened" and problem is not None and _is_over(problem):
                desk.outbox.put(*_entry(desk, message.channel, _ended(problem, part.at), perhaps=True))
            continue
        row = desk.incident(part.incident)
        if part.event in ("opened", "repeat") and row is not None and over(row):
            end = Part("resolved", row.id, row.resolved_at or row.closed_at or part.at)
            desk.outbox.put(*_entry(desk, message.channel, end, perhaps=True))


def delivered(desk: "Desk", book: "Book", message: Message, now: Instant) -> Message:
    """Note that the other side has taken a message."""
    message = replace(message, state="sent", leased=False, not_before=now)
    desk.outbox.put(message.id, message)
    for part in message.parts:
        data: dict[str, Any] = {
            "channel": message.channel, "event": part.event, "notification": message.notification_id,
            "attempt": message.attempt,
        }  # fmt: skip
        if part.problem is not None:
            _problem_told(desk, book, part, message.channel, data, now)
            continue
        row = desk.incident(part.incident)
        if row is None:
            continue
        if part.event == "resolved":
            data["told"] = False
        elif not _momentary(part, row):
            data["told"] = True
        _note(desk, book, row, "notified", message.channel, data, now)
    return message


def failed(
    desk: "Desk", book: "Book", message: Message, now: Instant, error: str, *,
    final: bool, perhaps: bool, retry_after: Span | None,
) -> Message:  # fmt: skip
    """Note that an attempt failed: the next one is due after a pause, or the message is given up.

    Args:
        final: It would fail again however often it is tried.
        perhaps: No answer came, so it may have arrived.
        retry_after: What the other side asked for.
    """
    at = now + max(pause(message), retry_after or 0)
    message = replace(
        message, leased=False, last_error=error, perhaps=message.perhaps or perhaps, not_before=at,
        asked=retry_after is not None,
    )  # fmt: skip
    instead = message.attempt >= ATTEMPTS and any(_following(desk, book, message, part) for part in message.parts)
    if final or instead or at > (message.claimed_at or now) + GIVE_UP_AFTER:
        message = replace(message, state="failed", not_before=now, asked=False)
        _given_up(desk, book, message, now)
    desk.outbox.put(message.id, message)
    return message


def pause(message: Message) -> Span:
    """Return how long to wait after an attempt that failed: twice as long each time, spread by a fifth."""
    span = min(_FIRST_PAUSE << (message.attempt - 1), _LONGEST_PAUSE)
    spread = blake2b(f"{message.notification_id}/{message.attempt}".encode(), digest_size=4).digest()
    return span * 4 // 5 + span * 2 // 5 * int.from_bytes(spread, "big") // 2**32


def notification_id(message: Message) -> str:
    """Return the id under which others know a message: the same at every attempt, and never another's."""
    part = message.part
    text = f"{message.id}/{message.channel}/{part.event}/{part.incident}/{part.at}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _part(event: Kind, row: "Incident", of: Event) -> Part:
    about = {name: value for name, value in of.data.items() if name in _ABOUT}
    if "note" in about:
        about["by"] = of.actor.name
    return Part(event, row.id, of.at, about)


def _tell(desk: "Desk", channels: list[str], part: Part) -> None:
    to = tuple(dict.fromkeys(channels))
    for channel in to:
        desk.outbox.put(*_entry(desk, channel, replace(part, to=to)))


def _entry(
    desk: "Desk", channel: str, part: Part, not_before: Instant = FROM_BIRTH, *, perhaps: bool = False,
    tried: tuple[str, ...] = (),
) -> tuple[int, Message]:  # fmt: skip
    id = desk.head.next_outbox
    desk.head.next_outbox += 1
    return id, Message(id, channel, part, not_before, not_before or part.at, perhaps=perhaps, tried=tried)


def _hears(team: Team | None, row: "Incident", occasion: Occasion) -> list[str]:
    return _of(team.channels, row, occasion) if team is not None else []


def _of(refs: tuple[ChannelRef, ...], row: "Incident", occasion: Occasion) -> list[str]:
    return [ref.channel for ref in refs if occasion in ref.on and row.priority in ref.priorities]


def _team_hears(book: "Book", row: "Incident", occasion: Occasion) -> list[str]:
    return _hears(book.team(row.team), row, occasion)


def _opening_hears(book: "Book", row: "Incident") -> list[str]:
    """Return who is told that it is open: its team, the team that has it now, and the lead when it is major."""
    major = _lead_hears(book, row, row.team, "opened") if "major" in row.flags else []
    return _team_hears(book, row, "opened") + _hears(book.teams.get(row.owner), row, "opened") + major


def _lead_hears(book: "Book", row: "Incident", owner: str, occasion: Occasion = "stage") -> list[str]:
    team = book.teams.get(owner) or book.team(row.team)
    return _of(team.lead_channels or team.channels, row, occasion)


def _hears_the_end(book: "Book", row: "Incident", channel: str) -> bool:
    """Who was told of it hears of the end, at whatever priority, unless it is not to hear of ends.

    A channel that is the team's no more is told too; if it is gone, the end goes to the team's next.
    """
    owners = [book.teams[stage.owner] for stage in row.stages if stage.owner in book.teams]
    return _hears_ends(channel, book.team(row.team), *owners)


def _hears_ends(channel: str, *teams: Team) -> bool:
    refs = [ref for team in teams for ref in (*team.channels, *team.lead_channels) if ref.channel == channel]
    return not refs or any("resolved" in ref.on for ref in refs)


def _moot(part: Part, channel: str, row: "Incident", book: "Book", perhaps: bool) -> bool:
    """Say whether a message has nothing to say any more."""
    told = channel in row.told
    match part.event:
        case "opened":
            raised = row.priority < part.about.get("raised_from", "")
            return (told and not raised) or (over(row) and not _momentary(part, row))
        case "repeat":
            return not told or over(row) or row.acknowledged_at is not None
        case "resolved":
            return not over(row) or not (told or perhaps)
        case "stage" if row.stages and part.about.get("owner", row.stages[-1].owner) != row.stages[-1].owner:
            return True  # it went on to somebody else
        case "stage" | "overdue":
            return (
                row.stage != part.about.get("stage")
                or row.closed_at is not None
                or (over(row) and not _runs(book, row))
            )
        case "warned":
            response, clock = part.about.get("target") == "response", row.clock
            answered = response and row.acknowledged_at is not None
            breached = (clock.response_breached_at if response else clock.resolution_breached_at) is not None
            return over(row) or answered or breached or "exempt" in row.flags
        case "breached":
            return row.state == "cancelled" or "exempt" in row.flags


def _momentary(part: Part, row: "Incident | None") -> bool:
    """Say whether it was over the moment it began: there was no time at which it could have been told open."""
    ended = row.resolved_at if row is not None and row.state != "cancelled" else None
    return ended is not None and ended <= part.at


def _runs(book: "Book", row: "Incident") -> bool:
    """Say whether the stage of a resolved incident goes on: the customer is told, a team verifies."""
    return any(step.name == row.stage and step.runs_resolved for step in book.flow(row.service))


def suppression(
    row: "Incident", parent: "Incident | None", book: "Book", now: Instant, silenced_until: Instant | None
) -> Verdict | None:
    """Return what keeps an incident quiet now, if anything does."""
    if parent is not None and not over(parent):
        return Verdict("hold", "merged", None, parent.id)
    if row.snoozed_until is not None and row.snoozed_until > now:
        return Verdict("hold", "snoozed", row.snoozed_until)
    if "planned" in row.flags:
        return Verdict("hold", "planned", row.planned_until)
    window = book.planned_until(row.service, {**row.common, **row.labels}, now)
    if window is not None:
        return Verdict("hold", "planned", window)
    if silenced_until is not None:
        return Verdict("hold", "silenced", silenced_until)
    return None


def _after_delivery(desk: "Desk", book: "Book", before: "Incident | None", row: "Incident", event: Event) -> None:
    """Correct what a channel believes when the incident went on while the message was under way; plan the repeat."""
    channel, told, kind = event.data["channel"], event.data.get("told"), event.data["event"]
    first = before is None or channel not in before.told
    # what is later may have been told first, while the opening had to be tried again
    reminded = kind in ("opened", "repeat") or channel in _opening_hears(book, row)
    if told is True and over(row):
        if _hears_the_end(book, row, channel):
            _tell(desk, [channel], Part("resolved", row.id, event.at))
    elif told is False and not over(row):
        if channel in _opening_hears(book, row):
            _tell(desk, [channel], Part("opened", row.id, event.at))
    elif (first or kind == "repeat") and reminded and told is True and row.acknowledged_at is None:
        repeat = book.channel(channel).repeat
        if repeat is not None:
            again = Part("repeat", row.id, event.at + repeat)
            desk.outbox.put(*_entry(desk, channel, again, again.at))


def _given_up(desk: "Desk", book: "Book", message: Message, now: Instant) -> None:
    """Say so on the timelines, and let the team's next channel have it."""
    tried = (*message.tried, message.channel)
    for part in message.parts:
        row = desk.incident(part.incident) if part.problem is None else None
        problem = desk.problem(part.problem) if part.problem is not None else None
        following = _following(desk, book, message, part)
        data = {
            "channel": message.channel, "event": part.event, "notification": message.notification_id,
            "attempt": message.attempt, "error": message.last_error[:500], "next": following,
        }  # fmt: skip
        if part.event == "repeat" or (part.event == "opened" and message.perhaps and not _momentary(part, row)):
            data["told"] = True  # somebody has read it, or may have, and waits for the next reminder and for the end
        if row is not None:
            _note(desk, book, row, "notification_failed", message.channel, data, now)
        elif problem is not None and "told" in data:
            _problem_told(desk, book, part, message.channel, data, now, "notification_failed")
        elif problem is not None:
            _note_problem(desk, problem, "notification_failed", message.channel, data, now)
        if following is not None:
            passed = replace(part, to=(*part.to, following), instead=True)
            desk.outbox.put(*_entry(desk, following, passed, now, tried=tried))


def _following(desk: "Desk", book: "Book", message: Message, part: Part) -> str | None:
    """Return the channel that is told in place of the message's own; none: nobody is left who does not know."""
    row = desk.incident(part.incident) if part.problem is None else None
    problem = desk.problem(part.problem) if part.problem is not None else None
    if row is not None:
        team, told = book.team(row.team), row.told
    elif problem is not None:
        team, told = _in_charge(book, problem.problem, part), problem.told
    else:
        return None
    know = {*part.to, *(told if part.event in ("opened", "repeat") else ())}
    return _next_channel(team, (*message.tried, message.channel), know)


def _next_channel(team: Team, tried: tuple[str, ...], know: Set[str]) -> str | None:
    """Return the team's channel after those that were tried, of those that don't know or are told of it anyway.

    That it would be told now says nothing: the configuration may be another than when the message was born.
    """
    names = [ref.channel for ref in (*team.channels, *team.lead_channels)]
    start = names.index(tried[-1]) + 1 if tried[-1] in names else 0
    return next((name for name in names[start:] + names[:start] if name not in tried and name not in know), None)


def _note(
    desk: "Desk", book: "Book", row: "Incident", kind: str, channel: str, data: dict[str, Any], now: Instant
) -> None:
    record(desk, book, row, Event(max(now, row.last_at), kind, "incident", row.id, Actor("source", channel), data))


# Problems.


def problem_opened(desk: "Desk", book: "Book", row: "ProblemRow", at: Instant) -> None:
    """Have a problem told to its owner when it is known what probably broke first."""
    to = tuple(dict.fromkeys(_owner_hears(book, row.problem)))
    part = Part("opened", 0, at, problem=row.problem.id, to=to)
    for channel in to:
        desk.outbox.put(*_entry(desk, channel, part, at + SETTLED))


def problem_ended(desk: "Desk", book: "Book", row: "ProblemRow", at: Instant) -> None:
    """Tell those of the end who were told of the problem."""
    owner = owner_of(book, row.problem)
    _tell(desk, [name for name in row.told if _hears_ends(name, owner)], _ended(row, at))


def problem_overdue(desk: "Desk", book: "Book", of: Problem, action: int, at: Instant) -> None:
    """Tell the lead of who owns a problem, or an action item of it (*action*, from 1), that its due instant has passed."""
    part = Part("overdue", 0, at, {"action": action} if action else {}, problem=of.id)
    team = _in_charge(book, of, part)
    _tell(desk, [ref.channel for ref in team.lead_channels or team.channels if "stage" in ref.on], part)


def _in_charge(book: "Book", of: Problem, part: Part) -> Team:
    named = book.teams.get(of.actions[part.about["action"] - 1].owner) if "action" in part.about else None
    return named or owner_of(book, of)


def look_at_problem(
    part: Part, channel: str, row: "ProblemRow | None", lead: "Incident | None", book: "Book", *,
    perhaps: bool = False, instead: bool = False,
) -> Verdict:  # fmt: skip
    """Look at a problem again, just before a message about it leaves.

    Args:
        row: The problem as it is now; None: it is gone.
        lead: The incident that stands for it; None: it has none any more.
        perhaps: The message may have arrived already.
        instead: Another channel of the owner, which was to hear of it, could not be reached.
    """
    if row is None or lead is None:
        return MOOT
    told = channel in row.told
    if part.event == "overdue":
        of, action = row.problem, part.about.get("action")
        done = of.actions[action - 1].done_at is not None if action else _is_over(row) or not of.overdue
        team = _in_charge(book, of, part)
        hears = instead or channel in _of(team.lead_channels or team.channels, lead, "stage")
        return SEND if hears and not done else MOOT
    if part.event == "resolved":
        return SEND if _is_over(row) and (told or perhaps or instead) else MOOT
    if told or _is_over(row):
        return MOOT
    hears = instead or channel in _of(owner_of(book, row.problem).channels, lead, "opened")
    return SEND if hears else MOOT


def owner_of(book: "Book", of: Problem) -> Team:
    """Return the team that owns a problem; for one that a person has, the team of its entry or of its service."""
    named = (of.owner, *(spec.owner for spec in book.specs if spec.id == of.spec))
    return next((book.teams[name] for name in named if name in book.teams), book.team(book.service(of.service).team))


def _owner_hears(book: "Book", of: Problem) -> list[str]:
    """Return who hears of some problem; which priority it has is asked when the message is due."""
    return [ref.channel for ref in owner_of(book, of).channels if "opened" in ref.on]


def _is_over(row: "ProblemRow") -> bool:
    return row.problem.state not in UNRESOLVED


def _ended(row: "ProblemRow", at: Instant) -> Part:
    return Part("resolved", 0, at, problem=row.problem.id)


def _problem_told(
    desk: "Desk", book: "Book", part: Part, channel: str, data: dict[str, Any], now: Instant, kind: str = "notified"
) -> None:
    """Note what a channel believes of a problem, and correct it when the problem went on meanwhile."""
    row = desk.problem(part.problem) if part.problem is not None else None
    if row is None:
        return
    if part.event == "overdue":  # says nothing of whether it is open
        _note_problem(desk, row, "notified", channel, data, now)
        return
    rest = tuple(name for name in row.told if name != channel)
    opened = part.event == "opened"
    row = _note_problem(
        desk, replace(row, told=(*rest, channel) if opened else rest), kind, channel, data | {"told": opened}, now
    )
    if opened and _is_over(row):
        problem_ended(desk, book, replace(row, told=(channel,)), now)
    elif not opened and not _is_over(row):
        problem_opened(desk, book, row, now)


def _note_problem(
    desk: "Desk", row: "ProblemRow", kind: str, channel: str, data: dict[str, Any], now: Instant
) -> "ProblemRow":
    desk.problems.put(row.problem.id, row)
    desk.events.append(Event(now, kind, "problem", row.problem.id, Actor("source", channel), data))
    return row
