"""Between structs and rows: what the writer stores and what a start reads back."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

from responder.core.alert import Alert, Joined
from responder.core.availability import Meter
from responder.core.board import EQUAL, Held, Linked, Pulse, Sighted
from responder.core.board import Rows as BoardRows
from responder.core.causes import Clue, Memory
from responder.core.conditions.state import State
from responder.core.desk import Asked, Change, KeyState, ProblemRow, SourceState
from responder.core.incident import Incident
from responder.core.maintenance import Posted
from responder.core.outbox import Message
from responder.core.problem import next_due
from responder.core.signal import Instant, fingerprint, identity
from responder.core.silence import Silence
from responder.core.topology import Edge

INDEXED: Final = 200
"""Characters of a text that an index takes; PostgreSQL refuses rows of an index beyond 2.7 kB."""
Row = tuple[Any, ...]
T = TypeVar("T")

_encode = msgspec.json.Encoder(order="deterministic").encode
_joined = msgspec.json.Decoder(tuple[Joined, ...])
_labels = msgspec.json.Decoder(dict[str, str])
_state = msgspec.json.Decoder(State)
_incident = msgspec.json.Decoder(Incident)


def text_of(value: object) -> str:
    """Return a value as JSON text; PostgreSQL's text holds no NUL, JSON writes it escaped."""
    return _encode(value).decode()


def decoder(type_: type[T]) -> Callable[[str], T]:
    """Return what reads the JSON text of a type back."""
    return msgspec.json.Decoder(type_).decode


def alert_row(a: Alert) -> Row:
    return (
        a.id, a.identity, a.source, text_of(a.labels), text_of(a.annotations), a.starts_at, a.ends_at, a.updated_at,
        a.since, clean(a.url), a.timeout, a.ended, a.newest_start, text_of(a.joined) if a.joined else "[]", a.dedup and dedup_text(a.dedup), a.polled,
    )  # fmt: skip


def alert_of(row: Row) -> Alert:
    (id, identity, source, labels, annotations, starts_at, ends_at, updated_at, since, url, timeout, ended, newest, joined,
     dedup, polled) = row  # fmt: skip
    return Alert(
        id=id, identity=identity, source=source, labels=_labels.decode(labels), annotations=_labels.decode(annotations),
        starts_at=starts_at, ends_at=ends_at, updated_at=updated_at, since=since, url=url, timeout=bool(timeout), ended=ended,
        newest_start=newest, joined=_joined.decode(joined), dedup=dedup, polled=bool(polled),
    )  # fmt: skip


def known_now(a: Alert) -> Alert:
    """Return an alert under its identity, if it was stored by a version that knew it by its fingerprint."""
    own = identity(a.labels)
    if a.identity == own or a.identity != fingerprint(a.labels):
        return a
    return msgspec.structs.replace(a, identity=own)


def state_row(s: KeyState) -> Row:
    stored = msgspec.structs.replace(s.state, firing=0)
    body = text_of(_StateBody(stored, s.fed_by, s.former))
    return (s.rule, s.key_hash, text_of(s.key), body, s.state.due, s.incident, s.digest, s.seen_at)


class _StateBody(msgspec.Struct, omit_defaults=True):
    state: State
    fed_by: tuple[tuple[str, int], ...] = ()
    former: int | None = None


_state_body = msgspec.json.Decoder(_StateBody)


def state_of(row: Row) -> KeyState:
    rule, key_hash, key, body, _due, incident, digest, seen_at = row
    read = _state_body.decode(body)
    return KeyState(
        rule, key_hash, _labels.decode(key), read.state, digest, seen_at, incident, read.fed_by, read.former
    )


def incident_row(i: Incident, due: Instant | None) -> Row:
    return (
        i.id, i.rule, i.key_hash, text_of(i.key), i.state, i.taking, clean(i.service)[:INDEXED], i.team, clean(i.owner), i.priority,
        clean(i.title), i.problem, " ".join(i.flags), i.opened_at, i.resolved_at, i.closed_at, due, i.version, i.alerts_count,
        text_of(i),
    )  # fmt: skip


