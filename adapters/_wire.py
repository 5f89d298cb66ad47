"""HTTP/1.1 on one connection: what is sent, what comes back, how long each part took.

Why not a general client: a thousand queries every 15 s may cost 8 % of one core. One
query, decoded, costs 90 us of CPU here; the exchange alone costs 630 us in httpx's transport
and 830 us in its client (measured over loopback). So the parser is llhttp (httptools, which uvicorn brings too), and nothing
is done that polling and posting don't need: no redirects, proxies, cookies or compression.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Final

import httptools
from msgspec import Struct

_HEAD_LIMIT: Final = 64 * 1024
_NEXT_ADDRESS_AFTER: Final = 3.0
"""Seconds after which a silent address is given up for the next one of the same name."""


class WireError(Exception):
    """The exchange failed; *reason* is one word for metrics, *begun* whether an answer had begun."""

    def __init__(self, message: str, reason: str, begun: bool = False) -> None:
        super().__init__(message)
        self.reason, self.begun = reason, begun


class Answer(Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    """Names in lower case; several of one name are joined by commas."""
    body: bytes
    phases: dict[str, float]
    """Seconds of ``resolve``, ``connect``, ``tls`` (0 on a kept connection), ``processing``, ``transfer``."""
    certificate_ends: float | None = None
    """When the server's certificate ends, seconds since the epoch."""


class Connection(asyncio.Protocol):
    """One connection to a server; one exchange at a time."""

    def __init__(self) -> None:
        self.reusable = False
        self.opening = {"resolve": 0.0, "connect": 0.0, "tls": 0.0}
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Answer] | None = None

    async def exchange(self, request: bytes, limit: int, cut: bool = False, bodiless: bool = False) -> Answer:
        """Send a whole request and return its answer.

        Args:
            limit: Bytes of body that are taken; a longer one is an error, or with *cut* ends there.
            bodiless: The answer has no body whatever its headers say (HEAD).

        Raises:
            WireError: The connection ended, or what came is no HTTP or too long.
        """
        if self._transport is None or self._transport.is_closing():
            raise WireError("the connection was closed", "unreachable")
        self._parser = httptools.HttpResponseParser(self)
        self._limit, self._cut, self._bodiless = limit, cut, bodiless
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = self._head_size = 0
        self._in_head = True
        self._first_byte = 0.0
        self._done = self._loop.create_future()
        self._sent = self._loop.time()
        self._transport.write(request)
        try:
            return await self._done
        finally:
            self._done = None

    def close(self) -> None:
        """End the connection at once; what is still under way is dropped."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Turn the fresh connection into a TLS one."""
        assert self._transport is not None
        self._transport = await self._loop.start_tls(self._transport, self, context, server_hostname=server_name)

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done():
            self.close()  # nobody asked
            return
        self._first_byte = self._first_byte or self._loop.time()
        if self._in_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"what came back is no HTTP: {error}", "protocol")
        if self._in_head and self._head_size > _HEAD_LIMIT:
            self._fail(f"the head of the answer is over {_HEAD_LIMIT} bytes", "too_large")

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._done is None or self._done.done():
            return
        until_end = not self._in_head and not {"content-length", "transfer-encoding"} & self._headers.keys()
        if until_end and error is None:
            self._finish()
        else:
            self._fail(f"the connection ended before the answer did{f': {error}' if error else ''}", "unreachable")

    # What the parser tells.

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._in_head = self._parser.get_status_code() < 200  # 100 Continue, 103 Early Hints: the head goes on
        if self._bodiless and not self._in_head:
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._body.append(chunk)
        if self._size > self._limit:
            if self._cut:
                self._finish()
            else:
                self._fail(f"the answer is over {self._limit} bytes", "too_large")

    def on_message_complete(self) -> None:
        if self._in_head:
            self._headers.clear()
        elif self._done is not None and not self._done.done():
            self.reusable = self._parser.should_keep_alive()
            self._finish(keep=self.reusable)

    def _finish(self, keep: bool = False) -> None:
        if self._done is None or self._done.done():
            return
        now = self._loop.time()
        phases = self.opening | {"processing": self._first_byte - self._sent, "transfer": now - self._first_byte}
        self.opening = dict.fromkeys(self.opening, 0.0)
        body = b"".join(self._body)[: self._limit]
        self._done.set_result(
            Answer(self._parser.get_status_code(), self._headers, body, phases, self._certificate_ends())
        )
        if not keep:
            self.close()

    def _fail(self, message: str, reason: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(WireError(message, reason, begun=bool(self._first_byte)))
        self.close()

    def _certificate_ends(self) -> float | None:
        certificate = self._transport.get_extra_info("peercert") if self._transport is not None else None
        return float(ssl.cert_time_to_seconds(certificate["notAfter"])) if certificate else None


async def connect(host: str, port: int, context: ssl.SSLContext | None) -> Connection:
    """Open a connection, with TLS when there is a context.

    Raises:
        OSError, ssl.SSLError: No address of the host could be reached, or not trusted.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    addresses = await _resolve(host, port)
    resolved = loop.time()
    connection = await _first_to_answer(addresses, port)
    connected = loop.time()
    if context is not None:
        try:
            await connection.secure(context, host)
        except BaseException:
            connection.close()
            raise
    connection.opening = {
        "resolve": resolved - started,
        "connect": connected - resolved,
        "tls": loop.time() - connected if context is not None else 0.0,
    }
    return connection


async def _first_to_answer(addresses: Sequence[str], port: int) -> Connection:
    loop = asyncio.get_running_loop()
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):  # a time-out is one too
            async with asyncio.timeout(_NEXT_ADDRESS_AFTER):
                return (await loop.create_connection(Connection, address, port))[1]
    return (await loop.create_connection(Connection, addresses[-1], port))[1]


async def _resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name.

    In a thread of its own: asyncio's few default threads would all wait for a name server
    that is silent, and with them every other source.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: OSError | None) -> None:
        if found.done():  # given up
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def ask() -> None:
        addresses: list[str] = []
        failure: OSError | None = None
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
        except (OSError, UnicodeError) as error:
            failure = error if isinstance(error, OSError) else OSError(f"{host!r} is no host name")
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    return await found
