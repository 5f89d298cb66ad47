"""The raw ASGI dispatcher: authentication, limits and deadlines once for all routes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from responder import metrics
from responder.core.signal import shown_fingerprint
from responder.ports import Parsed, Rejected
from responder.web import http
from responder.web.alertmanager import PREFIX as ALERTMANAGER
from responder.web.alertmanager import AlertmanagerApi, Unavailable, Undecided, not_stored
from responder.web.api import build_api
from responder.web.auth import ANONYMOUS, MAY, Guard, Principal, Refusal
from responder.web.backend import Backend, Core
from responder.web.deadline import Deadline
from responder.web.decode import Decoder
from responder.web.http import Receive, Response, Scope, Send, json_response, problem
from responder.web.survey import Survey

log = logging.getLogger(__name__)
PIECE: Final = 256 * 1024
"""Bytes that the connection is given at once: what it can't send yet it copies with every part that it can."""
DEADLINE: Final = 60.0
"""Seconds within which a request has arrived and its answer has begun."""
HOT: Final = ALERTMANAGER + "/alerts"
"""Where alerts are posted."""
TOO_LATE: Final = problem(408, "Request Timeout", f"not complete within {DEADLINE:g} s")
FAILED: Final = problem(500, "Internal Server Error")
RETRY_AFTER: Final = ((b"retry-after", b"5"),)
ROUTES: Final = (
    "/", "/-/healthy", "/-/ready", "/-/reload", "/metrics", "/openapi.json", "/v2/enqueue", "/webhooks/{name}",
    "/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences", "/api/v2/silence/{id}", "/api/v2/status",
    "/api/v2/receivers", "/s/{token}",
)  # fmt: skip
"""What is answered here; ``/api/v1`` has its routes in ``web/api.py``."""


