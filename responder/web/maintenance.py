"""``/api/v1/maintenance``: windows of the configuration, and those that are announced here."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import Response

from responder.config.errors import nearest
from responder.config.promises import DAYS, DAYS_HINT, parse_days
from responder.config.regexes import compile_regex
from responder.core.calendar import compile_calendar, parse_start, parse_wall
from responder.core.catalogue import Recurring
from responder.core.instant import format_instant
from responder.core.lifecycle import Invalid
from responder.core.maintenance import Posted, Window, posted_window
from responder.core.signal import Instant
from responder.handlers.commands import Announce, EndMaintenance
from responder.web import bodies
from responder.web.endpoint import PREFIX, Backend, actor_of, encode, json_answer
from responder.web.shapes import MaintenanceList, MaintenanceShape, RecurringShape


def add_maintenance(app: FastAPI, windows: "Maintenance", problems_of: Callable[..., dict[int | str, Any]]) -> None:
    """Add the routes; *problems_of* describes error answers for OpenAPI."""
    base = f"{PREFIX}/maintenance"
    app.get(base, response_model=MaintenanceList, tags=["maintenance"])(windows.list)
    app.post(
        base,
        response_model=MaintenanceShape,
        status_code=201,
        tags=["maintenance"],
        responses=problems_of(400, 409, 415),
    )(windows.announce)
    app.delete(
        f"{base}/{{name:path}}", response_model=MaintenanceShape, tags=["maintenance"], responses=problems_of(404)
    )(windows.end)  # fmt: skip


class Maintenance:
    """Endpoints."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list(self, asked: Annotated[bodies.Page, Query()]) -> Response:
        """Every window by its name, those that have ended too."""
        return await self._backend.read(self._page, asked)  # type: ignore[no-any-return]

    async def announce(self, request: Request, body: bodies.NewMaintenance) -> Response:
        """Announce a window, or change the one of that name: incidents that open inside are planned."""
        backend = self._backend
        now, actor = backend.now(), actor_of(request)
        known = backend.book().services
        for name in body.services or ():
            if name not in known:
                meant = "".join(f'; did you mean "{near}"?' for near in nearest(name, known))
                raise Invalid(f'there is no service "{name}" in the catalogue{meant}', "services")
        start = body.from_ if body.from_ is not None else now
        end = body.to or 0
        if body.recurring is None and end <= max(start, now):
            raise Invalid("the window ends before it begins" if end <= start else "to lies in the past", "to")
        recurring = _recurring(body.recurring) if body.recurring is not None else None
        row = Posted(
            body.name, body.reason, start, end, tuple(dict.fromkeys(body.services or ())), body.match or "", recurring,
            actor.name, now,
        )  # fmt: skip
        try:
            window = posted_window(row, compile_regex)
        except ValueError as error:
            raise Invalid(str(error), "match") from None
        return json_answer(encode(_posted(await backend.submit(Announce(row, window, actor)), now)), 201)

    async def end(self, request: Request, name: Annotated[str, Path(max_length=200)]) -> Response:
        """End an announced window now, or take it back before it begins."""
        row = await self._backend.submit(EndMaintenance(name, actor_of(request)))
        return json_answer(encode(_posted(row, self._backend.now())))

    def _page(self, asked: bodies.Page) -> Response:
        backend = self._backend
        now = backend.now()
        found = {window.name: _configured(window, now) for window in backend.book().windows}
        found |= {row.name: _posted(row, now) for row in backend.reader.maintenance() if row.name not in found}
        names = sorted(name for name in found if name > asked.cursor)
        shown = names[: asked.limit]
        following = shown[-1] if len(names) > asked.limit else None
        return json_answer(encode({"items": [found[name] for name in shown], "next": following}))


def _recurring(body: bodies.Recurs) -> Recurring:
    try:
        days = parse_days(body.days)
    except ValueError as error:
        raise Invalid(f"{error}: {DAYS_HINT}", "recurring.days") from None
    try:
        compile_calendar(body.timezone, {}, always=True)
        found = Recurring(tuple(sorted(set(days))), parse_start(body.from_), parse_wall(body.to), body.timezone)
    except ValueError as error:
        raise Invalid(str(error), "recurring") from None
    if found.start == found.end:
        raise Invalid("the window ends where it begins", "recurring.to")
    return found


def _posted(row: Posted, now: Instant) -> MaintenanceShape:
    return {
        "name": row.name, "reason": row.reason, "services": [*row.services], "match": row.match or None,
        "from": format_instant(row.start) if row.recurring is None else None,
        "to": format_instant(row.end) if row.recurring is None else None,
        "recurring": _recurs(row.recurring),
        "state": "ended" if row.ended_at is not None else _state(posted_window(row, compile_regex), now),
        "origin": "api", "by": row.by, "posted_at": format_instant(row.posted_at),
        "ended_at": format_instant(row.ended_at) if row.ended_at is not None else None,
    }  # fmt: skip


def _configured(window: Window, now: Instant) -> MaintenanceShape:
    once = window.recurring is None
    return {
        "name": window.name, "reason": window.reason, "services": sorted(window.services),
        "match": window.match.words if window.match is not None else None,
        "from": format_instant(window.start) if once else None, "to": format_instant(window.end) if once else None,
        "recurring": _recurs(window.recurring), "state": _state(window, now), "origin": "configuration",
        "by": None, "posted_at": None, "ended_at": None,
    }  # fmt: skip


def _state(window: Window, now: Instant) -> Literal["pending", "active", "ended"]:
    if any(True for _ in window.stretches(now, now + 1)):
        return "active"
    return "ended" if window.recurring is None and window.end <= now else "pending"


def _recurs(of: Recurring | None) -> RecurringShape | None:
    if of is None:
        return None
    days = ",".join(DAYS[day] for day in of.days)
    return {"days": days, "from": _wall(of.start), "to": _wall(of.end), "timezone": of.timezone}


def _wall(second: int) -> str:
    return f"{second // 3600:02d}:{second % 3600 // 60:02d}"
