"""Silences as the Alertmanager API takes and gives them."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from responder.core.matcher import Matcher
from responder.core.signal import Instant
from responder.core.silence import Silence, SilenceState, Term
from responder.web.alerts import instant_text
from responder.web.gojson import Unmarshal, clean, mismatch, parse_instant, parse_json

_ORDER = {"active": 0, "pending": 1, "expired": 2}


class Invalid(Exception):
    """A field is missing or out of bounds; *code* is go-openapi's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Status(Struct):
    state: SilenceState


class Gettable(Struct, rename="camel"):
    """What a silence looks like from outside."""

    id: str
    status: _Status
    updated_at: str
    comment: str
    created_by: str
    ends_at: str
    matchers: Sequence[Term]
    starts_at: str


def gettable(silence: Silence, now: Instant) -> Gettable:
    """Return the silence as the API shows it."""
    return Gettable(
        id=silence.id, status=_Status(silence.state(now)), updated_at=instant_text(silence.updated_at),
        comment=silence.comment, created_by=silence.created_by, ends_at=instant_text(silence.ends_at),
        matchers=silence.matchers, starts_at=instant_text(silence.starts_at),
    )  # fmt: skip


def listed(silences: Iterable[Silence], filters: Sequence[Matcher], now: Instant) -> list[Silence]:
    """Return the silences that have each filter among their matchers, in Alertmanager's order.

    Active ones by their end, pending ones by their start, expired ones the latest first.
    """
    wanted = {(m.name, m.op, m.value) for m in filters}
    found = [s for s in silences if wanted <= {(t.name, t.op, t.value) for t in s.matchers}]
    return sorted(found, key=lambda s: _place(s, now))


def _place(silence: Silence, now: Instant) -> tuple[int, Instant, str]:
    state = silence.state(now)
    at = silence.starts_at if state == "pending" else silence.ends_at
    return _ORDER[state], -at if state == "expired" else at, silence.id


def decode_silence(body: bytes) -> Silence:
    """Return the silence of a posted body.

    Raises:
        BodyRequired: There is none.
        Unmarshal: It is no JSON, or a field has the wrong type.
        Invalid: A field is missing; they are looked at in alphabetical order.
    """
    posted = parse_json(body)
    if posted is None:
        posted = {}
    if not isinstance(posted, dict):
        raise mismatch(posted, "value of type models.PostableSilence")
    fields = {name.lower(): value for name, value in posted.items() if value is not None}
    id = _typed(fields, "id", ".id", str) or ""
    comment = _typed(fields, "comment", "Silence.comment", str)
    created_by = _typed(fields, "createdby", "Silence.createdBy", str)
    ends_at = _instant(fields, "endsat", "Silence.endsAt")
    matchers = _typed(fields, "matchers", "Silence.matchers", list)
    starts_at = _instant(fields, "startsat", "Silence.startsAt")
    terms = [_term(matcher, number) for number, matcher in enumerate(matchers or ())]
    for name, value in (("comment", comment), ("createdBy", created_by), ("endsAt", ends_at), ("matchers", matchers)):
        if value is None:
            raise Invalid(602, f"{name} in body is required")
    if not terms:
        raise Invalid(612, "matchers in body should have at least 1 items")
    for term in terms:
        if isinstance(term, Invalid):
            raise term
    if starts_at is None:
        raise Invalid(602, "startsAt in body is required")
    return Silence(
        id=clean(id), matchers=tuple(t for t in terms if isinstance(t, Term)), starts_at=starts_at, ends_at=ends_at or 0,
        created_by=clean(created_by or ""), comment=clean(comment or ""),
    )  # fmt: skip


def _term(posted: object, number: int) -> Term | Invalid:
    """Return one matcher, or why it is none: that is said only when all types are right."""
    if posted is None:
        return Invalid(602, f"matchers.{number} in body is required")
    if not isinstance(posted, dict):
        raise mismatch(posted, "struct field Silence.matchers of type models.Matcher")
    fields = {name.lower(): value for name, value in posted.items() if value is not None}
    is_equal = _typed(fields, "isequal", "Matcher.matchers.isEqual", bool)
    is_regex = _typed(fields, "isregex", "Matcher.matchers.isRegex", bool)
    name = _typed(fields, "name", "Matcher.matchers.name", str)
    value = _typed(fields, "value", "Matcher.matchers.value", str)
    for field, given in (("isRegex", is_regex), ("name", name), ("value", value)):
        if given is None:
            return Invalid(602, f"matchers.{number}.{field} in body is required")
    return Term(clean(name or ""), clean(value or ""), bool(is_regex), is_equal is not False)


def _typed(fields: dict[str, Any], name: str, path: str, kind: type) -> Any:
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        wanted = {str: "string", bool: "bool", list: "models.Matchers"}[kind]
        raise mismatch(value, f"struct field {path} of type {wanted}")
    return value


def _instant(fields: dict[str, Any], name: str, path: str) -> Instant | None:
    text = _typed(fields, name, path, str)
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        raise Unmarshal(str(error)) from None
