"""What surrounds a body is bounded, in size and in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from responder.web.http import Disconnected, Response, read_body, send_response
from responder.web.protocol import OVERHEAD_LIMIT, Protocol

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer the length of the body."""
    try:
        await send_response(Response(body=b"%d" % len(await read_body(scope, receive))), send)
    except Disconnected:
        return


class Place:
    """A server and one connection to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        self.reader, self._writer, self._state = reader, writer, state

    async def send(self, *pieces: bytes) -> None:
        """Send pieces; the server may have closed before the last."""
        for piece in pieces:
            self._writer.write(piece)
            try:
                await self._writer.drain()
            except ConnectionError:
                return
            await asyncio.sleep(0)

    async def said(self) -> bytes:
        """Return all that the server says until it closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionError:
            return b""

    async def answered(self) -> bytes:
        """Return the first line and the body of an answer on a connection that goes on."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head.split(b"\r\n")[0] + b" " + await self.reader.readexactly(length)

    async def look(self) -> None:
        """Do what the server does every ten seconds."""
        await asyncio.sleep(0.02)
        for connection in list(self._state.connections):
            assert isinstance(connection, Protocol)
            connection.end_if_stalled()


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    config, state = uvicorn.Config(echo, http=Protocol, lifespan="off", log_config=None, ws="none"), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Place(reader, writer, state)
    finally:
        writer.close()
        server.close()
        await asyncio.gather(*state.tasks)


def with_place(work: Callable[[Place], Awaitable[None]]) -> None:
    async def run() -> None:
        async with place() as found:
            await work(found)

    asyncio.run(run())


MUCH = [b"X: y\r\n" * 10_000] * 30


@pytest.mark.parametrize(
    "pieces",
    [
        [POST, *MUCH],
        [POST + b"X: ", *[b"y" * 60_000] * 30],
        [b"GET /", *[b"y" * 60_000] * 30],
        [b"GET /?", *[b"a=b&" * 15_000] * 30],
    ],
    ids=["lines", "one line", "path", "query"],
)
def test_a_head_without_end_is_refused(pieces: list[bytes]) -> None:
    async def work(place: Place) -> None:
        await place.send(*pieces)
        said = await place.said()
        assert said == b"" or said.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))

    with_place(work)


@pytest.mark.parametrize("pieces", [MUCH, [b"X: ", *[b"y" * 60_000] * 30]], ids=["lines", "one line"])
def test_a_trailer_without_end_is_refused(pieces: list[bytes]) -> None:
    async def work(place: Place) -> None:
        await place.send(CHUNKED + b"2\r\n[]\r\n0\r\n", *pieces)
        assert b"200 OK" not in await place.said()

    with_place(work)


def test_a_body_is_not_counted_and_many_requests_on_one_connection_neither() -> None:
    async def work(place: Place) -> None:
        size = 3 * OVERHEAD_LIMIT
        await place.send(POST + b"Content-Length: %d\r\n\r\n" % size, *[b"x" * 1024] * (size // 1024))
        assert await place.answered() == b"HTTP/1.1 200 OK %d" % size
        await place.send(CHUNKED, *[b"400\r\n" + b"x" * 1024 + b"\r\n"] * (size // 1024), b"0\r\n\r\n")
        assert await place.answered() == b"HTTP/1.1 200 OK %d" % size
        for _ in range(400):
            await place.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000 + b"\r\n\r\n")
            assert await place.answered() == b"HTTP/1.1 200 OK 0"

    with_place(work)


@pytest.mark.parametrize("offer", [b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n",
                                   b"connection: upgrade\r\nupgrade: websocket\r\n"])  # fmt: skip
@pytest.mark.parametrize("cut", [None, 20, 60, 150])
def test_an_offer_of_another_protocol_is_not_taken_and_costs_no_body(offer: bytes, cut: int | None) -> None:
    """Java's HTTP client makes one with the first request of each connection."""

    async def work(place: Place) -> None:
        fixed = POST + offer + b"Content-Length: 2\r\n\r\n[]"
        chunked = POST + offer + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n"
        plain = b"GET / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n"
        for request, length in ((fixed, 2), (chunked, 3), (plain, 0), (fixed, 2)):
            await place.send(request[:cut], request[cut:] if cut else b"")
            assert await place.answered() == b"HTTP/1.1 200 OK %d" % length
        await place.send(fixed + chunked + plain)
        assert [await place.answered() for _ in range(3)] == [b"HTTP/1.1 200 OK %d" % n for n in (2, 3, 0)]

    with_place(work)


@pytest.mark.parametrize("target", [b"x:443", b"/"])
def test_it_is_no_proxy(target: bytes) -> None:
    async def work(place: Place) -> None:
        await place.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await place.said()).startswith(b"HTTP/1.1 400 ")

    with_place(work)


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost"], ids=["nothing", "half a head"])
def test_a_connection_that_does_not_come_to_the_end_of_a_head_is_closed(head: bytes) -> None:
    async def work(place: Place) -> None:
        await place.send(head)
        await place.look()
        await place.send(b":" if head else b"")
        await place.look()
        assert await place.said() == b""

    with_place(work)


def test_a_connection_with_requests_or_with_one_under_way_is_not_closed() -> None:
    async def work(place: Place) -> None:
        for _ in range(3):
            await place.look()
            await place.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await place.answered() == b"HTTP/1.1 200 OK 0"
        await place.send(POST + b"Content-Length: 2\r\n\r\n[")
        for _ in range(3):
            await place.look()
        await place.send(b"]")
        assert await place.answered() == b"HTTP/1.1 200 OK 2"

    with_place(work)
