"""The newest alerts of many incidents at once, for lists: one connection however long the list is."""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select

from responder.core.alert import Alert
from responder.store import rows, schema
from responder.store.reader import Reader

_links, _alert = schema.incident_alert, schema.alert
_newest = (
    select(_alert)
    .join(_links, _links.c.alert_id == _alert.c.id)
    .where(_links.c.incident_id == bindparam("incident"))
    .order_by(_links.c.alert_id.desc())
)
_count = select(func.count()).where(_links.c.incident_id == bindparam("incident"))


def newest_alerts(reader: Reader, incidents: Sequence[int], limit: int | None) -> dict[int, list[Alert]]:
    """Return the newest occurrences of each incident, newest first; all of them without a limit.

    One statement an incident: it reads no more of the index than it gives, however many joined.
    """
    query = _newest if limit is None else _newest.limit(limit)
    with reader.connect() as connection:
        return {
            id: [rows.alert_of(tuple(row)) for row in connection.execute(query, {"incident": id})] for id in incidents
        }


def counts_of(reader: Reader, incidents: Sequence[int]) -> dict[int, int]:
    """Return how many occurrences ever joined each incident."""
    with reader.connect() as connection:
        return {id: connection.execute(_count, {"incident": id}).scalar() or 0 for id in incidents}
