"""Changes and releases: those that incidents are linked to, and lists."""

from collections.abc import Collection, Sequence

from sqlalchemy import select

from responder.core.desk import Change
from responder.store import rows, schema
from responder.store.reader import Reader

SLICE = 500
"""Ids that one statement names at most."""
_table = schema.change
_decoded = rows.decoder(Change)


def changes_by(reader: Reader, ids: Collection[int]) -> dict[int, Change]:
    """Return changes by their id, however long ago they were announced."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    with reader.connect() as connection:
        found = [
            _decoded(body)
            for first in range(0, len(wanted), SLICE)
            for (body,) in connection.execute(
                select(_table.c.body).where(_table.c.id.in_(wanted[first : first + SLICE]))
            )
        ]
    return {change.id: change for change in found}


def newest_changes(reader: Reader, services: Sequence[str], below: int | None, limit: int) -> list[Change]:
    """Return changes, newest first, with an id below *below*; of these services, if any are named."""
    query = select(_table.c.body).order_by(_table.c.id.desc()).limit(limit)
    if below is not None:
        query = query.where(_table.c.id < below)
    if services:
        query = query.where(_table.c.service.in_(services))
    with reader.connect() as connection:
        return [_decoded(body) for (body,) in connection.execute(query)]
