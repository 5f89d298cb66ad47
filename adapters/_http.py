"""The one HTTP client of all adapters, on httpx: connections per host, time-outs, size bounds, errors in words.

A source that hangs holds its own share of a host's connections and no others. Nothing of
a URL but its origin is ever printed: paths and user names of webhooks are secrets.

httpx's transport is used without its client, which adds what is not wanted here (redirects,
cookies, proxies from the environment, a log line with the whole URL), and over one connection
each instead of its pool: a thousand queries every 15 s may cost 8 % of one core, and pool and
client together would cost three times what the rest does.
"""

import asyncio
import base64
import contextlib
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, TypeAlias, cast
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore
import httpx
from msgspec import Struct

from adapters._network import Line, Network
from responder.ports import SECOND, VERSION, Instant, Permanent, Secret, Span, Transient

PER_HOST: Final = 4
_REST: Final = 1.0
"""Seconds that the body of an answer has whose head is what was asked for."""
MEGABYTE: Final = 1024 * 1024
_LONGEST_RETRY_AFTER: Final[Span] = 24 * 3600 * SECOND
_KEPT: Final = {"resolve": 0.0, "connect": 0.0, "tls": 0.0}
"""The phases that a connection which is open already does not have."""

_Headers: TypeAlias = list[tuple[bytes, bytes]]


