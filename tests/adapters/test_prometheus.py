"""PromQL over HTTP: what comes back, and what every kind of failure is called."""

import json
import math
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from adapters.prometheus import PrometheusAlertsSettings, PrometheusSettings
from responder.ports import (
    SECOND,
    Context,
    MetricSource,
    Permanent,
    RangeSource,
    Sample,
    Secret,
    Transient,
    identity,
)
from tests.adapters.conftest import AT, Loopback, Request, reply, secret, with_context

Serve = Callable[[Callable[[Request], bytes | None]], Loopback]


def vector(*series: tuple[dict[str, str], str]) -> str:
    result = [{"metric": labels, "value": [1.5, value]} for labels, value in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def ask(url: str, text: str = "up", at: int = AT, **settings: Any) -> Any:
    async def work(context: Context) -> Any:
        source = PrometheusSettings.model_validate({"url": url, **settings}).build(context)
        assert isinstance(source, MetricSource) and isinstance(source, RangeSource)
        try:
            return await source.query(text, at)
        finally:
            await source.aclose()

    return with_context(work)


def test_a_query_is_posted_with_its_instant(serve: Serve) -> None:
    server = serve(lambda r: reply(vector(({"job": "a"}, "1"), ({"job": "b"}, "2.5"))))
    assert ask(server.url + "/prom", 'up{a="ü&"}', AT + 250_000) == [
        Sample({"job": "a"}, 1.0),
        Sample({"job": "b"}, 2.5),
    ]
    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/prom/api/v1/query")
    assert parse_qs(request.body.decode()) == {
        "query": ['up{a="ü&"}'], "time": ["1767571200.250000"],
        "partial_response": ["false"],  # of Thanos
    }  # fmt: skip


def test_infinities_compare_and_nan_comes_through(serve: Serve) -> None:
    values = [s.value for s in ask(serve(lambda r: reply(vector(({}, "+Inf"), ({}, "-Inf"), ({}, "NaN")))).url)]
    assert values[:2] == [math.inf, -math.inf] and math.isnan(values[2])


def test_a_scalar_is_one_series_without_labels(serve: Serve) -> None:
    body = '{"status":"success","data":{"resultType":"scalar","result":[1.5,"42"]}}'
    assert ask(serve(lambda r: reply(body)).url) == [Sample({}, 42.0)]


def test_no_series_is_an_answer(serve: Serve) -> None:
    assert ask(serve(lambda r: reply(vector())).url) == []


def test_a_histogram_is_left_out(serve: Serve) -> None:
    body = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}'
    assert ask(serve(lambda r: reply(body)).url) == []


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"token": secret("t0k")}, "Bearer t0k"),
        ({"username": "me", "password": secret("pw")}, "Basic bWU6cHc="),
    ],
)
def test_the_server_is_told_who_asks(serve: Serve, settings: dict[str, Any], header: str) -> None:
    server = serve(lambda r: reply(vector()))
    ask(server.url, headers={"X-Scope-OrgID": "shop"}, **settings)
    assert server.requests[0].headers["authorization"] == header
    assert server.requests[0].headers["x-scope-orgid"] == "shop"


def test_a_token_that_is_renewed_in_its_file_is_sent(serve: Serve) -> None:
    """Those of Kubernetes last for an hour."""
    server = serve(lambda r: reply(vector()))
    says = ["first", "second", "no\nheader", None]

    async def work(context: Context) -> None:
        token = Secret("loaded", lambda: says[len(server.requests)])
        source = PrometheusSettings.model_validate({"url": server.url, "token": token}).build(context)
        for _ in says:
            await source.query("up", AT)

    with_context(work)
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second", "Bearer second", "Bearer loaded"]


