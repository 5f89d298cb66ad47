"""Facts: counters and histograms that are kept in the store, written with what they count.

Names are those of ``/metrics`` without the prefix. A histogram is its bucket rows (``le``),
its ``_sum`` and its ``_count``, so that a sum over replicas or a restart changes nothing.
"""

from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.desk import Desk
    from responder.core.incident import Incident

Labels = tuple[tuple[str, str], ...]
BUCKETS: Final = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 259200)
"""Seconds; 600 is there because the promise "within ten minutes" is the commonest one."""
_LE: Final = [*((bound, ("le", str(float(bound)))) for bound in BUCKETS), (inf, ("le", "+Inf"))]


def of(book: "Book", row: "Incident", *names: str) -> Labels:
    """Return the labels of an incident's facts; a service outside the catalogue has no name of its own."""
    found = []
    for name in names:
        value = book.metric_service(row.service) if name == "service" else getattr(row, name)
        found.append((name, value))
    return tuple(found)


def observe(desk: "Desk", name: str, labels: Labels, seconds: float) -> None:
    """Add one observation to a histogram."""
    bucket = name + "_bucket"
    for bound, le in _LE:
        if seconds <= bound:
            desk.count(bucket, (*labels, le))
    desk.count(name + "_sum", labels, seconds)
    desk.count(name + "_count", labels)