class App:
    """The one ASGI application of the daemon."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._backend = Backend(core)
        self._alertmanager = AlertmanagerApi(self._backend, Decoder())
        self._api = build_api(self._backend)
        self._survey = Survey(self._backend)
        self._auth: Any = None
        self._guard = Guard()
        self._deadline = Deadline(DEADLINE)
        self._counted: dict[tuple[str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        sender = Sender(send)
        route = _route(scope["path"])
        try:
            await self._answer(scope, receive, sender)
        except http.Disconnected:
            return
        except TimeoutError:
            await sender.if_open(TOO_LATE)
        except Exception:
            log.exception("a request could not be answered", extra={"route": route})
            await sender.if_open(FAILED)
        self._count(route, sender.status)

    def take(self, headers: Sequence[tuple[bytes, bytes]], body: bytes, answer: Callable[[Response], None]) -> bool:
        """Take a request to post alerts (:data:`HOT`) that is what Prometheus sends; false: it goes the usual way.

        *answer* gets what the usual way would answer, when it is known.
        """
        try:
            if isinstance(self._principal(headers, "POST", HOT), Refusal):
                return False
            signals = self._alertmanager.expected(headers, body)
            if not signals:
                return False
            posted = Posted(self, answer)
            self._backend.take("am-api", signals, posted.told)
        except Unavailable:
            return False
        except Exception:  # to the parser that called, it would be the sender's: 400
            log.exception("alerts could not be taken directly")
            return False
        self._deadline.begin(posted)
        return True

    def _count(self, route: str, status: int) -> None:
        counter = self._counted.get((route, status))
        if counter is None:
            counter = self._counted[route, status] = metrics.HTTP_REQUESTS.labels(route, str(status))
        counter.inc()

    async def _answer(self, scope: Scope, receive: Receive, sender: "Sender") -> None:
        path: str = scope["path"]
        if path.startswith("/s/"):  # the token of the path is the secret
            with self._deadline:
                response = await self._survey.respond(scope, receive)
            await sender.send(response)
            return
        own = self._proves_itself(path)
        principal = ANONYMOUS if own else self._principal(scope["headers"], scope["method"], path)
        if isinstance(principal, Refusal):
            refusal = problem(
                principal.status, "Unauthorized" if principal.status == 401 else "Forbidden", principal.detail
            )
            refusal.headers = ((b"www-authenticate", principal.challenge.encode()),)
            await sender.send(refusal)
            return
        scope["principal"], scope["commands"] = principal.name, "command" in MAY[principal.role]
        if path.startswith(ALERTMANAGER + "/") or path == ALERTMANAGER:
            with self._deadline:
                response = await self._alertmanager.respond(scope, receive)
            await sender.send(response)
        elif path.startswith("/api/v1/") or path == "/openapi.json":
            try:
                with self._deadline:
                    body = await http.read_body(scope, receive)
            except http.Refused as error:
                await sender.send(problem(error.status, HTTPStatus(error.status).phrase, str(error)))
                return
            await self._api(scope, http.replayed(body, receive), sender)
        else:
            with self._deadline:
                response = await self._own(scope, receive)
            await sender.send(response)

    def _principal(self, headers: Sequence[tuple[bytes, bytes]], method: str, path: str) -> Principal | Refusal:
        auth = self._core.settings.auth
        if auth is not self._auth:
            self._auth, self._guard = auth, Guard(auth.mode, auth.tokens)
        return self._guard.authorize(headers, method, path)

    def _proves_itself(self, path: str) -> bool:
        """Say whether the source behind a path has a secret of its own, which its adapter asks for."""
        if path == "/v2/enqueue":
            return any(getattr(s.settings, "routing_key", None) for s in self._core.sources.values())
        source = self._core.sources.get(path.removeprefix("/webhooks/")) if path.startswith("/webhooks/") else None
        return source is not None and bool(
            getattr(source.settings, "token", None) or getattr(source.settings, "hmac", None)
        )

    async def _own(self, scope: Scope, receive: Receive) -> Response:
        path, method = scope["path"], scope["method"]
        if path.startswith("/webhooks/"):
            return await self._webhook(scope, receive) if method == "POST" else _only("POST")
        if path == "/v2/enqueue":
            return await self._enqueue(scope, receive) if method == "POST" else _only("POST")
        if path == "/-/reload":
            return await self._reload() if method in ("POST", "PUT") else _only("POST")
        if path not in ("/", "/metrics", "/-/healthy", "/-/ready"):
            return problem(404, "Not Found", f"there is nothing at {path}")
        if method not in ("GET", "HEAD"):
            return _only("GET")
        if path == "/metrics":
            page = await self._core.read(metrics.page, self._core.facts)
            return Response(200, page, metrics.CONTENT_TYPE)
        if path == "/-/ready" and (not self._core.ready or self._core.failure is not None):
            # who asks has no token, so not the reason itself: it may name hosts and files
            why = b"the store takes no writes" if self._core.ready else b"starting or stopping"
            return Response(503, b"Service Unavailable: " + why, "text/plain; charset=utf-8")
        if path == "/":
            return json_response(
                {
                    "name": "responder",
                    "see": [route for route in ROUTES if route != "/"]
                    + ["/api/v1/incidents", "/api/v1/problems", "/api/v1/services"],
                }
            )
        return Response(200, b"OK", "text/plain; charset=utf-8")

    async def _webhook(self, scope: Scope, receive: Receive) -> Response:
        name = scope["path"].removeprefix("/webhooks/")
        webhook = self._core.webhook(name)
        if webhook is None:
            return problem(404, "Not Found", f"no source of kind webhook is called {name!r}")
        headers = _headers(scope)
        try:
            http.require_json(scope)
            body = await http.read_body(scope, receive)
            if not webhook.authentic(headers, body):
                return problem(401, "Unauthorized", "the body does not come with the secret of this source")
            parsed = webhook.parse(headers, body, self._core.now())
        except http.Refused as error:
            return problem(error.status, HTTPStatus(error.status).phrase, str(error))
        except Rejected as error:
            return problem(error.status, HTTPStatus(error.status).phrase, str(error))
        return await self._take("am-webhook" if name == "alertmanager" else name, parsed)

    async def _take(self, source: str, parsed: Sequence[Parsed]) -> Response:
        good = [entry.signal for entry in parsed if entry.signal is not None]
        try:
            results = iter(await self._backend.push(source, good) if good else [])
        except Unavailable as error:
            unavailable = problem(503, "Service Unavailable", str(error))
            unavailable.headers = RETRY_AFTER
            return unavailable
        answer = []
        for entry in parsed:
            if entry.signal is None:
                answer.append({"fingerprint": None, "result": "rejected", "error": entry.error})
                metrics.SIGNALS_RECEIVED.labels(source, "rejected").inc()
            else:
                answer.append(
                    {
                        "fingerprint": shown_fingerprint(entry.signal.labels, entry.signal.identity),
                        "result": next(results),
                    }
                )
        refused = [entry.error for entry in parsed if entry.signal is None]
        if refused:  # senders don't read what a 200 says
            log.warning("alerts were refused", extra={"source": source, "refused": len(refused), "error": refused[0]})
        return json_response({"signals": answer})

    async def _enqueue(self, scope: Scope, receive: Receive) -> Response:
        """PagerDuty's Events API v2; an ``acknowledge`` of a source is not a person's and changes nothing."""
        try:
            http.require_json(scope)
            body = await http.read_body(scope, receive)
            source = next((s for s in self._core.pagerduty() if s.authentic(_headers(scope), body)), None)
            if source is None:
                return problem(401, "Unauthorized", "the routing_key is not known here")
            parsed, key = source.enqueue(body, self._core.now())
        except http.Refused as error:
            return problem(error.status, HTTPStatus(error.status).phrase, str(error))
        except Rejected as error:
            refused = msgspec.json.encode(
                {"status": "invalid event", "message": "Event object is invalid", "errors": error.errors}
            )
            return Response(error.status, refused, "application/json")
        if parsed.signal is not None and not parsed.ack:
            try:
                await self._backend.push_whole(parsed.signal.source, [parsed.signal])
            except Unavailable as error:
                return problem(503, "Service Unavailable", str(error))
            except Undecided as error:
                return problem(500, "Internal Server Error", str(error))
        return Response(202, source.accepted(key), "application/json")

    async def _reload(self) -> Response:
        wrong = await self._core.reload()
        if wrong:
            text = "failed to reload config:\n" + "\n".join(wrong)
            return Response(500, text.encode(), "text/plain; charset=utf-8")
        return Response()

    @staticmethod
    async def _lifespan(receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return


class Posted:
    """Alerts that were taken without a task, until they are answered."""

    __slots__ = ("_answer", "_app", "_began")

    def __init__(self, app: App, answer: Callable[[Response], None]) -> None:
        self._app, self._answer, self._began = app, answer, app._core.now()

    def told(self, results: list[str], error: Exception | None) -> None:
        if self._app._deadline.end(self):
            return
        try:
            self._app._backend.taken("am-api", self._began, results, error)
            response = Response()
        except (Unavailable, Undecided) as why:
            response = not_stored(why)
        except Exception:
            log.exception("a request could not be answered", extra={"route": HOT})
            response = FAILED
        self._say(response)

    def cancel(self) -> None:
        """It takes too long."""
        self._say(TOO_LATE)

    def _say(self, response: Response) -> None:
        self._app._count(HOT, response.status)
        self._answer(response)


class Sender:
    """Sends an answer, a long body piece by piece, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        rest = memoryview(message.get("body", b""))
        while len(rest) > PIECE:
            await self._send({"type": message["type"], "body": rest[:PIECE], "more_body": True})
            rest = rest[PIECE:]
            message = message | {"body": rest}
        await self._send(message)

    async def send(self, response: Response) -> None:
        await http.send_response(response, self)

    async def if_open(self, response: Response) -> None:
        """Send an answer unless one has begun: then the connection can only end."""
        if self.status == 0:
            await self.send(response)


