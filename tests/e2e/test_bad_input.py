"""Whatever is posted gets an answer below 500, and the daemon goes on as if nothing had been."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.kit import Daemon, records

CONFIG = """
include: ["pack:default"]
sources:
  jobs: {kind: webhook, map: {labels: {alertname: kind, service: service, more: more}, id: id}}
  states: {kind: webhook, map: {labels: {alertname: kind, service: service, more: more}, status: status}}
"""
JSON = {"Content-Type": "application/json"}
ROUTES = {
    "/api/v2/alerts": '[{"labels": {"alertname": "A", "more": %s}, "annotations": {"summary": "s"}}]',
    "/api/v2/silences": (
        '{"matchers": [{"name": "alertname", "value": %s, "isRegex": false}], "startsAt": "2026-01-01T00:00:00Z",'
        ' "endsAt": "2099-01-01T00:00:00Z", "createdBy": "a", "comment": "c"}'
    ),
    "/webhooks/alertmanager": '{"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "A", "more": %s}}]}',
    "/webhooks/grafana": '{"version": "1", "alerts": [{"status": "firing", "labels": {"alertname": "A", "more": %s}}]}',
    "/webhooks/jobs": '{"kind": "A", "service": "s", "more": %s}',
    "/webhooks/states": '{"kind": "A", "service": "s", "status": "firing", "more": %s}',
    "/v2/enqueue": (
        '{"routing_key": "k", "event_action": "trigger", "payload": {"summary": %s, "source": "s", "severity": "error"}}'
    ),
    "/api/v1/incidents": '{"service": "shop", "title": %s, "impact": "high", "urgency": "high"}',
    "/api/v1/incidents/INC-1/note": '{"text": %s}',
    "/api/v1/changes": '{"service": "shop", "kind": "release", "version": %s}',
}
DEEP = 100_000
VALUES: dict[str, str] = {
    "a lone surrogate": r'"\ud800x"',
    "a NUL": r'"a\u0000b"',
    "a label of 1 MB": f'"{"x" * 1_000_000}"',
    "deep nesting": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "a number without end": "1" * 50_000,
    "infinity": "1e999",
    "NaN": "NaN",
    "an object": '{"a": [1, {"b": null}]}',
    "null": "null",
    "nothing": '""',
    "bytes that are not UTF-8": "\udcff\udcfe",
    "an unfinished text": '"abc',
    "line ends and odd signs": r'"\r\n\u2028\ufeff\u202e🦄"',
    "something like code": '"{{ 7 * 7 }}{% for x in range(10**9) %}x{% endfor %}"',
}
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "spaces": b"  \n ",
    "null": b"null",
    "[null]": b"[null]",
    "[[]]": b"[[]]",
    "[]": b"[]",
    "{}": b"{}",
    "a text": b'"x"',
    "true": b"true",
    "a broken one": b'{"a": 1,}',
    "a cut one": b'[{"labels": {"alertname": "A',
    "two": b"{} {}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "zeros": bytes(1000),
    "deep nesting": b"[" * DEEP,
    "deep objects": b'{"labels":' * DEEP,
    "deep alerts": b'[{"labels": ' + b"[" * DEEP + b"]" * DEEP + b"}]",
    "10,000 labels": json.dumps(
        [{"labels": {"alertname": "Many", **{f"label_{n}": str(n) for n in range(10_000)}}}]
    ).encode(),
    "years 0001 and 9999": b'[{"labels": {"alertname": "Y"}, "startsAt": "0001-01-01T00:00:00Z", "endsAt": "9999-12-31T23:59:59Z"},'
    b' {"labels": {"alertname": "Z"}, "startsAt": "0001-01-01T00:00:00+14:00", "endsAt": "9999-12-31T23:59:59.999999999-14:00"},'
    b' {"labels": {"alertname": "V"}, "startsAt": "9999-12-31T23:59:59Z"}]',
    "duplicate keys": b'[{"labels": {"alertname": "D"}, "labels": {"alertname": "E", "alertname": "F"}}]',
    "many alerts": json.dumps([{"labels": {"alertname": "N", "n": str(n)}} for n in range(500)]).encode(),
    "a bad one among good ones": b'[{"labels": {"alertname": "G1"}}, {"labels": {}}, null, 7, {"labels": {"alertname": "G2"}}]',
    "odd names": '[{"labels": {"": "x", "a b": "y", "ü": "z", "__name__": "n"}}]'.encode(),
}  # fmt: skip


@pytest.fixture(scope="module")
def responder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    running = Daemon(tmp_path_factory.mktemp("responder"), CONFIG).start()
    try:
        running.fire({"alertname": "First", "service": "shop"})
        yield running
        running.terminate()
        running.start()  # what was stored can be read again
        assert running.get("/api/v2/alerts")
        running.terminate()
        running.verify()
        assert not [r for r in records(running.log) if r["level"] in ("error", "critical") or "exception" in r]
    finally:
        running.kill()


def answer(responder: Daemon, path: str, body: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
    """Post; the answer comes soon and is none to be ashamed of."""
    began = time.monotonic()
    found = responder.ask("POST", path, content=body, headers=headers)
    assert time.monotonic() - began < 10, "it took too long"
    assert found.status_code < 500, found.text[:500]
    return found


def look(responder: Daemon) -> None:
    """What was taken can be shown."""
    for view in ("/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences", "/api/v1/incidents"):
        responder.get(view)


@pytest.mark.parametrize("path", ROUTES)
def test_odd_values_get_an_answer(responder: Daemon, path: str) -> None:
    for name, value in VALUES.items():
        body = (ROUTES[path] % value).encode("utf-8", "surrogateescape")
        status = answer(responder, path, body).status_code
        if name == "an unfinished text":
            assert status == 400
        if name == "NaN":
            assert status in (400, 422)
    look(responder)


@pytest.mark.parametrize("path", ROUTES)
def test_odd_bodies_get_an_answer(responder: Daemon, path: str) -> None:
    for name, body in BODIES.items():
        found = answer(responder, path, body)
        if name in ("a broken one", "a cut one", "zeros"):
            assert found.status_code == 400, (name, found.text)
    look(responder)


@pytest.mark.parametrize("path", ROUTES)
def test_broken_json_is_refused_with_its_position(responder: Daemon, path: str) -> None:
    found = answer(responder, path, b'{"a": [1, 2, }')
    assert found.status_code == 400
    assert any(word in found.text for word in ("byte", "position", "offset", "line", "character", "column")), found.text


@pytest.mark.parametrize("path", ROUTES)
def test_another_content_type_is_refused(responder: Daemon, path: str) -> None:
    good = (ROUTES[path] % '"x"').encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        assert answer(responder, path, good, {"Content-Type": content_type}).status_code == 415
    assert answer(responder, path, good, {}).status_code == 415
    assert answer(responder, path, good, {"Content-Type": "application/json; charset=utf-8"}).is_success


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_of_11_mb_is_refused_and_costs_no_memory(responder: Daemon, path: str) -> None:
    large = b'"' + b"x" * (11 * 1024 * 1024) + b'"'
    before = peak(responder)
    for _ in range(5):
        assert post_raw(responder, path, large, chunked=False) == 413
        assert post_raw(responder, path, large, chunked=True) == 413
    bomb = gzip.compress(b"[" + b" " * (200 * 1024 * 1024) + b"]", 9)
    assert answer(responder, path, bomb, JSON | {"Content-Encoding": "gzip"}).status_code == 413
    assert peak(responder) - before < 48 * 1024, "kB: a body of 10 MB may be held, not those beyond the limit"


def peak(responder: Daemon) -> int:
    """Return the highest resident memory so far, in kB."""
    lines = Path(f"/proc/{responder.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def post_raw(responder: Daemon, path: str, body: bytes, *, chunked: bool) -> int:
    """Post on a connection of its own, which the daemon may end before all is sent; returns the status."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", responder.port), timeout=20) as connection:
        try:
            connection.sendall(head.encode())
            for start in range(0, len(body), 65536):
                piece = body[start : start + 65536]
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # answered before the end: read what it said
        return int(connection.makefile("rb").readline().split()[1])


