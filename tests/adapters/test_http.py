"""The HTTP client: bounded in time and size, and no source in another's way."""

import asyncio
import contextlib
import itertools
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._http import Answer, Pool, Tls, good, retry_after
from responder.ports import SECOND, Context, Permanent, Secret, Span, Transient
from tests.adapters.conftest import AT, Loopback, Request, free_port, reply, with_context

Serve = Callable[[Callable[[Request], bytes | None]], Loopback]


def ask(url: str, *, within: Span = 5 * SECOND, method: str = "GET", **options: Any) -> Answer:
    async def work(context: Context) -> Answer:
        return cast("Answer", await context.http("a", Secret(url)).fetch(method, within=within, **options))

    return cast("Answer", with_context(work))


def test_an_answer_comes_whole_with_lower_case_headers(serve: Serve) -> None:
    server = serve(lambda r: reply("hello", X_Colour="Blue"))
    answer = ask(server.url + "/a/b?c=d")
    assert (answer.status, answer.body, answer.headers["x-colour"]) == (200, b"hello", "Blue")
    assert (server.requests[0].method, server.requests[0].target) == ("GET", "/a/b?c=d")


def test_a_path_is_put_below_the_path_of_the_base_url(serve: Serve) -> None:
    server = serve(lambda r: reply())
    ask(server.url + "/prom/", path="/api/v1/query")
    assert server.requests[0].target == "/prom/api/v1/query"


def test_user_and_password_of_the_url_become_basic_authentication(serve: Serve) -> None:
    server = serve(lambda r: reply())
    ask(server.url.replace("//", "//me:p%40ss@"))
    assert server.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_every_way_to_end_a_body_is_understood(serve: Serve, raw: bytes) -> None:
    assert ask(serve(lambda r: raw).url).body == b"hello"


def test_a_head_request_has_no_body_whatever_its_length_says(serve: Serve) -> None:
    assert ask(serve(lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").url, method="HEAD").status == 200


def test_a_server_that_hangs_is_given_up_in_time(serve: Serve) -> None:
    began = time.monotonic()
    with pytest.raises(Transient, match=r"did not answer within 0\.2 s") as caught:
        ask(serve(lambda r: None).url, within=SECOND // 5)
    assert (caught.value.reason, time.monotonic() - began < 2) == ("timeout", True)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Transient, match="cannot reach") as caught:
        ask(f"http://127.0.0.1:{free_port()}")
    assert caught.value.reason == "unreachable"


def test_a_name_that_no_server_has_is_unreachable() -> None:
    with pytest.raises(Transient) as caught:
        ask("http://no-such-host.invalid")
    assert caught.value.reason in ("unreachable", "timeout")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "cut_off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhel", "cut_off"),
        (b"SSH-2.0-x\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", "protocol"),
    ],
)
def test_what_is_no_http_is_an_error_and_not_a_crash(serve: Serve, raw: bytes, reason: str) -> None:
    server = serve(lambda r: raw)
    with pytest.raises(Transient) as caught:
        ask(server.url)
    assert (caught.value.reason, len(server.requests)) == (reason, 1)


def test_an_answer_that_is_too_long_is_refused_without_being_held(serve: Serve) -> None:
    server = serve(lambda r: reply(b"x" * 100_000))
    with pytest.raises(Permanent, match="over 1000 bytes"):
        ask(server.url, limit=1000)
    cut = ask(server.url, limit=1000, cut=True)
    assert cut.body == b"x" * 1000
    assert all(0 <= seconds < 5 for seconds in cut.phases.values())


def test_an_endless_head_is_refused(serve: Serve) -> None:
    with pytest.raises(Permanent, match="head of the answer"):
        ask(serve(lambda r: b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000).url)


def test_what_the_base_url_encodes_is_sent_as_it_stands(serve: Serve) -> None:
    server = serve(lambda r: reply())
    ask(server.url + "/a%2Fb/c;d?e=%20+f%7B&g")
    assert server.requests[0].target == "/a%2Fb/c;d?e=%20+f%7B&g"


def test_no_proxy_of_the_environment_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert ask(serve(lambda r: reply("direct")).url).body == b"direct"


