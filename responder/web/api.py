"""``/api/v1``: what people and scripts read and command.

Endpoints hand reads to the pool of readers and commands to the writer; answers are encoded
where they are read, so that a long page keeps no other request waiting.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from fastapi import Body, Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from responder import __version__
from responder.core import gauges, lifecycle, satisfaction
from responder.core.incident import Incident, name_of
from responder.core.problem import Problem
from responder.core.signal import MINUTE
from responder.handlers.commands import Command, NotFound, OpenByHand, Outdated, RecordChange
from responder.intake import Unavailable
from responder.store.changes import changes_by, newest_changes
from responder.store.transaction import DataRefused
from responder.web import bodies, http, views
from responder.web.endpoint import PREFIX, Backend, IfMatch, actor_of, encode, json_answer, version_of
from responder.web.maintenance import Maintenance, add_maintenance
from responder.web.mistakes import words_of
from responder.web.problems import Problems, add_problems
from responder.web.shapes import (
    ChangeList,
    ChangeShape,
    EventList,
    IncidentList,
    IncidentShape,
    ProblemDetails,
    RuleList,
    ServiceList,
    ServiceShape,
    SlaList,
)
from responder.web.silenced import FLAG, silenced

NEWEST: Final = 100
"""Alerts that an incident shows unless all are asked for."""
EXPORTED: Final = 200
"""Incidents that an export reads at once."""
SLICE: Final = 500
"""Ids that one statement names at most, alerts that are encoded in one go."""
RETRY_AFTER: Final = "5"
"""Seconds after which a client may try again."""
MANUAL_REOPEN: Final = 30 * MINUTE
_surrogates = re.compile("[\ud800-\udfff]")


IncidentId: TypeAlias = Annotated[
    str, Path(pattern=r"^(INC-)?[1-9][0-9]{0,17}$", description="`INC-12` or `12`", examples=["INC-12"])
]


def build_api(backend: Backend) -> FastAPI:
    """Return the ASGI application of ``/api/v1`` and ``/openapi.json``; it expects full paths.

    Who asks is ``scope["principal"]``, a name; commands carry it as their actor. Everything
    else is answered with a problem of RFC 9457.
    """
    app = FastAPI(
        title="responder",
        version=__version__,
        description=f"Incidents, their timelines and clocks. Errors are RFC 9457 problems. {bodies.RULE}",
        openapi_url=None,  # answered below
        redirect_slashes=False,
        dependencies=[Depends(_json_only)],
        responses=_problems(422, 503),
    )
    _add_error_handlers(app)
    incidents = Incidents(backend)
    catalogue = Catalogue(backend)
    get, post = app.get, app.post
    get(f"{PREFIX}/incidents", response_model=IncidentList, tags=["incidents"])(incidents.list)
    post(
        f"{PREFIX}/incidents", response_model=IncidentShape, status_code=201, tags=["incidents"],
        responses=_problems(400, 415),
    )(incidents.open)  # fmt: skip
    get(f"{PREFIX}/incidents/{{id}}", response_model=IncidentShape, tags=["incidents"], responses=_problems(404))(
        incidents.show
    )
    get(f"{PREFIX}/incidents/{{id}}/timeline", response_model=EventList, tags=["incidents"], responses=_problems(404))(
        incidents.timeline
    )
    for name, (form, words) in bodies.COMMANDS.items():
        post(
            f"{PREFIX}/incidents/{{id}}/{name}", response_model=IncidentShape, tags=["commands"], operation_id=name,
            summary=words, responses=_problems(400, 404, 409, 412, 415),
        )(incidents.command(name, form))  # fmt: skip
    add_problems(app, Problems(backend), problems_of=_problems)
    add_maintenance(app, Maintenance(backend), problems_of=_problems)
    get(
        f"{PREFIX}/export/incidents", response_class=StreamingResponse, tags=["incidents"],
        responses={200: {"description": "One incident a line.", "content": {"application/x-ndjson": {}}}},
    )(incidents.export)  # fmt: skip
    get(f"{PREFIX}/rules", response_model=RuleList, tags=["catalogue"])(catalogue.rules)
    get(f"{PREFIX}/services", response_model=ServiceList, tags=["catalogue"])(catalogue.services)
    get(f"{PREFIX}/services/{{name:path}}", response_model=ServiceShape, tags=["catalogue"], responses=_problems(404))(
        catalogue.service
    )
    get(f"{PREFIX}/sla", response_model=SlaList, tags=["catalogue"])(catalogue.sla)
    get(f"{PREFIX}/changes", response_model=ChangeList, tags=["changes"])(catalogue.changes)
    post(
        f"{PREFIX}/changes", response_model=ChangeShape, status_code=201, tags=["changes"],
        responses=_problems(400, 415),
    )(catalogue.change)  # fmt: skip

    async def description() -> Response:
        return json_answer(await backend.read(lambda: encode(app.openapi())))  # the first time is long: not on the loop

    app.add_api_route("/openapi.json", description, include_in_schema=False)
    return app


class Incidents:
    """Lists, single incidents, timelines and commands."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list(self, asked: Annotated[bodies.IncidentPage, Query()]) -> Response:
        """Incidents, newest first."""
        below = int(asked.cursor) if asked.cursor else None
        return json_answer(await self._backend.read(self._listed, asked, below, asked.limit))

    async def export(self, asked: Annotated[bodies.Filters, Query()]) -> Response:
        """Every incident that the filters leave, one a line, newest first."""
        first = await self._backend.read(self._page, asked, None, EXPORTED)
        return StreamingResponse(self._lines(asked, first), media_type="application/x-ndjson")

    async def show(
        self, request: Request, id: IncidentId, alerts: Annotated[bodies.Newest, Query()] = "newest"
    ) -> Response:
        """One incident, with its newest alerts or all of them."""
        return await self._shown(request, await self._found(id), all_alerts=alerts == "all")

    async def timeline(self, id: IncidentId, asked: Annotated[bodies.NumberedPage, Query()]) -> Response:
        """What happened to the incident, in its order."""
        number = (await self._found(id)).id
        after = int(asked.cursor) if asked.cursor else 0
        found = await self._backend.read(self._backend.reader.timeline, "incident", number, after, asked.limit + 1)
        rows = found[: asked.limit]
        more = str(rows[-1].event.seq) if len(found) > asked.limit else None
        return json_answer(encode({"items": [views.event(row) for row in rows], "next": more}))

    async def open(self, request: Request, body: bodies.OpenIncident) -> Response:
        """Report an incident by hand; its clocks are those of any other."""
        backend = self._backend
        now = backend.now()
        priority = body.priority or backend.book().priority(body.impact, body.urgency)
        if priority is None:
            raise lifecycle.Invalid("the priority matrix does not know this impact and urgency", "impact")
        opening = lifecycle.Opening(
            service=body.service, title=body.title, priority=priority, source="manual",
            started_at=now if body.started_at is None else body.started_at, impact=body.impact, urgency=body.urgency,
            labels=dict(body.labels), description=body.description,
            runbook=body.runbook or backend.book().service(body.service).runbook,
            reopen_within=MANUAL_REOPEN, major=body.major,
        )  # fmt: skip
        row = await backend.submit(OpenByHand(opening, actor_of(request)))
        response = await self._shown(request, row, status=201)
        response.headers["location"] = f"{PREFIX}/incidents/{name_of(row.id)}"
        return response

    def command(self, name: str, form: type[bodies.Form]) -> Callable[..., Awaitable[Response]]:
        """Return the endpoint of a command."""
        optional = form in bodies.OPTIONAL
        default: Any = None if optional else Body()

        async def run(
            request: Request, id: IncidentId, body: bodies.Form | None = default, if_match: IfMatch = ""
        ) -> Response:
            args = body.model_dump(exclude_none=True) if body is not None else {}
            row = await self._backend.submit(Command(name, _number(id), args, actor_of(request), version_of(if_match)))
            return await self._shown(request, row)

        run.__annotations__["body"] = form | None if optional else form
        return run

    async def _found(self, id: str) -> Incident:
        row = await self._backend.read(self._fresh_of, _number(id))
        if row is None:
            raise NotFound(f"there is no incident {id}")
        return row  # type: ignore[no-any-return]

    async def _shown(self, request: Request, row: Incident, *, all_alerts: bool = False, status: int = 200) -> Response:
        links = request.scope.get("commands", True)
        [body] = await self._backend.read(self._encoded, [row], None if all_alerts else NEWEST, links)
        return json_answer(body, status, {"etag": f'"{row.version}"'})

    async def _lines(self, asked: bodies.Filters, page: tuple[Sequence[bytes], int | None]) -> AsyncIterator[bytes]:
        while True:
            items, following = page
            if items:
                yield b"\n".join(items) + b"\n"
            if following is None:
                return
            page = await self._backend.read(self._page, asked, following, EXPORTED)

    # On threads of readers.

    def _listed(self, asked: bodies.Filters, below: int | None, limit: int) -> bytes:
        """Return a page as JSON; put together here, because a long one takes as long as many requests."""
        items, following = self._page(asked, below, limit)
        next_cursor = encode(None if following is None else str(following))
        return b"".join((b'{"items":[', b",".join(items), b'],"next":', next_cursor, b"}"))

    def _page(self, asked: bodies.Filters, below: int | None, limit: int) -> tuple[Sequence[bytes], int | None]:
        """Return encoded incidents, and where the next page begins."""
        found = self._chosen(asked.where(), below, limit + 1)
        rows = [self._fresh(row) for row in found[:limit]]
        following = rows[-1].id if len(found) > limit else None
        quiet = {row.id for row in rows} if asked.flag == FLAG else None  # all of them, as was found out just now
        return self._encoded(rows, None if asked.alerts == "all" else NEWEST, quiet=quiet), following

    def _chosen(self, where: dict[str, Any], below: int | None, limit: int) -> Sequence[Incident]:
        """Return the newest incidents that the filters leave; what is silenced is known to the memory alone."""
        backend = self._backend
        if where["flag"] != FLAG:
            return backend.reader.incidents(where, below, limit)
        living = list(backend.resident.incidents.values())
        ids = sorted(silenced(backend.resident, backend.reader, backend.book(), living, backend.now()), reverse=True)
        found: list[Incident] = []
        for first in range(0, len(ids), SLICE):
            slice_ = where | {"flag": "", "ids": ids[first : first + SLICE]}
            found += backend.reader.incidents(slice_, below, limit - len(found))
            if len(found) == limit:
                break
        return found

    def _encoded(
        self, rows: Sequence[Incident], newest: int | None, links: bool = False, quiet: set[int] | None = None
    ) -> Sequence[bytes]:
        backend = self._backend
        book, now, resident = backend.book(), backend.now(), backend.resident.incidents
        alerts = backend.reader.newest_alerts([row.id for row in rows], newest)
        counts = backend.reader.counts_of([row.id for row in rows if row.id not in resident])
        if quiet is None:
            quiet = silenced(backend.resident, backend.reader, book, rows, now)
        changes = changes_by(backend.reader, [id for row in rows for id in row.changes])
        found = []
        for row in rows:
            shown = views.incident(
                row, alerts[row.id], counts.get(row.id, row.alerts_count), book.terms(row.service), now,
                self._known_error(row.known_error), changes=[changes[id] for id in row.changes if id in changes],
                silenced=row.id in quiet,
            )  # fmt: skip
            if links and shown["satisfaction"] is not None:
                shown["satisfaction"]["link"] = satisfaction.link(book, row)
            found.append(encode({**shown, "alerts": msgspec.Raw(_in_slices(shown["alerts"]))}))
        return found

    def _known_error(self, number: int | None) -> Problem | None:
        if number is None:
            return None
        row = self._backend.resident.problems.get(number) or self._backend.reader.problem(number)
        return row.problem if row is not None else None

    def _fresh_of(self, id: int) -> Incident | None:
        row = self._backend.resident.incidents.get(id)
        return row if row is not None else self._backend.reader.incident(id)

    def _fresh(self, row: Incident) -> Incident:
        """Return the incident as it is in memory, where its counts are newer, unless the store is ahead of it."""
        known = self._backend.resident.incidents.get(row.id)
        return known if known is not None and known.version >= row.version else row


