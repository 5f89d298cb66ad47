"""Templates of titles and the like: Jinja, of which only what is bounded by nature is let in.

Expressions, ``if``, one level of ``for``; no calls, no assignments, no macros, no nested
loops. What a template reads is cut to the length that it may print, so neither time nor
memory can run away, whatever a label holds; and values are only ever data: they are never
read as a template. A text without braces needs no Jinja; one that merely fills in values
(``{{ key.region }}``, ``{{ value | duration }}``), which is nearly every title, is filled
by plain look-ups, because titles are made on the hot path.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from responder.config.errors import did_you_mean
from responder.core.instant import format_instant, format_span
from responder.core.rule import Render, TemplateError
from responder.core.signal import SECOND

NAMES: Final[Mapping[str, str]] = {
    "key": "the labels of `by`; one that is not there prints nothing",
    "labels": "of the alert or the series that opened it; one that is not there prints nothing",
    "annotations": "of the alert that opened it; one that is not there prints nothing",
    "value": "what the series of a `metric` rule showed as it opened; prints `no data` if there is none",
    "count": "how many there were, of `count` and `flapping`; prints `no data` in rules of another kind",
    "steps": "of `sequence` and `all`: when each step came, `{{ steps.NAME }}` is `2026-01-05T00:00:00Z`; a step that did not come, or an unknown one, prints nothing",
}
"""What a template may name, and what that is."""
SHORT: Final = 1_024
"""Characters that a title, a service, a label or an address may have; more is cut."""
LONG: Final = 16_384
"""Characters of a description."""
MAX_SOURCE: Final = 8_192
MAX_ITEMS: Final = 1_000
"""So many things a loop may visit."""
MAX_NESTING: Final = 40


def is_plain(text: str) -> bool:
    """Say whether the text has nothing to fill in."""
    return not any(opening in text for opening in ("{{", "{%", "{#"))


@lru_cache(maxsize=20_000)
def compile_template(text: str, limit: int = SHORT) -> Render:
    """Return the function that fills the template; equal texts share one.

    It takes a mapping of :data:`NAMES`, missing ones as none or empty and steps as instants, prints none
    as ``no data`` and steps in RFC 3339, cuts what is longer than *limit*, and raises only
    :class:`responder.core.rule.TemplateError`.

    Raises:
        ValueError: If the template can't be filled ever: syntax, unknown names or filters. A
            second line, if any, is the hint.
    """
    text = text.replace("\r\n", "\n").removesuffix("\n")
    if is_plain(text):
        plain = _cut(text, limit)
        return lambda context: plain
    if len(text) > MAX_SOURCE:
        raise ValueError(f"the template is longer than {MAX_SOURCE} characters")
    parts = _simple_parts(text)
    if parts is not None:
        return _filled(parts, limit)
    _parse(text)
    return _Lazy(text, limit)


def plain_text(value: object) -> str:
    """Return a value as templates print it: none is ``no data``, whole numbers have no point, labels are ``a=b, c=d``."""
    if type(value) is str:
        return value
    if value is None:
        return "no data"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={plain_text(inner)}" for name, inner in value.items())
    return _number_text(value) if isinstance(value, float) else str(value)


# Filters


def duration(value: object) -> str:
    """Return seconds as ``12m30s``; below one second, milliseconds."""
    seconds = _number(value)
    if seconds is None:
        return plain_text(value)
    if not math.isfinite(seconds) or abs(seconds) > 1e12:
        return _number_text(seconds)
    if 0 < abs(seconds) < 0.9995:
        return f"{round(seconds * 1000)}ms"
    return format_span(round(seconds * SECOND))


def in_bytes(value: object) -> str:
    """Return a number of bytes as ``1.5 GiB``."""
    number = _number(value)
    if number is None or not math.isfinite(number):
        return plain_text(value)
    power = min(int(math.log2(max(abs(number), 1)) // 10), 6)
    return f"{number / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power]}"


def percent(value: object) -> str:
    """Return a ratio as a percentage: 0.953 is ``95.3%``."""
    number = _number(value)
    if number is None or not math.isfinite(number):
        return plain_text(value)
    return _number_text(float(f"{number * 100:.4g}")) + "%"


_FILTERS: Final[dict[str, Callable[[object], str]]] = {
    "duration": duration, "bytes": in_bytes, "percent": percent,
}  # fmt: skip


def _number(value: object) -> float | None:
    """Return the number, also of a text such as a label's value; None if it is none."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def _number_text(number: float) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    if 1e6 <= abs(number) < 1e15 or (abs(number) < 1e15 and number == int(number)):
        return f"{number:.0f}"
    return f"{number:.6g}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


