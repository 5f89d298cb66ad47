"""The SQL of the one transaction: everything that a batch decided, or nothing of it."""

import itertools
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from responder.core.desk import Desk
from responder.core.event import Event
from responder.core.instant import format_instant
from responder.core.signal import Instant
from responder.store import chain, rows, schema
from responder.store.engine import StorageError
from responder.store.lock import hold

_body = msgspec.json.Encoder(order="deterministic").encode


class StorageDown(Exception):
    """Nothing of the batch was stored."""


class DataRefused(Exception):
    """The database refused a value of the batch; its items are to be tried one by one."""


class Fenced(Exception):
    """The database holds what this daemon does not know: another one decides, or an answer was lost."""


class Outcome(msgspec.Struct):
    """What a commit wrote."""

    events: list[Event]
    head_seq: int
    head_hash: bytes


class Writer:
    """The only connection that writes. Used by one thread."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._sql = _Statements(engine)
        self._connection: Connection | None = None
        self._alone = False
        self.epoch = 0
        self.head_seq = 0
        self.head_hash = chain.GENESIS
        self.secret = secrets.token_bytes(32)
        """Of this store, from its first start on."""
        self._since_checkpoint = 0
        self._recent = 0
        """How many links wait in ``incident_alert_recent``, about."""

    def connection(self) -> Connection:
        """Return the connection, opened anew after a failure.

        On PostgreSQL it takes the lock again, if it can: the server may still hold the lost session for ours. Whether
        another daemon came in between, the epoch tells at the next commit.
        """
        if self._connection is None:
            self._connection = self._engine.connect()
            self._alone = hold(self._connection)
        return self._connection

    def claim(self) -> None:
        """Make sure that nobody else decides for this database, before its state is read.

        Raises:
            StorageError: Another daemon does.
        """
        connection = self.connection()
        if self._alone:
            return
        row = connection.execute(schema.leader.select()).first()
        self.close()
        who = f" ({row.owner}, last seen {format_instant(row.alive_at)})" if row is not None else ""
        raise StorageError(
            f"the database is in use by another daemon{who}; two would decide against each other\n"
            "  hint: this one can begin when that one has ended; or give it a storage.schema of its own"
        )

    def lead(self, now: Instant) -> None:
        """Become the one who decides: a new epoch in the leader row."""
        connection = self.connection()
        with connection.begin():
            row = connection.execute(schema.leader.select()).first()
            if row is None:
                connection.execute(
                    schema.leader.insert().values(
                        id=1, epoch=1, owner=self._owner, alive_at=now, head_seq=0, head_hash=chain.GENESIS,
                        secret=self.secret, next_alert=1, next_incident=1, next_problem=1, next_outbox=1, next_change=1,
                    )
                )  # fmt: skip
                self.epoch = 1
            else:
                self.epoch, self.head_seq, self.head_hash = row.epoch + 1, row.head_seq, bytes(row.head_hash)
                self.secret = bytes(row.secret)
                connection.execute(schema.leader.update().values(epoch=self.epoch, owner=self._owner))

    def commit(self, desk: Desk, now: Instant) -> Outcome:
        """Write a batch in one transaction; when this returns it is on the disk.

        Raises:
            DataRefused: A value can't be stored; nothing was written.
            StorageDown: Disk full, connection lost, file gone; nothing was written.
            Fenced: Another daemon has taken over, or the database is ahead of this one.
        """
        try:
            connection = self.connection()
            with connection.begin():
                outcome = self._write(connection, desk, now)
        except Fenced:
            self.forget()
            raise
        except DBAPIError as error:
            self.forget()
            found = self._landed(desk, now)
            if found is not None:
                return found
            if isinstance(error.orig, UnicodeError) or error.__class__.__name__ in ("DataError", "IntegrityError"):
                raise DataRefused(str(error.orig)) from error
            raise StorageDown(str(error.orig)) from error
        except (UnicodeError, OverflowError) as error:
            self.forget()
            raise DataRefused(str(error)) from error
        except (SQLAlchemyError, OSError) as error:
            self.forget()
            raise StorageDown(str(error)) from error
        self.head_seq, self.head_hash = outcome.head_seq, outcome.head_hash
        self._since_checkpoint += 1
        return outcome

    def _landed(self, desk: Desk, now: Instant) -> Outcome | None:
        """After an error whose outcome is unknown: read the head to learn whether it was committed.

        Raises:
            Fenced: Another daemon leads; what looked like refused data were its rows. Or they were those of a batch
                before this one, which was answered with "not stored" because the head could not be read either.
        """
        try:
            with self._engine.connect() as connection:
                row = connection.execute(schema.leader.select()).first()
        except (SQLAlchemyError, OSError):
            return None
        if row is not None and row.epoch != self.epoch:
            raise Fenced("another daemon has taken over this database")
        if row is None or row.head_seq == self.head_seq:
            return None
        numbered, _, head = self._chain(desk.events, now)
        if bytes(row.head_hash) != head:
            raise Fenced("an earlier batch was stored without an answer; what is known is to be read again")
        self.head_seq, self.head_hash = row.head_seq, head
        return Outcome(numbered, self.head_seq, self.head_hash)

    def forget(self) -> None:
        """Drop the connection: after a failed fsync it is not to be trusted again."""
        if self._connection is not None:
            try:
                self._connection.invalidate()
                self._connection.close()
            except SQLAlchemyError:
                pass  # it was broken already; the next use opens another
            self._connection = None

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into the file, from the writer only."""
        if self._engine.dialect.name == "sqlite" and self._since_checkpoint >= 200:
            try:
                self.connection().exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
                self.connection().rollback()
            except SQLAlchemyError:
                self.forget()  # the disk is full: what is committed is safe in the log, which grows until there is room
                return
            self._since_checkpoint = 0

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            if self._engine.dialect.name == "sqlite":
                try:
                    self._connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    self._connection.rollback()
                except SQLAlchemyError:
                    pass  # as in checkpoint(): the next start reads the log
            self._connection.close()
            self._connection = None

    def _write(self, connection: Connection, desk: Desk, now: Instant) -> Outcome:
        sql, many = self._sql, _many
        many(
            connection, sql.incident, [rows.incident_row(row, desk.dues.get(row.id)) for row in desk.stored_incidents()]
        )
        many(connection, sql.alert, [rows.alert_row(alert) for alert in desk.occurrences.values()])
        self._link(connection, desk.links)
        states = desk.states.changed
        many(connection, sql.rule_state, [rows.state_row(row) for row in desk.stored_states()])
        many(connection, sql.drop_state, [key for key, row in states.items() if row is None])
        many(
            connection,
            sql.silence,
            [rows.silence_row(row) for row in desk.silences.changed.values() if row is not None],
        )
        many(connection, sql.drop_silence, [(id,) for id, row in desk.silences.changed.items() if row is None])
        many(connection, sql.outbox, [rows.message_row(row) for row in desk.outbox.changed.values() if row is not None])
        many(connection, sql.change, [rows.change_row(row) for row in desk.changes.changed.values() if row is not None])
        many(
            connection,
            sql.source_state,
            [rows.source_row(row) for row in desk.sources.changed.values() if row is not None],
        )
        many(connection, sql.meter, [rows.meter_row(row) for row in desk.meters.changed.values() if row is not None])
        many(
            connection,
            sql.maintenance,
            [rows.maintenance_row(row) for row in desk.maintenance.changed.values() if row is not None],
        )
        many(connection, sql.satisfaction, [rows.asked_row(row) for row in desk.asked.values()])
        many(
            connection,
            sql.problem,
            [rows.problem_row(row) for row in desk.problems.changed.values() if row is not None],
        )
        if desk.board_rows is not None or desk.edges or desk.stale:
            written, gone = rows.board_rows(desk.board_rows, desk.edges, desk.stale)
            many(connection, sql.board, written)
            many(connection, sql.drop_board, gone)
        many(connection, sql.fact, [(name, rows.text_of(labels), by) for (name, labels), by in desk.facts.items()])
        numbered, values, head = self._chain(desk.events, now)
        many(connection, sql.event, values)
        counters = desk.head
        result = connection.exec_driver_sql(
            sql.head,
            (
                now, self.head_seq + len(numbered), head, counters.next_alert, counters.next_incident,
                counters.next_problem, counters.next_outbox, counters.next_change, self.epoch, self.head_seq,
            ),
        )  # fmt: skip
        if result.rowcount != 1:
            raise Fenced("another daemon has taken over this database")
        return Outcome(numbered, self.head_seq + len(numbered), head)

    def _link(self, connection: Connection, links: Sequence[tuple[int, int]]) -> None:
        _many(connection, self._sql.link, links)
        self._recent += len(links)
        if self._recent >= RECENT:
            for statement in self._sql.file_links:
                connection.exec_driver_sql(statement)
            self._recent = 0  # if this transaction fails, the next time takes more

    def _chain(self, events: Sequence[Event], now: Instant) -> tuple[list[Event], list[tuple[Any, ...]], bytes]:
        numbered, values, head, seq = [], [], self.head_hash, self.head_seq
        for event in events:
            seq += 1
            body = _body(event.data).decode()
            actor = rows.clean(f"{event.actor.kind}:{event.actor.name}")
            digest = chain.digest_of(seq, event.at, now, event.subject_kind, event.subject, event.kind, actor, body)
            head = chain.link(head, digest)
            values.append(
                (seq, event.at, now, event.subject_kind, event.subject, event.kind, actor, body, digest, head)
            )
            numbered.append(msgspec.structs.replace(event, seq=seq))
        return numbered, values, head


