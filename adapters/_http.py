"""The one HTTP client of all adapters: connections per host, time-outs, size bounds, errors in words.

A source that hangs holds its own share of a host's connections and no others. Nothing of
a URL but its origin is ever printed: paths and user names of webhooks are secrets.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from adapters._wire import Answer, Connection, WireError, connect
from responder.ports import SECOND, VERSION, Instant, Permanent, Secret, Span, Transient

PER_HOST: Final = 4
MEGABYTE: Final = 1024 * 1024
_LONGEST_RETRY_AFTER: Final[Span] = 24 * 3600 * SECOND
_IDLE_FOR: Final = 60.0


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
        apart: bool = False,
    ) -> "Client":  # fmt: skip
        """Return a client for the source or channel *name*.

        Args:
            url: Base; user and password in it become basic authentication.
            headers: Sent with every request.
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
        return Client(host, name, parts, headers or {})

    async def aclose(self) -> None:
        """Close every connection."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()


class _Host:
    """One server and the connections to it."""

    def __init__(self, parts: SplitResult, tls: Tls, keep: bool) -> None:
        assert parts.hostname is not None
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.tls = tls_context(tls) if parts.scheme == "https" else None
        self.names: set[str] = set()
        self._keep = keep
        self._idle: list[tuple[float, Connection]] = []
        self._slots = asyncio.Semaphore(PER_HOST)
        self._shares: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Wait for a free connection; no source may take the share of another on the same host."""
        share = self._shares.setdefault(name, asyncio.Semaphore(max(1, PER_HOST // len(self.names))))
        async with share, self._slots:
            yield

    def idle(self) -> Connection | None:
        """Take the connection that was used last, if one is still good."""
        while self._idle:
            since, connection = self._idle.pop()
            if connection.reusable and asyncio.get_running_loop().time() - since < _IDLE_FOR:
                return connection
            connection.close()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, when both sides may."""
        if self._keep and connection.reusable:
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


class Client:
    """One server as one source or channel sees it."""

    def __init__(self, host: _Host, name: str, parts: SplitResult, headers: Mapping[str, str]) -> None:
        self.origin = host.origin
        self._host, self._name = host, name
        self._path, self._query = parts.path.rstrip("/"), parts.query
        self._exact = parts.path or "/"
        self._head = _render(_merged(_defaults(parts), headers))

    async def fetch(
        self, method: str, path: str | None = None, *, within: Span, body: bytes = b"",
        headers: Mapping[str, str] | None = None, limit: int = 16 * MEGABYTE, cut: bool = False,
    ) -> Answer:  # fmt: skip
        """Return the answer, whatever its status; redirects are not followed.

        Args:
            path: Below the base URL's path, with its query; none: exactly the base URL.
            within: For the whole of it, waiting for a free connection included.
            limit: Bytes of body; a longer answer is an error, or with *cut* ends there.

        Raises:
            Transient: No answer came: time-out, refused, not trusted, cut off.
            Permanent: The answer is too large.
        """
        if path is None:
            target = self._exact + (f"?{self._query}" if self._query else "")
        else:
            target = self._path + path
        length = f"Content-Length: {len(body)}\r\n" if body or method not in ("GET", "HEAD") else ""
        head = f"{method} {target} HTTP/1.1\r\n{self._head}{length}{_render(headers) if headers else ''}\r\n"
        try:
            async with asyncio.timeout(within / SECOND), self._host.slot(self._name):
                return await self._exchange(head.encode("latin-1") + body, limit, cut, method == "HEAD")
        except TimeoutError:
            raise Transient(f"{self.origin} did not answer within {within / SECOND:g} s", "timeout") from None
        except ssl.SSLError as error:
            raise Transient(f"no trusted connection to {self.origin}: {_tls_words(error)}", "tls") from None
        except OSError as error:
            raise Transient(f"cannot reach {self.origin}: {_os_words(error)}", "unreachable") from None
        except WireError as error:
            kind = Permanent if error.reason == "too_large" else Transient
            raise kind(f"{self.origin}: {error}", error.reason) from None

    async def _exchange(self, request: bytes, limit: int, cut: bool, bodiless: bool) -> Answer:
        connection = self._host.idle()
        if connection is not None:
            try:
                return await self._on(connection, request, limit, cut, bodiless)
            except WireError as error:
                if error.begun or error.reason != "unreachable":
                    raise  # else: the server had ended the kept connection; ask once more on a fresh one
        connection = await connect(self._host.host, self._host.port, self._host.tls)
        return await self._on(connection, request, limit, cut, bodiless)

    async def _on(self, connection: Connection, request: bytes, limit: int, cut: bool, bodiless: bool) -> Answer:
        try:
            answer = await connection.exchange(request, limit, cut, bodiless)
        except BaseException:
            connection.close()
            raise
        self._host.give_back(connection)
        return answer


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


def _defaults(parts: SplitResult) -> dict[str, str]:
    defaults = {
        "Host": parts.netloc.rpartition("@")[2],
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


def _render(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(
            r"[\t\x20-\x7e\x80-\xff]*", value
        ):
            raise ValueError(f"header {name!r} has characters that no header may have")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _http_date(text: str) -> float:
    return parsedate_to_datetime(text).timestamp()


def _tls_words(error: ssl.SSLError) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason or str(error)


def _os_words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
