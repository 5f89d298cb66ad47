"""Checks one entry against its model and puts what pydantic says into words, with positions."""

import copy
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from responder.config.errors import Mark, Report, did_you_mean, nearest
from responder.config.fields import field_at, homes, known_keys, models_at
from responder.config.nodes import Document, Path, Step
from responder.config.rule_models import MatchForm

MAX_REPAIRS: Final = 8
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Place(Struct, frozen=True):
    """Where a value stands; turned into a mark only when a mistake needs one."""

    document: Document
    path: Path = ()

    def at(self, *steps: Step) -> "Place":
        return Place(self.document, self.path + steps)

    def mark(self, *steps: Step) -> Mark:
        return self.document.mark(self.path + steps)

    def inside(self, offset: int) -> Mark:
        """Return where a character of the text that stands here is."""
        return self.document.inside(self.path, offset)

    def key(self, *steps: Step) -> Mark:
        """Return where the key of the value stands."""
        return self.document.mark(self.path + steps, key=True)


def check(model: type[M], raw: Any, place: Place, report: Report, excused: Collection[Path] = ()) -> M | None:
    """Return the checked entry, every mistake of it reported.

    An entry with mistakes comes back without its faulty parts, so that the sound ones can be
    looked into as well; None if nothing sensible is left.

    Args:
        excused: Paths whose value is not known (a secret that is not set): no mistake of theirs.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    meant = {
        (*_path(mistake)[:-1], *nearest(str(mistake["loc"][-1]), known_keys(model, _path(mistake)[:-1])))
        for mistake in mistakes
        if mistake["type"] == "extra_forbidden"
    }
    told = False
    for mistake in mistakes:
        path = _path(mistake)
        of_whole = not path and mistake["type"] == "value_error"
        if excused and (of_whole or any(path[: len(other)] == other for other in excused)):
            continue
        told = True
        if mistake["type"] != "missing" or path not in meant:  # a misspelt key is not missing as well
            _tell(model, mistake, path, place, report)
    if not told:
        return None
    for mistake in () if excused else _of_whole(model, raw, mistakes):
        _tell(model, mistake, _path(mistake), place, report)
    paths = [_path(mistake) for mistake in mistakes]
    report.veil(place.mark(*path[:end]) for path in paths for end in range(len(path) + 1))
    return _repaired(model, raw, mistakes)


_STAND_INS: Final[tuple[Any, ...]] = ("1s", [], {}, "1")
"""What is tried, in this order, in the place of a key that is missing."""


def _repaired(model: type[M], raw: Any, mistakes: list[Any]) -> M | None:
    """Return the entry without its faulty parts, if that makes one."""
    sound = copy.deepcopy(raw)
    tried: dict[Path, int] = {}
    for _ in range(MAX_REPAIRS):
        for mistake in reversed(mistakes):
            path = _path(mistake)
            value: Sequence[Any] = ()
            if mistake["type"] == "literal_error" and mistake["loc"][-1] != "[key]":
                value = _literals(mistake)[:1]
            elif mistake["type"] == "missing" or path in tried:
                tried[path] = tried.get(path, -1) + 1
                value = _STAND_INS[tried[path] : tried[path] + 1]
            _put(sound, path, value)
        try:
            return model.model_validate(sound)
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
    return None


_SENSIBLE: Final[tuple[Any, ...]] = ("1s", "http://x", [], {}, "1")
"""What is tried in the place of a value that is no good, so that it is still there."""


def _of_whole(model: type[M], raw: Any, mistakes: list[Any]) -> list[Any]:
    """Return what is wrong with a model as a whole, which pydantic looks at only when all its fields are good.

    A faulty value stands in its place as another one and a misspelt key as the one that is
    meant, because such mistakes are about what is there and what is not. When no such entry
    can be made, nothing is said until the fields are good.
    """
    holders = {path[:end] for path in map(_path, mistakes) for end in range(len(path))}
    sound, tried = copy.deepcopy(raw), Counter[Path]()
    for _ in range(MAX_REPAIRS):
        for mistake in reversed(mistakes):
            path = _path(mistake)
            if mistake["type"] == "extra_forbidden":
                _put(sound, path, ())
                path = (*path[:-1], *nearest(str(path[-1]), known_keys(model, path[:-1])))
                if path in holders or tried[path]:  # no key is near, or only that of a secret
                    continue
            choices = _literals(mistake)[:1] if mistake["type"] == "literal_error" else _SENSIBLE
            number = tried[path]
            if number >= len(choices) and not (path and isinstance(path[-1], int)):
                return []
            _put(sound, path, choices[number : number + 1])
            tried[path] += 1
        try:
            model.model_validate(sound)
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
        else:
            return []
        if all(mistake["type"] == "value_error" and _path(mistake) in holders for mistake in mistakes):
            return mistakes
    return []


def _put(into: Any, path: Path, value: Sequence[Any]) -> None:
    """Put the value at the path, or take away what stands there; tags of unions lead nowhere."""
    holder: Any = {}
    inner, last = into, path[-1] if path else ""
    for step in path:
        known = step in inner if isinstance(inner, dict) else isinstance(inner, list) and step in range(len(inner))
        if known or (value and step == path[-1] and isinstance(inner, dict)):
            holder, last = inner, step
            inner = inner[step] if known else None
    if value:
        holder[last] = copy.deepcopy(value[0])
    elif isinstance(holder, list):
        holder.pop(int(last))
    else:
        holder.pop(last, None)


def _literals(mistake: Any) -> list[str]:
    return re.findall(r"'([^']*)'", mistake["ctx"]["expected"])


def _path(mistake: Any) -> Path:
    return tuple(step for step in mistake["loc"] if step != "[key]")


def attempt(parse: Callable[[str], T], text: str, mark: Callable[[], Mark], report: Report, hint: str = "") -> T | None:
    """Return what *parse* makes of a text, or None with its ValueError reported."""
    try:
        return parse(text)
    except ValueError as error:
        report.error(mark(), str(error), hint)
        return None


_NOT_YET: Final = {("mode", "act"): "response actions are not in this version: use observe or notify"}
_EXPECTED: Final = {
    "string_type": "text", "dict_type": "a mapping", "model_type": "a mapping", "list_type": "a list",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a number", "bool_type": "true or false",
    "bool_parsing": "true or false", "model_attributes_type": "a mapping",
}  # fmt: skip
_LIMITS: Final = {
    "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}", "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}  # fmt: skip


def _tell(model: type[BaseModel], mistake: Any, path: Path, place: Place, report: Report) -> None:
    kind, value, details = mistake["type"], mistake["input"], mistake.get("ctx", {})
    mark = place.key(*path) if mistake["loc"] and mistake["loc"][-1] == "[key]" else place.mark(*path)
    match kind:
        case "extra_forbidden":
            report.error(place.key(*path), f'unknown key "{path[-1]}"', _key_meant(model, path))
        case "missing":
            field = field_at(model, path)
            hint = (field.description or "") if field else ""
            report.error(place.mark(*path[:-1]), f'missing key "{path[-1]}"', hint)
        case "literal_error":
            not_yet = _NOT_YET.get((str(path[-1]), str(value))) if path else None
            report.error(
                mark,
                f"{shown(value)} is not known here",
                not_yet or did_you_mean(str(value), _literals(mistake), "one of"),
            )
        case "union_tag_invalid":
            tags = " or ".join(re.findall(r"'([^']*)'", details["expected_tags"]))
            report.error(
                mark,
                f"expected {tags.replace('list', 'a list').replace('mapping', 'a mapping')}, found {shown(value)}",
            )
        case "union_tag_not_found":
            report.error(mark, f"expected a value, found {shown(value)}")
        case "string_too_short":
            report.error(mark, "must not be empty")
        case "string_too_long":
            report.error(mark, f"longer than {details['max_length']} characters")
        case "too_short" | "too_long":
            least = kind == "too_short"
            wanted = f"at least {details['min_length']}" if least else f"at most {details['max_length']}"
            report.error(mark, f"needs {wanted} of them, found {details['actual_length']}")
        case "value_error":
            problem, _, hint = str(details["error"]).partition("\n")
            report.error(mark, problem, hint)
        case "list_type" if isinstance(value, str):
            report.error(mark, f"expected a list, found {shown(value)}", f"write [{value}]")
        case _ if kind in _EXPECTED:
            report.error(mark, f"expected {_EXPECTED[kind]}, found {shown(value)}")
        case _ if kind in _LIMITS:
            limit = {name: f"{number:g}" for name, number in details.items()}
            report.error(mark, f"{shown(value)} must be {_LIMITS[kind].format(**limit)}")
        case _:
            report.error(mark, f"{mistake['msg'][0].lower()}{mistake['msg'][1:]}")


def _key_meant(model: type[BaseModel], path: Path) -> str:
    """Return a hint at the key that an unknown one was meant to be, or at where in the entry it belongs."""
    key, holder = str(path[-1]), tuple(step for step in path[:-1] if isinstance(step, str))
    known = known_keys(model, path[:-1])
    hint = did_you_mean(key, known, "known keys")
    if nearest(key, known):
        return hint
    if MatchForm in models_at(model, path[:-1]):
        return f"a label is matched by labels: {{{key}: VALUE}}; {hint}"
    ways = list(homes(model, key))
    ways = list(homes(model, key))
    below = sorted({way[len(holder)] for way in ways if way != holder and way[: len(holder)] == holder})
    if below:
        return f"it stands under {' or '.join(below)}"
    beside = [holder[len(way)] for way in ways if way == holder[: len(way)]]
    return f"it stands further out, beside {beside[-1]}" if beside else hint


def shown(value: object) -> str:
    """Return a value as an error names it."""
    match value:
        case None:
            return "nothing"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case str():
            return f'"{value[:60]}…"' if len(value) > 60 else f'"{value}"'
    return str(value)
