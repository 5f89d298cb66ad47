"""Alerts that come whole in one piece are taken without a task, and answered as all others are."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from responder import metrics
from responder.handlers.signals import Pushed
from responder.intake import Told, Unavailable
from responder.web.app import HOT, App
from responder.web.deadline import Deadline
from responder.web.protocol import Protocol

ALERT = {"labels": {"alertname": "Down"}, "startsAt": "2026-01-05T00:00:00Z", "generatorURL": "http://p/g"}
GOOD = json.dumps([ALERT, {"labels": {"alertname": "Full"}}]).encode()
Outcome = Callable[[], list[str]]


def refuse() -> list[str]:
    raise Unavailable("the queue is full")


def fail() -> list[str]:
    raise RuntimeError("a fault of ours")


class Desk:
    """What stands for the daemon: it holds what was posted until it is told to decide."""

    resident = reader = None
    settings = SimpleNamespace(auth=SimpleNamespace(mode="none", tokens=()))

    def __init__(self) -> None:
        self.outcome: Outcome | None = lambda: ["accepted", "duplicate"]
        self.refusal: Exception | None = None
        self.taken: list[tuple[Pushed, Told]] = []

    def now(self) -> int:
        return 1_767_571_200_000_000

    def submit(self, item: Pushed) -> "asyncio.Future[list[str]]":
        future = asyncio.get_running_loop().create_future()
        self.take(item, partial(settle, future))
        return future

    def take(self, item: Pushed, told: Told) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append((item, told))
        if self.outcome is not None:
            asyncio.get_running_loop().call_soon(self.decide, told, self.outcome)

    @staticmethod
    def decide(told: Told, outcome: Outcome) -> None:
        try:
            told(outcome(), None)
        except (Unavailable, RuntimeError) as error:
            told(None, error)


def settle(future: "asyncio.Future[list[str]]", results: list[str], error: Exception | None) -> None:
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(results)


DESK = Desk()
APP = App(DESK)  # type: ignore[arg-type]  # to describe the API takes longer than these tests


class Place:
    def __init__(self, desk: Desk, state: ServerState, address: Any) -> None:
        self.desk, self.state, self._address = desk, state, address
        self.clients: list[Client] = []

    async def connect(self) -> "Client":
        self.clients.append(Client(*await asyncio.open_connection(*self._address)))
        return self.clients[-1]

    async def answer(self, request: bytes, *, in_two: bool) -> bytes:
        """Return what is answered to a request that comes in one piece, or its last byte later."""
        client = await self.connect()
        client.writer.write(request[:-1] if in_two else request)
        if in_two:
            await asyncio.sleep(0.02)
            client.writer.write(request[-1:])
        return await client.said()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def said(self) -> bytes:
        """Return one answer without its date, or what there is at the end of the connection."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")]
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return b"\r\n".join(sorted(lines)) + await self.reader.readexactly(length)


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    DESK.__init__()  # type: ignore[misc]
    APP._deadline = Deadline(60)
    config = uvicorn.Config(APP, http=Protocol, lifespan="off", log_config=None, ws="none", proxy_headers=False)
    state = ServerState()
    state.default_headers = [(b"x-of-all", b"answers")]
    config.load()
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    here = Place(DESK, state, server.sockets[0].getsockname())
    try:
        yield here
    finally:
        server.close()
        for client in here.clients:
            client.writer.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in state.tasks:
            task.cancel()
        await asyncio.sleep(0.01)


def at(work: Callable[[Place], Awaitable[None]]) -> None:
    async def run() -> None:
        async with place() as found:
            await work(found)

    asyncio.run(run())


def post(body: bytes = GOOD, *headers: str, version: str = "1.1", kind: str = "application/json") -> bytes:
    lines = [f"POST /api/v2/alerts HTTP/{version}", "Host: x", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *([f"Content-Type: {kind}"] if kind else []), *headers, "", ""]).encode() + body


