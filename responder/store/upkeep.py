"""Retention, backup and verification of the store."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from sqlalchemy import Connection, Engine, Table, delete, func, select, update

from responder.core.event import Event
from responder.core.incident import Incident
from responder.core.signal import Instant
from responder.store import chain, schema
from responder.store.engine import StorageError, path_of
from responder.store.reader import Reader, recorded

SLICE = 1000


class Head(Struct, frozen=True):
    """The newest link of the chain: what an outside anchor remembers."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def head(connection: Connection) -> Head:
    """Return the head as the leader row has it."""
    row = connection.execute(select(schema.leader.c.head_seq, schema.leader.c.head_hash)).first()
    return Head(row.head_seq, bytes(row.head_hash).hex()) if row is not None else Head(0, chain.GENESIS.hex())


def retain(engine: Engine, signals_before: Instant, closed_before: Instant, after: int = 0) -> int | None:
    """Delete old occurrences and erase the bodies of incidents and problems closed long ago, a slice of each.

    Of the occurrences it looks at those behind *after*, and returns where to go on; none: that was all. Digests and
    hashes of events stay, so the chain can still be walked.
    """
    with engine.begin() as connection:
        touched = _forget_closed(connection, schema.incident, closed_before)
        touched += _forget_closed(connection, schema.problem, closed_before)
        reached = _forget_ended(connection, signals_before, after)
        touched += _forget_sent(connection, signals_before)
    return after if reached is None and touched else reached


def _forget_closed(connection: Connection, table: Table, before: Instant) -> int:
    found = connection.execute(select(table.c.id).where(table.c.closed_at < before).limit(SLICE))
    ids = [id for (id,) in found]
    if ids:
        event = schema.event
        theirs = event.c.subject_kind == table.name, event.c.subject_id.in_(ids)
        connection.execute(update(event).where(*theirs).values(body=None))
        if table is schema.incident:
            for links in (schema.incident_alert, schema.incident_alert_recent):
                connection.execute(delete(links).where(links.c.incident_id.in_(ids)))
        connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids)


def _forget_sent(connection: Connection, before: Instant) -> int:
    outbox = schema.outbox
    oldest = select(outbox.c.id).order_by(outbox.c.id).limit(SLICE)
    gone = delete(outbox).where(outbox.c.id.in_(oldest), outbox.c.state != "waiting", outbox.c.not_before < before)
    return connection.execute(gone).rowcount


def _forget_ended(connection: Connection, before: Instant, after: int) -> int | None:
    """Look at a slice of the occurrences: what no incident has any more goes. Returns the last one, if more may come."""
    alert, links = schema.alert, schema.links
    slice = select(alert.c.id, alert.c.ended, alert.c.updated_at).where(alert.c.id > after)
    looked = connection.execute(slice.order_by(alert.c.id).limit(SLICE)).all()
    old = [row.id for row in looked if row.ended and row.updated_at < before]
    if old:
        kept = select(links.c.alert_id).where(links.c.alert_id.in_(old))
        connection.execute(delete(alert).where(alert.c.id.in_(old), alert.c.id.not_in(kept)))
    return looked[-1].id if len(looked) == SLICE else None


def backup(url: str, target: Path) -> Head:
    """Copy a SQLite database while it is in use; returns the head of the copy.

    A target that is there is whole: the copy has another name beside it until it is done.

    Raises:
        StorageError: The target exists or can't be written, or the database is no sound SQLite file (for PostgreSQL
            there is pg_dump).
    """
    source = path_of(url)
    if source is None:
        raise StorageError("backup copies SQLite files; for PostgreSQL use pg_dump")
    if not source.exists():
        raise StorageError(f"{source} does not exist")
    if target.exists():
        raise StorageError(f"{target} exists already")
    try:
        file, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # only its owner may read it
        os.close(file)
        part = Path(name)
        try:
            found = _copy(source, part)
            part.rename(target)
        except BaseException:
            part.unlink()
            raise
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StorageError(f"{source} can't be copied to {target}: {error}") from None
    return found


def _copy(source: Path, target: Path) -> Head:
    with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as live:
        live.execute("SELECT head_seq FROM leader")  # it is ours, before much is copied
        with closing(sqlite3.connect(target)) as copy:
            live.backup(copy, pages=1000)
            copy.execute("PRAGMA journal_mode=DELETE")
            row = copy.execute("SELECT head_seq, head_hash FROM leader").fetchone()
    return Head(row[0], bytes(row[1]).hex()) if row else Head(0, chain.GENESIS.hex())


Fold = Callable[[Incident | None, Event], Incident]


