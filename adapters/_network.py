"""One connection to one server for the HTTP client: names are looked up apart, each address of a name is tried.

httpx would keep a pool of connections over anyio, which for the few small questions that are
asked over and over costs several times the talk itself. It would also look names up in
asyncio's few default threads. They would all wait for a name server that is silent, and with
them every other source and whoever else uses these threads.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final, cast

import httpcore

_NEXT_ADDRESS_AFTER: Final = 3.0
"""Seconds after which a silent address is given up for the next one of the same name."""
_IDLE_FOR: Final = 60.0
"""Seconds after which a connection that nobody used is not trusted any more."""
_UNREAD: Final = 256 * 1024
"""Bytes that may wait to be read before the other side is made to wait."""

_lookup_took: Final[ContextVar[float]] = ContextVar("lookup_took", default=0.0)
"""Seconds that the last connection of this task waited for its addresses."""


class Line(httpcore.AsyncConnectionInterface):
    """At most one connection, kept from one request to the next; it stands where httpx has a pool."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, trust: Callable[[], ssl.SSLContext] | None) -> None:
        """*trust*: gives the context of TLS, for an ``https`` server."""
        self._network, self._trust = network, trust
        self._connection: httpcore.AsyncHTTP11Connection | None = None
        self.opening: dict[str, float] = {}
        """Seconds of ``resolve``, ``connect`` and ``tls``, if the last request needed a new connection."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Return the head of the answer; the connection is opened if there is none that can be trusted.

        Raises:
            httpcore.NetworkError, httpcore.ProtocolError: As the exceptions of httpcore.
        """
        self.opening = {}
        connection = self._connection
        if connection is None or not connection.is_idle() or connection.has_expired():
            await self.aclose()
            connection = self._connection = await self._open(request.url.origin)
        return await connection.handle_async_request(request)

    async def _open(self, origin: httpcore.Origin) -> httpcore.AsyncHTTP11Connection:
        now, name = asyncio.get_running_loop().time, origin.host.decode("ascii")
        began = now()
        stream = await self._network.connect_tcp(name, origin.port)
        connected = now()
        if self._trust is not None:
            try:
                stream = await stream.start_tls(self._trust(), name)
            except BaseException:
                await stream.aclose()
                raise
        took = _lookup_took.get()
        self.opening = {"resolve": took, "connect": connected - began - took, "tls": now() - connected}
        return httpcore.AsyncHTTP11Connection(origin, stream, _IDLE_FOR)

    async def aclose(self) -> None:
        """End the connection, whatever goes on over it."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to the first address that takes one.

        Raises:
            httpcore.ConnectError: The name has no address, or none of them answers.
        """
        began = asyncio.get_running_loop().time()
        try:
            addresses = await _look_up(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        _lookup_took.set(asyncio.get_running_loop().time() - began)
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, TimeoutError):
                async with asyncio.timeout(_NEXT_ADDRESS_AFTER):
                    return await _connected(address, port)
        return await _connected(addresses[-1], port)


async def _connected(address: str, port: int) -> "Stream":
    with _told_as(httpcore.ConnectError):
        _, stream = await asyncio.get_running_loop().create_connection(Stream, address, port)
    return stream


class Stream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """A connection as httpcore sees it. What is written leaves when an answer is awaited: one packet, mostly."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._unsent: list[bytes] = []
        self._unread = b""
        self._ended = self._paused = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's signature
        """Return what came, at most *max_bytes*; empty: the other side has ended it.

        Raises:
            httpcore.ReadError: The connection broke.
        """
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()
        if not self._unread and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if self._error is not None and not self._unread:
            with _told_as(httpcore.ReadError):
                raise self._error
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        if self._paused and not self._unread:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's signature
        """Have it sent with what else is written before the next read."""
        if buffer:
            self._unsent.append(buffer)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
    ) -> "Stream":
        """Go on in TLS over the same connection.

        Raises:
            httpcore.ConnectError: The other side is not trusted, or does not speak TLS.
        """
        loop = asyncio.get_running_loop()
        with _told_as(httpcore.ConnectError):
            safe = await loop.start_tls(self._transport, self, ssl_context, server_hostname=server_hostname)
        self._transport = cast("asyncio.Transport", safe)
        return self

    async def aclose(self) -> None:
        """End it at once; whoever closes has read what matters, or wants no more."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Return what asyncio's transport knows, and whether something came that nobody waits for."""
        return bool(self._unread) or self._ended if info == "is_readable" else self._transport.get_extra_info(info)

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) > _UNREAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


@contextlib.contextmanager
def _told_as(kind: type[httpcore.NetworkError]) -> Iterator[None]:
    """Turn an error of the system, or of TLS, into httpcore's."""
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise kind(str(error)) from error


async def _look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, in a thread of its own that nobody waits for at the end.

    Raises:
        OSError: It has none.
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
        except OSError as error:
            failure = error
        except UnicodeError:
            failure = socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host name")
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
    return await found
