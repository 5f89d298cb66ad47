"""What an adapter sees: the only module of responder that adapters import.

Asynchronous where the network is, pure elsewhere. The HTTP client comes from the context,
so that limits, time-outs and metrics exist once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from responder.core.instant import format_instant, parse_instant, parse_span, to_datetime
from responder.core.signal import (
    SECOND,
    Instant,
    Labels,
    Sample,
    Signal,
    Span,
    fingerprint,
    fingerprint_text,
)

__all__ = [
    "SECOND", "AlertSource", "Channel", "Context", "Delivery", "Instant", "Labels", "MetricSource", "Parsed",
    "Permanent", "Rejected", "Sample", "Secret", "Signal", "Span", "Transient", "Webhook", "fingerprint",
    "fingerprint_text", "format_instant", "parse_instant", "parse_span", "to_datetime",
]  # fmt: skip


class Transient(Exception):
    """It failed now and may work later: time-outs, refused connections, 429, 5xx.

    *retry_after* is what the other side asked for, in microseconds.
    """

    def __init__(self, message: str, reason: str = "error", retry_after: Span | None = None) -> None:
        super().__init__(message)
        self.reason, self.retry_after = reason, retry_after


class Permanent(Exception):
    """It will fail again however often it is tried: 4xx, a body that is not what it should be."""

    def __init__(self, message: str, reason: str = "rejected") -> None:
        super().__init__(message)
        self.reason = reason


class Rejected(Exception):
    """A pushed body can't be taken; *status* is the HTTP answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Secret:
    """A secret value that never shows itself in a log, an error or a repr."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that sends or compares it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__


class Context(Struct, frozen=True):
    """What the daemon lends to an adapter.

    ``http(name, url, **options)`` gives an ``httpx.AsyncClient`` that is shared per host
    and closed by the daemon.
    """

    name: str
    """The name of the source or channel in the configuration."""
    http: Callable[..., Any]
    run_blocking: Callable[..., Awaitable[Any]]
    """``await run_blocking(function, *args)`` in a bounded pool: for SMTP and apprise."""


@runtime_checkable
class MetricSource(Protocol):
    """Answers an instant query."""

    async def query(self, text: str, at: Instant) -> Sequence[Sample]:
        """Return the series of *text* evaluated at *at*; NaN included.

        Raises:
            Transient, Permanent: The source could not answer; no rule state changes.
        """
        ...

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...


@runtime_checkable
class AlertSource(Protocol):
    """Lists the alerts that fire now."""

    async def alerts(self, at: Instant) -> Sequence[Signal]:
        """Return every alert that fires at *at*; one that is missing has ended.

        Raises:
            Transient, Permanent: The source could not answer; no alert lapses.
        """
        ...

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...


class Parsed(Struct, frozen=True):
    """One alert of a pushed body: a signal, or why it is none."""

    signal: Signal | None
    error: str = ""
    ack: str = ""
    """PagerDuty's ``acknowledge``: who acknowledged, for an alert that exists."""


class Webhook(Protocol):
    """Turns a pushed body into signals. Pure."""

    def authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Say whether the body comes from whom it should, in constant time."""
        ...

    def parse(self, headers: Mapping[str, str], body: bytes, at: Instant) -> Sequence[Parsed]:
        """Return the alerts of the body, bad ones with their error.

        Raises:
            Rejected: The body as a whole can't be taken.
        """
        ...


class Delivery(Struct, frozen=True):
    """One message as it leaves: the same id and bytes at every attempt."""

    notification_id: str
    attempt: int
    event: str
    body: bytes
    """The webhook body of SPEC 3.6, JSON."""
    title: str
    text: str
    """The message in words, for channels that people read."""


class Channel(Protocol):
    """Delivers messages."""

    async def send(self, delivery: Delivery) -> None:
        """Return when the other side has taken the message.

        Raises:
            Transient, Permanent: It was not taken.
        """
        ...

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...