def _in_slices(items: Sequence[Any]) -> bytes:
    """Return a JSON array; the encoder lets nobody else run, so it is given a slice at a time."""
    slices = [encode(items[first : first + SLICE])[1:-1] for first in range(0, len(items), SLICE)]
    return b"".join((b"[", b",".join(slices), b"]"))


class Catalogue:
    """Rules, services, what is promised, and changes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def rules(self, asked: Annotated[bodies.Page, Query()]) -> Response:
        """Every rule with its health and its last match."""
        return await self._backend.read(self._rules, asked)  # type: ignore[no-any-return]

    async def services(self, asked: Annotated[bodies.Page, Query()]) -> Response:
        """The catalogue: states, open incidents, what was promised and what was kept."""
        return await self._backend.read(self._services, asked)  # type: ignore[no-any-return]

    async def service(self, name: str) -> Response:
        """One service."""
        found = (await self._backend.read(self._all_services)).get(name)
        if found is None:
            raise NotFound(f"there is no service {name}")
        return json_answer(encode(found))

    async def sla(self, asked: Annotated[bodies.Page, Query()]) -> Response:
        """Targets, objectives, verdicts and what is left of the budget, for each service."""
        return _paged(views.slas(self._backend.book(), self._facts()), asked)

    async def changes(self, asked: Annotated[bodies.ChangePage, Query()]) -> Response:
        """Changes and releases, the newest first."""
        return await self._backend.read(self._changes, asked)  # type: ignore[no-any-return]

    async def change(self, request: Request, body: bodies.NewChange) -> Response:
        """Announce a change or a release; incidents of its service that open within 30 minutes are linked to it."""
        item = RecordChange(body.service, body.kind, body.version, body.at, body.url, actor_of(request))
        return json_answer(encode(views.change(await self._backend.submit(item))), 201)

    def _changes(self, asked: bodies.ChangePage) -> Response:
        below, services = int(asked.cursor) if asked.cursor else None, [name for name in asked.service if name]
        found = newest_changes(self._backend.reader, services, below, asked.limit + 1)
        shown = found[: asked.limit]
        following = str(shown[-1].id) if len(found) > asked.limit else None
        return json_answer(encode({"items": [views.change(row) for row in shown], "next": following}))

    def _rules(self, asked: bodies.Page) -> Response:
        return _paged(views.rules(self._backend.book(), self._open()), asked)

    def _services(self, asked: bodies.Page) -> Response:
        return _paged(self._all_services(), asked)

    def _all_services(self) -> Mapping[str, ServiceShape]:
        backend = self._backend
        return views.services(backend.book(), self._open(), self._facts(), backend.now())

    def _open(self) -> Sequence[Incident]:
        return list(self._backend.resident.incidents.values())  # a copy: the writer changes the original

    def _facts(self) -> views.Facts:
        backend = self._backend
        return gauges.facts(backend.book(), dict(backend.resident.facts), backend.resident.all_meters(), backend.now())


def _number(id: str) -> int:
    return int(id.removeprefix("INC-"))


def _paged(found: Mapping[str, Any], asked: bodies.Page) -> Response:
    """Return one page of what is listed by name; the cursor is the last name of the page before."""
    names = sorted(name for name in found if name > asked.cursor)
    shown = names[: asked.limit]
    following = shown[-1] if len(names) > asked.limit else None
    return json_answer(encode({"items": [found[name] for name in shown], "next": following}))


# Errors: everything that is not an answer is a problem of RFC 9457.


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these answers."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": ProblemDetails,
            "content": {"application/problem+json": {}},
        }
        for status in statuses
    }


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    answer = http.problem(status, HTTPStatus(status).phrase, _clean(detail), **more)
    assert isinstance(answer.body, bytes)
    return Response(answer.body, status, dict(headers or {}), answer.content_type)


def _add_error_handlers(app: FastAPI) -> None:
    def on(error: type[Exception], answer: Callable[[Request, Any], Response]) -> None:
        async def handle(request: Request, raised: Exception) -> Response:
            return answer(request, raised)

        app.exception_handler(error)(handle)

    on(RequestValidationError, _on_mistakes)
    on(HTTPException, lambda request, raised: _on_http(app, request, raised))
    on(http.Refused, lambda _, raised: _problem(raised.status, str(raised)))
    on(NotFound, lambda _, raised: _problem(404, str(raised)))
    on(Outdated, lambda _, raised: _problem(412, str(raised)))
    on(lifecycle.Refused, lambda _, raised: _problem(409, str(raised), allowed=list(raised.allowed)))
    on(lifecycle.Invalid, _on_invalid)
    on(DataRefused, lambda _, raised: _problem(422, f"the store can't hold this: {raised}"))
    on(Unavailable, lambda _, raised: _problem(503, str(raised), {"retry-after": RETRY_AFTER}))
    on(Exception, lambda _, raised: _problem(500, "an error of responder itself; its log says more"))


def _on_mistakes(request: Request, raised: RequestValidationError) -> Response:
    errors = raised.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        return _problem(400, f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][1]}")
    if first["loc"][0] == "path":
        return _problem(404, f"there is nothing at {request.url.path}")
    mistakes = [{"loc": [_clean(part) for part in e["loc"]], "msg": _clean(words_of(e))} for e in errors]
    loc = mistakes[0]["loc"]
    where = str(loc[1]) if loc[0] == "query" else ".".join(str(part) for part in loc[1:])
    said = mistakes[0]["msg"]  # of the whole body: a sentence of ours, or what the body must be
    detail = f"{where}: {said}" if where else said if first["type"] == "value_error" else f"the body {said}"
    return _problem(422, detail, errors=mistakes)


def _on_invalid(_: Request, raised: lifecycle.Invalid) -> Response:
    loc = ["body", raised.field] if raised.field else ["body"]
    return _problem(422, str(raised), errors=[{"loc": loc, "msg": str(raised)}])


def _on_http(app: FastAPI, request: Request, raised: HTTPException) -> Response:
    if raised.status_code == 404:
        return _problem(404, f"there is nothing at {request.url.path}")
    if raised.status_code == 405:
        methods = sorted({m for route in app.routes for m in _methods(route, request.url.path)})
        detail = f"{request.method} is not for {request.url.path}; {', '.join(methods)} is"
        return _problem(405, detail, {"allow": ", ".join(methods)})
    unread = _unread(raised.__cause__)
    return _problem(raised.status_code, unread or str(raised.detail), raised.headers)


def _unread(cause: BaseException | None) -> str:
    """Return why a body could not be read where its decoder failed, which FastAPI passes over."""
    match cause:
        case UnicodeDecodeError():
            return f"the body is not JSON: no UTF-8 at byte {cause.start + 1}"
        case RecursionError():
            return "the body is not JSON that can be read: nested too deeply"
        case ValueError():
            return f"the body is not JSON that can be read: {cause}"
    return ""


def _methods(route: Any, path: str) -> set[str]:
    return route.methods if route.path_regex.match(path) else set()


def _clean(part: Any) -> Any:
    """Return text that can be sent: what a client wrote may hold half a character."""
    return _surrogates.sub("\ufffd", part) if isinstance(part, str) else part


async def _json_only(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        http.require_json(request.scope)
