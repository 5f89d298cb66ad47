"""Which incidents are silenced now: a flag that is true by the silences in force, and stands in no row."""

from collections.abc import Iterable, Mapping
from typing import Final

from responder.core.book import Book
from responder.core.incident import Incident
from responder.core.rule import EventWhen
from responder.core.shown import labels_of
from responder.core.signal import Instant
from responder.resident import Resident

FLAG: Final = "suppressed"


def silenced(resident: Resident, book: Book, incidents: Iterable[Incident], now: Instant) -> set[int]:
    """Return the ids of those whose every firing alert is silenced (SPEC 3.4); nothing fires: it is not.

    The alerts in memory are looked through once, and only while a silence is in force.
    """
    silences = resident.silencing
    if not any(silence.state(now) == "active" for silence in silences):
        return set()

    def is_quiet(labels: Mapping[str, str]) -> bool:
        return bool(silences.silencing(dict(labels), now))

    quiet: set[int] = set()
    asked: set[int] = set()
    for row in incidents:
        if row.rule is None or not row.holds or row.closed_at is not None:
            continue
        rule = book.rules.get(row.rule)
        if rule is not None and isinstance(rule.when, EventWhen):
            asked.add(row.id)
        elif is_quiet(labels_of(row)):
            quiet.add(row.id)
    if not asked:
        return quiet
    firing: set[int] = set()
    for alert in list(resident.alerts.values()):  # a copy: the writer changes the original
        mine = [joined.incident for joined in alert.joined if joined.incident in asked] if not alert.ended else ()
        if not mine:
            continue
        if is_quiet(alert.labels):
            firing.update(id for id in mine if id is not None)
        else:
            asked.difference_update(mine)
            if not asked:
                break
    return quiet | (firing & asked)
