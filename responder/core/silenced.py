"""When an incident is silenced: while all its firing alerts are (SPEC 3.4). Who shows it and who sends ask alike."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.incident import Incident
from responder.core.rule import EventWhen
from responder.core.shown import labels_of
from responder.core.signal import Instant, Labels
from responder.core.silence import Silences


class Occurrences(Protocol):
    """Who knows the alerts of incidents."""

    def firing_of(self, incident: int) -> Iterable[Alert]:
        """Return those that fire."""
        ...

    def newest_of(self, incident: int, limit: int) -> Iterable[Alert]:
        """Return the newest ones, newest first."""
        ...


def silenced_until(
    row: Incident, book: Book, silences: Silences, of: Occurrences, now: Instant, *, ended: bool
) -> Instant | None:
    """Return when the first of the silences ends that together silence all firing alerts of an incident, if they do.

    For a rule that hears no alerts, the one that stands for its open key on ``/api/v2/alerts`` fires while
    the condition holds. What was reported by hand has none.

    Args:
        ended: It is about the end of the incident. Else, when nothing fires, what fired last counts: an
            occurrence of a moment fires at no time, and yet a silence is meant for it.
    """
    if row.rule is None or not silences.any_active(now):
        return None
    ends = []
    for labels in _labels(row, book, of, ended):
        until = silences.silenced_until(labels, now)
        if until is None:
            return None
        ends.append(until)
    return min(ends, default=None)


def hears_alerts(row: Incident, book: Book) -> bool:
    """Say whether the rule of an incident is one of alerts."""
    rule = book.rules.get(row.rule or "")
    return rule is not None and isinstance(rule.when, EventWhen)


def _labels(row: Incident, book: Book, of: Occurrences, ended: bool) -> Iterator[Labels]:
    if not hears_alerts(row, book):
        if row.holds or not ended:
            yield labels_of(row)
        return
    fires = False
    for alert in of.firing_of(row.id):
        fires = True
        yield alert.labels
    if not fires and not ended:
        yield from (alert.labels for alert in of.newest_of(row.id, 1))