# The short way: text and plain look-ups

_SIMPLE = re.compile(
    r"""\{\{\s*(?: (?P<name>value|count)
      | (?P<map>key|labels|annotations)(?: \.(?P<attr>[A-Za-z_][A-Za-z0-9_]*) | \[\s*"(?P<item>[^"\\\n]*)"\s*\] ) )
    \s*(?:\|\s*(?P<filter>duration|bytes|percent)\s*)?\}\}""",
    re.VERBOSE,
)
_Part = str | Callable[[Mapping[str, Any]], str]


def _simple_parts(text: str) -> list[_Part] | None:
    """Return literal texts and look-ups in turn; None if the template does more than that."""
    parts: list[_Part] = []
    at = 0
    for match in _SIMPLE.finditer(text):
        parts += [text[at : match.start()], _lookup(**match.groupdict())]
        at = match.end()
    parts.append(text[at:])
    return parts if all(is_plain(part) for part in parts if isinstance(part, str)) else None


def plain_keys(text: str) -> list[str]:
    """Return the labels of the key that a text prints as they are, with nothing instead when they are not there."""
    return [found["attr"] or found["item"] for found in _SIMPLE.finditer(text) if found["map"] == "key"]


def _lookup(name: str | None, map: str, attr: str | None, item: str | None, filter: str | None) -> _Part:
    shown = _FILTERS[filter] if filter else plain_text
    if name is not None:
        return lambda context: shown(context.get(name))
    of = attr if attr is not None else item
    if filter is None:
        return lambda context: context[map].get(of, "")
    return lambda context: shown(context[map].get(of, ""))


def _filled(parts: list[_Part], limit: int) -> Render:
    def render(context: Mapping[str, Any]) -> str:
        try:
            text = "".join([part if isinstance(part, str) else part(context) for part in parts])
        except (KeyError, TypeError, AttributeError) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
        return text if len(text) <= limit else _cut(text, limit)

    return render


# The long way: Jinja

_ALLOWED_NODES: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Filter, nodes.Test, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Concat,
    nodes.For, nodes.Tuple, nodes.List, nodes.Keyword,
)  # fmt: skip
_JINJA_FILTERS: Final = (
    "default", "d", "upper", "lower", "capitalize", "title", "trim", "truncate", "int", "float", "abs", "length",
    "count", "first", "last", "dictsort", "items", "string", "sort",
)  # fmt: skip
_JINJA_TESTS: Final = (
    "defined", "undefined", "none", "number", "string", "in", "eq", "equalto", "ne", "lt", "le", "gt", "ge", "odd", "even",
)  # fmt: skip
_LOOP: Final = ("index", "index0", "first", "last", "length")


