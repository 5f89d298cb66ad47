"""The newest alerts of many incidents at once, for lists: one connection however long the list is."""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select

from responder.core.alert import Alert
from responder.store import rows, schema
from responder.store.reader import Reader

_links, _alert = schema.links, schema.alert
_newest = (
    select(_links.c.alert_id).where(_links.c.incident_id == bindparam("incident")).order_by(_links.c.alert_id.desc())
)
_counts = (
    select(_links.c.incident_id, func.count())
    .where(_links.c.incident_id.in_(bindparam("incidents", expanding=True)))
    .group_by(_links.c.incident_id)
)


def newest_alerts(reader: Reader, incidents: Sequence[int], limit: int | None) -> dict[int, list[Alert]]:
    """Return the newest occurrences of each incident, newest first; all of them without a limit.

    One statement an incident: it reads no more of the index than it gives, however many joined.
    """
    newest = _newest if limit is None else _newest.limit(limit)
    query = select(_alert).where(_alert.c.id.in_(newest)).order_by(_alert.c.id.desc())
    with reader.connect() as connection:
        return {
            id: [rows.alert_of(tuple(row)) for row in connection.execute(query, {"incident": id})] for id in incidents
        }


def counts_of(reader: Reader, incidents: Sequence[int]) -> dict[int, int]:
    """Return how many occurrences ever joined each incident."""
    with reader.connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(_counts, {"incidents": list(incidents)})}
    return {id: found.get(id, 0) for id in incidents}
