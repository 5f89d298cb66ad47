"""Uvicorn's HTTP with the bounds that it lacks: on what surrounds a body, in size and in time.

Uvicorn keeps every line of a head in memory, however many come, and waits for its end for
ever. Bodies are bounded by :mod:`responder.web.http` and :mod:`responder.web.deadline`.

And it loses the body of a request that offers another protocol, as Java's client does with
``Upgrade: h2c`` unless told otherwise. An offer need not be taken (RFC 9110, 7.8): the request is
read again without it.
"""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OVERHEAD_LIMIT: Final = 512 * 1024
"""Bytes of a head, the framing of chunks and a trailer; they are counted after each piece, of 256 KiB at most."""
LOOK_EVERY: Final = 100
"""Ticks of the server, of a tenth of a second, from one :meth:`Protocol.end_if_stalled` to the next."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NEVER = object()


class Protocol(HttpToolsProtocol):
    """One connection."""

    _overhead = 0
    _looked: object = _NEVER

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
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._overhead = 0
            super().on_message_complete()

    def end_if_stalled(self) -> None:
        """Close the connection if not one head was complete since the last look, and no request is under way."""
        looked, self._looked = self._looked, self.cycle if self._idle() else _NEVER
        if self._looked is looked is not _NEVER:
            self.transport.close()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete
