"""``/api/v1/problems``: lists, single problems, timelines and commands."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import Body, FastAPI, Path, Query, Request
from fastapi.responses import Response

from responder.core.desk import ProblemRow
from responder.core.event import Event
from responder.handlers.commands import NotFound, OpenProblem, ProblemCommand
from responder.store.reader import Recorded
from responder.web import bodies, views
from responder.web.endpoint import PREFIX, Backend, IfMatch, actor_of, encode, json_answer, version_of
from responder.web.shapes import EventList, ProblemList, ProblemPageShape

ProblemId: TypeAlias = Annotated[
    str, Path(pattern=r"^(PRB-)?[1-9][0-9]{0,17}$", description="`PRB-4` or `4`", examples=["PRB-4"])
]


def add_problems(app: FastAPI, problems: "Problems", problems_of: Callable[..., dict[int | str, Any]]) -> None:
    """Add the routes; *problems_of* describes error answers for OpenAPI."""
    get, post, base = app.get, app.post, f"{PREFIX}/problems"
    get(base, response_model=ProblemList, tags=["problems"])(problems.list)
    post(base, response_model=ProblemPageShape, status_code=201, tags=["problems"], responses=problems_of(400, 415))(
        problems.open
    )
    get(f"{base}/{{id}}", response_model=ProblemPageShape, tags=["problems"], responses=problems_of(404))(problems.show)
    get(f"{base}/{{id}}/timeline", response_model=EventList, tags=["problems"], responses=problems_of(404))(
        problems.timeline
    )
    for name, (form, words) in bodies.PROBLEM_COMMANDS.items():
        post(
            f"{base}/{{id}}/{name}", response_model=ProblemPageShape, tags=["problem commands"],
            operation_id=f"problem_{name}", summary=words, responses=problems_of(400, 404, 409, 412, 415),
        )(problems.command(name, form))  # fmt: skip


class Problems:
    """Endpoints; the rows in memory go before those of the store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list(self, asked: Annotated[bodies.ProblemPage, Query()]) -> Response:
        """Problems, newest first."""
        return await self._backend.read(self._page, asked)  # type: ignore[no-any-return]

    async def show(self, id: ProblemId) -> Response:
        """One problem, with what linked its incidents to it."""
        return await self._shown(await self._found(id))

    async def timeline(self, id: ProblemId, asked: Annotated[bodies.NumberedPage, Query()]) -> Response:
        """What happened to the problem, and to those that turned out to be it, in its order."""
        row = await self._found(id)
        after = int(asked.cursor) if asked.cursor else 0
        subjects = (row.problem.id, *row.problem.merged)
        timeline = self._backend.reader.timeline
        found: Sequence[Recorded] = await self._backend.read(timeline, "problem", subjects, after, asked.limit + 1)
        rows = found[: asked.limit]
        more = str(rows[-1].event.seq) if len(found) > asked.limit else None
        return json_answer(encode({"items": [views.event(one) for one in rows], "next": more}))

    async def open(self, request: Request, body: bodies.OpenProblem) -> Response:
        """Report one cause behind incidents by hand."""
        row = await self._backend.submit(OpenProblem(body.model_dump(), actor_of(request)))
        return await self._shown(row, 201, {"location": f"{PREFIX}/problems/PRB-{row.problem.id}"})

    def command(self, name: str, form: type[bodies.Form]) -> Callable[..., Awaitable[Response]]:
        """Return the endpoint of a command; it answers with the problem that is then worked on."""

        async def run(request: Request, id: ProblemId, body: bodies.Form = Body(), if_match: IfMatch = "") -> Response:  # noqa: B008
            args = body.model_dump(exclude_none=True)
            item = ProblemCommand(name, _number(id), args, actor_of(request), version_of(if_match))
            return await self._shown(await self._backend.submit(item))

        run.__annotations__["body"] = form
        return run

    async def _found(self, id: str) -> ProblemRow:
        row = await self._backend.read(self._fresh_of, _number(id))
        if row is None:
            raise NotFound(f"there is no problem {id}")
        return row  # type: ignore[no-any-return]

    async def _shown(self, row: ProblemRow, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        of = row.problem.id
        links: Sequence[Event] = await self._backend.read(self._backend.reader.links_of, of, row.incidents)
        shown = views.problem_page(row, links)
        return json_answer(encode(shown), status, {"etag": f'"{row.version}"', **(headers or {})})

    # On threads of readers.

    def _page(self, asked: bodies.ProblemPage) -> Response:
        below = int(asked.cursor) if asked.cursor else None
        found = self._backend.reader.problems(asked.where(), below, asked.limit + 1)
        rows = [self._backend.resident.problems.get(row.problem.id, row) for row in found[: asked.limit]]
        following = str(rows[-1].problem.id) if len(found) > asked.limit else None
        return json_answer(encode({"items": [views.problem(row) for row in rows], "next": following}))

    def _fresh_of(self, id: int) -> ProblemRow | None:
        row = self._backend.resident.problems.get(id)
        return row if row is not None else self._backend.reader.problem(id)


def _number(id: str) -> int:
    return int(id.removeprefix("PRB-"))