WIDTHS: Final = (256, 64, 16, 4, 1)
"""Rows of one statement. SQLite's driver lets another thread in at each, and to get back takes long: a batch of
any size goes in a few of them."""

RECENT: Final = 4096
"""Links that are kept in the order in which they came: enough of them fill the pages of their incidents, and few
enough to be looked through by who asks for the alerts of one incident."""

_Insert: TypeAlias = Mapping[int, str]
"""The same statement for each of :data:`WIDTHS` rows."""


def _many(connection: Connection, sql: str | _Insert, values: Sequence[tuple[Any, ...]]) -> None:
    if not values:
        return
    if isinstance(sql, str):
        connection.exec_driver_sql(sql, values if len(values) > 1 else values[0])
        return
    at = 0
    for width in WIDTHS:
        while len(values) - at >= width:
            connection.exec_driver_sql(sql[width], tuple(itertools.chain.from_iterable(values[at : at + width])))
            at += width


class _Statements:
    """The statements of the write path as driver SQL, compiled once.

    Positional parameters straight to the driver cost a third of what named ones through the
    Core do, and rows are what the write path is made of.
    """

    def __init__(self, engine: Engine) -> None:
        self._mark = "?" if engine.dialect.name == "sqlite" else "%s"
        self.incident = self._upsert(schema.incident)
        self.alert = self._upsert(schema.alert)
        self.link = self._upsert(schema.incident_alert_recent)
        self.file_links = (
            "INSERT INTO incident_alert SELECT incident_id, alert_id FROM incident_alert_recent WHERE true "
            "ORDER BY incident_id, alert_id ON CONFLICT DO NOTHING",
            "DELETE FROM incident_alert_recent",
        )
        self.rule_state = self._upsert(schema.rule_state)
        self.silence = self._upsert(schema.silence)
        self.outbox = self._upsert(schema.outbox)
        self.change = self._upsert(schema.change)
        self.source_state = self._upsert(schema.source_state)
        self.problem = self._upsert(schema.problem)
        self.meter = self._upsert(schema.meter)
        self.maintenance = self._upsert(schema.maintenance)
        self.satisfaction = self._upsert(schema.satisfaction)
        self.board = self._upsert(schema.board)
        self.drop_board = self._delete(schema.board)
        self.event = self._insert(schema.event)
        self.drop_state = self._delete(schema.rule_state)
        self.drop_silence = self._delete(schema.silence)
        self.fact = self._insert(
            schema.fact, " ON CONFLICT (name, labels) DO UPDATE SET value = fact.value + excluded.value"
        )
        columns = (
            "alive_at",
            "head_seq",
            "head_hash",
            "next_alert",
            "next_incident",
            "next_problem",
            "next_outbox",
            "next_change",
        )
        sets = ", ".join(f"{name} = {self._mark}" for name in columns)
        self.head = f"UPDATE leader SET {sets} WHERE epoch = {self._mark} AND head_seq = {self._mark}"  # noqa: S608

    def _insert(self, table: Table, end: str = "") -> _Insert:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        row = "(" + ", ".join(self._mark for _ in table.columns) + ")"
        begin = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608 the schema's own names
        return {width: begin + ", ".join([row] * width) + end for width in WIDTHS}

    def _upsert(self, table: Table) -> _Insert:
        keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
        rest = [column.name for column in table.columns if not column.primary_key]
        sets = ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
        return self._insert(table, f" ON CONFLICT ({keys}) DO " + (f"UPDATE SET {sets}" if rest else "NOTHING"))

    def _delete(self, table: Table) -> str:
        keys = " AND ".join(f'"{column.name}" = {self._mark}' for column in table.primary_key)
        return f"DELETE FROM {table.name} WHERE {keys}"  # noqa: S608 the schema's own names