def test_no_log_line_tells_where_a_message_goes(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ask(serve(lambda r: reply()).url + "/secret-token")
    assert "secret-token" not in caplog.text


def test_an_error_never_shows_the_path_of_a_url(serve: Serve) -> None:
    with pytest.raises(Transient) as caught:
        ask(serve(lambda r: None).url.replace("//", "//user:hunter2@") + "/secret-token", within=SECOND // 10)
    assert "secret" not in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_connection_is_kept_and_one_that_the_server_ended_is_replaced(serve: Serve) -> None:
    server = serve(lambda r: reply("1"))

    async def work(context: Context) -> None:
        client = context.http("a", Secret(server.url))
        for _ in range(3):
            assert (await client.fetch("GET", within=SECOND)).body == b"1"
        assert server.connections == 1
        server._open[0].shutdown(2)
        assert (await client.fetch("GET", within=SECOND)).body == b"1"
        assert server.connections == 2

    with_context(work)


def test_a_kept_connection_that_ends_under_the_request_is_asked_again_on_a_fresh_one(serve: Serve) -> None:
    served: list[int] = []

    def script(request: Request) -> bytes:
        served.append(1)
        return b"" if len(served) == 2 else reply("1")

    async def work(context: Context) -> None:
        client = context.http("a", Secret(serve(script).url))
        assert [(await client.fetch("GET", within=SECOND)).body for _ in range(2)] == [b"1", b"1"]

    with_context(work)


def test_what_a_server_says_unasked_is_no_answer(serve: Serve) -> None:
    server = serve(lambda r: reply("1"))

    async def work(context: Context) -> None:
        client = context.http("a", Secret(server.url))
        assert (await client.fetch("GET", within=SECOND)).body == b"1"
        server._open[0].sendall(reply("too slow", "408 Request Timeout"))
        await asyncio.sleep(0.05)
        assert (await client.fetch("GET", within=SECOND)).body == b"1"
        assert server.connections == 2

    with_context(work)


def test_a_long_answer_that_comes_faster_than_it_is_read_is_whole(serve: Serve) -> None:
    body = bytes(range(256)) * 20_000
    assert ask(serve(lambda r: reply(body)).url).body == body


def test_a_request_leaves_in_one_piece() -> None:
    """Head and body apart are two packets, and two turns of the server."""
    received: list[bytes] = []

    async def work(context: Context) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read(65536))
            writer.write(reply("1"))
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = Secret(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await context.http("a", url).fetch("POST", body=b"query=up", within=SECOND)
        server.close()

    with_context(work)
    assert received[0].endswith(b"\r\n\r\nquery=up")


def test_a_channel_keeps_no_connection_and_never_sends_twice(serve: Serve) -> None:
    server = serve(lambda r: reply("1") if len(server.requests) < 2 else b"")

    async def work(context: Context) -> None:
        client = context.http("a", Secret(server.url), apart=True)
        await client.fetch("POST", within=SECOND, body=b"{}")
        with pytest.raises(Transient):
            await client.fetch("POST", within=SECOND, body=b"{}")
        assert (server.connections, len(server.requests)) == (2, 2)

    with_context(work)


def test_a_host_gets_at_most_four_connections(serve: Serve) -> None:
    def script(request: Request) -> bytes:
        time.sleep(0.02)
        return reply("1")

    server = serve(script)

    async def work(context: Context) -> None:
        client = context.http("a", Secret(server.url))
        answers = await asyncio.gather(*(client.fetch("GET", within=5 * SECOND) for _ in range(20)))
        assert [a.status for a in answers] == [200] * 20

    with_context(work)
    assert server.connections == 4


def test_requests_that_are_given_up_at_any_moment_leave_no_connection_behind(serve: Serve) -> None:
    def script(request: Request) -> bytes:
        time.sleep(0.001)
        return reply("1")

    server = serve(script)

    async def work(context: Context) -> None:
        client = context.http("a", Secret(server.url))
        for step in range(60):
            asked = [asyncio.ensure_future(client.fetch("GET", within=5 * SECOND)) for _ in range(6)]
            await asyncio.sleep(step / 10_000)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        answers = await asyncio.gather(*(client.fetch("GET", within=5 * SECOND) for _ in range(8)))
        assert [a.body for a in answers] == [b"1"] * 8
        for _ in range(100):
            left = [connection for connection in server._open if connection.fileno() >= 0]
            if len(left) <= 4:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{len(left)} connections are still open")

    with_context(work)


def test_a_source_that_hangs_takes_no_connection_of_another_on_the_same_host(serve: Serve) -> None:
    server = serve(lambda r: None if r.target == "/hang" else reply("1"))

    async def work(context: Context) -> None:
        bad, fine = context.http("bad", Secret(server.url)), context.http("fine", Secret(server.url))
        hung = [asyncio.ensure_future(bad.fetch("GET", "/hang", within=SECOND)) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert (await fine.fetch("GET", "/fine", within=SECOND // 2)).body == b"1"
        assert {type(e) for e in await asyncio.gather(*hung, return_exceptions=True)} == {Transient}

    with_context(work)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://a:0/", "http://a/\u00e9", "http://a:99999"])
def test_a_url_that_no_request_can_be_made_of_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        Pool()("a", Secret(url))


def test_a_header_that_would_break_the_head_is_refused() -> None:
    with pytest.raises(ValueError, match="header 'X-A'"):
        Pool()("a", Secret("http://a"), headers={"X-A": "1\r\nX-B: 2"})


def test_a_tls_file_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"gone\.pem: No such file"):
        Pool()("a", Secret("https://a"), tls=Tls("/nowhere/gone.pem"))


@pytest.mark.parametrize(
    ("status", "kind"), [(200, None), (299, None), (302, Permanent), (404, Permanent), (408, Transient), (425, Transient),
                         (429, Transient), (500, Transient), (503, Transient)],
)  # fmt: skip
def test_only_2xx_is_good_and_what_may_pass_is_transient(status: int, kind: type[Exception] | None) -> None:
    answer = Answer(status, {}, b"because\nof this", {})
    if kind is None:
        assert good(answer, "http://a", lambda: AT) is answer
    else:
        with pytest.raises(kind, match=f"http://a answered {status}"):
            good(answer, "http://a", lambda: AT)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "120"}, 120 * SECOND),
        ({"retry-after": "99999999999999999999"}, 86_400 * SECOND),
        ({"retry-after": "Mon, 05 Jan 2026 00:00:30 GMT"}, 30 * SECOND),
        ({"retry-after": "Mon, 05 Jan 2026 00:00:30 GMT", "date": "Mon, 05 Jan 2026 00:00:10 GMT"}, 20 * SECOND),
        ({"retry-after": "Mon, 05 Jan 2026 00:00:00 GMT", "date": "Mon, 05 Jan 2026 00:00:10 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(headers: dict[str, str], pause: Span | None) -> None:
    assert retry_after(Answer(429, headers, b"", {}), AT) == pause


def ask_bytes(pieces: list[bytes]) -> Answer:
    """Return what is made of the bytes that a server sends, as they arrive piece by piece."""
    with mock.patch("adapters._http.Network", lambda: httpcore.AsyncMockBackend(pieces)):
        return ask("http://a", limit=1000)


@given(body=st.binary(max_size=200), cuts=st.lists(st.integers(0, 400), max_size=8), chunked=st.booleans())
def test_an_answer_is_the_same_however_its_bytes_arrive(body: bytes, cuts: list[int], chunked: bool) -> None:
    if chunked:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw += b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
        raw += b"0\r\n\r\n"
    else:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    bounds = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    answer = ask_bytes([raw[start:stop] for start, stop in itertools.pairwise(bounds)])
    assert (answer.status, answer.body) == (200, body)


@given(raw=st.binary(max_size=300))
def test_no_bytes_of_a_server_raise_anything_but_our_errors(raw: bytes) -> None:
    with contextlib.suppress(Transient, Permanent):
        ask_bytes([b"HTTP/1.1 200 OK\r\n" + raw])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 in cert.pem, its key in key.pem."""
    return self_signed(tmp_path_factory.mktemp("tls"))


def self_signed(folder: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed on this machine")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, *names, *made], check=True, capture_output=True)
    return folder


def test_a_name_server_that_is_silent_holds_nobody_else_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server, over = serve(lambda r: reply("1")), threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])

    async def work(context: Context) -> None:
        lost = context.http("lost", Secret("http://lost.example"))
        asked = [asyncio.ensure_future(lost.fetch("GET", within=SECOND // 2)) for _ in range(40)]
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(asyncio.to_thread(int, "1"), 0.2) == 1
        assert (await context.http("a", Secret(server.url)).fetch("GET", within=SECOND // 5)).body == b"1"
        failures = await asyncio.gather(*asked, return_exceptions=True)
        assert {getattr(failure, "reason", "") for failure in failures} == {"timeout"}

    began = time.monotonic()
    with_context(work)
    assert time.monotonic() - began < 5
    over.set()


def test_a_name_is_reached_at_the_address_that_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda r: reply("1"))

    def look_up(host: str, port: int, **_: object) -> list[Any]:
        time.sleep(0.02)
        return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    answer = ask(server.url.replace("127.0.0.1", "shop.example"))
    assert (answer.body, server.requests[0].headers["host"]) == (b"1", f"shop.example:{server.port}")
    assert answer.phases["resolve"] >= 0.02 > answer.phases["connect"] > 0


def test_the_phases_of_a_kept_connection_have_no_opening(serve: Serve) -> None:
    server = serve(lambda r: reply("1"))

    async def work(context: Context) -> None:
        client = context.http("a", Secret(server.url))
        first, second = [(await client.fetch("GET", within=SECOND)).phases for _ in range(2)]
        assert first["connect"] > 0 and {second[phase] for phase in ("resolve", "connect", "tls")} == {0.0}
        assert min(second["processing"], second["transfer"]) > 0

    with_context(work)


async def safe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request of a connection."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply("safe"))
        await writer.drain()
        await reader.read()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def test_tls_is_verified_and_a_file_of_authorities_is_what_verifies_it(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    async def work(lent: Context) -> None:
        server = await asyncio.start_server(safe, "127.0.0.1", 0, ssl=context)
        url = Secret(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        trusting = lent.http("a", url, tls=Tls(ca_file=str(certificate / "cert.pem")))
        got = await trusting.fetch("GET", within=5 * SECOND)
        assert got.body == b"safe"
        assert got.certificate_ends is not None and got.phases["tls"] > 0
        with pytest.raises(Transient, match="no trusted connection") as caught:
            await lent.http("b", url).fetch("GET", within=5 * SECOND)
        assert caught.value.reason == "tls"
        server.close()

    with_context(work)


def test_a_file_of_authorities_that_is_replaced_is_read_again(certificate: Path, tmp_path: Path) -> None:
    """Certificates that last for weeks are renewed in place, by cert-manager and its like."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    file, good = self_signed(tmp_path) / "cert.pem", (certificate / "cert.pem").read_text()

    async def work(lent: Context) -> None:
        server = await asyncio.start_server(safe, "127.0.0.1", 0, ssl=context)
        url = Secret(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        client = lent.http("a", url, tls=Tls(ca_file=str(file)), apart=True)
        with pytest.raises(Transient, match="no trusted connection"):
            await client.fetch("GET", within=5 * SECOND)
        for content in (good, "half writ"):
            file.write_text(content)
            assert (await client.fetch("GET", within=5 * SECOND)).body == b"safe"
        server.close()

    with_context(work)


def test_a_server_that_asks_for_a_certificate_gets_ours(certificate: Path) -> None:
    cert, key = str(certificate / "cert.pem"), str(certificate / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED

    async def work(lent: Context) -> None:
        server = await asyncio.start_server(safe, "127.0.0.1", 0, ssl=context)
        url = Secret(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        known = lent.http("a", url, tls=Tls(cert, cert, key))
        assert (await known.fetch("GET", within=5 * SECOND)).body == b"safe"
        with pytest.raises(Transient) as caught:
            await lent.http("b", url, tls=Tls(cert)).fetch("GET", within=5 * SECOND)
        assert caught.value.reason in ("tls", "cut_off")  # its alert may be overtaken by its hanging up
        server.close()

    with_context(work)


def test_a_server_that_never_ends_its_tls_handshake_is_given_up_and_hung_up_on() -> None:
    async def work(context: Context) -> None:
        hung_up = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            hung_up.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = Secret(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(Transient) as caught:
            await context.http("a", url).fetch("GET", within=SECOND // 5)
        assert caught.value.reason == "timeout"
        await asyncio.wait_for(hung_up.wait(), 1)
        server.close()

    with_context(work)