@pytest.mark.parametrize(
    "request_",
    [
        post(), post(b"[]"), post(b""), post(b"null"), post(b"[{]"), post(b'[{"labels": {}}, {"labels": {"a": "b"}}]'),
        post(b'[{"labels": {"a": "b"}, "generatorURL": "no url"}]'), post(kind=""), post(kind="text/plain"),
        post(GOOD, "Content-Type: application/json", kind="text/plain"), post(GOOD, "Content-Type: text/plain"),
        post(kind="application/json; charset=utf-8"), post(gzip.compress(GOOD, mtime=0), "Content-Encoding: gzip"),
        post(GOOD, "Content-Encoding: br"), post(GOOD, "Connection: close"), post(GOOD, version="1.0"),
        post(GOOD, "Connection: keep-alive", version="1.0"),
        post(GOOD, "Expect: 100-continue").replace(b"Expect", b"X-Expect"),
        post(GOOD, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"),
        post().replace(b"/alerts ", b"/alerts?x=1 "), post().replace(b"POST", b"PUT"),
        b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, GOOD[:10], len(GOOD) - 10, GOOD[10:]),
    ],
)  # fmt: skip
def test_both_ways_give_the_same_signals_and_the_same_answer(request_: bytes) -> None:
    async def work(here: Place) -> None:
        answers = [await here.answer(request_, in_two=in_two) for in_two in (False, True)]
        assert answers[0] == answers[1]
        items = [item for item, _ in here.desk.taken]
        assert items[: len(items) // 2] == items[len(items) // 2 :]

    at(work)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(lambda: ["accepted", "rejected"], 500), (refuse, 503), (fail, 500)],
    ids=["one", "full", "fault"],
)
def test_both_ways_tell_the_same_of_what_was_not_stored(outcome: Outcome, status: int) -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = outcome
        answers = [await here.answer(post(), in_two=in_two) for in_two in (False, True)]
        assert answers[0] == answers[1]
        assert b"HTTP/1.1 %d " % status in answers[0]

    at(work)


@pytest.mark.parametrize(
    ("refusal", "status"), [(Unavailable("the queue is full"), 503), (RuntimeError("a fault of ours"), 500)]
)
def test_what_can_not_be_taken_is_answered_alike_either_way(refusal: Exception, status: int) -> None:
    async def work(here: Place) -> None:
        here.desk.refusal = refusal
        answers = [await here.answer(post(), in_two=in_two) for in_two in (False, True)]
        assert answers[0] == answers[1]
        assert b"HTTP/1.1 %d " % status in answers[0]

    at(work)


def test_what_comes_in_one_piece_takes_no_task_and_is_answered_after_the_commit_only() -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = None
        client = await here.connect()
        client.writer.write(post())
        await asyncio.sleep(0.05)
        [(item, told)] = here.desk.taken
        assert (item.source, [s.labels["alertname"] for s in item.signals]) == ("am-api", ["Down", "Full"])
        assert here.state.tasks == set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.05)
        told(["accepted", "accepted"], None)
        assert b"HTTP/1.1 200 OK" in await client.said()

    at(work)