def incident_of(body: str) -> Incident:
    return _incident.decode(body)


def silence_row(s: Silence) -> Row:
    return (s.id, s.starts_at, s.ends_at, s.updated_at, text_of(s))


def message_row(m: Message) -> Row:
    return (m.id, m.channel, m.state, m.not_before, m.attempt, text_of(m))


def change_row(c: Change) -> Row:
    return (c.id, c.at, clean(c.service)[:INDEXED], text_of(c))


def meter_row(m: Meter) -> Row:
    return (m.service, text_of(m))


def maintenance_row(p: Posted) -> Row:
    return (p.name, p.start, p.end, text_of(p))


def asked_row(a: Asked) -> Row:
    return (a.token_hash, a.incident, a.expires_at, text_of(a))


def source_row(s: SourceState) -> Row:
    return (s.name, s.failing_since, text_of(s))


def dedup_text(id: str) -> str:
    """Return the id of a momentary occurrence as it is looked up: senders choose how long theirs are."""
    return clean(id) if len(id) <= INDEXED else "sha256:" + sha256(id.encode()).hexdigest()


def clean(text: str) -> str:
    """Return text that PostgreSQL stores: NUL becomes the sign for it."""
    return text.replace("\0", "\u2400") if "\0" in text else text


def problem_row(p: ProblemRow) -> Row:
    q = p.problem
    return (
        q.id,
        q.origin,
        q.spec,
        q.state,
        clean(q.service)[:INDEXED],
        q.opened_at,
        q.closed_at,
        next_due(q),
        p.count,
        text_of(p),
    )


def board_rows(changed: BoardRows | None, shown: Iterable[Edge], stale: Iterable[Edge]) -> tuple[list[Row], list[Row]]:
    """Return what correlation remembers as (rows to write, keys to delete)."""
    written: list[Row] = [("edge", _edge_key(edge), text_of(edge)) for edge in shown]
    gone: list[Row] = [("edge", _edge_key(edge)) for edge in stale]
    if changed is None:
        return written, gone
    equal = {base: rows[EQUAL] for base, rows in changed.sighted.items() if EQUAL in rows}
    tables: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("memory", {str(key): row for key, row in changed.memory.items()}),
        ("held", {str(key): row for key, row in changed.held.items()}),
        ("linked", {f"{spec}\t{incident}": row for (spec, incident), row in changed.linked.items()}),
        ("clue", {f"{i}\t{key}": row for i, clues in changed.clues.items() for key, row in clues.items()}),
        ("sighted", {dedup_text(base): row and (base, row) for base, row in equal.items()}),
        ("pulse", {dedup_text(scope): row and (scope, row) for scope, row in changed.pulse.items()}),
    )
    for kind, table in tables:
        for key, row in table.items():
            if row is None:
                gone.append((kind, key))
            else:
                written.append((kind, key, text_of(row)))
    return written, gone


def _edge_key(edge: Edge) -> str:
    return dedup_text(f"{edge.from_node}\t{edge.to_node}")


def board_of(found: Iterable[tuple[str, str, str]]) -> tuple[BoardRows, list[Edge]]:
    """Return what correlation remembered, and the edges that labels showed."""
    read, edges = BoardRows(), []
    for kind, key, body in found:
        first, _, second = key.partition("\t")
        match kind:
            case "memory":
                read.memory[int(key)] = _memory(body)
            case "held":
                read.held[int(key)] = _held(body)
            case "linked":
                read.linked[first, int(second)] = _linked(body)
            case "clue":
                read.clues.setdefault(int(first), {})[int(second)] = _clue(body)
            case "sighted":
                base, sighted = _sighted(body)
                read.sighted[base] = {EQUAL: sighted}
            case "pulse":
                scope, pulse = _pulse(body)
                read.pulse[scope] = pulse
            case _:
                edges.append(_edge(body))
    return read, edges


_memory, _held, _linked = decoder(Memory), decoder(Held), decoder(Linked)
_clue, _edge = decoder(Clue), decoder(Edge)
_sighted, _pulse = decoder(tuple[str, Sighted]), decoder(tuple[str, Pulse])
