"""What an adapter sees: the only module of responder that adapters import.

Asynchronous where the network is, pure elsewhere. The HTTP client comes from the context,
so that limits, time-outs and metrics exist once.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hmac import compare_digest
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    InstanceOf,
)
from pydantic_core import CoreSchema, core_schema

from responder import __version__ as VERSION
from responder.clock import SystemClock
from responder.core.instant import format_instant, parse_instant, parse_span, to_datetime
from responder.core.signal import (
    SECOND,
    Instant,
    Labels,
    Sample,
    Signal,
    Span,
    fingerprint,
    identity,
)

__all__ = [
    "SECOND", "VERSION", "AlertSource", "AsText", "Channel", "ChannelSettings", "Context", "Delivery", "Duration", "HttpUrl", "Instant", "Labels",
    "MetricSource", "OnFailure", "Parsed", "Permanent", "PolledSettings", "PriorityName", "RangeSource", "Rate", "Read", "Rejected",
    "Sample", "Secret", "SettingsModel", "Signal", "SourceSettings", "Span", "Transient", "Url", "Webhook", "fingerprint",
    "format_instant", "identity", "parse_instant", "parse_span", "to_datetime",
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
    """A pushed body can't be taken; *status* is the HTTP answer, *errors* what is wrong with it, one by one."""

    def __init__(self, message: str, status: int = 400, errors: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status, self.errors = status, tuple(errors) or (message,)


class Secret:
    """A secret value that never shows itself in a log, an error or a repr.

    As a field of a settings model it never stands in YAML: a field ``token: Secret`` is
    written ``token_env: NAME`` or ``token_file: PATH``, and the loader fills ``token``.
    """

    __slots__ = ("_again", "_value")

    def __init__(self, value: str, again: Callable[[], str | None] | None = None) -> None:
        """*again*: reads the file that it came from anew; None: that can't be read now."""
        self._value, self._again = value, again

    def reveal(self) -> str:
        """Return the value, for the one place that sends or compares it."""
        return self._value

    def current(self) -> str:
        """Return what its file says by now, for tokens that are renewed in place; what was loaded, if there is none."""
        return (self._again() if self._again is not None else None) or self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "writeOnly": True}


UNSET: Final = Secret("unset://unset")
"""Stands for a secret that is not known, where a configuration is only checked."""


class Rate(Struct, frozen=True):
    """At most ``count`` in ``within``; written ``20/1m``."""

    count: int
    within: Span


def _duration(value: object) -> Span:
    if isinstance(value, str) or value == 0:
        return parse_span(str(value))
    raise ValueError(f"{value!r} has no unit: write 30s, 5m or 1h30m")


def _url(value: object) -> Secret:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", text):
        raise ValueError("not a URL such as http://host:port/path, smtp://host:25 or sqlite:///FILE")
    return Secret(text)


def _http_url(url: Secret) -> Secret:
    """Check what is set; a variable that is not stands as ``unset://unset``."""
    try:
        parts = urlsplit(url.reveal())
        good = parts.scheme in ("http", "https", "unset") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its words repeat the URL, which may carry a password
        good = False
    if not good:
        raise ValueError("not an http:// or https:// URL with a host")
    if not (parts.path + parts.query).isascii():
        raise ValueError("the path of the URL has characters that no server takes\npercent-encode them")
    return url


def _repeat(value: object) -> object:
    return None if value is False or value == "off" else value  # YAML 1.1 reads a bare off as false


def _rate(value: object) -> Rate:
    if isinstance(value, Rate):
        return value
    count, _, within = str(value).partition("/")
    if not count.isdecimal() or int(count) < 1 or not within or parse_span(within) <= 0:
        raise ValueError(f"{value!r} is not a rate such as 20/1m")
    return Rate(int(count), parse_span(within))


class AsText:
    """In YAML, and so in the JSON Schema, the value is text."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string"}


# What settings models are made of. A model is pydantic's, frozen, and refuses unknown keys.

Duration: TypeAlias = Annotated[Span, BeforeValidator(_duration), AsText()]
"""Written ``30s``, ``5m``, ``1h30m``; microseconds inside."""
Url: TypeAlias = Annotated[Secret, BeforeValidator(_url), AsText()]
"""``url: Url`` is written plainly, or ``url_env`` / ``url_file``; hidden, because URLs may carry passwords."""
HttpUrl: TypeAlias = Annotated[Url, AfterValidator(_http_url)]
"""An :data:`Url` of an HTTP server."""
PriorityName: TypeAlias = Literal["P1", "P2", "P3", "P4", "P5"]


class SettingsModel(BaseModel):
    """What every part of a source's or channel's settings derives from."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OnFailure(SettingsModel):
    """The incident of a source whose polls fail."""

    hold: Duration = Field(default=0, alias="for")
    priority: PriorityName = "P3"
    service: str


class SourceSettings(SettingsModel):
    """What every source has; a kind derives its own model from it."""

    kind: str


class PolledSettings(SourceSettings):
    """What every source has that is asked rather than told."""

    timeout: Duration = 10 * SECOND
    on_failure: OnFailure | None = None

    @classmethod
    def check_query(cls, text: str) -> None:
        """Refuse a query that sources of this kind can't answer, whatever they hold; here: none.

        Raises:
            ValueError: Says what is wrong with it.
        """


class ChannelSettings(SettingsModel):
    """What every channel has."""

    kind: str
    bundle: Duration = 30 * SECOND
    """After the first message of a storm, the rest waits so long and goes as one."""
    rate: Annotated[InstanceOf[Rate], BeforeValidator(_rate), AsText()] = Field(
        default_factory=lambda: Rate(20, 60 * SECOND)
    )
    repeat: Annotated[Duration | None, BeforeValidator(_repeat)] = None
    """While an incident is open and nobody acknowledged it."""


class Context(Struct, frozen=True):
    """What the daemon lends to an adapter.

    ``http(name, url, **options)`` gives a client whose connections are shared per host and
    closed by the daemon: ``adapters._http.Pool``, which :func:`responder.plugins.http_pool` makes.
    """

    name: str
    """The name of the source or channel in the configuration."""
    http: Callable[..., Any]
    run_blocking: Callable[..., Awaitable[Any]]
    """``await run_blocking(function, *args)`` in a bounded pool: for SMTP and apprise."""
    now: Callable[[], Instant] = SystemClock().now
    """For what another system must be told of the present: signatures, dates of messages."""


Read: TypeAlias = Literal["value", "age", "rate"]
"""How a rule reads the metric of a plain page; sources that compute for themselves take only ``value``."""


@runtime_checkable
class MetricSource(Protocol):
    """Answers an instant query."""

    async def query(self, text: str, at: Instant, read: Read = "value", over: Span = 0) -> Sequence[Sample]:
        """Return the series of *text* evaluated at *at*; NaN included.

        ``age`` gives the seconds from the metric's value (a timestamp) to *at*; ``rate`` the
        increase per second over the span *over*.

        Raises:
            Transient, Permanent: The source could not answer; no rule state changes.
        """
        ...

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...


@runtime_checkable
class RangeSource(Protocol):
    """Answers a query over the past, for replay."""

    async def query_range(
        self, text: str, start: Instant, end: Instant, step: Span
    ) -> Sequence[tuple[Instant, Sequence[Sample]]]:
        """Return what *text* gave at start, start + step, ... up to *end*; an entry for each instant.

        Raises:
            Transient, Permanent: The source could not answer.
        """
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


@runtime_checkable
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
