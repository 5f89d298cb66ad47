"""What only SQLite needs: the lock, the copy of a live file, a disk that is full."""

import fcntl
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from responder.core.incident import apply
from responder.core.signal import MINUTE
from responder.store import migrate, upkeep
from responder.store.engine import StorageError, open_engine, path_of
from responder.store.lock import FileLock
from responder.store.transaction import StorageDown
from tests.store.conftest import House, Place
from tests.store.test_store import faults, pushed


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path}/responder.db", None)


def test_a_second_daemon_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "x.db")
    with pytest.raises(StorageError, match=r"in use by another daemon \(process \d+\)"):
        FileLock(tmp_path / "x.db")
    FileLock(tmp_path / "y.db").release()
    first.release()
    FileLock(tmp_path / "x.db").release()


def test_a_lock_stays_with_its_database_and_goes_where_none_was_made(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "x.db")
    lock.release()
    assert list(tmp_path.iterdir()) == []
    lock = FileLock(tmp_path / "x.db")
    (tmp_path / "x.db").touch()
    lock.release()
    assert (tmp_path / "x.db.lock").exists()


def test_a_lock_that_is_removed_while_it_is_taken_locks_nobody_out_and_lets_no_second_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = [FileLock(tmp_path / "x.db")]

    def flock(file: int, how: int) -> None:
        """The other one goes between our opening of its file and our locking of it."""
        while leaving:
            leaving.pop().release()
        fcntl.flock(file, how)

    monkeypatch.setattr(
        "responder.store.lock.fcntl", SimpleNamespace(flock=flock, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB)
    )
    ours = FileLock(tmp_path / "x.db")
    with pytest.raises(StorageError, match="in use by another daemon"):
        FileLock(tmp_path / "x.db")
    ours.release()


def test_every_commit_is_synced_to_the_disk(house: House) -> None:
    assert house.writer.connection().exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert house.writer.connection().exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    house.writer.connection().rollback()


def test_a_live_file_is_copied_whole(house: House, place: Place, tmp_path: Path) -> None:
    house.take(pushed("a", "b"))
    copy = tmp_path / "copy.db"
    head = upkeep.backup(place.url, copy)
    assert (head.seq, head.hash) == (house.writer.head_seq, house.writer.head_hash.hex())
    house.now += MINUTE
    house.take(pushed("c"))
    assert list(upkeep.verify(open_engine(f"sqlite:///{copy}", read_only=True), apply, (head.seq, head.hash))) == []
    restored = House(Place(f"sqlite:///{copy}", None))
    assert [i.key["instance"] for i in restored.resident.incidents.values()] == ["a", "b"]
    restored.take(pushed("d"))
    restored.writer.close()
    with pytest.raises(StorageError, match="exists already"):
        upkeep.backup(place.url, copy)
    with pytest.raises(StorageError, match="does not exist"):
        upkeep.backup(f"sqlite:///{tmp_path}/none.db", tmp_path / "other.db")


@pytest.mark.parametrize("bad", ["cut", "empty", "noise", "of another program"])
def test_what_is_no_store_is_not_copied_and_leaves_nothing_behind(bad: str, tmp_path: Path) -> None:
    source, folder = tmp_path / "bad #1.db", tmp_path / "copies"
    folder.mkdir()
    if bad == "cut":
        engine = open_engine(f"sqlite:///{source}")
        migrate.upgrade(engine)
        engine.dispose()
        source.write_bytes(source.read_bytes()[:20_000])
    elif bad == "of another program":
        with sqlite3.connect(source) as other:
            other.execute("CREATE TABLE event (x)")
        other.close()
    else:
        source.write_bytes(b"" if bad == "empty" else bytes(range(256)) * 80)
    with pytest.raises(
        StorageError, match=r"bad #1.db can't be copied to .*: (no such table|file is not|database disk)"
    ):
        upkeep.backup(f"sqlite:///{source}", folder / "copy.db")
    assert list(folder.iterdir()) == []


