"""Uvicorn's HTTP with the bounds that it lacks: on what surrounds a body, in size and in time.

Uvicorn keeps every line of a head in memory, however many come, and waits for its end for
ever. Bodies are bounded by :mod:`responder.web.http` and :mod:`responder.web.deadline`.

Posted alerts that come whole in one piece need none of what a request has otherwise, a task, events
and messages: that costs as much as the alert. They go to :meth:`App.take`, and what that does not take goes
the usual way.

And it loses the body of a request that offers another protocol, as Java's client does with
``Upgrade: h2c`` unless told otherwise. An offer need not be taken (RFC 9110, 7.8): the request is
read again without it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from responder.web.app import HOT
from responder.web.http import Response, headers_of

OVERHEAD_LIMIT: Final = 512 * 1024
"""Bytes of a head, the framing of chunks and a trailer; they are counted after each piece, of 256 KiB at most."""
LOOK_EVERY: Final = 100
"""Ticks of the server, of a tenth of a second, from one :meth:`Protocol.end_if_stalled` to the next."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NEVER = object()
_HOT: Final = HOT.encode()


class _Direct:
    """A request that is answered without a task; to uvicorn it is a cycle that is under way."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive, self.disconnected, self.response_complete = keep_alive, False, False

    @property
    def message_event(self) -> "_Direct":
        return self

    def set(self) -> None:
        """Nobody waits for more of it."""


Take: TypeAlias = Callable[[Sequence[tuple[bytes, bytes]], bytes, Callable[[Response], None]], bool]
"""See :meth:`responder.web.app.App.take`."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _overhead = 0
    _looked: object = _NEVER
    _held: list[bytes] | None = None
    """The body so far of a request that may be taken directly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._take: Take | None = getattr(self.app, "take", None)

    def data_received(self, data: bytes) -> None:
        self._overhead += len(data)
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._held is not None:
            self._go_usual_way(self._held)
        if self._overhead > OVERHEAD_LIMIT:
            if self._idle():
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _feed(self, data: bytes) -> bytes:
        """Parse data; return what is to be parsed yet: a request without its offer of another protocol, and what follows it.

        Raises:
            httptools.HttpParserError: It is no HTTP.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            method, version = self.parser.get_method(), self.parser.get_http_version().encode()
            if method == b"CONNECT":
                raise httptools.HttpParserError("not a proxy") from None
            lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            return b"\r\n".join([*lines, b"", data[offer.args[0] :]])
        return b""

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self.url == _HOT and self._may_take() and self.parser.get_method() == b"POST":
            self._held = []
        else:
            super().on_headers_complete()

    def _may_take(self) -> bool:
        """Say whether a request may be taken directly: who doesn't read the answers waits, as the usual way has it."""
        return self._take is not None and self._idle() and not self.flow.write_paused

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._overhead = 0
        held, self._held = self._held, None
        if held is not None:
            if self._took(b"".join(held)):
                return
            self._go_usual_way(held)
        super().on_message_complete()

    def _took(self, body: bytes) -> bool:
        assert self._take is not None
        direct = _Direct(self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        if not self._take(self.headers, body, partial(self._answer, direct)):
            return False
        self.cycle = direct  # type: ignore[assignment]
        return True

    def _answer(self, direct: _Direct, response: Response) -> None:
        direct.response_complete = True
        if direct.disconnected:
            return
        headers = self.server_state.default_headers + headers_of(response)
        if not direct.keep_alive:
            headers.append((b"connection", b"close"))
        lines = [b"%b: %b\r\n" % header for header in headers]
        assert isinstance(response.body, bytes)
        self.transport.write(b"".join([STATUS_LINE[response.status], *lines, b"\r\n", response.body]))
        if not direct.keep_alive:
            self.transport.close()
        elif self.pipeline:
            self.on_response_complete()

    def _go_usual_way(self, held: list[bytes]) -> None:
        self._held = None
        super().on_headers_complete()
        for piece in held:
            super().on_body(piece)

    def end_if_stalled(self) -> None:
        """Close the connection if not one head was complete since the last look, and no request is under way."""
        looked, self._looked = self._looked, self.cycle if self._idle() else _NEVER
        if self._looked is looked is not _NEVER:
            self.transport.close()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
