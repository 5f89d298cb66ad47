"""Signals arrive: pushed alerts, polled alerts, polled metrics, and polls that failed."""

import logging
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from responder.core import engine, lifecycle
from responder.core.alert import Alert
from responder.core.book import Book, QueryKey
from responder.core.desk import Desk, SourceState
from responder.core.event import Actor
from responder.core.incident import UNRESOLVED
from responder.core.signal import MINUTE, Instant, Sample, Signal, shown_fingerprint
from responder.handlers.guard import careful_desk
from responder.handlers.ticks import Away
from responder.store.engine import DatabaseError

log = logging.getLogger(__name__)
LAPSE = 5 * MINUTE
"""An alert without an end that a successful poll misses lapses after so long."""


class Pushed(Struct, frozen=True):
    """Alerts of one request."""

    source: str
    signals: Sequence[Signal]
    urgent: bool = False

    @property
    def weight(self) -> int:
        return len(self.signals)


class AlertsPolled(Struct, frozen=True):
    """All alerts that a polled source reports as firing."""

    source: str
    at: Instant
    signals: Sequence[Signal]
    urgent: bool = False

    @property
    def weight(self) -> int:
        return len(self.signals) + 1


class MetricPolled(Struct, frozen=True):
    """The answer to one query at one evaluation instant."""

    source: str
    query: QueryKey
    at: Instant
    samples: Sequence[Sample]
    last_at: Instant | None = None
    urgent: bool = False

    @property
    def weight(self) -> int:
        return len(self.samples) + 1


class PollFailed(Struct, frozen=True):
    """A source could not answer. No rule's state changes by that."""

    source: str
    at: Instant
    error: str
    query: QueryKey | None = None
    """What was asked; None: the list of alerts."""
    refused: bool = False
    """It is the query that is at fault, not the source."""
    urgent: bool = False
    weight: int = 1


def pushed(item: Pushed, desk: Desk, book: Book, now: Instant, careful: bool) -> list[engine.Result]:
    """Take the alerts of one request; *careful*: a bad one is rejected and its neighbours kept."""
    return _take(item.signals, desk, book, now, careful, polled=False)


def _take(
    signals: Sequence[Signal], desk: Desk, book: Book, now: Instant, careful: bool, *, polled: bool
) -> list[engine.Result]:
    if not careful:
        take = engine.take_signal
        return [take(desk, book, signal, now, polled=polled) for signal in signals]
    results: list[engine.Result] = []
    for signal in signals:
        own = careful_desk(desk, book)
        try:
            results.append(engine.take_signal(own, book, signal, now, polled=polled))
        except DatabaseError:  # to be sent again
            raise
        except Exception:
            log.exception(
                "a signal could not be decided",
                extra={"source": signal.source, "fingerprint": shown_fingerprint(signal.labels, signal.identity)},
            )
            results.append("rejected")
        else:
            desk.merge(own)
    return results


def alerts_polled(item: AlertsPolled, desk: Desk, book: Book, now: Instant, careful: bool) -> list[engine.Result]:
    """Take a list of what fires: what is on it is seen, what is missing will lapse."""
    seen = {signal.identity for signal in item.signals}
    results = _take(item.signals, desk, book, now, careful, polled=True)
    for known_by in desk.polled_of(item.source):
        alert = desk.alerts.get(known_by)
        if known_by in seen or alert is None or alert.ended or not alert.polled or alert.source != item.source:
            continue
        let_go(desk, book, alert, now)
    _answered(item.source, desk, book, item.at, now)
    return results


def let_go(desk: Desk, book: Book, alert: Alert, now: Instant) -> None:
    """Have a polled alert lapse that is not polled any more: at its end, else when its rules say, else soon."""
    ends_at = alert.ends_at
    if ends_at is None or alert.timeout:
        expire = engine.expiry(book, alert)
        ends_at = alert.updated_at + expire if expire else now + LAPSE
    engine.store(desk, msgspec.structs.replace(alert, polled=False, ends_at=max(ends_at, now)))


def metric_polled(item: MetricPolled, desk: Desk, book: Book, now: Instant, away: Away) -> None:
    """Judge every rule that asks this query, at the instant it was asked for.

    Soon after a start, no data of what was last seen before it is no news yet.
    """
    heard_since = away.started_at if now < away.quiet_until else 0
    for rule in book.queries.get(item.query, ()):
        own = careful_desk(desk, book)
        try:
            engine.take_samples(own, book, rule, item.samples, item.at, item.last_at, item.source, now, heard_since)
        except Exception as error:
            log.exception("a rule could not be evaluated", extra={"rule": rule.id})
            book.failed(rule.id, repr(error))
        else:
            book.evaluated(rule.id)
            desk.merge(own)
    _answered(item.source, desk, book, item.at, now)


def poll_failed(item: PollFailed, desk: Desk, book: Book, now: Instant, careful: bool) -> None:
    """Remember since when a source fails, and open its incident when it was promised.

    The rules that ask a query that is refused fail; that a source is away is no failure of theirs, but is shown.
    """
    for rule in book.queries.get(item.query, ()) if item.query is not None else ():
        if item.refused:
            book.failed(rule.id, item.error)
        else:
            book.unanswered(rule.id, item.error)
    row = desk.sources.get(item.source) or SourceState(item.source)
    if row.failing_since is None:
        row = msgspec.structs.replace(row, failing_since=item.at, last_error=item.error)
        desk.sources.put(item.source, row)
    promise = book.on_failure.get(item.source)
    if promise is None or row.incident is not None or row.failing_since is None:
        return
    if item.at - row.failing_since < promise.hold:
        return
    opening = lifecycle.Opening(
        service=promise.service,
        title=f"polls of {item.source} fail: {item.error}"[:500],
        priority=promise.priority,
        source=item.source,
        started_at=row.failing_since,
        rule=f"source:{item.source}",
        key={},
        key_hash=0,
        labels={"source": item.source},
        reopen_within=30 * MINUTE,
    )
    taking = desk.last_incident(f"source:{item.source}", 0)
    known = desk.incidents.get(taking) if taking is not None else None
    actor = Actor("source", item.source)
    if known is not None and known.taking:
        incident = lifecycle.condition_returned(desk, book, known, now, actor)
    else:
        incident = lifecycle.open_incident(desk, book, opening, now, actor)
    desk.sources.put(item.source, msgspec.structs.replace(row, incident=incident.id))


def _answered(source: str, desk: Desk, book: Book, at: Instant, now: Instant) -> None:
    book.tally.heard.add(source)
    row = desk.sources.get(source)
    if row is None or row.failing_since is None:
        return
    incident = desk.incidents.get(row.incident) if row.incident is not None else None
    if incident is not None:
        actor = Actor("source", source)
        if "orphaned" in incident.flags and incident.state in UNRESOLVED:  # its promise is gone, what it says is not
            incident = lifecycle.condition_returned(desk, book, incident, now, actor)
        lifecycle.condition_cleared(desk, book, incident, now, actor, true_at=at)
    desk.sources.put(source, SourceState(source, None, at))