def test_a_bad_alert_is_named_and_its_neighbours_are_kept(responder: Daemon) -> None:
    found = answer(responder, "/api/v2/alerts", BODIES["a bad one among good ones"].replace(b"null, 7, ", b""))
    assert found.status_code == 400 and "label" in found.text
    names = {a["labels"]["alertname"] for a in responder.get("/api/v2/alerts") if "alertname" in a["labels"]}
    assert names >= {"G1", "G2"}
    body = '{"alerts": [{"status": "firing", "labels": {"alertname": "H1"}}, 7, {"status": "firing", "labels": {"alertname": "H2"}}], "truncatedAlerts": 3}'
    results = answer(responder, "/webhooks/alertmanager", body.encode()).json()["signals"]
    assert [r["result"] for r in results] == ["accepted", "rejected", "accepted", "rejected"]
    assert results[1]["error"] and "max_alerts" in results[3]["error"]
    said = [r for r in records(responder.log) if r["message"] == "alerts were refused"][-1]
    assert (said["level"], said["source"], said["refused"]) == ("warning", "am-webhook", 2)
    assert said["error"] == results[1]["error"]


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET " + b"/x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /api/v2/alerts?filter=%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /%2e%2e/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000_000,
        b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n[]\r\n",
        b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n[]\r\n0\r\n\r\n",
        b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        b"GET http://elsewhere:1/api/v2/status HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" * 2000,
    ],
)  # fmt: skip
def test_what_is_hardly_http_hurts_nobody(responder: Daemon, request_head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", responder.port), timeout=3) as connection:
        try:
            connection.sendall(request_head)
            connection.shutdown(socket.SHUT_WR)
            first = connection.makefile("rb").readline()
        except OSError:
            first = b""
    assert not first.startswith(b"HTTP/1.1 5"), first
    responder.get("/api/v2/status")


def test_odd_parameters_get_an_answer(responder: Daemon) -> None:
    odd = (
        "%ff",
        "%00",
        "x" * 5000,
        "-1",
        "1e9",
        "null",
        "'; drop table incident; --",
        "%F0%9F%A6%84",
        "99999999999999999999",
    )
    for value in odd:
        for path in (
            f"/api/v1/incidents?limit={value}", f"/api/v1/incidents?cursor={value}", f"/api/v1/incidents?state={value}",
            f"/api/v1/incidents?q={value}", f"/api/v1/incidents?problem={value}", f"/api/v1/incidents/{value}",
            f"/api/v1/incidents/INC-{value}/timeline", f"/api/v2/alerts?filter={value}", f"/api/v2/alerts?receiver={value}",
            f"/api/v2/silence/{value}", f"/api/v1/services/{value}", f"/webhooks/{value}", f"/api/v1/problems/{value}",
        ):  # fmt: skip
            status = responder.ask("GET", path).status_code
            assert status < 500, path
