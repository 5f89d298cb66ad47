"""Any JSON that is pushed: the configuration says where labels, status and id stand in it (JMESPath)."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from pydantic import AfterValidator, Field, model_validator

from adapters._push import decode, one, signal
from responder.ports import (
    Context,
    Instant,
    Parsed,
    Rejected,
    Secret,
    SettingsModel,
    Signal,
    SourceSettings,
)

FIRING: Final = frozenset({"firing", "fire", "open", "opened", "triggered", "trigger", "alerting", "problem", "true"})
RESOLVED: Final = frozenset(
    {"resolved", "resolve", "closed", "close", "ok", "normal", "recovered", "recovery", "false"}
)


def _compiles(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"not a JMESPath expression: {' '.join(str(error).split())}") from None
    return text


Expression: TypeAlias = Annotated[str, AfterValidator(_compiles)]


class MapSettings(SettingsModel):
    """Where things stand in the pushed object."""

    labels: dict[str, Expression] = Field(min_length=1)
    annotations: dict[str, Expression] = Field(default_factory=dict)
    status: Expression | None = None
    """Its value is one of the words :data:`FIRING` or :data:`RESOLVED`, or true or false; none: momentary occurrences."""
    id: Expression | None = None
    """Tells deliveries apart that have no status."""


class HmacSettings(SettingsModel):
    """A signature of the body in a header, as GitHub, Jira and others send it."""

    header: str
    secret: Secret
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    prefix: str = ""
    """What stands before the hex digits, such as ``sha256=``."""


class JsonWebhookSettings(SourceSettings):
    """``POST /webhooks/NAME``; the body is one object or a list of them."""

    kind: Literal["webhook"] = "webhook"
    map: MapSettings
    token: Secret | None = None
    """Sent by the other side as ``Authorization: Bearer`` or ``X-Responder-Token``."""
    hmac: HmacSettings | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if self.token is not None and self.hmac is not None:
            raise ValueError("give token or hmac, not both")
        return self

    def build(self, context: Context) -> "JsonWebhook":
        return JsonWebhook(self, context.name)


class JsonWebhook:
    """Reads the pushed objects of one source."""

    def __init__(self, settings: JsonWebhookSettings, source: str) -> None:
        self._source, self._token, self._hmac = source, settings.token, settings.hmac
        self._labels = {name: jmespath.compile(text) for name, text in settings.map.labels.items()}
        self._annotations = {name: jmespath.compile(text) for name, text in settings.map.annotations.items()}
        self._status = jmespath.compile(settings.map.status) if settings.map.status else None
        self._id = jmespath.compile(settings.map.id) if settings.map.id else None

    def authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Say whether token or signature is right; header names are in lower case. True when none is configured."""
        if self._hmac is not None:
            digest = hmac.new(self._hmac.secret.reveal().encode(), body, self._hmac.algorithm).hexdigest()
            return _equal(headers.get(self._hmac.header.lower(), "").lower(), self._hmac.prefix.lower() + digest)
        if self._token is not None:
            scheme, _, bearer = headers.get("authorization", "").partition(" ")
            given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-responder-token", "")
            return _equal(given, self._token.reveal())
        return True

    def parse(self, headers: Mapping[str, str], body: bytes, at: Instant) -> Sequence[Parsed]:
        """Return one alert for each object; one that can't be mapped has its error."""
        value = decode(body)
        if not isinstance(value, (dict, list)):
            raise Rejected("the body must be an object or a list of objects")
        items = value if isinstance(value, list) else [value]
        return [one(partial(self._signal, item, at)) for item in items]

    def _signal(self, item: object, at: Instant) -> Signal:
        if not isinstance(item, dict):
            raise ValueError("an item must be an object")
        labels = {name: _text(_search(path, item)) for name, path in self._labels.items()}
        annotations = {name: _text(_search(path, item)) for name, path in self._annotations.items()}
        firing = _firing(_search(self._status, item)) if self._status is not None else True
        read = signal(
            self._source, labels, {k: v for k, v in annotations.items() if v}, firing=firing, starts_at=at,
            ends_at=None if firing else at, implied=True,
        )  # fmt: skip
        if self._status is not None:
            return read
        return msgspec.structs.replace(read, momentary=True, dedup=self._dedup(item))

    def _dedup(self, item: Mapping[str, Any]) -> str:
        given = _text(_search(self._id, item)) if self._id is not None else ""
        if given:
            return "id:" + given
        canonical = msgspec.json.encode(item, order="deterministic")
        return "body:" + hashlib.blake2b(canonical, digest_size=16).hexdigest()


def _search(path: ParsedResult, item: Mapping[str, Any]) -> object:
    try:
        found: object = path.search(item)
    except (JMESPathError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path.expression}: {' '.join(str(error).split())}") from None
    return found


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _firing(value: object) -> bool:
    word = _text(value).strip().lower()
    if word in FIRING:
        return True
    if word in RESOLVED:
        return False
    known = ", ".join(sorted(FIRING)) + "; " + ", ".join(sorted(RESOLVED))
    raise ValueError(f"status {word[:50]!r} is none of: {known}")


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
