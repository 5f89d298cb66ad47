"""Messages leave: an attempt is claimed before it is made, and what came of it is recorded.

Claiming raises the attempt and the lease in a transaction, so that a crash repeats the
attempt that was under way and no other. The bytes are written down at the first claim.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from responder.core import plan, satisfaction, stages
from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.catalogue import ChannelSpec
from responder.core.desk import Desk, ProblemRow
from responder.core.incident import Incident
from responder.core.instant import format_instant
from responder.core.outbox import LEASE, Lane, Message, Part, Subject
from responder.core.shown import incident_json, problem_json, problem_name
from responder.core.signal import MINUTE, SECOND, Instant, Span
from responder.core.silenced import silenced_until
from responder.core.words import text_of, text_of_problem, title_of
from responder.resident import Resident
from responder.store.engine import DatabaseError

log = logging.getLogger(__name__)
SLICE = 500
"""Messages that are looked at in one transaction."""
ASKED = 8
"""Incidents of a problem that are asked whether they may be heard of, the most urgent first."""
SHOWN = 100
"""Occurrences that a message shows, the newest."""
ABOUT = frozenset({"stage", "warned", "breached", "overdue"})
"""Of these, what the incident is like now does not say which target, how much of it, or which stage was meant."""
_encode = msgspec.json.Encoder(order="deterministic").encode


class Claim(Struct):
    """Take what is due on a channel and may leave now."""

    channel: str
    room: int
    """So many attempts more may be under way."""
    busy: frozenset[int] = frozenset()
    """Messages that this process is still sending or reporting on."""
    taken: list[int] = []
    urgent: bool = True
    weight: int = 0

    def give_back(self, resident: Resident) -> None:
        """Nothing was stored: have what was taken looked at again."""
        for id in self.taken:
            resident.lanes.lane(self.channel).wake(id)
        self.taken = []


class Claimed(Struct, frozen=True):
    """What is to be sent now, and what never will be."""

    messages: list[Message]
    suppressed: list[str]
    """The reason of each message that is not sent, or not now."""
    next_at: Instant | None
    """When there may be more to claim."""


class Delivered(Struct, frozen=True):
    """The other side has taken a message."""

    id: int
    urgent: bool = True
    weight: int = 0


class Failed(Struct, frozen=True):
    """An attempt failed."""

    id: int
    error: str
    final: bool
    """It would fail again however often it is tried."""
    perhaps: bool
    """No answer came: it may have arrived."""
    retry_after: Span | None
    urgent: bool = True
    weight: int = 0


def claim(item: Claim, desk: Desk, book: Book, now: Instant, resident: Resident) -> Claimed:
    """Look at what is due once more and start the attempts that may be made."""
    item.give_back(resident)  # it may be decided a second time
    try:
        return _claim(item, desk, book, now, resident)
    except BaseException:
        item.give_back(resident)
        raise


def _claim(item: Claim, desk: Desk, book: Book, now: Instant, resident: Resident) -> Claimed:
    spec, lane = book.channel(item.channel), resident.lanes.lane(item.channel)
    lane.set_back(now)
    plenty = spec.bundle == 0 and lane.left(spec, now) > item.room
    fresh, again = lane.take(spec, now, item.room if plenty else SLICE, item.room)
    item.taken = fresh + again
    look = _Look(desk, book, now, resident, lane, item)
    leaving = _chosen(look.ready(fresh), lane, spec, now, item.room, look)
    leaving += look.ready(again)[: item.room - len(leaving)]
    messages = []
    for message in leaving:
        attempt = plan.claimed(message, now)
        if not attempt.body:
            attempt = _frozen(attempt, book, now, resident, look)
        desk.outbox.put(attempt.id, attempt)
        if attempt.state == "waiting":
            messages.append(attempt)
    for id in item.taken:
        if id not in look.settled and id not in desk.outbox.changed:
            lane.wake(id)
    return Claimed(messages, look.suppressed, lane.next_due(spec))


class _Look:
    """The look at the state just before sending, with what it has found."""

    def __init__(self, desk: Desk, book: Book, now: Instant, resident: Resident, lane: Lane, item: Claim) -> None:
        self._desk, self._book, self._now, self._resident, self._lane = desk, book, now, resident, lane
        self._channel, self._busy = item.channel, item.busy
        self._seen: set[tuple[str, Subject, str]] = set()
        self._silenced: dict[tuple[int, bool], Instant | None] = {}
        self._leads: dict[int, tuple[Incident | None, plan.Verdict]] = {}
        self.settled: set[int] = set()
        """Messages that are left as they are, to be looked at later."""
        self.suppressed: list[str] = []

    def ready(self, ids: Iterable[int]) -> list[Message]:
        """Return the messages that may leave; the others are dropped, put off or left for later."""
        found = []
        for id in ids:
            message = self._desk.outbox.get(id)
            if message is None or message.state != "waiting":
                continue
            if id in self._busy:
                self._later(id, LEASE)
                continue
            if message.leased:
                message = replace(message, leased=False, perhaps=True)
            if any(self._under_way(id, part) for part in message.parts):
                self._later(id, SECOND)
            elif (left := self._left(message)) is not None:
                found.append(left)
        return found

    def incident(self, part: Part) -> Incident | None:
        """Return the incident that a part speaks of, or that stands for the problem that it speaks of."""
        return self._desk.incident(part.incident) if part.problem is None else self._lead(part.problem)[0]

    def problem(self, id: int | None) -> ProblemRow | None:
        """Return a problem by the number that somebody names, if any."""
        return self._desk.problem(id) if id is not None else None

    def _lead(self, id: int) -> tuple[Incident | None, plan.Verdict]:
        """Return the most urgent incident of a problem that nothing keeps quiet, else why nothing may be heard."""
        if id not in self._leads:
            self._leads[id] = self._find_lead(id)
        return self._leads[id]

    def _find_lead(self, id: int) -> tuple[Incident | None, plan.Verdict]:
        row = self.problem(id)
        while row is not None and row.problem.merged_into is not None:
            row = self.problem(row.problem.merged_into)
        if row is None or not row.incidents:
            return None, plan.MOOT
        living = [found for id in row.incidents if (found := self._desk.incidents.get(id)) is not None]
        cause = row.problem.service
        living.sort(key=lambda one: (plan.over(one), one.priority, one.service != cause, one.id))
        quiet: plan.Verdict | None = None
        for one in living[:ASKED]:
            until = self._silenced_until(one, ended=False)
            why = plan.suppression(one, self._parent(one), self._book, self._now, until)
            if why is None:
                return one, plan.SEND
            quiet = quiet or why
        return living[0] if living else self._desk.incident(row.incidents[0]), quiet or plan.SEND

    def _parent(self, row: Incident) -> Incident | None:
        return self._desk.incident(row.parent) if row.parent is not None else None

    def put(self, message: Message) -> None:
        """Change a message."""
        self._desk.outbox.put(message.id, message)

    def fail(self, message: Message, error: str) -> Message:
        """Give a message up that could not be put in words."""
        return plan.failed(
            self._desk, self._book, message, self._now, error, final=True, perhaps=False, retry_after=None
        )

    def _left(self, message: Message) -> Message | None:
        """Return what is left of a message to be sent now; written bytes leave as a whole."""
        verdicts = [self._verdict(part, message) for part in message.parts]
        sent = [part for part, verdict in zip(message.parts, verdicts, strict=True) if verdict.do == "send"]
        if sent:
            if not message.body:
                self._seen.update(map(_same, sent))
                message = replace(message, part=sent[0], bundle=tuple(sent[1:]))
            if message.held:
                message = replace(message, held="", held_by=None, since=self._now, not_before=self._now)
                self.put(message)
            return message
        holds = [verdict for verdict in verdicts if verdict.do == "hold"]
        if holds:
            if not message.held:
                self.suppressed.append(holds[0].reason)
            self.put(plan.held(message, holds[0], self._now))
        else:
            self.suppressed.append(verdicts[0].reason)
            plan.dropped(self._desk, message)
        return None

    def _verdict(self, part: Part, message: Message) -> plan.Verdict:
        if _same(part) in self._seen or (part.event == "repeat" and self._repeats_later(part)):
            return plan.MOOT
        row = self.incident(part)
        if part.problem is not None:
            return self._verdict_on_problem(part, part.problem, row, message)
        parent = self._parent(row) if row is not None else None
        until = self._silenced_until(row, ended=part.event == "resolved") if row is not None else None
        return plan.look(
            part, self._channel, row, parent, self._book, self._now, until,
            perhaps=message.perhaps, instead=part.instead,
        )  # fmt: skip

    def _verdict_on_problem(self, part: Part, id: int, lead: Incident | None, message: Message) -> plan.Verdict:
        """A problem is quiet while its incidents are; who was told of it hears of its end in any case."""
        found = plan.look_at_problem(
            part,
            self._channel,
            self.problem(id),
            lead,
            self._book,
            perhaps=message.perhaps,
            instead=part.instead,
        )
        quiet = self._lead(id)[1]
        if found.do != "send" or part.event == "resolved" or quiet.do == "send":
            return found
        return replace(quiet, until=self._now + MINUTE, by=None)

    def _under_way(self, id: int, part: Part) -> bool:
        """Say whether an attempt about the same subject is: the end must not overtake the beginning."""
        others = (self._desk.outbox.get(other) for other in self._lane.of.get(part.subject, ()) if other != id)
        return any(other is not None and other.leased and other.state == "waiting" for other in others)

    def _repeats_later(self, part: Part) -> bool:
        """Say whether an opening that was told since has a repeat of its own: the end was told in between."""
        others = (self._desk.outbox.get(other) for other in self._lane.of.get(part.subject, ()))
        parts = (
            other for message in others if message is not None and message.state == "waiting" for other in message.parts
        )
        return any(other.event == "repeat" and other.subject == part.subject and other.at > part.at for other in parts)

    def _later(self, id: int, wait: Span) -> None:
        self._lane.wake(id, self._now + wait)
        self.settled.add(id)

    def _silenced_until(self, row: Incident, *, ended: bool) -> Instant | None:
        """Return when the first of the silences ends that together silence all firing alerts of an incident."""
        key = (row.id, ended)
        if key not in self._silenced:
            self._silenced[key] = silenced_until(
                row, self._book, self._resident.silencing, _Stored(self._resident), self._now, ended=ended
            )
        return self._silenced[key]


class _Stored:
    """The alerts of incidents, read from the store on the writer's thread: of a storm the newest before all others.

    One that is not silenced is enough, and to read 50,000 takes a third of a second.
    """

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def firing_of(self, incident: int) -> Iterator[Alert]:
        newest = self.newest_of(incident, SHOWN)
        yield from (alert for alert in newest if not alert.ended)
        if len(newest) == SHOWN:
            yield from self._resident.firing_of(incident)

    def newest_of(self, incident: int, limit: int) -> list[Alert]:
        return self._resident.newest_of(incident, limit)


def _same(part: Part) -> tuple[str, Subject, str]:
    """Return what makes two changes say the same."""
    return (
        part.event,
        part.subject,
        str(part.about.get("target") or part.about.get("stage") or part.about.get("action")),
    )


def _chosen(
    ready: list[Message], lane: Lane, spec: ChannelSpec, now: Instant, room: int, look: _Look
) -> list[Message]:  # fmt: skip
    """Return what leaves now, the most urgent first: the first at once, what had to wait as one message."""
    if not ready or room < 1:
        return []
    ordered = sorted(ready, key=lambda message: plan.urgency(message.part, look.incident(message.part)))
    alone = 0
    if spec.bundle > 0:
        if not any(lane.bundles(spec, message) for message in ordered):
            return ordered[:1]
    else:
        allowed = lane.left(spec, now)
        if allowed > room or allowed >= len(ordered):
            return ordered[:room]
        alone = allowed - 1
    if len(ready) >= SLICE // 2:  # there may be more of it: gather first
        look.put(_together(ordered, look))
        return []
    return [*ordered[:alone], _together(ordered[alone:], look)]


def _together(messages: list[Message], look: _Look) -> Message:
    lead, *rest = messages
    for message in rest:
        look.put(replace(message, state="bundled"))
    return replace(lead, bundle=(*lead.bundle, *(part for message in rest for part in message.parts)))


def _frozen(message: Message, book: Book, now: Instant, resident: Resident, look: _Look) -> Message:
    """Write down what is sent: from now on every attempt carries the same."""
    try:
        return _written(message, book, now, resident, look)
    except DatabaseError:  # it waits until the store can be read
        raise
    except Exception as error:
        log.exception("a message could not be written", extra={"delivery": message.id})
        return look.fail(message, repr(error))


def _written(message: Message, book: Book, now: Instant, resident: Resident, look: _Look) -> Message:
    part, row = message.part, look.incident(message.part)
    assert row is not None
    problem = look.problem(row.problem if part.problem is None else part.problem)
    error = look.problem(row.known_error)
    others = [
        (other, found, look.problem(other.problem))
        for other in message.bundle
        if (found := look.incident(other)) is not None
    ]
    others.sort(key=lambda other: plan.urgency(*other[:2]))
    alerts, terms = resident.newest_of(row.id, SHOWN), book.terms(row.service)
    link = _link(part, row, book)
    changes = resident.changes_by(row.changes)
    body: dict[str, Any] = {
        "version": 1,
        "notification_id": message.notification_id,
        "event": part.event,
        "at": format_instant(part.at),
        "incident": incident_json(
            row, terms, now, alerts, known=error.problem if error is not None else None, changes=changes
        ),
        "problem": problem_json(problem) if problem is not None else None,
        "more": len(message.bundle),
    }
    if part.event in ABOUT:
        body["about"] = part.about
    if link is not None:
        body["incident"]["satisfaction"]["link"] = link
    if part.problem is not None and problem is not None:
        body["subject"] = problem_name(part.problem)
        text = text_of_problem(part, problem, row, now, book.external_url, others=others, tried=message.tried)
        title = title_of(part, row, len(others), problem)
        return replace(message, body=_encode(body).decode(), title=title, text=text)
    text = text_of(
        part, row, terms, now, book.external_url, alert=alerts[0] if alerts else None, changes=changes,
        problem=problem.problem if problem else None, error=error.problem if error else None, others=others,
        tried=message.tried, link=link,
    )  # fmt: skip
    return replace(message, body=_encode(body).decode(), title=title_of(part, row, len(others)), text=text)


def _link(part: Part, row: Incident, book: Book) -> str | None:
    """Return what the customer is sent, for the message of the stage in which that is done; nobody else needs it."""
    step = stages.current(book, row) if part.event == "stage" and part.about.get("stage") == row.stage else None
    return satisfaction.link(book, row) if step is not None and step.collect == "satisfaction" else None


def delivered(item: Delivered, desk: Desk, book: Book, now: Instant, careful: bool) -> Message | None:
    """Record that a message was taken; None: it is settled already."""
    message = desk.outbox.get(item.id)
    return plan.delivered(desk, book, message, now) if message is not None else None


def failed(item: Failed, desk: Desk, book: Book, now: Instant, careful: bool) -> Message | None:
    """Record that an attempt failed; None: the message is settled already."""
    message = desk.outbox.get(item.id)
    if message is None:
        return None
    return plan.failed(
        desk, book, message, now, item.error,
        final=item.final, perhaps=item.perhaps, retry_after=item.retry_after,
    )  # fmt: skip
