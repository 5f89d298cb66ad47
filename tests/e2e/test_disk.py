"""A disk that is full: every writing route says 503, what can be read is read, and it recovers without hands."""

import resource
from collections.abc import Callable

from tests.adapters.conftest import wait_until
from tests.e2e.kit import Daemon, records

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
    limit(responder, resource.RLIM_INFINITY)
    wait_until(lambda: post() == 200)
    assert responder.metric("responder_storage_up") == 1
    assert len(responder.get("/api/v2/alerts")) == 401
    said = [r["message"] for r in records(responder.log) if r["level"] in ("warning", "error", "critical")]
    assert said == ["the store takes no writes; answers are 503 until it does", "the store takes writes again"]
    responder.kill()
    responder.start()
    assert len(responder.get("/api/v2/alerts")) == 401
    assert responder.terminate() == 0
    responder.verify()
