"""After kills at random moments the counters of /metrics equal what the timelines say."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e.kit import Daemon

ROUNDS = 6
CONFIG = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
rules:
  - id: each
    by: [host]
    when: {event: {match: {labels: {service: shop}}}}
    incident: {service: shop, title: "{{ key.host }}", priority: P1}
"""


def work(responder: Daemon, round: int) -> None:
    with (
        httpx.Client(base_url=responder.url, timeout=5, trust_env=False) as client,
        contextlib.suppress(httpx.TransportError),
    ):
        for n in range(10_000):
            labels = {"alertname": "Down", "service": "shop", "host": f"h{round}-{n}"}
            client.post("/api/v2/alerts", json=[{"labels": labels}])
            id = client.get("/api/v1/incidents", params={"limit": "1"}).json()["items"][0]["id"]
            for name, body in (
                ("acknowledge", {}),
                ("resolve", {}),
                ("reopen", {"reason": "x"}),
                ("cancel", {"reason": "exercise"}),
            ):
                if n % 4 or name != "cancel":
                    client.post(f"/api/v1/incidents/{id}/{name}", json=body)


def test_counters_equal_the_timelines_after_kills(daemon: Callable[..., Daemon]) -> None:
    responder, chance = daemon(CONFIG), random.Random(7)
    for round in range(ROUNDS):
        thread = threading.Thread(target=work, args=(responder, round))
        thread.start()
        time.sleep(chance.uniform(0.3, 1.2))
        responder.kill()
        thread.join(20)
        responder.start()
    counts: Counter[str] = Counter()
    incidents = responder.incidents()
    down = 0
    for incident in incidents:
        kinds: list[Any] = [e["kind"] for e in responder.get(f"/api/v1/incidents/{incident['id']}/timeline")["items"]]
        counts.update(kinds)
        down += incident["state"] not in ("resolved", "closed", "cancelled")
    assert len(incidents) > ROUNDS
    for kind in ("opened", "resolved", "reopened", "cancelled"):
        assert responder.metric(f"responder_incidents_{kind}_total") == counts[kind], kind
    assert responder.metric("responder_incident_response_seconds_count") == counts["acknowledged"]
    assert responder.metric("responder_incidents_unresolved") == down > 0
    before = responder.metric("responder_service_downtime_seconds_total", service="shop", kind="unplanned")
    agreed = responder.metric("responder_service_time_seconds_total", service="shop")
    assert 0 < before <= agreed
    responder.kill()
    time.sleep(1)
    responder.start()
    assert responder.metric("responder_service_downtime_seconds_total", service="shop", kind="unplanned") > before + 1
    responder.verify()
