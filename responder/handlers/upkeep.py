"""What the writer does between batches: retention, and putting another rule book in force."""

from collections.abc import Callable, Sequence
from heapq import nsmallest

from msgspec import Struct

from responder.core import availability, lifecycle, reloading
from responder.core.book import Book
from responder.core.desk import Desk, StateKey
from responder.core.signal import Instant
from responder.core.silence import forgotten
from responder.handlers import signals
from responder.handlers.commands import Loaded
from responder.handlers.guard import careful_desk
from responder.resident import Resident
from responder.store import upkeep
from responder.store.engine import Engine

SWEPT = 500


class Retain(Struct, frozen=True):
    """Delete what is older than its retention, one slice at a time."""

    signals_before: Instant
    closed_before: Instant
    at: Instant
    after: int = 0
    """The last occurrence that the slice before looked at."""
    urgent: bool = True
    weight: int = 0


class Heartbeat(Struct, frozen=True):
    """Note in the store that somebody is there; pending times survive a short absence by it."""

    urgent: bool = True
    weight: int = 0


class Settle(Struct, frozen=True):
    """Count the service time that has passed, so that no scrape has to look back far."""

    urgent: bool = True
    weight: int = 0


class Forget(Struct, frozen=True):
    """Drop what correlation needs no more, a slice at a time."""

    first: bool
    urgent: bool = True
    weight: int = 0


class Sweep(Struct, frozen=True):
    """Open incidents follow another rule book: when time changes them next, a slice of them at a time."""

    after: int
    """The last incident of the slice before."""
    urgent: bool = True
    weight: int = 0


class Returned(Struct, frozen=True):
    """This process was suspended, or its clock was set: as after a start, nobody could be heard meanwhile."""

    urgent: bool = True
    weight: int = 0


class Replace(Struct, frozen=True):
    """Another configuration is in force from now on."""

    book: Book
    loaded: Loaded
    undo: Callable[[], None]
    urgent: bool = True
    weight: int = 0

    def give_back(self, resident: Resident) -> None:
        """It was not stored, so the one before stays in force."""
        self.undo()


class Offer(Struct, frozen=True):
    """What fires already is offered to the rules of a configuration that is new: alerts, and keys that hold."""

    alerts: Sequence[int]
    """Their identities."""
    keys: Sequence[StateKey] = ()
    heard: frozenset[str] = frozenset()
    """Rules that open incidents now and did not before."""
    urgent: bool = False

    @property
    def weight(self) -> int:
        return len(self.alerts) + len(self.keys)


def offer(item: Offer, desk: Desk, book: Book, now: Instant, careful: bool) -> None:
    """Join each alert to the keys that a new rule gives it, and open what holds and was not told of."""
    below, desk = desk, careful_desk(desk, book) if careful else desk
    for identity in item.alerts:
        alert = desk.alerts.get(identity)
        if alert is None or alert.ended:
            continue
        if alert.polled and alert.source not in book.polled:  # nobody asks that source any more
            signals.let_go(desk, book, alert, now)
            alert = desk.alerts.get(identity) or alert
        reloading.offer(desk, book, alert, now, item.heard)
    for key in item.keys:
        reloading.take_up(desk, book, key, now, item.heard)
    if desk is not below:
        below.merge(desk)


def heartbeat(item: Heartbeat, desk: Desk, book: Book, now: Instant, careful: bool) -> None:
    """Commit that somebody is there; so an idle daemon hears of a store that fails, or that another one took."""
    desk.alive = True


def settle(item: Settle, desk: Desk, book: Book, now: Instant, careful: bool) -> None:
    """Count what has passed until now."""
    availability.settle(desk, book, now)


def sweep(item: Sweep, book: Book, resident: Resident) -> int | None:
    """Returns the last incident that was looked at; none: that was all."""
    ids = nsmallest(SWEPT, (id for id in resident.incidents if id > item.after))
    for id in ids:
        resident.await_incident(id, lifecycle.next_due(book, resident.incidents[id]))
    return ids[-1] if len(ids) == SWEPT else None


def retain(item: Retain, database: Engine, desk: Desk, resident: Resident) -> int | None:
    """Returns the last occurrence that was looked at; none: that was all."""
    for silence in list(resident.silences.values()):
        if forgotten(silence, item.at):
            desk.silences.drop(silence.id)
    return upkeep.retain(database, item.signals_before, item.closed_before, item.after)


def forget(item: Forget, desk: Desk, book: Book, now: Instant, resident: Resident) -> bool:
    """Returns whether there is more to look at."""
    if item.first:
        resident.settling.begin(resident.board)
        resident.forget_errors(now)
        resident.forget_windows(now)
        desk.stale = book.topology.stale(now)
        book.topology.forget(desk.stale)

    def lives(id: int) -> bool:
        row = desk.incidents.get(id)
        return row is not None and (row.closed_at is None or row.taking)

    def incidents(problem: int) -> Sequence[int]:
        row = desk.problems.get(problem)
        return row.incidents if row is not None else ()

    return resident.settling.forget(desk.board, book.specs, book.weights, now, lives, incidents)