class _Missing(jinja2.Undefined):
    """A label that is not there: the empty string, save that ``default`` replaces it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == "" or isinstance(other, jinja2.Undefined)

    def __hash__(self) -> int:
        return hash("")


class _Environment(ImmutableSandboxedEnvironment):
    """Knows no function, and reads names of mappings as items, never as methods."""

    intercepted_binops = frozenset("*%")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TypeError(f"{operator} needs numbers on both sides")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        usable = isinstance(obj, Mapping) or (isinstance(obj, str | list | tuple) and isinstance(argument, int | slice))
        try:
            found = obj[argument] if usable else self.undefined(obj=obj, name=argument)
        except LookupError:
            return self.undefined(obj=obj, name=argument)
        return found[:LONG] if isinstance(found, str) else found


def _bounded(things: Any) -> list[Any]:
    found = list(islice(things, MAX_ITEMS + 1)) if things else []
    if len(found) > MAX_ITEMS:
        raise ValueError(f"a loop over more than {MAX_ITEMS} things")
    return found


def _replace(text: object, old: str, new: str) -> str:
    text = str(text)
    if len(text) + text.count(old) * len(new) > 4 * LONG:
        raise ValueError("replace makes the text too long")
    return text.replace(old, new)


def _join(things: Any, between: str = "") -> str:
    return between[:SHORT].join(plain_text(thing)[:LONG] for thing in _bounded(things))


def _round(number: float, digits: int = 0) -> float:
    return round(float(number), max(-15, min(digits, 15)))


def _environment() -> _Environment:
    environment = _Environment(undefined=_Missing, autoescape=False, finalize=plain_text, cache_size=0)
    environment.globals.clear()
    known = environment.filters
    environment.filters = {name: known[name] for name in _JINJA_FILTERS} | _FILTERS
    environment.filters |= {"replace": _replace, "join": _join, "round": _round, "bounded": _bounded}
    environment.tests = {name: environment.tests[name] for name in _JINJA_TESTS}
    return environment


_ENVIRONMENT: Final = _environment()


def _parse(text: str) -> nodes.Template:
    try:
        tree = _ENVIRONMENT.parse(text)
        _check(tree, 0, in_loop=False)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(_syntax(error.message or "not a template")) from None
    except RecursionError:
        raise ValueError("the template is nested too deeply") from None
    asked = meta.find_undeclared_variables(tree) | {
        name.name for name in tree.find_all(nodes.Name) if name.name == "self"
    }
    for name in sorted(asked):
        if name not in NAMES:
            raise ValueError(f'unknown name "{name}" in the template\n{did_you_mean(name, NAMES, "known names")}')
    return tree


def _syntax(message: str) -> str:
    unknown = re.match(r"No (filter|test) named '(.*)'", message)
    if unknown is None:
        return f"the template is broken: {message}"
    known = [*_ENVIRONMENT.filters] if unknown[1] == "filter" else [*_JINJA_TESTS]
    return f'unknown {unknown[1]} "{unknown[2]}" in the template\n{did_you_mean(unknown[2], known, f"known {unknown[1]}s")}'


def _check(node: nodes.Node, depth: int, in_loop: bool) -> None:
    """Refuse what is not bounded by nature, and bound what loops visit."""
    kind = type(node).__name__.lower()
    if not isinstance(node, _ALLOWED_NODES):
        raise ValueError(f"{kind} is not allowed in a template")
    if depth > MAX_NESTING:
        raise ValueError("the template is nested too deeply")
    if isinstance(node, nodes.For):
        if in_loop or node.recursive:
            raise ValueError("a loop inside a loop is not allowed in a template")
        node.iter = nodes.Filter(node.iter, "bounded", [], [], None, None, lineno=node.lineno)
        in_loop = True
    if isinstance(node, nodes.Filter) and node.name not in _ENVIRONMENT.filters:
        raise ValueError(_syntax(f"No filter named '{node.name}'"))
    if isinstance(node, nodes.Test) and node.name not in _ENVIRONMENT.tests:
        raise ValueError(_syntax(f"No test named '{node.name}'"))
    for child in node.iter_child_nodes():
        _check(child, depth + 1, in_loop)


class _Lazy:
    """A template that Jinja compiles when it is filled first: a check of a thousand rules needs none of them."""

    def __init__(self, text: str, limit: int) -> None:
        self._text, self._limit = text, limit
        self._template: jinja2.Template | None = None

    def __call__(self, context: Mapping[str, Any]) -> str:
        try:
            if self._template is None:
                code = _ENVIRONMENT.compile(_parse(self._text))
                self._template = jinja2.Template.from_code(_ENVIRONMENT, code, {})
            given = {"key": {}, "labels": {}, "annotations": {}, "value": None, "count": None, **context}
            given["steps"] = {name: format_instant(at) for name, at in context.get("steps", {}).items()}
            return self._printed(self._template.root_render_func(self._template.new_context(given)))
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error

    def _printed(self, chunks: Iterator[str]) -> str:
        printed, room = [], self._limit
        for chunk in chunks:
            printed.append(chunk)
            room -= len(chunk)
            if room < 0:
                break
        return _cut("".join(printed), self._limit)
