"""The Alertmanager v2 API: ``/api/v2``, for Prometheus, amtool, karma and Grafana.

Errors of the framework are ``{"code", "message"}``, those of a handler a bare JSON string, as
in Alertmanager (api/v2 and go-openapi), the source of every rule here. ``tests/e2e/test_beside.py``
asks both. Different on purpose:

- Receivers are the rules that match; bodies and label sets have limits; what can't be stored is 503.
- An error says which alert of a batch, or which line, is wrong.
- Label names are any UTF-8, a silence that is not there is 404, an invalid change of a silence
  leaves it alone: as in Alertmanager after 0.25. Instants are shown in UTC.
- What began no later than what was resolved is an old message, and an old end does not end what
  its sender began later (:mod:`responder.core.alert`).
- No CORS: a web page from elsewhere may neither read alerts nor silence them (karma: ``proxy: true``).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from responder import metrics
from responder.core.alert import Alert
from responder.core.fingerprints import Shown
from responder.core.matcher import Matcher, parse_matcher
from responder.core.rule import Holds
from responder.core.signal import Instant, Signal
from responder.core.silence import Silence, SilenceNotFound, Silences, check_silence
from responder.web import alerts, http
from responder.web.alerts import Query, Receiver, Snapshot, instant_text
from responder.web.decode import Decoder
from responder.web.gojson import BodyRequired, Unmarshal, openapi_error, regexp_error
from responder.web.http import Receive, Response, Scope, json_response
from responder.web.silences import Invalid, decode_silence, gettable, listed

PREFIX: Final = "/api/v2"
_LARGE: Final = 256 * 1024
"""Bytes of a body from which it is decoded in a thread: decoding would hold up the loop."""
CHUNK: Final = 64 * 1024
"""Bytes from which a part of a long answer leaves."""
_TRUE: Final = frozenset({"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"})
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_ACCEPTED = re.compile(r"(?:^|,)\s*(?:\*/\*|application/(?:\*|json))\s*(?:$|[,;])", re.IGNORECASE)
_VERSION_KEYS: Final = ("branch", "buildDate", "buildUser", "goVersion", "revision", "version")


class Unavailable(Exception):
    """Not stored, try again; answered 503."""


class Undecided(Exception):
    """Alerts that the daemon could not make sense of, by a fault of its own, are not stored; answered 500."""


class Backend(Protocol):
    """What the API needs of the daemon; everything but the ``submit``s answers at once from memory."""

    @property
    def started_at(self) -> Instant: ...

    def now(self) -> Instant: ...

    def alerts(self) -> Sequence[Alert]:
        """Return the newest occurrence of every alert, ended ones too; the list does not change afterwards."""
        ...

    def silences(self) -> Silences: ...

    def receivers(self) -> Sequence[str]:
        """Return the name of every receiver: the rules, and ``none``."""
        ...

    def receivers_of(self, alert: Alert) -> Sequence[str]:
        """Return the rules that match the alert, else ``none``. Called in threads."""
        ...

    def group_by(self, receiver: str) -> Sequence[str]:
        """Return the labels by which a receiver groups. Called in threads."""
        ...

    def compile_regex(self, regex: str) -> Holds: ...

    def version(self) -> Mapping[str, str]:
        """Return ``version`` and ``revision``."""
        ...

    def config_text(self) -> str:
        """Return the configuration without any secret."""
        ...

    async def submit_alerts(self, signals: Sequence[Signal]) -> None:
        """Return when the signals are stored.

        Raises:
            Unavailable: They are not.
            Undecided: Some are not.
        """
        ...

    async def submit_silence(self, posted: Silence) -> str:
        """Create or change a silence and return its id when that is stored.

        Raises:
            SilenceNotFound: ``posted.id`` is set and unknown.
            Unavailable: It is not stored.
        """
        ...

    async def expire_silence(self, id: str) -> None:
        """End a silence; return when that is stored.

        Raises:
            SilenceNotFound: There is none.
            Unavailable: It is not stored.
        """
        ...


def not_stored(error: Unavailable | Undecided) -> Response:
    """Return the answer to who posted what is not stored."""
    return json_response(str(error), 503 if isinstance(error, Unavailable) else 500)


class _Bad(Exception):
    """A parameter can't be understood: 400 with this text."""


