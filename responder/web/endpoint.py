"""What the endpoints of ``/api/v1`` share: the daemon behind them, and how they answer."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Protocol, TypeAlias

import msgspec
from fastapi import Header, Request
from fastapi.responses import Response

from responder.core.book import Book
from responder.core.event import Actor
from responder.core.signal import Instant
from responder.resident import Resident
from responder.store.reader import Reader
from responder.web import bodies

PREFIX: Final = "/api/v1"
encode = msgspec.json.Encoder().encode


class Backend(Protocol):
    """What the daemon lends to the web."""

    @property
    def resident(self) -> Resident: ...
    @property
    def reader(self) -> Reader: ...
    def book(self) -> Book: ...
    def now(self) -> Instant: ...

    async def submit(self, item: Any) -> Any:
        """Queue an item and return its result after the commit; raises Unavailable, or the item's own error."""
        ...

    async def read(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a read in the pool of readers."""
        ...


IfMatch: TypeAlias = Annotated[str, Header(pattern=bodies.VERSION, description="The version that is to be changed.")]


def version_of(if_match: str) -> int | None:
    """Return the version that a header names; none when any will do."""
    return int(if_match.strip('"')) if if_match not in ("", "*") else None


def actor_of(request: Request) -> Actor:
    """Return who asks."""
    return Actor("person", request.scope.get("principal") or "anonymous")


def json_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return encoded JSON as an answer."""
    return Response(body, status, dict(headers or {}), "application/json")
