"""Time passes: what was due is applied, dated with its true instant, once."""

import logging
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from responder.core import engine, lifecycle, problems
from responder.core.book import PATIENCE, Book
from responder.core.desk import Desk
from responder.core.rule import AbsenceWhen
from responder.core.signal import MINUTE, Instant
from responder.handlers.guard import careful_desk
from responder.resident import Resident, Subject

log = logging.getLogger(__name__)
SLICE: Final = 500
AGAIN: Final = MINUTE
"""A subject that could not be decided is looked at again after so long."""


class Away(Struct, frozen=True):
    """Since when this process listens, and until when silence from before is no news."""

    started_at: Instant
    quiet_until: Instant


def grant_grace(resident: Resident, book: Book, away: Away) -> None:
    """After a start: what came to an end by silence while nobody listened is no absence yet.

    Else the first observation would find its key overdue, and open an incident to close it.
    """
    rules = {rule.id for rule in book.rules.values() if isinstance(rule.when, AbsenceWhen)}
    resident.postpone(rules, away.quiet_until)


class Tick(Struct):
    """Somebody looks at what is due, at most :data:`SLICE` subjects at a time."""

    at: Instant
    subjects: Sequence[Subject] = ()
    """What was taken from those who wait; filled when it is decided."""
    urgent: bool = True
    weight: int = 0

    def give_back(self, resident: Resident) -> None:
        """Nothing was stored: have them looked at again."""
        for subject in self.subjects:
            resident.look_again(subject, self.at)


def tick(item: Tick, desk: Desk, book: Book, now: Instant, resident: Resident, away: Away) -> None:
    """Apply what is due; what can't be judged yet is looked at again later."""
    if not item.subjects:  # else it is decided again, because a neighbour of its batch failed
        item.subjects = resident.take_due(now, SLICE)
    alone = len(item.subjects) == 1 and item.subjects[0][0] != "alert"
    for subject in item.subjects:
        try:
            later = _apply(subject, desk, book, now, away) if alone else _look(subject, desk, book, now, away)
        except Exception as error:  # one that fails must not stop the clocks of all others
            log.exception("what was due could not be applied", extra={"subject": ":".join(map(str, subject))})
            later = now + AGAIN
            if len(subject) == 3:
                book.failed(str(subject[1]), repr(error))
            if alone:  # its desk is spoiled, and nobody shares it
                resident.look_again(subject, later)
                raise
        if later is not None:
            resident.look_again(subject, later)
    resident.forget_ended(now)


def _look(subject: Subject, desk: Desk, book: Book, now: Instant, away: Away) -> Instant | None:
    """Apply what is due on a desk of its own. An alert that lapses is tried again without the rules that fail."""
    own = Desk(desk)
    try:
        later = _apply(subject, own, book, now, away)
    except Exception:
        if subject[0] != "alert":
            raise
        own = careful_desk(desk, book)
        later = _apply(subject, own, book, now, away)
    desk.merge(own)
    return later


def _apply(subject: Subject, desk: Desk, book: Book, now: Instant, away: Away) -> Instant | None:
    if subject[0] == "alert":
        return _lapse(int(subject[1]), desk, book, now, away)
    if subject[0] == "incident":
        row = desk.incidents.get(int(subject[1]))
        if row is not None:
            lifecycle.pass_time(desk, book, row, now)
        return None
    if subject[0] == "problem":
        problems.pass_time(desk, book, int(subject[1]), now)
        return None
    if len(subject) == 3:
        return _key(str(subject[1]), subject[2], desk, book, now, away)
    return None


def _lapse(identity: int, desk: Desk, book: Book, now: Instant, away: Away) -> Instant | None:
    """An alert was not renewed until its end: it expired, unless it was we who were away."""
    alert = desk.alerts.get(identity)
    if alert is None or alert.ended or alert.polled or alert.ends_at is None or alert.ends_at > now:
        return None
    at = alert.ends_at
    if alert.updated_at < away.started_at:
        at = max(at, away.quiet_until)
        if at > now:
            return at
    engine.end_alert(desk, book, alert, at, expired=True)
    return None


def _key(rule_id: str, key_hash: int, desk: Desk, book: Book, now: Instant, away: Away) -> Instant | None:
    rule, row = book.rules.get(rule_id), desk.states.get((rule_id, key_hash))
    if rule is None or row is None:
        return None
    if isinstance(rule.when, AbsenceWhen) and row.state.phase != "open" and row.seen_at < away.started_at:
        source = rule.when.of.event.source if rule.when.of.event is not None else None
        if source in book.polled and source not in book.tally.heard:
            return now + PATIENCE
    engine.key_due(desk, book, rule_id, key_hash, now)
    return None