def test_what_comes_behind_it_on_the_same_connection_waits_for_its_turn() -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = None
        client = await here.connect()
        client.writer.write(post() + b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n" + post(b"[{]"))
        await asyncio.sleep(0.05)
        [(_, told)] = here.desk.taken
        told(["accepted", "accepted"], None)
        answers = [await client.said() for _ in range(3)]
        assert [answer.endswith(end) for answer, end in zip(answers, (b"content-length: 0", b"OK", b"}"), strict=True)]
        assert [next(w for w in (b" 200 ", b" 400 ") if w in answer) for answer in answers] == [
            b" 200 ",
            b" 200 ",
            b" 400 ",
        ]

    at(work)


def test_of_two_in_one_piece_the_second_waits_for_the_answer_of_the_first() -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = None
        client = await here.connect()
        client.writer.write(post() + post())
        await asyncio.sleep(0.05)
        [(_, told)] = here.desk.taken
        here.desk.outcome = lambda: ["accepted", "rejected"]
        told(["accepted", "accepted"], None)
        assert b"HTTP/1.1 200 " in await client.said()
        assert b"HTTP/1.1 500 " in await client.said()

    at(work)


def counted() -> dict[str, float]:
    """Return what is counted of requests, and of the signals in them."""
    asked = {"responder_http_requests_total": {"route": HOT}, "responder_signals_received_total": {"source": "am-api"},
             "responder_signal_processing_seconds_count": {"source": "am-api"}}  # fmt: skip
    return {
        str(sample.labels) + sample.name: sample.value
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name in asked and asked[sample.name].items() <= sample.labels.items()
    }


@pytest.mark.parametrize("outcome", [lambda: ["accepted", "duplicate"], lambda: ["accepted", "rejected"], refuse])
def test_both_ways_count_the_same(outcome: Outcome) -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = outcome
        grown = []
        for in_two in (False, True):
            before = counted()
            await here.answer(post(), in_two=in_two)
            await asyncio.sleep(0.01)  # the usual way counts when it has answered
            grown.append({name: value - before.get(name, 0) for name, value in counted().items()})
        assert grown[0] == grown[1]
        assert sum(grown[0].values()) >= 1

    at(work)


def test_many_requests_follow_each_other_on_a_connection() -> None:
    async def work(here: Place) -> None:
        client = await here.connect()
        for _ in range(5):
            client.writer.write(post())
            assert b"HTTP/1.1 200 OK" in await client.said()
            [connection] = here.state.connections
            connection.end_if_stalled()
        connection.end_if_stalled()
        assert await asyncio.wait_for(client.reader.read(), 5) == b"", "an idle one is closed"

    at(work)


def test_one_that_went_away_is_not_answered() -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = None
        client = await here.connect()
        client.writer.write(post())
        await asyncio.sleep(0.05)
        client.writer.transport.abort()
        await asyncio.sleep(0.05)
        assert here.state.connections == set()
        [(_, told)] = here.desk.taken
        told(["accepted", "accepted"], None)
        await asyncio.sleep(0)

    at(work)


def test_one_that_reads_no_answers_is_not_read_from_any_more() -> None:
    async def work(here: Place) -> None:
        client = await here.connect()
        await asyncio.sleep(0.02)
        [connection] = here.state.connections
        connection.pause_writing()  # what was answered before is still on its way
        client.writer.write(post())
        await asyncio.sleep(0.02)
        client.writer.write(post())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.05)
        assert not connection.transport.is_reading()
        connection.resume_writing()
        assert [b"HTTP/1.1 200 OK" in await client.said() for _ in range(2)] == [True, True]

    at(work)


def test_one_that_waits_when_the_server_ends_is_answered_and_then_closed() -> None:
    async def work(here: Place) -> None:
        here.desk.outcome = None
        client = await here.connect()
        client.writer.write(post())
        await asyncio.sleep(0.05)
        [connection] = here.state.connections
        connection.shutdown()
        [(_, told)] = here.desk.taken
        told(["accepted", "accepted"], None)
        assert b"connection: close" in await client.said()
        assert await asyncio.wait_for(client.reader.read(), 5) == b""

    at(work)


def test_one_that_takes_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(here: Place) -> None:
        monkeypatch.setattr(APP._deadline, "seconds", 0.05)
        here.desk.outcome = None
        client = await here.connect()
        client.writer.write(post())
        assert b"HTTP/1.1 408 " in await client.said()
        [(_, told)] = here.desk.taken
        told(["accepted", "accepted"], None)
        here.desk.outcome = lambda: ["accepted", "rejected"]
        client.writer.write(post())
        assert b"HTTP/1.1 500 " in await client.said(), "what is known too late is no answer to the next one"

    at(work)


def test_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(here: Place) -> None:
        token = SimpleNamespace(name="prom", role="ingest", token=SimpleNamespace(reveal=lambda: "secret"))
        asked = SimpleNamespace(auth=SimpleNamespace(mode="tokens", tokens=(token,)))
        monkeypatch.setattr(Desk, "settings", asked)
        assert b"HTTP/1.1 401 " in await here.answer(post(), in_two=False)
        assert b"HTTP/1.1 401 " in await here.answer(post(GOOD, "Authorization: Bearer wrong"), in_two=False)
        assert here.desk.taken == []
        assert b"HTTP/1.1 200 " in await here.answer(post(GOOD, "Authorization: Bearer secret"), in_two=False)

    at(work)
