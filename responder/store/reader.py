"""Reads: the rebuild at start, and what the API shows. Each with a short transaction."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Select, bindparam, func, literal_column, or_, select
from sqlalchemy.exc import SQLAlchemyError

from responder.core.alert import Alert
from responder.core.availability import Meter
from responder.core.board import Rows as BoardRows
from responder.core.desk import Asked, Change, Head, KeyState, ProblemRow, SourceState
from responder.core.event import Actor, Event
from responder.core.incident import OVER, Incident
from responder.core.maintenance import Posted
from responder.core.outbox import Message
from responder.core.problem import KnownError
from responder.core.signal import Instant
from responder.core.silence import Silence
from responder.core.topology import Edge
from responder.store import rows, schema

PAGE = 1000
_silence = rows.decoder(Silence)
_message = rows.decoder(Message)
_change = rows.decoder(Change)
_source = rows.decoder(SourceState)
_problem = rows.decoder(ProblemRow)
_meter = rows.decoder(Meter)
_posted = rows.decoder(Posted)
_asked = rows.decoder(Asked)
_fact_labels = msgspec.json.Decoder(tuple[tuple[str, str], ...])


_LAST_INCIDENT: Final = select(func.max(schema.incident.c.id)).where(
    schema.incident.c.rule == bindparam("rule"), schema.incident.c.key_hash == bindparam("key_hash")
)
_ASKED: Final = select(schema.satisfaction.c.body).where(schema.satisfaction.c.token_hash == bindparam("token_hash"))
_DELIVERED: Final = select(func.max(schema.alert.c.updated_at)).where(
    schema.DEDUPED, schema.alert.c.dedup == bindparam("dedup"), schema.alert.c.source == bindparam("source")
)


_NEWEST: Final = (
    select(schema.links.c.alert_id)
    .where(schema.links.c.incident_id == bindparam("incident"))
    .order_by(schema.links.c.alert_id.desc())
)
_COUNTS: Final = (
    select(schema.links.c.incident_id, func.count())
    .where(schema.links.c.incident_id.in_(bindparam("incidents", expanding=True)))
    .group_by(schema.links.c.incident_id)
)
_LIVING: Final = (
    select(schema.incident.c.id)
    .where(schema.incident.c.closed_at.is_(None))
    .union(select(schema.incident.c.id).where(schema.incident.c.taking.is_(True)))
)
"""The incidents that are not over, and those that still take alerts, by an index for each."""


class Recorded(msgspec.Struct, frozen=True):
    """An event as it is stored, with its place in the chain."""

    event: Event
    recorded_at: Instant
    hash: str
    erased: bool = False


class Reader:
    """Read access for any thread; connections come from the engine's pool.

    What decisions look up comes from the writer's thread only, once for every incident that
    opens, over a connection that is kept: to open one costs more than ten look-ups.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: Connection | None = None

    # The rebuild.

    def head(self) -> Head:
        with self._engine.connect() as connection:
            row = connection.execute(select(schema.leader)).first()
        if row is None:
            return Head()
        return Head(row.next_alert, row.next_incident, row.next_problem, row.next_outbox, row.next_change)

    def alive_at(self) -> Instant | None:
        """Return when a daemon was last known to work with this store."""
        with self._engine.connect() as connection:
            return connection.execute(select(schema.leader.c.alive_at)).scalar()

    def known_alerts(self, ended_since: Instant) -> Iterator[Alert]:
        """Yield what fires and what ended lately, oldest first."""
        table = schema.alert
        firing = select(table.c.id).where(table.c.ended == literal_column("''"))
        lately = select(table.c.id).where(schema.ENDED, table.c.ends_at >= ended_since)
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=PAGE).execute(
                select(table).where(table.c.id.in_(firing.union_all(lately)), table.c.dedup == "").order_by(table.c.id)
            ):
                yield rows.known_now(rows.alert_of(tuple(row)))

    def states(self) -> Iterator[KeyState]:
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=PAGE).execute(select(schema.rule_state)):
                yield rows.state_of(tuple(row))

    def living_incidents(self) -> Iterator[Incident]:
        """Yield the incidents that are not over, and those that still take alerts."""
        table = schema.incident
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=PAGE).execute(
                select(table.c.body).where(table.c.id.in_(_LIVING)).order_by(table.c.id)
            ):
                yield rows.incident_of(row.body)

    def alerts_counts(self) -> dict[int, int]:
        """Return how many occurrences ever joined each incident that is not over."""
        counts: Counter[int] = Counter()
        with self._engine.connect() as connection:
            for links in (schema.incident_alert, schema.incident_alert_recent):
                query = select(links.c.incident_id, func.count()).where(links.c.incident_id.in_(_LIVING))
                found = connection.execute(query.group_by(links.c.incident_id))
                counts.update({row[0]: row[1] for row in found})
        return counts

    def silences(self) -> list[Silence]:
        with self._engine.connect() as connection:
            return [_silence(body) for (body,) in connection.execute(select(schema.silence.c.body))]

    def sources(self) -> list[SourceState]:
        with self._engine.connect() as connection:
            return [_source(body) for (body,) in connection.execute(select(schema.source_state.c.body))]

    def recent_changes(self, since: Instant) -> list[Change]:
        table = schema.change
        with self._engine.connect() as connection:
            return [_change(body) for (body,) in connection.execute(select(table.c.body).where(table.c.at >= since))]

    def meters(self) -> list[Meter]:
        with self._engine.connect() as connection:
            return [_meter(body) for (body,) in connection.execute(select(schema.meter.c.body))]

    def maintenance(self) -> list[Posted]:
        """Return every window that was ever announced, those that begin first in front."""
        table = schema.maintenance
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.body).order_by(table.c.from_at, table.c.name))
            return [_posted(body) for (body,) in found]

    def waiting_messages(self) -> list[Message]:
        table = schema.outbox
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.body).where(table.c.state == "waiting").order_by(table.c.id))
            return [_message(body) for (body,) in found]

    def sent_messages(self, limit: int) -> list[Message]:
        """Return the newest messages that used their channel and wait no more, whatever became of them."""
        table = schema.outbox
        left = (table.c.state != "waiting") & (table.c.attempt > 0)
        query = select(table.c.body).where(left).order_by(table.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_message(body) for (body,) in connection.execute(query)]

    def living_problems(self) -> list[ProblemRow]:
        """Return the problems that are not closed."""
        table = schema.problem
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.body).where(table.c.closed_at.is_(None)).order_by(table.c.id))
            return [_problem(body) for (body,) in found]

    def dues_of_closed_problems(self) -> list[tuple[int, Instant]]:
        """Return when an action item of a problem that is closed will be overdue: (problem, instant)."""
        table = schema.problem
        query = select(table.c.id, table.c.due).where(table.c.closed_at.is_not(None), table.c.due.is_not(None))
        with self._engine.connect() as connection:
            return [(id, due) for id, due in connection.execute(query)]

    def watched_errors(self, closed_since: Instant) -> list[KnownError]:
        """Return what the incidents of problems looked like that were closed lately, of the newest :data:`PAGE`."""
        table = schema.problem
        query = select(table.c.body).where(table.c.closed_at >= closed_since).order_by(table.c.id.desc()).limit(PAGE)
        with self._engine.connect() as connection:
            found = [_problem(body).error for (body,) in connection.execute(query)]
        return [error for error in found if error is not None]

    def problem(self, id: int) -> ProblemRow | None:
        """Return a problem in any state."""
        table = schema.problem
        with self._engine.connect() as connection:
            body = connection.execute(select(table.c.body).where(table.c.id == id)).scalar()
        return _problem(body) if body is not None else None

    def problems(self, where: Mapping[str, Any], below: int | None, limit: int) -> list[ProblemRow]:
        """Return problems, newest first, with an id below *below*.

        *where*: ``state``, ``service``, ``origin`` (lists of values).
        """
        table = schema.problem
        query = select(table.c.body).order_by(table.c.id.desc()).limit(limit)
        if below is not None:
            query = query.where(table.c.id < below)
        for name in ("state", "service", "origin"):
            if where.get(name):
                query = query.where(table.c[name].in_(where[name]))
        with self._engine.connect() as connection:
            return [_problem(body) for (body,) in connection.execute(query)]

    def board(self) -> tuple[BoardRows, list[Edge]]:
        """Return what correlation remembered, and the edges that labels showed."""
        table = schema.board
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.kind, table.c.key, table.c.body))
            return rows.board_of((row.kind, row.key, row.body) for row in found)

    def facts(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        with self._engine.connect() as connection:
            found = connection.execute(select(schema.fact))
            return {(row.name, _fact_labels.decode(row.labels)): row.value for row in found}

    # Look-ups inside the writer's decisions.

    def last_incident(self, rule: str, key_hash: int) -> int | None:
        found: int | None = self._look_up(_LAST_INCIDENT, {"rule": rule, "key_hash": key_hash})
        return found

    def asked_of(self, token_hash: str) -> Asked | None:
        body = self._look_up(_ASKED, {"token_hash": token_hash})
        return _asked(body) if body is not None else None

    def delivered_before(self, source: str, dedup: str) -> Instant | None:
        found: Instant | None = self._look_up(_DELIVERED, {"dedup": rows.dedup_text(dedup), "source": source})
        return found

    def _look_up(self, query: Select[Any], values: Mapping[str, Any]) -> Any:
        if self._kept is None:
            self._kept = self._engine.connect()
        try:
            found = self._kept.execute(query, values).scalar()
            self._kept.rollback()  # the next look-up is to see what was committed by then
        except SQLAlchemyError:
            self._kept.close()
            self._kept = None
            raise
        return found

    def firing_of(self, incident: int) -> list[Alert]:
        """Return the occurrences of an incident that fire."""
        table, links = schema.alert, schema.links
        theirs = select(links.c.alert_id).where(links.c.incident_id == incident)
        # Asked of an expression, so that nobody thinks of walking through the index of all that fire.
        query = select(table).where(table.c.id.in_(theirs), table.c.ended + "" == "")
        with self._engine.connect() as connection:
            return [rows.alert_of(tuple(row)) for row in connection.execute(query)]

    # What the API shows.

    def incident(self, id: int) -> Incident | None:
        table = schema.incident
        with self._engine.connect() as connection:
            body = connection.execute(select(table.c.body).where(table.c.id == id)).scalar()
        return rows.incident_of(body) if body is not None else None

    def incidents(self, where: Mapping[str, Any], below: int | None, limit: int) -> list[Incident]:
        """Return incidents, newest first, with an id below *below*.

        *where*: ``state``, ``service``, ``priority``, ``rule``, ``team``, ``owner`` (lists of values), ``ids`` (a
        short list), ``problem`` (an id), ``flag``, ``q`` (text within the title), ``q_id`` (or this id).
        """
        table = schema.incident
        query = select(table.c.body).order_by(table.c.id.desc()).limit(limit)
        if below is not None:
            query = query.where(table.c.id < below)
        for name in ("state", "service", "priority", "rule", "team", "owner"):
            if where.get(name):
                query = query.where(table.c[name].in_(where[name]))
        if where.get("state") and OVER.isdisjoint(where["state"]):
            query = query.where(table.c.closed_at.is_(None))  # they are few, and an index has them
        if where.get("ids"):
            query = query.where(table.c.id.in_(where["ids"]))
        if where.get("problem") is not None:
            query = query.where(table.c.problem_id == where["problem"])
        if where.get("flag"):
            query = query.where((" " + table.c.flags + " ").contains(f" {where['flag']} ", autoescape=True))
        if where.get("q"):
            named = func.lower(table.c.title).contains(where["q"].lower(), autoescape=True)
            query = query.where(named if where.get("q_id") is None else or_(named, table.c.id == where["q_id"]))
        with self._engine.connect() as connection:
            return [rows.incident_of(body) for (body,) in connection.execute(query)]

    def incidents_above(self, above: int, limit: int) -> list[Incident]:
        """Return incidents, oldest first, with an id above *above*."""
        table = schema.incident
        query = select(table.c.body).where(table.c.id > above).order_by(table.c.id).limit(limit)
        with self._engine.connect() as connection:
            return [rows.incident_of(body) for (body,) in connection.execute(query)]

    def alerts_of(self, incident: int, limit: int | None) -> list[Alert]:
        """Return the newest occurrences of an incident, newest first."""
        return self.newest_alerts([incident], limit)[incident]

    def newest_alerts(self, incidents: Sequence[int], limit: int | None) -> dict[int, list[Alert]]:
        """Return the newest occurrences of each incident, newest first; all of them without a limit.

        One statement an incident: it reads no more of the index than it gives, however many joined.
        """
        table, newest = schema.alert, _NEWEST if limit is None else _NEWEST.limit(limit)
        query = select(table).where(table.c.id.in_(newest)).order_by(table.c.id.desc())
        with self._engine.connect() as connection:
            return {
                id: [rows.alert_of(tuple(row)) for row in connection.execute(query, {"incident": id})]
                for id in incidents
            }

    def counts_of(self, incidents: Sequence[int]) -> dict[int, int]:
        """Return how many occurrences ever joined each incident."""
        with self._engine.connect() as connection:
            found = {row[0]: row[1] for row in connection.execute(_COUNTS, {"incidents": list(incidents)})}
        return {id: found.get(id, 0) for id in incidents}

    def alerts_between(self, first: int, last: int) -> dict[int, list[Alert]]:
        """Return all occurrences of the incidents with these numbers and those between, newest first."""
        table, links = schema.alert, schema.links
        query = select(links.c.incident_id, table).join(table, table.c.id == links.c.alert_id)
        found: dict[int, list[Alert]] = {}
        with self._engine.connect() as connection:
            joined = connection.execute(
                query.where(links.c.incident_id.between(first, last)).order_by(links.c.alert_id.desc())
            )
            for incident, *row in joined:
                found.setdefault(incident, []).append(rows.alert_of(tuple(row)))
        return found

    def links_of(self, problem: int, incidents: Sequence[int]) -> list[Event]:
        """Return the newest event that linked each of these incidents to the problem."""
        table, found = schema.event, {}
        for first in range(0, len(incidents), 500):
            query = select(table).where(
                table.c.subject_kind == "incident", table.c.kind == "linked", table.c.body.is_not(None),
                table.c.subject_id.in_(incidents[first : first + 500]),
            ).order_by(table.c.seq)  # fmt: skip
            with self._engine.connect() as connection:
                for event in (recorded(row).event for row in connection.execute(query)):
                    if event.data.get("problem") == problem:
                        found[event.subject] = event
        return [found[id] for id in incidents if id in found]

    def timeline(self, kind: str, subject: int | Sequence[int], after: int, limit: int) -> list[Recorded]:
        """Return the events of a subject, or of several, in their order (instant, sequence)."""
        subjects = (subject,) if isinstance(subject, int) else tuple(subject)
        table = schema.event
        query = (
            select(table)
            .where(table.c.subject_kind == kind, table.c.subject_id.in_(subjects), table.c.seq > after)
            .order_by(table.c.seq)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [recorded(row) for row in connection.execute(query)]

    def events(self, connection: Connection, after: int = 0) -> Iterator[Any]:
        """Yield raw event rows in the order of the chain."""
        table = schema.event
        yield from connection.execution_options(yield_per=PAGE).execute(
            select(table).where(table.c.seq > after).order_by(table.c.seq)
        )

    def connect(self) -> Connection:
        """Return a connection for a longer look: export, verify."""
        return self._engine.connect()

    def alive(self) -> bool:
        """Say whether the database answers."""
        with self._engine.connect() as connection:
            return connection.execute(select(1)).scalar() == 1


def recorded(row: Any) -> Recorded:
    """Return an event row as an event."""
    kind, _, name = row.actor.partition(":")
    data = msgspec.json.decode(row.body) if row.body is not None else {}
    event = Event(row.at, row.kind, row.subject_kind, row.subject_id, Actor(kind, name), data, row.seq)
    return Recorded(event, row.recorded_at, bytes(row.hash).hex(), row.body is None)
