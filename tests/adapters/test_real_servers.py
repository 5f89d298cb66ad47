"""The real Prometheus and the real Alertmanager: what the other tests believe of them is so."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.alertmanager import AlertmanagerSettings, AlertmanagerWebhook
from adapters.prometheus import PrometheusAlertsSettings, PrometheusSettings
from adapters.scrape import ScrapeSettings
from responder.clock import SystemClock
from responder.ports import SECOND, Context, Permanent, Sample, Signal, identity
from tests.adapters.conftest import (
    AT,
    Loopback,
    Request,
    end,
    fetch,
    free_port,
    prometheus_on,
    real,
    reply,
    wait_until,
    with_context,
)

pytestmark = pytest.mark.real

RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - {alert: Firing, expr: "vector(1) > 0", labels: {severity: critical}, annotations: {summary: "is {{ $value }}"}}
      - {alert: Pending, expr: "vector(1)", for: 1h}
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    target = f"{{job_name: p, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"
    (folder / "rules.yml").write_text(RULES)
    config = f"rule_files: [rules.yml]\nscrape_configs: [{target}]\n"
    with prometheus_on(folder, config, port=port) as url:
        yield url


@pytest.fixture(scope="module")
def posted() -> Iterator[Loopback]:
    server = Loopback(lambda request: reply())
    yield server
    server.close()


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory, posted: Loopback) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    receiver = f"{{name: us, webhook_configs: [{{url: '{posted.url}/webhooks/alertmanager'}}]}}"
    route = "{receiver: us, group_by: ['...'], group_wait: 0s, group_interval: 1s}"
    (folder / "am.yml").write_text(f"route: {route}\nreceivers: [{receiver}]\n")
    process = real(
        "prometheus-alertmanager",
        [
            f"--config.file={folder}/am.yml", f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        ],
        port, folder / "log",
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def now() -> int:
    return SystemClock().now()


def query(url: str, text: str, at: int | None = None) -> Sequence[Sample]:
    async def work(context: Context) -> Any:
        return await PrometheusSettings.model_validate({"url": url}).build(context).query(text, at or now())

    found: Sequence[Sample] = with_context(work)
    return found


def test_a_query_is_evaluated_at_its_instant(prometheus: str) -> None:
    assert query(prometheus, "time()", AT + 250_000) == [Sample({}, AT / SECOND + 0.25)]
    assert query(prometheus, 'label_replace(vector(1/0), "a", "ü", "", "")') == [Sample({"a": "ü"}, float("inf"))]
    assert query(prometheus, "vector(1) > 2") == []


def test_a_scraped_series_is_found(prometheus: str) -> None:
    wait_until(lambda: len(query(prometheus, "up")) == 1)
    [sample] = query(prometheus, "up")
    assert (sample.labels["job"], sample.value) == ("p", 1.0)


@pytest.mark.parametrize("text", ["sum(", "up[5m]", '"text"'])
def test_what_is_no_instant_vector_is_a_bad_query(prometheus: str, text: str) -> None:
    with pytest.raises(Permanent) as caught:
        query(prometheus, text)
    assert caught.value.reason == "bad_query"


def test_a_range_gives_what_each_instant_would(prometheus: str) -> None:
    wait_until(lambda: len(query(prometheus, "up")) == 1)
    start, step = now() // SECOND * SECOND - 60 * SECOND, 10 * SECOND

    async def work(context: Context) -> Any:
        source = PrometheusSettings.model_validate({"url": prometheus}).build(context)
        text = "time() + 0 * sum(up) or vector(-1)"
        over = await source.query_range(text, start, start + 60 * SECOND, step)
        return over, [(at, await source.query(text, at)) for at, _ in over]

    over, single = with_context(work)
    assert len(over) == 7
    assert list(over) == single


def test_only_firing_alerts_of_a_prometheus_are_listed(prometheus: str) -> None:
    async def work(context: Context) -> Any:
        return await PrometheusAlertsSettings.model_validate({"url": prometheus}).build(context).alerts(now())

    def alerts() -> list[Signal]:
        found: list[Signal] = with_context(work, "prom")
        return found

    wait_until(lambda: bool(alerts()))
    [signal] = alerts()
    assert signal.labels == {"alertname": "Firing", "severity": "critical"}
    assert (signal.annotations, signal.source, signal.firing) == ({"summary": "is 1"}, "prom", True)
    assert abs(signal.starts_at - now()) < 60 * SECOND


def test_the_metrics_page_of_prometheus_is_read(prometheus: str) -> None:
    async def work(context: Context) -> Any:
        source = ScrapeSettings.model_validate({"url": prometheus + "/metrics"}).build(context)
        info, started = await source.query("prometheus_build_info", AT), "process_start_time_seconds"
        await asyncio.sleep(0.01)
        return info, await source.query(started, now(), "age")

    [info], [age] = with_context(work)
    assert info.value == 1.0 and "version" in info.labels
    assert 0 < age.value < 600


def rfc(at: int) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).isoformat()


def post(url: str, name: str, ends_in: int) -> None:
    alert = {"labels": {"alertname": name, "service": "shop"}, "annotations": {"summary": "s"}}
    fetch(
        url + "/api/v2/alerts",
        json.dumps([alert | {"startsAt": "2026-01-01T00:00:00Z", "endsAt": rfc(now() + ends_in)}]).encode(),
    )


def listed(url: str, name: str) -> list[Signal]:
    async def work(context: Context) -> Any:
        return await AlertmanagerSettings.model_validate({"url": url, "every": "15s"}).build(context).alerts(now())

    return [signal for signal in with_context(work, "am") if signal.labels["alertname"] == name]


def test_an_alert_is_seen_to_resolve_while_it_is_silenced(alertmanager: str) -> None:
    silence = {
        "matchers": [{"name": "alertname", "value": "Quiet", "isRegex": False}], "startsAt": rfc(now() - SECOND),
        "endsAt": rfc(now() + 600 * SECOND), "createdBy": "test", "comment": "c",
    }  # fmt: skip
    fetch(alertmanager + "/api/v2/silences", json.dumps(silence).encode())
    post(alertmanager, "Quiet", 300 * SECOND)
    wait_until(lambda: bool(listed(alertmanager, "Quiet")))
    [signal] = listed(alertmanager, "Quiet")
    assert (signal.source, signal.annotations, signal.firing) == ("am", {"summary": "s"}, True)
    assert signal.ends_at is not None and signal.ends_at > now()
    assert signal.identity == identity({"alertname": "Quiet", "service": "shop"})
    post(alertmanager, "Quiet", -SECOND)
    wait_until(lambda: not listed(alertmanager, "Quiet"))


def test_what_alertmanager_posts_is_read_from_firing_to_resolved(alertmanager: str, posted: Loopback) -> None:
    def received(firing: bool) -> Callable[[], bool]:
        return lambda: any(s.firing is firing for s in signals(posted.requests))

    post(alertmanager, "Loud", 300 * SECOND)
    wait_until(received(True))
    post(alertmanager, "Loud", -SECOND)
    wait_until(received(False))
    fired, over = (next(s for s in signals(posted.requests) if s.firing is firing) for firing in (True, False))
    assert fired.identity == over.identity == identity({"alertname": "Loud", "service": "shop"})
    assert (fired.ends_at, fired.starts_at) == (None, over.starts_at)
    assert over.ends_at is not None and over.ends_at <= now()


def signals(requests: Sequence[Request]) -> list[Signal]:
    parsed = [p for r in list(requests) for p in AlertmanagerWebhook().parse(r.headers, r.body, now())]
    return [p.signal for p in parsed if p.signal is not None and p.signal.labels["alertname"] == "Loud"]


def test_a_url_that_is_no_api_is_told_apart(alertmanager: str, prometheus: str) -> None:
    with pytest.raises(Permanent, match=r"404|not answer as Prometheus"):
        query(alertmanager, "up")

    async def work(context: Context) -> Any:
        return await AlertmanagerSettings.model_validate({"url": prometheus}).build(context).alerts(now())

    with pytest.raises(Permanent, match=r"404|not answer as Alertmanager"):
        with_context(work)
