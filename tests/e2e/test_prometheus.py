"""From a real Prometheus to an incident and back to a metric of that Prometheus."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.adapters.conftest import Loopback, end, fetch, free_port, real, reply, wait_until
from tests.e2e.kit import Daemon, tool

pytestmark = pytest.mark.real

PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yml]
alerting: {{alertmanagers: [{{api_version: v2, static_configs: [{{targets: ['127.0.0.1:{responder}']}}]}}]}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{shop}']}}]}}
  - {{job_name: responder, static_configs: [{{targets: ['127.0.0.1:{responder}']}}]}}
"""
ALERTS = """
groups:
  - name: shop
    rules:
      - {alert: OrdersPending, expr: shop_orders_pending > 10, labels: {severity: critical, service: order}, annotations: {summary: "{{ $value }} wait"}}
"""
RESPONDER = """
teams: {{ops: {{lead: ann}}}}
services: {{order: {{team: ops}}, logistics: {{team: ops}}}}
sources: {{prometheus: {{kind: prometheus, url: "http://127.0.0.1:{prometheus}"}}}}
rules:
  - id: pushed
    by: [alertname]
    when: {{event: {{match: {{labels: {{alertname: OrdersPending}}}}}}}}
    incident: {{service: order, title: "{{{{ annotations.summary }}}}"}}
  - id: polled
    by: [region]
    when: {{metric: {{source: prometheus, query: "max by (region) (shop_orders_age_seconds)", every: 1s, open: {{above: 600}}, no_data: keep}}}}
    incident: {{service: logistics, title: "{{{{ value | duration }}}}", priority: P2}}
"""


def test_incidents_open_and_resolve_by_themselves_and_prometheus_counts_them(
    daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    page = {"pending": 3, "age": 5}
    metrics = 'shop_orders_pending {pending}\nshop_orders_age_seconds{{region="eu"}} {age}\n'
    shop = Loopback(lambda request: reply(metrics.format(**page), Content_Type="text/plain; version=0.0.4"))
    port = free_port()
    responder = daemon(RESPONDER.format(prometheus=port))
    (tmp_path / "alerts.yml").write_text(ALERTS)
    (tmp_path / "p.yml").write_text(PROMETHEUS.format(responder=responder.port, shop=shop.port))
    process = real(
        "prometheus",
        [
            f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        port, tmp_path / "prometheus.log",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def counted(query: str) -> float:
        found = json.loads(fetch(f"{url}/api/v1/query?query={quote(query)}"))["data"]["result"]
        return float(found[0]["value"][1]) if found else -1.0

    try:
        wait_until(lambda: counted("sum(responder_incidents_opened_total) or vector(0)") == 0.0)
        page |= {"pending": 50, "age": 700}
        wait_until(lambda: {i["rule"] for i in responder.incidents(state="unresolved")} == {"pushed", "polled"})
        pushed, polled = sorted(responder.incidents(), key=lambda i: str(i["service"]), reverse=True)
        assert (pushed["priority"], pushed["title"], pushed["source"]) == ("P1", "50 wait", "am-api")
        assert (polled["priority"], polled["title"], polled["key"]) == ("P2", "11m40s", {"region": "eu"})
        assert "shop_orders_pending" in pushed["alerts"][0]["url"]
        page |= {"pending": 0, "age": 0}
        wait_until(lambda: [i["state"] for i in responder.incidents()] == ["resolved", "resolved"])
        assert {i["resolution"] for i in responder.incidents()} == {"recovered"}
        wait_until(lambda: counted('sum(responder_incidents_resolved_total{resolution="recovered"})') == 2.0)
        assert counted("sum(responder_incidents_opened_total)") == 2.0
        assert counted('responder_incidents_opened_total{service="order",priority="P1",source="am-api"}') == 1.0
        own = dict(line.rsplit(" ", 1) for line in fetch(f"{url}/metrics").decode().splitlines() if line[:1] != "#")
        of_us = f'{{alertmanager="{responder.url}/api/v2/alerts"}}'
        assert float(own[f"prometheus_notifications_sent_total{of_us}"]) >= 2
        assert float(own[f"prometheus_notifications_errors_total{of_us}"]) == 0
        assert float(own["prometheus_notifications_dropped_total"]) == 0
        log = (tmp_path / "prometheus.log").read_text()
        assert "Error sending alert" not in log and "component=notifier level=error" not in log, log
    finally:
        end(process)
        shop.close()


def test_promtool_finds_nothing_wrong_with_the_metrics(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    responder = daemon()
    responder.fire(
        {"alertname": "A", "service": 'odd "name"\\', "severity": "critical"}, {"alertname": "B", "job": "ü\n"}
    )
    responder.post("/api/v1/incidents/INC-1/acknowledge")
    answer = responder.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert tool("promtool", "check", "metrics", home=tmp_path, feed=answer.text) == ""
