"""What is wrong with a request, in plain words: pydantic's own speak of types and patterns."""

from collections.abc import Mapping
from typing import Any, Final

from responder.web import bodies

_BY_TYPE: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_unicode": "holds half a character",
}
_BY_PATTERN: Final[Mapping[str, str]] = {
    bodies.PLAIN: "must be one line of text, and not empty",
    bodies.NOT_EMPTY: "must not be empty",
    bodies.ONE_LINE: "must be one line of text",
    bodies.NO_NUL: "must be text",
    bodies.CURSOR: "must be the `next` of the page before",
    bodies.VERSION: "must be the `version` that is to be changed, a whole number",
    bodies.PROBLEM_NAME: "must name a problem: PRB-4 or 4",
}


def words_of(error: Mapping[str, Any]) -> str:
    """Return what is wrong, as one goes on after the name of the field."""
    kind, known = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        expected: str = known["expected"]
        return "must be one of " + expected.removeprefix("'', ").replace("'", "").replace(" or ", ", ")
    if kind == "string_pattern_mismatch":
        return _BY_PATTERN.get(known["pattern"], "is not written as it should be")
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    words: str = error["msg"].removeprefix("Value error, ")
    for formal, plain in (("Input should be ", "must be "), ("String should have ", "must have "), ("List should have ", "must have "), ("Dictionary should have ", "must have ")):  # fmt: skip
        words = words.replace(formal, plain)
    return words
