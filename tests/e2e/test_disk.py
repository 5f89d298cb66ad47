"""A disk that is full: every writing route says 503, what can be read is read, and it recovers without hands."""

import resource
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from responder.store import migrate
from responder.store.engine import open_engine
from tests.adapters.conftest import wait_until
from tests.e2e.kit import COMMAND, Daemon, records

SILENCE = {
    "matchers": [{"name": "a", "value": "b", "isRegex": False}], "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "2099-01-01T00:00:00Z", "createdBy": "a", "comment": "c",
}  # fmt: skip
FULL = 40_000
"""Bytes: less than the database has, more than the log."""


def limit(responder: Daemon, size: int) -> None:
    """Let no file of the daemon grow beyond *size* bytes, as if the disk ended there."""
    resource.prlimit(responder.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_is_503_everywhere_and_recovers_without_hands(daemon: Callable[..., Daemon]) -> None:
    responder = daemon()
    responder.fire({"alertname": "Before", "service": "shop"})
    number = 0

    def post() -> int:
        nonlocal number
        number += 1
        alerts = [{"labels": {"alertname": "Load", "service": "shop", "n": f"{number}-{i}"}} for i in range(200)]
        return responder.ask("POST", "/api/v2/alerts", json=alerts).status_code

    assert post() == 200
    assert (responder.folder / "responder.db-wal").stat().st_size > FULL > responder.log_file.stat().st_size + 5000
    limit(responder, FULL)
    assert [post() for _ in range(5)] == [503] * 5
    for path, body in (
        ("/api/v2/silences", SILENCE),
        ("/webhooks/grafana", {"version": "1", "alerts": [{"status": "firing", "labels": {"alertname": "G"}}]}),
        ("/v2/enqueue", {"routing_key": "k", "event_action": "trigger",
                         "payload": {"summary": "s", "source": "s", "severity": "error"}}),
        ("/api/v1/incidents", {"service": "shop", "title": "t", "impact": "high", "urgency": "high"}),
        ("/api/v1/incidents/INC-1/note", {"text": "x" * 5000}),
    ):  # fmt: skip
        found = responder.ask("POST", path, json=body)
        assert found.status_code == 503, (path, found.status_code, found.text)
    assert len(responder.get("/api/v2/alerts")) == 201
    assert len(responder.incidents()) == 2
    assert responder.metric("responder_storage_up") == 0
    ready = responder.ask("GET", "/-/ready")
    assert (ready.status_code, ready.text) == (503, "Service Unavailable: the store takes no writes")
    assert responder.ask("GET", "/-/healthy").status_code == 200
    limit(responder, resource.RLIM_INFINITY)
    wait_until(lambda: responder.ask("GET", "/-/ready").status_code == 200)  # nobody has to write for it
    assert post() == 200
    assert responder.metric("responder_storage_up") == 1
    assert len(responder.get("/api/v2/alerts")) == 401
    said = [r["message"] for r in records(responder.log) if r["level"] in ("warning", "error", "critical")]
    assert said == ["the store takes no writes; answers are 503 until it does", "the store takes writes again"]
    responder.kill()
    responder.start()
    assert len(responder.get("/api/v2/alerts")) == 401
    assert responder.terminate() == 0
    responder.verify()


@pytest.mark.parametrize(
    "broken",
    [
        "ALTER TABLE event RENAME TO other",
        "CREATE TRIGGER no BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'nothing is taken'); END",
    ],
)
def test_a_start_that_can_write_nothing_ends_with_one_sentence(broken: str, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/responder.db")
    migrate.upgrade(engine)
    engine.dispose()
    with sqlite3.connect(tmp_path / "responder.db") as connection:
        connection.execute(broken)
    connection.close()
    found = subprocess.run(
        [*COMMAND, "run", "--listen", "127.0.0.1:0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    [sentence] = [line for line in found.stderr.splitlines() if line.startswith("responder: ")]
    assert sentence.startswith("responder: nothing was started: ")
    assert "Traceback" not in found.stderr
