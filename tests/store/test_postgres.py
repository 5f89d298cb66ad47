"""What only PostgreSQL needs: the lock that lives as long as its session, over one schema and two daemons."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from responder.store.engine import StorageError, open_engine
from responder.store.transaction import Fenced, Writer
from tests.e2e.kit import Daemon
from tests.store.conftest import House, Place
from tests.store.test_store import pushed

END_HOLDERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objid = (hashtext(current_schema())::bigint & 4294967295)::oid
"""


@pytest.fixture
def place(postgres: str, tmp_path: Path) -> Iterator[Place]:
    found = Place(postgres, f"p{abs(hash(tmp_path)):x}")
    yield found
    with found.engine().begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {found.schema} CASCADE"))
    found.close()


def other_claims(place: Place) -> Writer:
    writer = Writer(place.engine(), "other")
    writer.claim()
    return writer


def test_a_second_daemon_is_refused_as_long_as_the_session_of_the_first_lives(house: House, place: Place) -> None:
    house.writer.claim()
    with pytest.raises(StorageError, match=r"in use by another daemon \(test, last seen 2026-01-05T00:00:00Z\)"):
        other_claims(place)
    other_claims(Place(place.url, "public")).close()
    house.take(pushed("a"))
    house.writer.close()
    other_claims(place).close()


def test_a_daemon_whose_session_ended_holds_the_lock_again_after_its_next_commit(house: House, place: Place) -> None:
    with place.engine().begin() as connection:
        assert connection.execute(text(END_HOLDERS)).rowcount == 1
    with pytest.raises(Exception, match="terminating connection"):
        house.take(pushed("a"))
    house.take(pushed("a"))
    with pytest.raises(StorageError, match="in use"):
        other_claims(place)


def test_who_came_in_between_is_found_by_the_epoch(house: House, place: Place) -> None:
    house.writer.forget()
    other = other_claims(place)
    other.lead(house.now)
    with pytest.raises(Fenced):
        house.take(pushed("a"))
    other.close()


def test_a_reader_whose_session_was_ended_reads_on(place: Place) -> None:
    readers = open_engine(place.url, place.schema, read_only=True)
    with readers.connect() as one:
        pid = one.execute(text("SELECT pg_backend_pid()")).scalar()
    with place.engine().begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with readers.connect() as one:
        assert one.execute(text("SELECT pg_backend_pid()")).scalar() != pid
    readers.dispose()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_server_that_vanished_is_given_up_in_half_a_minute(place: Place, read_only: bool) -> None:
    def asked(url: str) -> dict[str, str]:
        engine = open_engine(url, place.schema, read_only=read_only)
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            found: dict[str, str] = driver.info.get_parameters()
        engine.dispose()
        return found

    known = asked(place.url)
    idle, every, count = (int(known[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + every * count < 30
    assert int(known["tcp_user_timeout"]) < 30_000
    assert int(known["connect_timeout"]) == 10
    assert asked(place.url + "&connect_timeout=3")["connect_timeout"] == "3"


def test_of_two_daemons_the_second_waits_for_the_end_of_the_first(place: Place, tmp_path: Path) -> None:
    config = f"storage: {{url_env: STORE, schema: {place.schema}}}\n"
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    first, second = (Daemon(folder, config, STORE=place.url) for folder in folders)
    first.start()
    try:
        began = time.monotonic()
        with pytest.raises(AssertionError, match="in use by another daemon"):
            second.start()
        assert time.monotonic() - began < 20
        assert "Traceback" not in second.log
        second.kill()
        first.fire({"alertname": "A", "service": "shop"})
        first.kill()
        second.start()  # at once: the session has ended with its process
        assert len(second.get("/api/v2/alerts")) == 1
        with place.engine().begin() as connection:
            connection.execute(text("UPDATE leader SET epoch = epoch + 1"))
        answer = second.ask("POST", "/api/v2/alerts", json=[{"labels": {"alertname": "B"}}])
        assert answer.status_code == 503
        assert second.wait() == 3
    finally:
        first.kill()
        second.kill()