class Answer(Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    """Names in lower case; several of one name are joined by commas."""
    body: bytes
    phases: dict[str, float]
    """Seconds of ``resolve``, ``connect``, ``tls`` (0 on a kept connection), ``processing``, ``transfer``."""
    certificate_ends: float | None = None
    """When the server's certificate ends, seconds since the epoch; known if the connection is new."""


class Tls(Struct, frozen=True):
    """Files of a TLS client; empty: the system's authorities, and no certificate of ours."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class Pool:
    """Every connection that leaves the daemon over HTTP; made once per loaded configuration."""

    def __init__(self) -> None:
        self._hosts: dict[object, _Host] = {}

    def __call__(
        self, name: str, url: Secret, *, headers: Mapping[str, str] | None = None, tls: Tls | None = None,
        apart: bool = False, authorization: Callable[[], str] | None = None,
    ) -> "Client":  # fmt: skip
        """Return a client for the source or channel *name*.

        Args:
            url: Base; user and password in it become basic authentication.
            headers: Sent with every request.
            authorization: Gives the header of that name, which may be another at each request.
            apart: With connections of its own, none of them kept: for channels, which must
                neither wait for each other nor send a message twice.

        Raises:
            ValueError: The URL, a header or a TLS file is no good.
        """
        parts = _split(url)
        tls = tls or Tls()
        key = (parts.scheme, parts.hostname, parts.port, tls, name if apart else None)
        host = self._hosts.get(key) or self._hosts.setdefault(key, _Host(parts, tls, keep=not apart))
        host.names.add(name)
        return Client(host, name, parts, headers or {}, authorization)

    async def aclose(self) -> None:
        """Close every connection."""
        for host in self._hosts.values():
            await host.aclose()
        self._hosts.clear()


class _Transport(httpx.AsyncHTTPTransport):
    """httpx over one :class:`Line` instead of a pool of connections: it has no parameter for that."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._pool = cast("httpcore.AsyncConnectionPool", line)


class _Trust:
    """The TLS of one server. Files that were replaced are read again before the next connection: certificates end."""

    def __init__(self, tls: Tls) -> None:
        self._tls, self._stamp = tls, _stamp(tls)
        self._context = self._read()

    def __call__(self) -> ssl.SSLContext:
        stamp = _stamp(self._tls)
        if stamp != self._stamp:
            with contextlib.suppress(ValueError):  # half written: what was read before serves until they are whole
                self._context, self._stamp = self._read(), stamp
        return self._context

    def _read(self) -> ssl.SSLContext:
        context = tls_context(self._tls)
        context.set_alpn_protocols(["http/1.1"])
        return context


def _stamp(tls: Tls) -> list[tuple[int, int, int] | None]:
    """Return what changes when a file is replaced; None: it is not there."""
    found: list[tuple[int, int, int] | None] = []
    for file in filter(None, (tls.ca_file, tls.cert_file, tls.key_file)):
        try:
            now = Path(file).stat()
        except OSError:
            found.append(None)
        else:
            found.append((now.st_ino, now.st_size, now.st_mtime_ns))
    return found


class _Host:
    """One server and the connections to it."""

    def __init__(self, parts: SplitResult, tls: Tls, keep: bool) -> None:
        self.names: set[str] = set()
        self._keep = keep
        trust = _Trust(tls) if parts.scheme == "https" else None
        self._free: asyncio.LifoQueue[_Transport] = asyncio.LifoQueue()
        for _ in range(PER_HOST):
            self._free.put_nowait(_Transport(Line(Network(), trust)))
        self._shares: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[_Transport]:
        """Wait for a free connection; no source may take the share of another on the same host."""
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = asyncio.Semaphore(max(1, PER_HOST // len(self.names)))
        async with share:
            transport = await self._free.get()
            done = False
            try:
                yield transport
                done = True
            finally:
                if not (done and self._keep):
                    await transport.aclose()
                self._free.put_nowait(transport)

    async def aclose(self) -> None:
        while not self._free.empty():
            await self._free.get_nowait().aclose()


class Client:
    """One server as one source or channel sees it."""

    def __init__(
        self, host: _Host, name: str, parts: SplitResult, headers: Mapping[str, str],
        authorization: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host, self._name = host, name
        self._base, self._below = _url(parts), parts.path.rstrip("/")
        self._urls: dict[str, httpx.URL] = {}
        self._plain = _merged(_defaults(parts, self._base), headers)
        self._authorization, self._known = authorization, authorization() if authorization is not None else ""
        self._headers = self._encoded(self._known)

    async def fetch(
        self, method: str, path: str | None = None, *, within: Span, body: bytes = b"",
        headers: Mapping[str, str] | None = None, limit: int = 16 * MEGABYTE, cut: bool = False, told: bool = False,
    ) -> Answer:  # fmt: skip
        """Return the answer, whatever its status; redirects are not followed.

        Args:
            path: Below the base URL's path, with its query; none: exactly the base URL.
            within: For the whole of it, waiting for a free connection included.
            limit: Bytes of body; a longer answer is an error, or with *cut* ends there.
            told: The head of a 2xx answer says it all: a body that breaks off or does not come is no error.

        Raises:
            Transient: No answer came: time-out, refused, not trusted, cut off.
            Permanent: The answer is too large.
        """
        self._renew()
        every = self._headers + encoded(headers or {})
        if body or method not in ("GET", "HEAD"):
            every.append((b"Content-Length", b"%d" % len(body)))
        # given a stream, httpx adds no headers of its own
        request = httpx.Request(method, self._url(path), headers=every, stream=httpx.ByteStream(body))
        try:
            async with asyncio.timeout(within / SECOND), self._host.slot(self._name) as transport:
                return await self._exchange(transport, request, limit, cut, told)
        except TimeoutError:
            raise Transient(f"{self.origin} did not answer within {within / SECOND:g} s", "timeout") from None
        except (httpx.TransportError, ssl.SSLError) as error:  # httpx leaves TLS errors after the handshake as they are
            raise _failure(error, self.origin) from None

    def _renew(self) -> None:
        """Send what the other side is to know us by now."""
        known = self._authorization() if self._authorization is not None else ""
        if known != self._known:
            with contextlib.suppress(ValueError):  # half written: the next request looks again
                self._headers, self._known = self._encoded(known), known

    def _encoded(self, known: str) -> _Headers:
        return encoded(_merged(self._plain, {"Authorization": known}) if known else self._plain)

    def _url(self, path: str | None) -> httpx.URL:
        if path is None:
            return self._base
        if path not in self._urls:  # an adapter asks for few of them, over and over
            self._urls[path] = self._base.copy_with(raw_path=(self._below + path).encode("ascii"))
        return self._urls[path]

    async def _exchange(
        self, transport: _Transport, request: httpx.Request, limit: int, cut: bool, told: bool
    ) -> Answer:  # fmt: skip
        now = asyncio.get_running_loop().time
        asked = now()
        try:
            response = await transport.handle_async_request(request)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            if transport.line.opening:
                raise
            # else: the server had ended the kept connection, which is gone now
            response = await transport.handle_async_request(request)
        opening, begun = transport.line.opening, now()
        certificate_ends = _certificate_ends(response) if opening and request.url.scheme == "https" else None
        chunks: list[bytes] = []
        async with aclosing(response):  # what was not read to its end is not kept
            stream = cast("httpx.AsyncByteStream", response.stream)
            if told and 200 <= response.status_code < 300:
                with contextlib.suppress(TimeoutError, httpx.TransportError, ssl.SSLError):
                    async with asyncio.timeout(_REST):
                        await _read(stream, chunks, limit)
            elif await _read(stream, chunks, limit) > limit and not cut:
                raise Permanent(f"{self.origin}: the answer is over {limit} bytes", "too_large")
        phases = {**_KEPT, **opening, "transfer": now() - begun}
        phases["processing"] = begun - asked - sum(opening.values())
        headers = dict(response.headers.items())
        return Answer(response.status_code, headers, b"".join(chunks), phases, certificate_ends)


async def _read(stream: httpx.AsyncByteStream, chunks: list[bytes], limit: int) -> int:
    """Gather a body up to *limit* bytes; returns how many came, more than that if it goes on."""
    came = 0
    async for chunk in stream:
        chunks.append(chunk[: limit - came])
        came += len(chunk)
        if came > limit:
            break
    return came


def _certificate_ends(response: httpx.Response) -> float:
    certificate = response.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
    return float(ssl.cert_time_to_seconds(certificate["notAfter"]))


def good(answer: Answer, origin: str, now: Callable[[], Instant]) -> Answer:
    """Return a 2xx answer as it is.

    Raises:
        Transient: 408, 425, 429 and 5xx, with what ``Retry-After`` asks for.
        Permanent: Every other status; redirects are not followed.
    """
    status = answer.status
    if 200 <= status < 300:
        return answer
    message, reason = f"{origin} answered {status}{said(answer)}", f"http_{status}"
    if status in (408, 425, 429) or status >= 500:
        raise Transient(message, reason, retry_after(answer, now()))
    if 300 <= status < 400:
        message = f"{origin} answered {status}: it redirects elsewhere, which is not followed; give the final URL"
    raise Permanent(message, reason)


def readable(answer: Answer, origin: str, now: Callable[[], Instant]) -> bytes:
    """Return the body of a 2xx answer, as the bytes that are meant.

    Raises:
        Transient, Permanent: As :func:`good`; or the body is compressed although that was not asked for.
    """
    coding = good(answer, origin, now).headers.get("content-encoding", "identity")
    if coding != "identity":
        raise Permanent(f"{origin} answered in {coding}, which was not asked for", "protocol")
    return answer.body


def said(answer: Answer) -> str:
    """Return the beginning of a body that people can read, to stand in an error."""
    if "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<":
        return " with a web page"
    text = " ".join(answer.body[:400].decode("utf-8", "replace").split())
    return f": {text[:200]}" if text.isprintable() and text else ""


def retry_after(answer: Answer, now: Instant) -> Span | None:
    """Return the pause that the other side asks for, at most a day; a date counts from the answer's own."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(int(text[:9]) * SECOND, _LONGEST_RETRY_AFTER)
    try:
        until = _http_date(text)
    except (ValueError, TypeError):
        return None
    try:
        since = _http_date(answer.headers.get("date", ""))
    except (ValueError, TypeError):
        since = now / SECOND
    return min(max(round((until - since) * SECOND), 0), _LONGEST_RETRY_AFTER)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that verifies the other side.

    Raises:
        ValueError: A file can't be read or is none of that kind.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
    except OSError as error:  # ssl.SSLError is one
        names = ", ".join(Path(file).name for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise ValueError(f"TLS files {names}: {error.strerror or error}") from None
    return context


def basic(user: str, password: str) -> str:
    """Return the value of an ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _split(url: Secret) -> SplitResult:
    parts = urlsplit(url.reveal())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http:// or https:// URL with a host")
    if parts.port == 0 or not (parts.path + parts.query).isascii() or re.search(r"[\s\x00-\x1f]", url.reveal()):
        raise ValueError("the URL has a port, or characters in its path, that no server takes; percent-encode them")
    return parts


def _url(parts: SplitResult) -> httpx.URL:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        return httpx.URL(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{target}")
    except httpx.InvalidURL:
        raise ValueError("the URL has a host that can't be a name or an address") from None


def _defaults(parts: SplitResult, url: httpx.URL) -> dict[str, str]:
    defaults = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": f"responder/{VERSION}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # what a limit in bytes means, and cheaper on the paths that matter
    }
    if parts.username is not None:
        defaults["Authorization"] = basic(unquote(parts.username), unquote(parts.password or ""))
    return defaults


def _merged(defaults: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    given = {name.lower() for name in headers}
    return {name: value for name, value in defaults.items() if name.lower() not in given} | dict(headers)


def encoded(headers: Mapping[str, str]) -> _Headers:
    """Return headers as they are sent.

    Raises:
        ValueError: One has characters that no header may have.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(
            r"[\t\x20-\x7e\x80-\xff]*", value
        ):
            raise ValueError(f"header {name!r} has characters that no header may have")
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _http_date(text: str) -> float:
    return parsedate_to_datetime(text).timestamp()


def _failure(error: httpx.TransportError | ssl.SSLError, origin: str) -> Transient | Permanent:
    """Return in our words why no answer came; ``unreachable`` only if nothing can have arrived."""
    if isinstance(error, httpx.ProtocolError):
        return _not_http(str(error), origin)
    cause = next((each for each in _chain(error) if isinstance(each, OSError) and each.errno is not None), None)
    connecting = isinstance(error, httpx.ConnectError)
    if isinstance(cause, ssl.SSLError) and (connecting or not isinstance(cause, ssl.SSLEOFError)):
        return Transient(f"no trusted connection to {origin}: {_tls_words(cause)}", "tls")
    words = _os_words(cause) if cause is not None else "the connection ended"
    if connecting:
        return Transient(f"cannot reach {origin}: {words}", "unreachable")
    return Transient(f"{origin}: the connection ended before the answer did: {words}", "cut_off")


def _not_http(words: str, origin: str) -> Transient | Permanent:
    """Tell apart what httpx has one class for, by the words of httpcore and h11."""
    if "buffer too long" in words:
        return Permanent(f"{origin}: the head of the answer is too long", "too_large")
    if "disconnected" in words or "closed connection" in words:
        return Transient(f"{origin}: the connection ended before the answer did", "cut_off")
    return Transient(f"{origin}: what came back is no HTTP: {words}", "protocol")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tls_words(error: ssl.SSLError) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason or str(error)


def _os_words(error: OSError) -> str:
    known = error.errno is not None and error.errno > 0  # below: the name service's own numbers
    return os.strerror(error.errno or 0) if known else error.strerror or str(error)