ERROR = '{"status":"error","errorType":"%s","error":"why"}'


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        (reply(ERROR % "bad_data", "400 Bad Request"), Permanent, "bad_query", "refuses the query: why"),
        (reply(ERROR % "execution", "422 X"), Transient, "execution", "execution: why"),
        (reply(ERROR % "timeout", "503 X"), Transient, "timeout", "timeout: why"),
        (reply(ERROR % "strange", "200 OK"), Transient, "error", "strange why"),
        (reply(ERROR % "unauthorized", "401 X"), Permanent, "http_401", "answered 401"),
        (reply(vector(({}, "1"))[:-1] + ',"isPartial":true}'), Transient, "partial", "is not whole"),  # VictoriaMetrics
        (reply("oops", "500 X"), Transient, "http_500", "answered 500: oops"),
        (reply("", "404 X"), Permanent, "http_404", "answered 404"),
        (reply("", "302 X", Location="/login"), Permanent, "http_302", "redirects elsewhere"),
        (reply("<html>", "200 OK", Content_Type="text/html"), Permanent, "not_prometheus", "with a web page"),
        (reply("<html>", "502 X", Content_Type="text/html"), Transient, "http_502", "with a web page"),
        (reply("[1]"), Permanent, "not_prometheus", "does not answer as Prometheus does"),
        (reply('{"status":"success"}'), Permanent, "not_prometheus", "does not answer as Prometheus does"),
        (reply(vector(({}, "many"))), Permanent, "not_prometheus", "many"),
        (reply("[" * 5000), Permanent, "not_prometheus", "does not answer as Prometheus does"),
        (reply(b"\xff\xfe"), Permanent, "not_prometheus", "does not answer as Prometheus does"),
        (
            reply('{"status":"success","data":{"resultType":"matrix","result":[]}}'),
            Permanent, "bad_query", "the query gives a matrix",
        ),
        (b"", Transient, "cut_off", "ended before the answer"),
    ],
)  # fmt: skip
def test_each_failure_has_its_name(serve: Serve, answer: bytes, kind: type[Exception], reason: str, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        ask(serve(lambda r: answer).url)
    assert caught.value.reason == reason  # type: ignore[attr-defined]


def test_a_server_that_hangs_is_given_up_after_the_timeout(serve: Serve) -> None:
    with pytest.raises(Transient) as caught:
        ask(serve(lambda r: None).url, timeout="200ms")
    assert caught.value.reason == "timeout"


def test_an_endless_answer_is_refused(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    with pytest.raises(Permanent, match="over 33554432 bytes"):
        ask(serve(lambda r: head + b" " * (33 * 1024 * 1024)).url)


def test_a_range_has_an_entry_for_each_instant_and_is_asked_in_parts(serve: Serve) -> None:
    def script(request: Request) -> bytes:
        form = {name: value[0] for name, value in parse_qs(request.body.decode()).items()}
        values = [[float(form["start"]), "1"], [float(form["end"]), "NaN"]]
        result = [{"metric": {"a": "b"}, "values": values}]
        return reply(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))

    server = serve(script)

    async def work(context: Context) -> Any:
        source = PrometheusSettings.model_validate({"url": server.url}).build(context)
        return await source.query_range("up", AT, AT + 10_500 * 15 * SECOND, 15 * SECOND)

    found = with_context(work)
    assert len(server.requests) == 2
    assert [at for at, _ in found] == [AT + n * 15 * SECOND for n in range(10_501)]
    full = [n for n, (_, samples) in enumerate(found) if samples]
    assert full == [0, 9_999, 10_000, 10_500]
    assert found[0][1] == [Sample({"a": "b"}, 1.0)]


def test_only_firing_alerts_are_listed_since_their_condition_was_seen(serve: Serve) -> None:
    alerts = [
        {"labels": {"alertname": "A", "empty": ""}, "annotations": {"s": "x"}, "state": "firing",
         "activeAt": "2026-01-04T23:59:59.123456789Z", "value": "1e+00"},
        {"labels": {"alertname": "B"}, "annotations": {}, "state": "pending", "activeAt": "2026-01-05T00:00:00Z"},
    ]  # fmt: skip
    server = serve(lambda r: reply(json.dumps({"status": "success", "data": {"alerts": alerts}})))

    async def work(context: Context) -> Any:
        return (
            await PrometheusAlertsSettings.model_validate({"url": server.url, "every": "15s"}).build(context).alerts(AT)
        )

    [signal] = with_context(work, "prom")
    assert (signal.source, signal.labels, signal.annotations) == ("prom", {"alertname": "A"}, {"s": "x"})
    assert (signal.starts_at, signal.ends_at, signal.firing) == (AT - 876_544, None, True)
    assert signal.identity == identity({"alertname": "A"})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "url"),
        ({"url": "localhost:9090"}, "not a URL"),
        ({"url": "http://a", "ulr": 1}, "Extra inputs"),
        ({"url": "http://a", "timeout": 10}, "no unit"),
        ({"url": "http://a", "token": secret("a"), "username": "b"}, "not both"),
        ({"url": "http://a", "password": secret("a")}, "needs the username"),
        ({"url": "http://a", "tls": {"key_file": "k"}}, "needs the cert_file"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PrometheusSettings.model_validate(settings)


def test_alerts_cannot_be_asked_for_more_often_than_each_second() -> None:
    with pytest.raises(ValidationError, match="at least 1s"):
        PrometheusAlertsSettings.model_validate({"url": "http://a", "every": "500ms"})
