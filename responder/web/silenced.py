"""Which incidents are silenced now: a flag that is true by the silences in force, and stands in no row."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from responder.core.alert import Alert
from responder.core.book import Book
from responder.core.incident import Incident
from responder.core.plan import over
from responder.core.signal import Instant
from responder.core.silenced import hears_alerts, silenced_until
from responder.resident import Resident
from responder.store.reader import Reader

FLAG: Final = "suppressed"


def silenced(resident: Resident, reader: Reader, book: Book, incidents: Sequence[Incident], now: Instant) -> set[int]:
    """Return the ids of those that silences keep quiet; :mod:`responder.core.silenced` is the rule.

    The alerts in memory are looked through once, and only while a silence is in force.
    """
    silences = resident.silencing
    if not silences.any_active(now):
        return set()
    known = _Known(resident, reader, [row for row in incidents if hears_alerts(row, book)])
    ends = {row.id: silenced_until(row, book, silences, known, now, ended=over(row)) for row in incidents}
    return {id for id, end in ends.items() if end is not None}


class _Known:
    """The alerts of many incidents, found at once."""

    def __init__(self, resident: Resident, reader: Reader, rows: Sequence[Incident]) -> None:
        asked = {row.id for row in rows}
        self._firing: defaultdict[int, list[Alert]] = defaultdict(list)
        for alert in list(resident.alerts.values()) if asked else ():  # a copy: the writer changes the original
            if not alert.ended:
                for joined in alert.joined:
                    if joined.incident in asked:
                        self._firing[joined.incident].append(alert)
        waiting = [row.id for row in rows if row.id not in self._firing and not over(row)]
        self._newest = reader.newest_alerts(waiting, 1) if waiting else {}

    def firing_of(self, incident: int) -> Sequence[Alert]:
        return self._firing.get(incident, ())

    def newest_of(self, incident: int, limit: int) -> Sequence[Alert]:
        return self._newest.get(incident, ())[:limit]
