"""Polled sources that hang, answer 500 or send HTML: counted and shown, and nobody waits for them."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.adapters.conftest import Loopback, Request, reply, wait_until
from tests.e2e.kit import Daemon, records

CONFIG = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}, monitoring: {team: ops}}
sources:
  hangs: {kind: prometheus, url: "HANGS", timeout: 2s, on_failure: {for: 3s, priority: P2, service: monitoring}}
  fails: {kind: prometheus, url: "FAILS", timeout: 2s}
  html: {kind: alertmanager, url: "HTML", every: 1s, timeout: 2s}
  gone: {kind: prometheus-alerts, url: "http://127.0.0.1:1", every: 1s, timeout: 2s}
  works: {kind: prometheus, url: "WORKS", timeout: 2s}
rules:
""" + "\n".join(
    f"""
  - id: {name}-rule
    by: []
    when: {{metric: {{source: {name}, query: "m", every: 1s, open: {{above: 1}}, no_data: close}}}}
    incident: {{service: shop, title: "{name}", priority: P3}}
"""
    for name in ("hangs", "fails", "works")
)


def vector(value: float) -> bytes:
    result = [{"metric": {}, "value": [0, str(value)]}]
    return reply(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))


@pytest.fixture
def scripted() -> Iterator[dict[str, Loopback]]:
    answers: dict[str, Callable[[Request], bytes | None]] = {
        "hangs": lambda request: None,
        "fails": lambda request: reply("no", "500 Internal Server Error"),
        "html": lambda request: reply("<html><body>Log in</body></html>", Content_Type="text/html"),
        "works": lambda request: vector(5),
    }
    servers = {name: Loopback(script) for name, script in answers.items()}
    yield servers
    for server in servers.values():
        server.close()


def test_a_source_that_fails_is_counted_and_no_other_waits(
    daemon: Callable[..., Daemon], scripted: dict[str, Loopback]
) -> None:
    config = CONFIG
    for name, server in scripted.items():
        config = config.replace(name.upper(), server.url)
    responder = daemon(config)

    def failures(name: str) -> float:
        return responder.metric("responder_poll_failures_total", source=name)

    wait_until(lambda: all(failures(name) >= 2 for name in ("hangs", "fails", "html", "gone")))
    assert failures("works") == 0
    assert responder.metric("responder_poll_duration_seconds_count", source="works") >= 4, (
        "it waited for the one that hangs"
    )
    assert responder.metric("responder_poll_last_success_timestamp_seconds", source="works") > 0
    [opened] = [i for i in responder.incidents() if i["service"] == "shop"]
    assert (opened["title"], opened["state"]) == ("works", "open")
    wait_until(lambda: len(responder.incidents()) == 2)
    [_, promised] = responder.incidents()
    assert (promised["service"], promised["priority"], promised["state"]) == ("monitoring", "P2", "open")
    assert "hangs" in promised["title"]
    warned = {r["source"] for r in records(responder.log) if r["message"].startswith("a poll failed")}
    assert warned == {"hangs", "fails", "html", "gone"}
    for name in ("hangs", "fails", "html"):
        scripted[name].script = lambda request: vector(0) if "query" in request.target else reply("[]")
    wait_until(lambda: responder.incidents()[1]["state"] == "resolved")
    answering = {r["source"] for r in records(responder.log) if r["message"] == "a source answers again"}
    assert answering == {"hangs", "fails", "html"}


def test_a_source_that_is_down_changes_no_rule(daemon: Callable[..., Daemon], scripted: dict[str, Loopback]) -> None:
    works = scripted["works"]
    responder = daemon(
        f"""
teams: {{ops: {{lead: ann}}}}
services: {{shop: {{team: ops}}}}
sources:
  works: {{kind: prometheus, url: "{works.url}", timeout: 1s}}
rules:
  - id: works-rule
    by: []
    when: {{metric: {{source: works, query: "m", every: 1s, open: {{above: 1}}, no_data: close}}}}
    incident: {{service: shop, title: t, priority: P3}}
"""
    )
    wait_until(lambda: len(responder.incidents()) == 1)
    works.script = scripted["fails"].script
    wait_until(lambda: responder.metric("responder_poll_failures_total") >= 4)
    [incident] = responder.incidents()
    assert (incident["state"], incident["version"]) == ("open", 1)
    works.script = lambda request: vector(0)
    wait_until(lambda: responder.incidents()[0]["state"] == "resolved")


def test_what_the_configuration_promises_is_counted_from_zero(
    daemon: Callable[..., Daemon], scripted: dict[str, Loopback]
) -> None:
    """A first failure is an increase; an alert that is listed again is a repeat."""
    fires = {"labels": {"alertname": "A", "service": "shop"}, "annotations": {}, "generatorURL": ""}
    instants = {"startsAt": "2026-01-05T00:00:00Z", "endsAt": "2999-01-05T00:00:00Z"}
    scripted["html"].script = lambda request: reply(json.dumps([fires | instants]))
    responder = daemon(
        f"""
teams: {{ops: {{lead: ann}}}}
services: {{shop: {{team: ops}}}}
sources:
  am: {{kind: alertmanager, url: "{scripted["html"].url}", every: 1s}}
  works: {{kind: prometheus, url: "{scripted["works"].url}"}}
rules:
  - id: listed
    by: [alertname]
    when: {{event: {{match: {{labels: {{service: shop}}}}}}}}
    incident: {{service: shop, title: t}}
  - id: asked
    by: []
    when: {{metric: {{source: works, query: "m", every: 1h, open: {{above: 1}}, no_data: close}}}}
    incident: {{service: shop, title: t, priority: P3}}
"""
    )
    page = responder.ask("GET", "/metrics").text
    for series in (
        'rule_evaluations_total{rule="asked"}', 'rule_evaluation_failures_total{rule="asked"}',
        'rule_matches_total{rule="asked"}', 'poll_failures_total{source="am"}', 'signals_unmatched_total{source="am"}',
        'signals_received_total{result="rejected",source="am-api"}',
    ):  # fmt: skip
        assert f"responder_{series} 0.0" in page
    assert 'rule_evaluations_total{rule="listed"}' not in page
    wait_until(lambda: responder.metric("responder_signals_received_total", source="am", result="duplicate") >= 2)
    assert responder.metric("responder_signals_received_total", source="am", result="accepted") == 1
