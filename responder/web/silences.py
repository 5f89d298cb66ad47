"""Silences as the Alertmanager API takes and gives them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from responder.core.matcher import Matcher
from responder.core.signal import Instant
from responder.core.silence import Silence, SilenceState, Term
from responder.web.alerts import instant_text
from responder.web.gojson import Unmarshal, clean, mismatch, parse_instant, parse_json

_ORDER = {"active": 0, "pending": 1, "expired": 2}
_GO_TYPES = {str: "string", bool: "bool", list: "models.Matchers"}
_SILENCE: Final[Mapping[str, tuple[str, type]]] = {
    "id": (".id", str),
    "comment": ("Silence.comment", str),
    "createdby": ("Silence.createdBy", str),
    "endsat": ("Silence.endsAt", str),
    "matchers": ("Silence.matchers", list),
    "startsat": ("Silence.startsAt", str),
}
_MATCHER: Final[Mapping[str, tuple[str, type]]] = {
    "isequal": ("Matcher.matchers.isEqual", bool),
    "isregex": ("Matcher.matchers.isRegex", bool),
    "name": ("Matcher.matchers.name", str),
    "value": ("Matcher.matchers.value", str),
}


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
        Unmarshal: It is no JSON, or a field has the wrong type; of several the one that Go finds first.
        Invalid: A field is missing; they are looked at in alphabetical order.
    """
    posted = parse_json(body)
    if posted is None:
        posted = {}
    if not isinstance(posted, dict):
        raise mismatch(posted, "value of type models.PostableSilence")
    fields = _present(posted)
    _check({name: value for name, value in fields.items() if name == "id"}, _SILENCE)
    at = {name: _instant(fields, name) for name in fields if name in ("startsat", "endsat")}
    _check(fields, _SILENCE)
    comment, created_by, matchers = fields.get("comment"), fields.get("createdby"), fields.get("matchers")
    starts_at, ends_at = at.get("startsat"), at.get("endsat")
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
        id=clean(fields.get("id", "")), matchers=tuple(t for t in terms if isinstance(t, Term)), starts_at=starts_at, ends_at=ends_at or 0,
        created_by=clean(created_by or ""), comment=clean(comment or ""),
    )  # fmt: skip


def _term(posted: dict[str, Any] | None, number: int) -> Term | Invalid:
    """Return one matcher, or why it is none: that is said only when all types are right."""
    if posted is None:
        return Invalid(602, f"matchers.{number} in body is required")
    fields = _present(posted)
    for name in ("isRegex", "name", "value"):
        if name.lower() not in fields:
            return Invalid(602, f"matchers.{number}.{name} in body is required")
    return Term(clean(fields["name"]), clean(fields["value"]), fields["isregex"], fields.get("isequal", True))


def _present(posted: dict[str, Any]) -> dict[str, Any]:
    """Return the fields by their names in lower case: Go takes any case, and null for absent."""
    return {name.lower(): value for name, value in posted.items() if value is not None}


def _check(fields: dict[str, Any], paths: Mapping[str, tuple[str, type]]) -> None:
    """Look at the types of the fields in the order in which they came.

    Raises:
        Unmarshal: One is wrong.
    """
    for name, value in fields.items():
        path, kind = paths.get(name, ("", object))
        if not isinstance(value, kind):
            raise mismatch(value, f"struct field {path} of type {_GO_TYPES[kind]}")
        if name == "matchers":
            for matcher in fields[name]:
                if not isinstance(matcher, dict | None):
                    raise mismatch(matcher, "struct field Silence.matchers of type models.Matcher")
                _check(_present(matcher or {}), _MATCHER)


def _instant(fields: dict[str, Any], name: str) -> Instant:
    _check({name: fields[name]}, _SILENCE)
    try:
        return parse_instant(fields[name])
    except ValueError as error:
        raise Unmarshal(str(error)) from None