Handler = Callable[[Scope, Receive], Awaitable[Response]]


class AlertmanagerApi:
    """Answers what comes to ``/api/v2``."""

    def __init__(self, backend: Backend, decoder: Decoder) -> None:
        self._backend, self._decoder, self._shown = backend, decoder, Shown()
        self._routes: Mapping[str, Mapping[str, Handler]] = {
            "/alerts": {"GET": self._get_alerts, "POST": self._post_alerts},
            "/alerts/groups": {"GET": self._get_groups},
            "/silences": {"GET": self._get_silences, "POST": self._post_silence},
            "/silence/*": {"DELETE": self._delete_silence, "GET": self._get_silence},
            "/status": {"GET": self._get_status},
            "/receivers": {"GET": self._get_receivers},
        }

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """Return the answer to one request whose path begins with :data:`PREFIX`.

        Raises:
            http.Disconnected: The client went away.
        """
        path = scope["path"].removeprefix(PREFIX)
        route = self._routes.get(path) or self._routes.get(_pattern(path))
        if route is None:
            return openapi_error(404, f"path {scope['path']} was not found")
        handler = route.get(scope["method"])
        if handler is None:
            return _not_allowed(scope["method"], ",".join(route))
        if scope["method"] != "POST" and not _ACCEPTED.search(http.header(scope, b"accept") or "*/*"):
            return openapi_error(406, "unsupported media type requested, only [application/json] are available")
        try:
            return await handler(scope, receive)
        except http.Refused as error:
            return openapi_error(error.status, str(error))
        except _Bad as error:
            return json_response(str(error), 400)
        except (Unavailable, Undecided) as error:
            return not_stored(error)

    def expected(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> list[Signal] | None:
        """Return the signals of a request to post alerts that is what Prometheus sends; none if it is not."""
        fields = dict(reversed(headers))  # the first of a name counts, as everywhere
        if fields.get(b"content-type") != b"application/json" or b"content-encoding" in fields or len(body) >= _LARGE:
            return None
        return self._decoder.expected(body, self._backend.now())

    # Alerts.

    async def _post_alerts(self, scope: Scope, receive: Receive) -> Response:
        http.require_json(scope)
        body = await http.read_body(scope, receive)
        now = self._backend.now()
        if len(body) < _LARGE:
            decoded = self._decoder.decode(body, now)
        else:
            decoded = await asyncio.to_thread(self._decoder.decode, body, now)
        if decoded.signals:
            await self._backend.submit_alerts(decoded.signals)
        if decoded.rejected:
            metrics.SIGNALS_RECEIVED.labels("am-api", "rejected").inc(len(decoded.rejected))
        return decoded.refusal or Response()

    async def _get_alerts(self, scope: Scope, receive: Receive) -> Response:
        query, snapshot = self._query(scope), self._snapshot()

        def pages() -> tuple[int, Iterator[bytes]]:
            found = alerts.select(snapshot, query)
            return len(found), alerts.encode_alerts(snapshot, found)

        return await _in_pages(pages)

    async def _get_groups(self, scope: Scope, receive: Receive) -> Response:
        query, snapshot = self._query(scope), self._snapshot()

        def pages() -> tuple[int, Iterator[bytes]]:
            found = alerts.select(snapshot, query)
            return len(found), alerts.encode_groups(snapshot, query, alerts.group(snapshot, query, found))

        return await _in_pages(pages)

    def _snapshot(self) -> Snapshot:
        backend = self._backend
        return Snapshot(
            backend.now(), backend.alerts(), backend.silences(), backend.receivers_of, backend.group_by, self._shown.of
        )

    def _query(self, scope: Scope) -> Query:
        given = http.query_of(scope)
        matchers = self._filters(given)
        try:
            wanted = _utf8(given.get("receiver", [""])[-1])
            receiver = self._compile_regex(wanted) if wanted else None
        except ValueError as error:
            raise _Bad(f"failed to parse receiver param: {error}") from None
        # nothing inhibits and everything is processed, so inhibited= and unprocessed= select nothing
        return Query(matchers, receiver, active=_flag(given, "active"), silenced=_flag(given, "silenced"))

    def _filters(self, given: Mapping[str, list[str]]) -> list[Matcher]:
        try:
            return [parse_matcher(_utf8(text), self._compile_regex) for text in given.get("filter", ())]
        except ValueError as error:
            raise _Bad(str(error)) from None

    def _compile_regex(self, regex: str) -> Holds:
        try:
            return self._backend.compile_regex(regex)
        except ValueError as error:
            raise ValueError(regexp_error(str(error).removeprefix("RE2 refuses the regex: "))) from None

    # Silences.

    async def _get_silences(self, scope: Scope, receive: Receive) -> Response:
        now = self._backend.now()
        filters = self._filters(http.query_of(scope))
        return json_response([gettable(s, now) for s in listed(self._backend.silences(), filters, now)])

    async def _post_silence(self, scope: Scope, receive: Receive) -> Response:
        http.require_json(scope)
        try:
            posted = decode_silence(await http.read_body(scope, receive))
            check_silence(posted, self._backend.now(), self._compile_regex)
            return json_response({"silenceID": await self._backend.submit_silence(posted)})
        except BodyRequired:
            return openapi_error(602, "silence in body is required")
        except Unmarshal as error:
            return error.response("silence")
        except Invalid as error:
            return openapi_error(error.code, str(error))
        except SilenceNotFound as error:
            return json_response(str(error), 404)
        except ValueError as error:
            return json_response(str(error), 400)

    async def _get_silence(self, scope: Scope, receive: Receive) -> Response:
        silence = self._backend.silences().get(_silence_id(scope))
        return Response(404) if silence is None else json_response(gettable(silence, self._backend.now()))

    async def _delete_silence(self, scope: Scope, receive: Receive) -> Response:
        try:
            await self._backend.expire_silence(_silence_id(scope))
        except SilenceNotFound as error:
            return json_response(str(error), 404)
        return Response()

    # The rest.

    async def _get_receivers(self, scope: Scope, receive: Receive) -> Response:
        return json_response([Receiver(name) for name in self._backend.receivers()])

    async def _get_status(self, scope: Scope, receive: Receive) -> Response:
        return json_response(
            {
                "cluster": {"peers": [], "status": "disabled"},
                "config": {"original": self._backend.config_text()},
                "uptime": instant_text(self._backend.started_at),
                "versionInfo": {**dict.fromkeys(_VERSION_KEYS, ""), **self._backend.version()},
            }
        )


def _pattern(path: str) -> str:
    """Return the route of a path that isn't plainly one: a slash at the end, or the id of a silence."""
    path = path.removesuffix("/")
    return "/silence/*" if re.fullmatch("/silence/[^/]+", path) else path


def _silence_id(scope: Scope) -> str:
    id: str = scope["path"].removesuffix("/").rpartition("/")[2]
    if not _UUID.fullmatch(id):
        raise _BadId(id)
    return id


class _BadId(http.Refused):
    def __init__(self, id: str) -> None:
        super().__init__(601, f'silenceID in path must be of type uuid: "{id}"')


def _not_allowed(method: str, allowed: str) -> Response:
    refusal = openapi_error(405, f"method {method} is not allowed, but [{allowed}] are")
    refusal.headers = ((b"allow", allowed.encode()),)
    return refusal


def _flag(given: Mapping[str, list[str]], name: str) -> bool:
    value = given.get(name, [""])[-1]
    return not value or value.lower() in _TRUE


def _utf8(text: str) -> str:
    """Return a parameter as it is.

    Raises:
        ValueError: If its bytes were not UTF-8.
    """
    read = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if read != text:
        raise ValueError(f"matcher value not valid UTF-8: {read}")
    return text


async def _in_pages(work: Callable[[], tuple[int, Iterator[bytes]]]) -> Response:
    """Return the answer that *work* makes in a thread; a long one comes page by page."""

    def begin() -> bytes | Iterator[bytes]:
        count, pages = work()
        return b"".join(pages) if count <= alerts.PAGE else pages

    begun = await asyncio.to_thread(begin)
    body = begun if isinstance(begun, bytes) else _from_thread(begun)
    return Response(200, body, "application/json")


async def _from_thread(pages: Iterator[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(_chunk, pages):
        yield chunk


def _chunk(pages: Iterator[bytes]) -> bytes:
    """Return the next pages together: a way into a thread and back for each small group would cost more than it."""
    found, size = [], 0
    for page in pages:
        found.append(page)
        size += len(page)
        if size >= CHUNK:
            break
    return b"".join(found)
