"""How the HTTP client comes to a connection: names are looked up apart, and each address of a name is tried.

httpx would look names up in asyncio's few default threads. They would all wait for a name
server that is silent, and with them every other source and whoever else uses these threads.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Final

import httpcore

_NEXT_ADDRESS_AFTER: Final = 3.0
"""Seconds after which a silent address is given up for the next one of the same name."""

lookup_took: Final[ContextVar[float]] = ContextVar("lookup_took", default=0.0)
"""Seconds that the last connection of this task waited for its addresses."""


class Network(httpcore.AnyIOBackend):
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
            httpcore.ConnectError, httpcore.ConnectTimeout: The name has no address, or none of them answers.
        """
        began = asyncio.get_running_loop().time()
        try:
            addresses = await _look_up(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        lookup_took.set(asyncio.get_running_loop().time() - began)
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await super().connect_tcp(address, port, _NEXT_ADDRESS_AFTER, local_address, socket_options)
        return await super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


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
