"""What the store promises, on SQLite and on PostgreSQL alike."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, inspect, text
from sqlalchemy.engine import make_url

from responder.config.regexes import compile_regex
from responder.core.desk import Desk
from responder.core.event import Actor, Event
from responder.core.incident import apply
from responder.core.signal import DAY, HOUR, MINUTE, SECOND, fingerprint
from responder.core.silence import Silence, Term
from responder.handlers.commands import Command, RecordChange, SetSilence
from responder.handlers.signals import PollFailed, Pushed
from responder.resident import Resident
from responder.store import chain, migrate, schema, transaction, upkeep
from responder.store.engine import StorageError, open_engine
from responder.store.transaction import DataRefused, Fenced
from tests.store.conftest import START, House, Place, alert, book_of

ANN = Actor("person", "ann")
Edit = Callable[[str], None]


def pushed(*instances: str, firing: bool = True, **labels: str) -> Pushed:
    return Pushed("am-api", [alert(instance, firing, **labels) for instance in instances])


def faults(place: Place, anchor: tuple[int, str] | None = None) -> list[str]:
    return list(upkeep.verify(place.engine(read_only=True), apply, anchor))


def busy(house: House) -> None:
    """Give the store something of every kind."""
    house.take(pushed("a", "b", "c"))
    house.now += MINUTE
    house.take(
        pushed("b", firing=False), Command("acknowledge", 1, {}, ANN), Command("note", 1, {"text": "Grüße\0"}, ANN)
    )
    term = Term("instance", "a")
    house.take(SetSilence(Silence("", (term,), START, START + HOUR, "ann", "move"), "id-1", ANN))
    house.take(RecordChange("shop", "release", "1.2", None, "", ANN), PollFailed("prom", house.now, "refused"))


# The schema.


def test_an_empty_database_is_brought_up_and_then_left_alone(place: Place) -> None:
    engine = place.engine()
    assert migrate.revision(engine) is None
    assert migrate.upgrade(engine) is True
    assert migrate.revision(engine) == migrate.HEAD
    assert migrate.upgrade(engine) is False


def test_migrations_make_the_schema_that_the_program_expects(place: Place) -> None:
    engine = place.engine()
    migrate.upgrade(engine)
    found = inspect(engine)
    tables = {name for name in found.get_table_names() if name != "alembic_version"}
    assert tables == set(schema.metadata.tables)
    for name, table in schema.metadata.tables.items():
        assert {c["name"] for c in found.get_columns(name)} == {c.name for c in table.columns}, name
        assert {i["name"] for i in found.get_indexes(name)} == {i.name for i in table.indexes}, name


def test_a_database_of_the_first_schema_is_brought_up_step_by_step(place: Place) -> None:
    engine = place.engine()
    migrate.upgrade(engine)
    with engine.begin() as connection:
        schema.BY_ALERT.drop(connection)
        schema.BY_END.drop(connection)
        schema.incident_alert_recent.drop(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert migrate.upgrade(engine) is True
    assert migrate.revision(engine) == migrate.HEAD
    found = inspect(engine)
    assert schema.BY_ALERT.name in {index["name"] for index in found.get_indexes("incident_alert")}
    recent = schema.incident_alert_recent
    assert {column["name"] for column in found.get_columns(recent.name)} == set(recent.c.keys())
    assert found.get_pk_constraint(recent.name)["constrained_columns"] == recent.primary_key.columns.keys()


def test_a_database_of_a_newer_program_is_refused(place: Place) -> None:
    engine = place.engine()
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match=r"9999.* a newer version has used it\n  hint: start that version"):
        migrate.upgrade(engine)


def test_tables_of_another_program_are_left_alone(place: Place) -> None:
    engine = place.engine()
    if place.schema is not None:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {place.schema}"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE event (x int)"))
    with pytest.raises(StorageError, match="tables of another program with the names of responder's: event"):
        migrate.upgrade(engine)
    assert inspect(engine).get_table_names() == ["event"]


def test_a_schema_that_its_role_may_not_create_is_said_to_be_missing(postgres: str) -> None:
    engine = open_engine(postgres)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE guest LOGIN"))
    guest = open_engine(make_url(postgres).set(username="guest").render_as_string(False), "nope")
    with pytest.raises(StorageError, match="schema nope does not exist and can't be created: permission denied"):
        migrate.upgrade(guest)
    guest.dispose()
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE guest"))
    engine.dispose()


# The commit.


def test_what_is_committed_is_read_back_as_it_was(house: House) -> None:
    busy(house)
    again = rebuilt(house)
    memory = house.resident
    for name in ("alerts", "states", "incidents", "silences", "sources", "changes", "outbox", "facts", "head"):
        assert getattr(again, name) == getattr(memory, name), name
    assert sorted(again.keys_of("each")) == sorted(memory.keys_of("each"))
    assert again.next_due() == memory.next_due()


def rebuilt(house: House) -> Resident:
    again = Resident(house.reader, house.due_of, house.resident._compile_regex)
    again.rebuild(house.now)
    return again


def test_the_alerts_of_several_incidents_are_read_together_the_newest_first(house: House) -> None:
    house.take(pushed("a", "b", "c"))
    house.now += MINUTE
    house.take(pushed("b", firing=False))
    house.now += MINUTE
    house.take(pushed("b"))
    reader = house.resident._reader
    ids = sorted(house.resident.incidents)
    assert {id: reader.alerts_of(id, None) for id in ids} == reader.alerts_between(ids[0], ids[-1])
    assert reader.alerts_between(ids[-1] + 1, ids[-1] + 9) == {}


def test_a_failed_commit_writes_nothing_and_the_next_one_works(house: House) -> None:
    house.take(pushed("a"))
    before = everything(house)
    desk = house.decide(pushed("b"))
    desk.facts[("x" * 10, ())] = "no number"  # type: ignore[assignment]
    desk.events.append(Event(START, "noted", "incident", 1 << 70, ANN))  # larger than 64 bits
    with pytest.raises(DataRefused):
        house.commit(desk)
    assert everything(house) == before
    house.take(pushed("c"))
    assert [i.key["instance"] for i in house.reader.incidents({}, None, 9)] == ["c", "a"]


def test_a_lone_surrogate_is_refused_as_data(house: House) -> None:
    desk = house.decide(Command("note", 1, {"text": "x"}, ANN)) if house.resident.incidents else Desk(house.resident)
    desk.outbox.changed.clear()
    desk.events.append(Event(START, "noted", "incident", 1, Actor("person", "\ud800"), {}))
    with pytest.raises(DataRefused):
        house.commit(desk)
    house.take(pushed("a"))


def everything(house: House) -> dict[str, list[Any]]:
    with house.reader.connect() as connection:
        return {
            name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for name, table in schema.metadata.tables.items()
        }


NUL = "a\0b"


def test_a_nul_is_stored_wherever_it_stands(place: Place) -> None:
    """PostgreSQL takes no NUL in a text; JSON writes it escaped, and plain columns show a sign for it."""
    house = House(place, book=book_of(NUL))
    signal = alert(NUL, extra=NUL)
    house.take(Pushed("am-api", [msgspec.structs.replace(signal, annotations={"summary": NUL})]))
    eve = Actor("person", NUL)
    term = Term("instance", NUL)
    house.take(SetSilence(Silence("", (term,), START, START + HOUR, NUL, NUL), "id-1", eve))
    house.take(Command("assign", 1, {"to": NUL}, eve), Command("note", 1, {"text": NUL}, eve))
    house.take(RecordChange(NUL, NUL, NUL, None, NUL, ANN), PollFailed("prom", house.now, NUL))
    momentary = msgspec.structs.replace(signal, momentary=True, dedup=NUL)
    house.take(Pushed("jobs", [momentary]))
    house.take(Pushed("jobs", [momentary]))
    [incident] = house.reader.incidents({}, None, 9)
    assert (incident.service, incident.owner, incident.title) == (NUL, NUL, f"on {NUL}")
    assert faults(place) == []
    again = rebuilt(house)
    assert again.incidents == house.resident.incidents and again.alerts == house.resident.alerts
    assert house.reader.timeline("incident", 1, 0, 9)[-1].event.actor.kind == "person"
    house.writer.close()


def test_texts_without_end_are_stored(place: Place) -> None:
    """An index of PostgreSQL takes no more than 2.7 kB of one row."""
    long = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(5000))
    house = House(place, book=book_of(long))
    momentary = msgspec.structs.replace(alert(long), momentary=True, dedup=long, url=long)
    house.take(
        Pushed("jobs", [momentary]), Pushed("am-api", [alert(long)]), RecordChange(long, "release", "1", None, "", ANN)
    )
    assert house.reader.incidents({}, None, 9)[0].service == long
    assert house.reader.delivered_before("am-api", long) == START
    assert house.reader.delivered_before("am-api", long[:-1]) is None
    house.writer.close()


def test_two_taking_incidents_of_one_key_are_refused(house: House) -> None:
    house.take(pushed("a"))
    row = house.resident.incidents[1]
    desk = Desk(house.resident)
    desk.incidents.put(7, msgspec.structs.replace(row, id=7))
    with pytest.raises(DataRefused):
        house.commit(desk)


def test_who_was_overtaken_writes_nothing_any_more(house: House, place: Place) -> None:
    house.take(pushed("a"))
    other = House(place, "other")
    with pytest.raises(Fenced):
        house.commit(house.decide(pushed("b")))
    assert len(house.reader.incidents({}, None, 9)) == 1
    other.take(pushed("c"))
    with pytest.raises(Fenced):
        house.commit(house.decide(pushed("d")))
    assert faults(place) == []
    other.writer.close()


def test_a_commit_whose_answer_was_lost_is_found_in_the_head(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = house.decide(pushed("a"))
    house.commit(desk)
    seq, digest = house.writer.head_seq, house.writer.head_hash
    house.writer.head_seq, house.writer.head_hash = 0, chain.GENESIS
    landed = house.writer._landed(desk, house.now)
    assert landed is not None
    assert (landed.head_seq, landed.head_hash, house.writer.head_seq) == (seq, digest, seq)
    assert [event.seq for event in landed.events] == list(range(1, seq + 1))


def test_what_landed_unseen_is_not_taken_for_the_next_batch(house: House, place: Place) -> None:
    unseen = house.decide(pushed("a"))
    house.commit(unseen)
    house.writer.head_seq, house.writer.head_hash = 0, chain.GENESIS  # neither the answer nor the head was to be had
    other = house.decide(pushed("b"))
    assert len(other.events) == len(unseen.events)
    with pytest.raises(Fenced, match="without an answer"):
        house.commit(other)
    again = House(place, "again")
    again.take(pushed("b"))
    assert {known.labels["instance"] for known in again.reader.known_alerts(START)} == {"a", "b"}
    assert faults(place) == []
    again.writer.close()


# The chain.


def test_a_sound_timeline_has_no_fault(house: House, place: Place) -> None:
    assert faults(place) == []
    busy(house)
    assert faults(place) == []
    head = (house.writer.head_seq, house.writer.head_hash.hex())
    house.take(pushed("z"))
    assert faults(place, head) == []


@pytest.mark.parametrize(
    "column, value",
    [("body", "'{}'"), ("at", "at + 1"), ("recorded_at", "1"), ("actor", "'person:eve'"), ("kind", "'closed'"),
     ("subject_id", "99"), ("subject_kind", "'problem'")],
)  # fmt: skip
def test_an_edited_event_is_found(house: House, place: Place, edit: Edit, column: str, value: str) -> None:
    busy(house)
    edit(f"UPDATE event SET {column} = {value} WHERE seq = 2")
    assert any("event 2 was changed" in fault for fault in faults(place))


def test_a_missing_event_is_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    edit("DELETE FROM event WHERE seq = 2")
    assert "event 2 is missing" in faults(place)


def test_a_cut_end_is_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    last = house.writer.head_seq
    edit(f"DELETE FROM event WHERE seq = {last}")
    assert any("the head" in fault for fault in faults(place))


def test_two_events_that_changed_places_are_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    edit("UPDATE event SET seq = 1000 WHERE seq = 1")
    edit("UPDATE event SET seq = 1 WHERE seq = 2")
    edit("UPDATE event SET seq = 2 WHERE seq = 1000")
    assert faults(place) != []


def test_a_chain_that_was_rewritten_whole_is_found_only_with_an_anchor(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    anchor = (house.writer.head_seq, house.writer.head_hash.hex())
    with place.engine().begin() as connection:
        head = chain.GENESIS
        for row in list(connection.execute(schema.event.select().order_by(schema.event.c.seq))):
            actor = "person:eve" if row.actor == "person:ann" else row.actor
            digest = chain.digest_of(
                row.seq, row.at, row.recorded_at, row.subject_kind, row.subject_id, row.kind, actor, row.body
            )
            head = chain.link(head, digest)
            values = {"actor": actor, "digest": digest, "hash": head}
            connection.execute(schema.event.update().where(schema.event.c.seq == row.seq).values(values))
        connection.execute(schema.leader.update().values(head_hash=head))
    assert faults(place) == []
    assert faults(place, anchor) == [f"event {anchor[0]} is not the one of the anchor"]
    assert faults(place, (anchor[0] + 5, anchor[1])) == ["the anchor names an event that is not there"]


def test_a_row_that_is_not_what_its_events_say_is_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    edit("""UPDATE incident SET body = replace(body, '"priority":"P4"', '"priority":"P1"') WHERE id = 2""")
    assert faults(place) == [
        "INC-2: the column priority is 'P4'; its body says 'P1'",
        "INC-2.priority is 'P1'; its events say 'P4'",
    ]


def test_a_column_that_is_not_what_its_row_says_is_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    edit("UPDATE incident SET state = 'closed' WHERE id = 2")
    assert faults(place) == ["INC-2: the column state is 'closed'; its body says 'resolved'"]


def test_an_incident_that_was_deleted_while_its_events_stand_is_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    edit("DELETE FROM incident WHERE id = 2")
    assert faults(place) == ["INC-2 is gone, but its events were not erased"]


def test_an_event_that_was_erased_while_its_incident_is_kept_is_found(house: House, place: Place, edit: Edit) -> None:
    busy(house)
    edit("UPDATE event SET body = NULL WHERE subject_id = 2 AND kind = 'recovered'")
    assert faults(place) == ["INC-2 is kept, but events of it were erased"]


# Which alerts joined which incidents.


def filed(house: House) -> int:
    with house.reader.connect() as connection:
        return len(connection.execute(schema.incident_alert.select()).all())


def alerts_known(house: House) -> object:
    reader = house.reader
    return [
        [[alert.labels["n"] for alert in reader.alerts_of(1, limit)] for limit in (3, None)],
        [sorted(alert.labels["n"] for alert in reader.firing_of(id)) for id in (1, 2)],
        {id: len(alerts) for id, alerts in reader.alerts_between(1, 2).items()},
        {id: [alert.labels["n"] for alert in found] for id, found in reader.newest_alerts([1, 2], 2).items()},
        reader.counts_of([1, 2]),
    ]


def test_links_are_the_same_to_every_reader_before_and_after_they_are_filed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.take(Pushed("am-api", [alert("ab"[n % 2], n=str(n)) for n in range(8)]))
    assert filed(house) == 0
    assert house.reader.counts_of([1, 2]) == {1: 4, 2: 4}
    before = alerts_known(house)
    monkeypatch.setattr(transaction, "RECENT", 10)
    house.take(Pushed("am-api", [alert("c", n=str(n)) for n in range(2)]))
    assert filed(house) == 10
    assert alerts_known(house) == before
    assert house.reader.alerts_counts() == {1: 4, 2: 4, 3: 2}
    house.take(Pushed("am-api", [alert("a", n="late")]))
    assert filed(house) == 10
    assert house.reader.counts_of([1]) == {1: 5}
    assert [a.labels["n"] for a in house.reader.alerts_of(1, 2)] == ["late", "6"]
    assert rebuilt(house).incidents[1].alerts_count == 5


# Retention.


def retained(house: House, signals_before: int, closed_before: int) -> int:
    """Have everything that is old enough deleted; returns how many slices that took."""
    slices, after = 1, upkeep.retain(house.engine, signals_before, closed_before)
    while after is not None:
        assert slices < 100, "it never ends"
        slices, after = slices + 1, upkeep.retain(house.engine, signals_before, closed_before, after)
    return slices


def test_retention_erases_bodies_and_keeps_the_chain(house: House, place: Place) -> None:
    busy(house)
    house.take(pushed("a", "c", firing=False))
    house.now += HOUR
    for id in (1, 2, 3):
        house.take(Command("close", id, {}, ANN)) if house.resident.incidents[id].state == "resolved" else None
    head = (house.writer.head_seq, house.writer.head_hash.hex())
    later = house.now + 40 * DAY
    assert upkeep.retain(house.engine, house.now - 30 * DAY, house.now - 30 * DAY) is None
    retained(house, later, later)
    assert house.reader.incidents({}, None, 9) == []
    with house.reader.connect() as connection:
        assert upkeep.count(connection) == head[0]
        bodies = [row.body for row in house.reader.events(connection) if row.subject_kind == "incident"]
        assert bodies and not any(bodies)
        for table in (schema.alert, schema.incident_alert, schema.incident_alert_recent):
            assert connection.execute(table.select()).all() == []
    assert faults(place, head) == []
    house.take(pushed("new"))
    assert house.resident.incidents[4].key == {"instance": "new"}, "numbers are not given again"
    assert faults(place, head) == []


def test_retention_takes_no_alert_of_an_incident_that_is_kept(house: House) -> None:
    house.take(pushed("a"))
    house.take(pushed("a", firing=False))
    retained(house, house.now + 40 * DAY, house.now - DAY)
    assert [a.ended for a in house.reader.alerts_of(1, None)] == ["resolved"]


def test_retention_looks_at_so_many_occurrences_at_a_time(house: House) -> None:
    instances = [f"i{n}" for n in range(upkeep.SLICE + 1)]
    house.take(pushed(*instances))
    house.take(pushed(*instances, firing=False))
    assert retained(house, house.now + 40 * DAY, house.now - DAY) == 2
    assert len(house.reader.alerts_between(1, upkeep.SLICE + 1)) == upkeep.SLICE + 1


# Opening.


@pytest.mark.parametrize(
    "url, schema_name, words",
    [("mysql://x/y", None, "mysql is not supported"), ("postgresql+psycopg://x/y", "a; drop", "not a plain name"),
     ("sqlite:////no/such/folder/x.db", None, "does not exist")],
)  # fmt: skip
def test_a_url_that_is_no_store_is_refused_with_the_reason(url: str, schema_name: str | None, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        open_engine(url, schema_name)


def plans(house: House, ask: Callable[[], object]) -> str:
    """Return how the database goes about what is read."""
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    with house.reader.connect() as connection:
        listened = connection.engine
    event.listen(listened, "before_cursor_execute", listen)
    ask()
    event.remove(listened, "before_cursor_execute", listen)
    with house.reader.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        return "\n".join(
            str(row) for statement, values in asked for row in connection.exec_driver_sql(explain + statement, values)
        )


READS: list[Callable[[House], object]] = [
    lambda house: list(house.reader.known_alerts(0)),
    lambda house: list(house.reader.living_incidents()),
    lambda house: house.reader.alerts_counts(),
    lambda house: house.reader.incidents({"state": ["open", "resolved"]}, None, 9),
    lambda house: house.reader.firing_of(1),
    lambda house: house.reader.newest_alerts([1, 2], 3),
]


@pytest.mark.parametrize("ask", READS)
def test_what_goes_on_is_found_without_a_look_at_all_that_is_over(house: House, ask: Callable[[House], object]) -> None:
    walks = re.findall(r"(?:SCAN|Seq Scan on) (?:alert|incident|incident_alert)\b.*", plans(house, lambda: ask(house)))
    of_few = ("incident_taking", "incident_open", "alert_firing")
    assert [walk for walk in walks if not any(index in walk for index in of_few)] == []


def test_what_a_former_version_stored_under_its_fingerprint_is_the_same_alert(house: House) -> None:
    house.take(Pushed("am-api", [alert("a")]))
    former = fingerprint(alert("a").labels)
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE alert SET fp = :fp"), {"fp": former})
    house.resident = Resident(house.reader, house.due_of, compile_regex)
    house.resident.rebuild(START)

    assert house.resident.alerts.keys() == {alert("a").identity}
    house.take(Pushed("am-api", [alert("a", False)]))
    assert [row.ended for row in house.reader.known_alerts(0)] == ["resolved"]


def test_a_rebuild_of_much_stays_quick(house: House) -> None:
    """Not a measurement: a rebuild that asks once per row would be caught by this."""
    house.take(Pushed("am-api", [alert(f"i{n % 50}", n=str(n)) for n in range(2000)]))
    again = rebuilt(house)
    assert len(again.alerts) == 2000
    assert sum(i.firing for i in again.incidents.values()) == 2000
    assert {i.alerts_count for i in again.incidents.values()} == {40}
    assert again.incidents == house.resident.incidents
    assert house.now + SECOND > START