def verify(engine: Engine, fold: Fold | None = None, anchor: tuple[int, str] | None = None) -> Iterator[str]:
    """Yield every fault of the timeline: gaps, digests, links, the head, the anchor, rows that differ or are gone.

    Args:
        engine: Of the database; only read.
        fold: Gives an incident after an event; incidents whose events are all there are
            folded again and compared with their rows. None: the chain only.
        anchor: (seq, hash) noted elsewhere: only this shows a chain that was rewritten whole.
    """
    reader = Reader(engine)
    with reader.connect() as connection:
        previous, expected, found_anchor = chain.GENESIS, 1, anchor is None
        folded: dict[int, Incident | None] = {}
        erased: set[int] = set()
        told: dict[str, set[int]] = {kind: set() for kind in TOLD}
        for row in reader.events(connection):
            if row.seq != expected:
                yield f"event {expected} is missing"
                previous = None  # type: ignore[assignment]
            digest = bytes(row.digest)
            sound = True
            if row.body is not None:
                if row.subject_kind in told:
                    told[row.subject_kind].add(row.subject_id)
                own = chain.digest_of(
                    row.seq, row.at, row.recorded_at, row.subject_kind, row.subject_id, row.kind, row.actor, row.body
                )
                sound = own == digest
                if not sound:
                    yield f"event {row.seq} was changed: its digest does not fit its content"
            if previous is not None and chain.link(previous, digest) != bytes(row.hash):
                yield f"event {row.seq} does not follow from the one before it"
            previous, expected = bytes(row.hash), row.seq + 1
            if anchor is not None and row.seq == anchor[0]:
                found_anchor = True
                if bytes(row.hash).hex() != anchor[1]:
                    yield f"event {row.seq} is not the one of the anchor"
            if fold is not None and row.subject_kind == "incident":
                if row.body is None:
                    erased.add(row.subject_id)
                if not sound:
                    folded[row.subject_id] = None  # said above; what it was before can't be known
                elif not _fold_one(folded, fold, row):
                    yield f"event {row.seq} makes no sense for INC-{row.subject_id}"
        top = head(connection)
        if top.seq != expected - 1 or top.hash != previous.hex():
            yield f"the head {top} is not the last event {expected - 1}:{previous.hex()}"
        if not found_anchor:
            yield "the anchor names an event that is not there"
        for kind, (table, prefix) in TOLD.items():
            kept = {id for (id,) in connection.execute(select(table.c.id))}
            for id in sorted(told[kind] - kept):
                yield f"{prefix}-{id} is gone, but its events were not erased"
        if fold is not None:
            yield from _compare(connection, folded, erased)


def _fold_one(folded: dict[int, Incident | None], fold: Fold, row: Any) -> bool:
    """Take an event into its incident; returns whether that could be done."""
    known = folded.get(row.subject_id)
    if row.body is None or (row.subject_id in folded and known is None) or (known is None and row.kind != "opened"):
        folded[row.subject_id] = None  # erased by retention: nothing to compare with
        return True
    try:
        folded[row.subject_id] = fold(known, recorded(row).event)
    except (KeyError, TypeError, ValueError):  # written by somebody else, with a digest that fits
        folded[row.subject_id] = None
        return False
    return True


TOLD = {"incident": (schema.incident, "INC"), "problem": (schema.problem, "PRB")}
"""What has a row as long as its events have bodies: retention takes both at once."""


COMPARED = (
    "state", "owner", "priority", "service", "title", "stage", "opened_at", "acknowledged_at", "recovered_at",
    "resolved_at", "closed_at", "reopened", "flags", "parent", "problem", "taking", "resolution", "version",
)  # fmt: skip
"""Fields that come from events alone."""


SEARCHED = (
    "rule", "key_hash", "key", "state", "taking", "service", "team", "owner", "priority", "title", "problem_id", "flags",
    "opened_at", "resolved_at", "closed_at", "version",
)  # fmt: skip
"""Columns of an incident that repeat what its body says, for queries."""


def _compare(connection: Connection, folded: dict[int, Incident | None], erased: set[int]) -> Iterator[str]:
    from responder.store.rows import incident_of, incident_row

    table = schema.incident
    for stored in connection.execute(select(table)):
        id, row = stored.id, incident_of(stored.body)
        columns = dict(zip(table.c.keys(), incident_row(row, None), strict=True))
        for name in SEARCHED:
            if stored._mapping[name] != columns[name]:
                yield f"INC-{id}: the column {name} is {stored._mapping[name]!r}; its body says {columns[name]!r}"
        again = folded.get(id)
        if id in erased:
            yield f"INC-{id} is kept, but events of it were erased"
        if again is None:
            if id not in folded:
                yield f"INC-{id} has no events"
            continue
        for field in COMPARED:
            if getattr(row, field) != getattr(again, field):
                yield f"INC-{id}.{field} is {getattr(row, field)!r}; its events say {getattr(again, field)!r}"


def count(connection: Connection) -> int:
    """Return how many events there are."""
    return connection.execute(select(func.count()).select_from(schema.event)).scalar() or 0
