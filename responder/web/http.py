"""What a raw ASGI application needs of HTTP: bodies within a limit, answers, query strings."""

import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_plus

import msgspec
from msgspec import Struct

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

BODY_LIMIT: Final = 10 * 1024 * 1024
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """The request can't be taken; *status* is the answer, each API gives it its own shape."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Disconnected(Exception):
    """The client went away before its request was complete; nobody waits for an answer."""


class Response(Struct):
    """An answer; a body that comes in pieces is sent as it comes."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_response(value: object, status: int = 200) -> Response:
    """Return the value as JSON."""
    return Response(status, _encode(value), "application/json")


def problem(status: int, title: str, detail: str = "", **more: object) -> Response:
    """Return an error of ``/api/v1``. Source: RFC 9457."""
    body = {"type": "about:blank", "title": title, "status": status, **({"detail": detail} if detail else {}), **more}
    return Response(status, _encode(body), "application/problem+json")


def headers_of(response: Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer; an empty one has no content type."""
    headers = [(b"content-type", response.content_type.encode())] if response.content_type else []
    headers += response.headers
    if isinstance(response.body, bytes):
        headers.append((b"content-length", b"%d" % len(response.body)))
    return headers


async def send_response(response: Response, send: Send) -> None:
    """Send the answer."""
    await send({"type": "http.response.start", "status": response.status, "headers": headers_of(response)})
    if isinstance(response.body, bytes):
        await send({"type": "http.response.body", "body": response.body})
        return
    async for piece in response.body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


def header(scope: Scope, name: bytes) -> str:
    """Return a header by its name in lower case; the empty string if it is not there."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def query_of(scope: Scope) -> Mapping[str, list[str]]:
    """Return the values of each parameter, in order.

    As Go reads them: a pair with a broken escape or a semicolon does not count. Bytes that
    are not UTF-8 become lone surrogates (``surrogateescape``).
    """
    found: dict[str, list[str]] = {}
    for pair in scope["query_string"].decode("latin-1").split("&"):
        if pair and ";" not in pair and not _BAD_ESCAPE.search(pair):
            name, _, value = pair.partition("=")
            found.setdefault(_unquote(name), []).append(_unquote(value))
    return found


def _unquote(text: str) -> str:
    return unquote_plus(text, errors="surrogateescape")


def has_body(scope: Scope) -> bool:
    """Say whether the request announces a body."""
    return header(scope, b"content-length") not in ("", "0") or header(scope, b"transfer-encoding") != ""


def require_json(scope: Scope) -> None:
    """Check the content type of a request that has a body; parameters such as charset are fine.

    Raises:
        Refused: With 415.
    """
    media_type = header(scope, b"content-type").partition(";")[0].strip().lower() or "application/octet-stream"
    if media_type != "application/json" and has_body(scope):
        raise Refused(415, f'unsupported media type "{media_type}", only [application/json] are allowed')


async def read_body(scope: Scope, receive: Receive, limit: int = BODY_LIMIT) -> bytes:
    """Return the body; ``Content-Encoding: gzip`` is undone. Holds no more than *limit* bytes of it.

    Raises:
        Refused: 413 if it is larger, also when inflated; 400 if the gzip is broken.
        Disconnected: If the client went away.
    """
    announced = header(scope, b"content-length")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    inflate = _inflater(scope, limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        piece: bytes = message.get("body", b"")
        if inflate is not None:
            piece = inflate(piece)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit} bytes")


def _inflater(scope: Scope, limit: int) -> Callable[[bytes], bytes] | None:
    encoding = header(scope, b"content-encoding").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding != "gzip":
        raise Refused(415, f'unsupported content encoding "{encoding}", only [gzip] are allowed')
    unzip = zlib.decompressobj(wbits=31)

    def inflate(piece: bytes) -> bytes:
        try:
            return unzip.decompress(piece, limit + 1)
        except zlib.error as error:
            raise Refused(400, f"the body is not gzip: {error}") from None

    return inflate


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives a body which was read already, then what comes after it."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