def _route(path: str) -> str:
    """Return the pattern of a path: metrics must not make a series of every id that is asked for."""
    if path in ROUTES:
        return path
    parts = path.split("/")
    if path.startswith("/webhooks/"):
        return "/webhooks/{name}"
    if path.startswith("/s/"):
        return "/s/{token}"
    if path.startswith("/api/v2/silence/"):
        return "/api/v2/silence/{id}"
    if path.startswith("/api/v1/") and parts[3] in _COLLECTIONS:
        if len(parts) == 4:
            return f"/api/v1/{parts[3]}"
        last = f"/{parts[5]}" if len(parts) == 6 and parts[5] in _VERBS else ""
        return f"/api/v1/{parts[3]}/{{id}}{last}"
    return "other"


_COLLECTIONS: Final = frozenset(
    {"incidents", "problems", "services", "rules", "sla", "changes", "maintenance", "export"}
)
_VERBS: Final = frozenset(
    {"timeline", "acknowledge", "assign", "handover", "accept", "pause", "resume", "resolve", "reopen", "close", "cancel",
     "note", "priority", "exempt", "snooze", "merge", "unmerge", "major", "state", "workaround", "cause", "due", "link", "unlink",
     "split", "review", "action", "done"}
)  # fmt: skip


def _headers(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _only(method: str) -> Response:
    refused = problem(405, "Method Not Allowed", f"only {method} is allowed here")
    refused.headers = ((b"allow", method.encode()),)
    return refused