def test_the_store_and_its_copies_are_for_their_owner_only(house: House, place: Place, tmp_path: Path) -> None:
    house.take(pushed("a"))
    upkeep.backup(place.url, tmp_path / "copy.db")
    modes = {file.name: f"{file.stat().st_mode & 0o777:o}" for file in tmp_path.glob("*.db*")}
    assert modes == dict.fromkeys(["responder.db", "responder.db-wal", "responder.db-shm", "copy.db"], "600")

    (tmp_path / "shared.db").touch(0o640)  # an operator's decision
    open_engine(f"sqlite:///{tmp_path}/shared.db").connect().close()
    assert (tmp_path / "shared.db").stat().st_mode & 0o777 == 0o640
    with pytest.raises(StorageError, match="No such file or directory"):
        upkeep.backup(place.url, tmp_path / "nowhere" / "copy.db")


def test_a_full_disk_loses_nothing_and_recovers_by_itself(house: House, place: Place) -> None:
    house.take(pushed("a"))
    full(house, True)
    desk = house.decide(pushed(*(f"i{n}" for n in range(500))))
    with pytest.raises(StorageDown, match="full"):
        house.commit(desk)
    assert [i.key["instance"] for i in house.reader.incidents({}, None, 9)] == ["a"]
    full(house, False)
    house.commit(desk)
    assert len(house.reader.incidents({}, None, 1000)) == 501
    assert faults(place) == []


def full(house: House, on: bool) -> None:
    """Let the file grow no further, or as far as it likes."""
    pages = house.writer.connection().exec_driver_sql("PRAGMA page_count").scalar() if on else 1 << 30
    house.writer.connection().exec_driver_sql(f"PRAGMA max_page_count={pages}")
    house.writer.connection().rollback()


def test_a_reader_never_writes(place: Place, house: House) -> None:
    house.take(pushed("a"))
    with place.engine(read_only=True).connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("DELETE FROM incident"))


def test_another_program_that_looks_into_a_live_file_leaves_its_log_there(tmp_path: Path) -> None:
    """What closes last empties the log and deletes it: whoever opens a second connection here must keep the first one's lock."""
    file = tmp_path / "x.db"
    engine = open_engine(f"sqlite:///{file}")
    look = (
        f"import sqlite3; file = sqlite3.connect({str(file)!r}); print(*file.execute('SELECT n FROM t')); file.close()"
    )
    with engine.connect() as writer:
        writer.exec_driver_sql("CREATE TABLE t(n)")
        writer.commit()
        with engine.connect() as other:
            other.exec_driver_sql("SELECT n FROM t")
        for n in (1, 2):
            writer.exec_driver_sql(f"INSERT INTO t VALUES ({n})")
            writer.commit()
            subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, timeout=20)
        seen = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, timeout=20).stdout
    assert seen == b"(1,) (2,)\n"


def test_the_write_ahead_log_does_not_grow_for_ever(house: House, tmp_path: Path) -> None:
    for n in range(450):
        house.take(pushed("a", n=str(n)))
        house.writer.checkpoint()
    assert (tmp_path / "responder.db-wal").stat().st_size < 16 << 20
    house.writer.close()
    assert not (tmp_path / "responder.db-wal").exists() or (tmp_path / "responder.db-wal").stat().st_size == 0
    assert sqlite3.connect(tmp_path / "responder.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_deliveries_are_looked_up_by_an_index(house: House) -> None:
    sql = "EXPLAIN QUERY PLAN SELECT max(updated_at) FROM alert WHERE dedup != '' AND dedup = ? AND source = ?"
    with house.reader.connect() as connection:
        assert "alert_dedup" in str(connection.exec_driver_sql(sql, ("x", "y")).all())


def test_a_path_with_odd_signs_is_read_and_written_alike(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?d"
    folder.mkdir()
    place = Place(f"sqlite:///{folder}/responder.db".replace("?", "%3F"), None)
    path = path_of(place.url)
    assert path is not None
    house = House(place)
    house.take(pushed("a"))
    assert len(house.reader.incidents({}, None, 9)) == 1
    house.writer.close()
    place.close()
