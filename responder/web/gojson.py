"""JSON as a server in Go reads it, and what it says when it can't: the manners of Alertmanager's API."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from responder.core.instant import to_instant
from responder.core.signal import HOUR, MINUTE, Instant
from responder.web.http import Response, json_response

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?:Z|:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)?|:\d\d[.,]\d{3}(?:\d{3})?[+-]\d{4})?"
    r"| \d\d:\d\d:\d\d(?:[.,]\d+)?)",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)$")
_GO_WORDS = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting value": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair or array element",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}
_REGEXP_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
"""What RE2 says in C++, and in Go."""
_KINDS = {dict: "object", list: "array", str: "string", bool: "bool", float: "number"}


class BodyRequired(Exception):
    """There is no body."""


class Unmarshal(Exception):
    """The body is not what it should be; nothing of it applies."""

    def response(self, what: str) -> Response:
        """Return the answer; *what* is the parameter that the body is."""
        return openapi_error(400, f'parsing {what} body from "" failed, because {self}')


def openapi_error(code: int, message: str) -> Response:
    """Return an error of the go-openapi framework: codes from 600 on are answered 422."""
    return json_response({"code": code, "message": message}, code if code < 600 else 422)


def parse_json(body: bytes) -> Any:
    """Return the first JSON value of the body, every number as a float; what follows it does not count.

    Raises:
        BodyRequired: If there is none.
        Unmarshal: If it is no JSON; with line and column.
    """
    text = body.decode("utf-8", "replace")
    start = _SPACE.match(text).end()  # type: ignore[union-attr]
    if start == len(text):
        raise BodyRequired
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
            raise Unmarshal("unexpected EOF") from None
        what = f"invalid character {text[error.pos]!r} {_GO_WORDS.get(error.msg, error.msg)}"
        raise Unmarshal(f"{what}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise Unmarshal("invalid character '[' exceeded max depth") from None


def _not_json(constant: str) -> Any:
    raise Unmarshal(f"invalid character {constant[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_not_json)


def mismatch(value: object, target: str, place: str = "") -> Unmarshal:
    """Return the error of a value that has the wrong type."""
    return Unmarshal(f"json: cannot unmarshal {_KINDS[type(value)]} into Go {target}{place}")


def parse_instant(text: str) -> Instant:
    """Return the instant of a date-time in any notation that go-openapi takes.

    No offset means UTC there, and one may be longer than a day; it needs no colon after milliseconds
    or microseconds, as Python's ``%f%z`` writes them. Digits finer than these are cut. The empty text is 1970.

    Raises:
        ValueError: If it is none of them.
    """
    if not text:
        return 0
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(
            f"parsing time {quoted(text)}: cannot parse it as an RFC 3339 instant such as 2026-01-05T00:00:00Z"
        )
    local, offset = text, 0
    if found := _OFFSET.search(text):
        local = text[: found.start()]
        offset = (int(found[2]) * HOUR + int(found[3]) * MINUTE) * (-1 if found[1] == "-" else 1)
    try:
        return to_instant(datetime.fromisoformat(local.replace(",", ".")).replace(tzinfo=UTC)) - offset
    except ValueError as error:
        raise ValueError(f"parsing time {quoted(text)}: cannot parse it, {error}") from None


def regexp_error(reason: str) -> str:
    """Return RE2's reason to refuse a regex as Go's library words it."""
    what, colon, where = reason.partition(": ")
    return f"error parsing regexp: {_REGEXP_WORDS.get(what, what)}" + (f": `{where}`" if colon else "")


def clean(text: str) -> str:
    """Return text that is UTF-8: a lone surrogate becomes U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def quoted(text: str) -> str:
    """Return the beginning of a text for a message."""
    return json.dumps(clean(text[:200]), ensure_ascii=False)
