"""A real Alertmanager beside the daemon: asked for its alerts, and posting its webhooks."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from responder.clock import SystemClock
from responder.core.instant import format_instant
from responder.core.signal import SECOND
from tests.adapters.conftest import end, fetch, free_port, real, wait_until
from tests.e2e.kit import Daemon

pytestmark = pytest.mark.real

RULES = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
rules:
  - id: each
    by: [alertname]
    when: {event: {match: {labels: {service: shop}}}}
    incident: {service: shop, title: "{{ labels.alertname }}"}
"""


def at(seconds: float) -> str:
    return format_instant(SystemClock().now() + round(seconds * SECOND))


class Alertmanager:
    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, name: str, ends_in: float) -> None:
        alert = {"labels": {"alertname": name, "service": "shop", "severity": "critical"}, "startsAt": at(-60)}
        fetch(self.url + "/api/v2/alerts", json.dumps([alert | {"endsAt": at(ends_in)}]).encode())

    def silence(self, name: str) -> None:
        matchers = [{"name": "alertname", "value": name, "isRegex": False}]
        times = {"startsAt": at(-1), "endsAt": at(600), "createdBy": "t", "comment": "c"}
        fetch(self.url + "/api/v2/silences", json.dumps({"matchers": matchers} | times).encode())


@pytest.fixture
def pair(daemon: Callable[..., Daemon], tmp_path: Path) -> Iterator[Callable[[str], tuple[Daemon, Alertmanager]]]:
    ended: list[Any] = []

    def start(config: str) -> tuple[Daemon, Alertmanager]:
        port = free_port()
        responder = daemon(config.replace("ALERTMANAGER", f"http://127.0.0.1:{port}"))
        hook = f"{{url: '{responder.url}/webhooks/alertmanager', max_alerts: 0}}"
        route = "{receiver: us, group_by: [alertname], group_wait: 0s, group_interval: 1s}"
        (tmp_path / "am.yml").write_text(f"route: {route}\nreceivers: [{{name: us, webhook_configs: [{hook}]}}]\n")
        ended.append(
            real(
                "prometheus-alertmanager",
                [
                    f"--config.file={tmp_path}/am.yml", f"--storage.path={tmp_path}/data",
                    f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
                ],
                port, tmp_path / "am.log",
            )
        )  # fmt: skip
        return responder, Alertmanager(f"http://127.0.0.1:{port}")

    yield start
    for process in ended:
        end(process)


def states(responder: Daemon) -> dict[str, str]:
    return {i["title"]: i["state"] for i in responder.incidents()}


POLLED = 'sources: {am: {kind: alertmanager, url: "ALERTMANAGER", every: 1s}}' + RULES


def test_an_alert_that_resolves_while_silenced_resolves_its_incident(pair: Callable[[str], Any]) -> None:
    responder, alertmanager = pair(POLLED)
    alertmanager.silence("Quiet")
    alertmanager.post("Quiet", 8)
    wait_until(lambda: states(responder) == {"Quiet": "open"})
    [incident] = responder.incidents()
    assert (incident["priority"], incident["alerts"][0]["source"]) == ("P1", "am")
    alertmanager.post("Quiet", -1)
    # no webhook says so, for it is silenced: it is missing from the list, and lapses at the endsAt that was on it
    wait_until(lambda: states(responder) == {"Quiet": "resolved"})
    [incident] = responder.incidents()
    assert incident["resolution"] == "expired"


def test_an_alert_by_webhook_and_by_poll_is_one(pair: Callable[[str], Any]) -> None:
    responder, alertmanager = pair(POLLED)
    alertmanager.post("Loud", 300)
    wait_until(lambda: states(responder) == {"Loud": "open"})
    wait_until(lambda: responder.metric("responder_signals_received_total", source="am-webhook") >= 1)
    wait_until(lambda: responder.metric("responder_signals_received_total", source="am") >= 2)
    [incident] = responder.incidents()
    assert incident["alerts_count"] == 1
    alertmanager.post("Loud", -1)
    wait_until(lambda: states(responder) == {"Loud": "resolved"})
    received = responder.metric("responder_signals_received_total", source="am")
    wait_until(lambda: responder.metric("responder_poll_duration_seconds_count", source="am") > received)
    [incident] = responder.incidents()
    assert (incident["state"], incident["reopened"], incident["alerts_count"]) == ("resolved", 0, 1)


def test_what_alertmanager_posts_opens_and_resolves(pair: Callable[[str], Any]) -> None:
    responder, alertmanager = pair(RULES)
    alertmanager.post("Hook", 300)
    wait_until(lambda: states(responder) == {"Hook": "open"})
    alertmanager.post("Hook", -1)
    wait_until(lambda: states(responder) == {"Hook": "resolved"})
    [incident] = responder.incidents()
    assert (incident["resolution"], incident["alerts"][0]["source"]) == ("recovered", "am-webhook")
