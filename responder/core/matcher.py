"""Matchers: ``alertname=~"Disk.*"``, alone or in braces, as Prometheus and Alertmanager write them.

Two notations exist. The *classic* one takes anything after the operator as the value, with
or without double quotes. The *UTF-8* one, newer, also quotes names, ends an unquoted value
at a space or one of ``{}!=~,"'``` and a backslash, and knows Go's escapes in quotes. As
Alertmanager does when it has to serve both, a text is read in both, and where they differ
the classic reading stands. Selectors of rules may also use ``'...'`` and backticks, as PromQL.

Regexes are compiled by a function that the caller passes in; it raises ValueError for what
it refuses. Source: Alertmanager pkg/labels and matcher/parse; Prometheus querying/basics.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct

from responder.core.rule import Holds, Test

Op: TypeAlias = Literal["=", "!=", "=~", "!~"]
CompileRegex: TypeAlias = Callable[[str], Holds]
"""Returns the test of an anchored regex; raises ValueError for what it refuses."""

_OPS: Final[Mapping[str, Op]] = {"=": "=", "!=": "!=", "=~": "=~", "!~": "!~"}
_CLASSIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|=|!=|!~)\s*(.*?)\s*", re.DOTALL)
_RESERVED = re.escape("{}!=~,\\\"'`")
_TOKEN = re.compile(
    rf"""\s*(?: (?P<op>=~|!=|!~|=) | (?P<mark>[{{}},]) | (?P<quoted>"(?:[^"\\\n]|\\.)*")
    | (?P<promql>'(?:[^'\\\n]|\\.)*' | `[^`]*`) | (?P<bare>[^\s{_RESERVED}]+) )""",
    re.VERBOSE,
)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_SIMPLE_ESCAPES = dict(zip("abfnrtv\\\"'", "\a\b\f\n\r\t\v\\\"'", strict=True))
_PIECE = re.compile(r"\\.|.|\\", re.DOTALL)
_SPECIAL: Final = frozenset(".+*?()[]{}^$\\")
_PUNCTUATION: Final = frozenset(string.punctuation) - {"_"}


class Matcher(Struct, frozen=True):
    """One condition on one label; a missing label is the empty string."""

    name: str
    op: Op
    value: str
    holds: Holds

    def __str__(self) -> str:
        """Return the canonical text; reading it gives the matcher again."""
        name = self.name if _NAME.fullmatch(self.name) else quote(self.name)
        return f"{name}{self.op}{quote(self.value)}"


def matcher(name: str, op: str, value: str, compile_regex: CompileRegex) -> Matcher:
    """Return the matcher of these parts.

    Raises:
        ValueError: If there is no such operator, or the regex is refused.
    """
    if op not in _OPS:
        raise ValueError(f"{op!r} is not one of = != =~ !~")
    if op in ("=", "!="):
        holds: Holds = value.__eq__ if op == "=" else value.__ne__
    else:
        literals = alternatives(value)
        found = compile_regex(value) if literals is None else frozenset(literals).__contains__
        holds = found if op == "=~" else _contrary(found)
    return Matcher(name, _OPS[op], value, holds)


def parse_matcher(text: str, compile_regex: CompileRegex) -> Matcher:
    """Return the matcher of ``name op value``, as Alertmanager reads its ``filter=`` parameter.

    Raises:
        ValueError: In Alertmanager's words: ``bad matcher format: ...``.
    """
    if text.lstrip().startswith("{"):
        raise ValueError(f"bad matcher format: {text}")
    newer = _attempt(lambda: _one(_parse_utf8(text)))
    classic = _attempt(lambda: _parse_classic(text))
    if isinstance(classic, ValueError):
        if isinstance(newer, ValueError):
            raise classic
        return matcher(*newer, compile_regex)
    return matcher(*classic, compile_regex)


def parse_selector(text: str, compile_regex: CompileRegex) -> tuple[Matcher, ...]:
    """Return the matchers of a Prometheus selector in braces; values stand in any of PromQL's quotes.

    Raises:
        ValueError: If it is no selector; a :class:`Misread` says where.
    """
    if not text.strip().startswith("{"):
        raise ValueError('a selector stands in braces: {alertname="DiskFull"}')
    return tuple(matcher(*parts, compile_regex) for parts in _parse_utf8(text, promql=True))


def as_test(of: Matcher) -> Test:
    """Return the condition of a rule that holds for the same values.

    ``equals`` stays empty when the empty string would do: a label that is missing cannot be
    looked up under its value.
    """
    values = (of.value,) if of.op == "=" else alternatives(of.value) if of.op == "=~" else None
    equals = () if values is None or "" in values else tuple(dict.fromkeys(values))
    return Test(of.name, of.holds, f"{of.name} {of.op} {quote(of.value)}", equals)


def alternatives(regex: str) -> tuple[str, ...] | None:
    """Return the texts of a regex that is nothing but ``a|b|c``; none if it is more than that."""
    parts = [""]
    for piece in _PIECE.findall(regex):
        if piece == "|":
            parts.append("")
        elif piece in _SPECIAL or (piece[0] == "\\" and piece[1:] not in _PUNCTUATION):
            return None
        else:
            parts[-1] += piece[-1]
    return tuple(parts)


def regex_of(values: tuple[str, ...]) -> str:
    """Return the regex that only these values match; :func:`alternatives` reads it back."""
    return "|".join(re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", value) for value in values)


def quote(text: str) -> str:
    """Return the text in double quotes."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return f'"{escaped}"'


class Misread(ValueError):
    """A text stops being matchers at a character; *offset* counts from 0, the sentence from 1 as people do."""

    def __init__(self, offset: int, problem: str) -> None:
        super().__init__(f"at character {offset + 1}: {problem}")
        self.offset = offset


Parts: TypeAlias = tuple[str, str, str]
T = TypeVar("T")


def _attempt(read: Callable[[], T]) -> T | ValueError:
    try:
        return read()
    except ValueError as error:
        return error


def _contrary(holds: Holds) -> Holds:
    return lambda value: not holds(value)


def _one(found: list[Parts]) -> Parts:
    if len(found) != 1:
        raise ValueError(f"expected one matcher, found {len(found)}")
    return found[0]


def _parse_classic(text: str) -> Parts:
    match = _CLASSIC.fullmatch(text)
    if match is None:
        raise ValueError(f"bad matcher format: {text}")
    name, op, written = match.groups()
    body = written.removeprefix('"')
    quoted = closed = body != written
    if quoted:
        closed = body.endswith('"')
        body = body.removesuffix('"')
        # a closing quote that is escaped is part of the value, and then none closes it
        closed = closed and (len(body) - len(body.rstrip("\\"))) % 2 == 0
    if quoted != closed or re.search(r'(?<!\\)(?:\\\\)*"', body):
        raise ValueError(f"matcher value contains unescaped double quote: {written}")
    return name, op, re.sub(r"\\([n\"\\])", lambda m: "\n" if m[1] == "n" else m[1], body)


def _parse_utf8(text: str, promql: bool = False) -> list[Parts]:
    """Return (name, op, value) of each matcher.

    Raises:
        Misread: It stops being a list of matchers.
    """
    tokens = _tokens(text, promql)
    kind, said, at = next(tokens)
    closing = said == "{" and kind == "mark"
    found: list[Parts] = []
    if closing:
        kind, said, at = next(tokens)
    while kind in ("bare", "quoted", "promql"):
        name = _value(kind, said, at)
        op_kind, op, at = next(tokens)
        if op_kind != "op":
            raise Misread(at, f"expected one of = != =~ !~ after {name!r}")
        kind, said, at = next(tokens)
        if kind not in ("bare", "quoted", "promql") or (promql and kind == "bare"):
            raise Misread(at, f"expected a quoted value after {name}{op}")
        found.append((name, op, _value(kind, said, at)))
        kind, said, at = next(tokens)
        if said != "," or kind != "mark":
            break
        kind, said, at = next(tokens)
    if closing:
        if said != "}" or kind != "mark":
            raise Misread(at, "expected a comma or a closing brace")
        kind, said, at = next(tokens)
    if kind != "end":
        raise Misread(at, f"unexpected {said!r}")
    return found


def _tokens(text: str, promql: bool) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, text, where it stands), at last ``end`` for ever."""
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None or (match.lastgroup == "promql" and not promql):
            at = end - len(text[at:end].lstrip())
            raise Misread(at, f"unexpected {text[at]!r}")
        yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
        at = match.end()
    while True:
        yield "end", "end of input", len(text)


def _value(kind: str, said: str, at: int) -> str:
    if kind == "bare" or said.startswith("`"):
        return said.strip("`")
    return _go_unquoted(said[1:-1], at)


def _go_unquoted(body: str, at: int) -> str:
    raw = bytearray()
    last = 0
    for escape in _ESCAPE.finditer(body):
        raw += body[last : escape.start()].encode()
        code = escape[1]
        if code in _SIMPLE_ESCAPES:
            raw += _SIMPLE_ESCAPES[code].encode()
        elif len(code) == 1:
            raise Misread(at, f"\\{code} is not an escape")
        elif code[0] in "uU":
            raw += _character(int(code[1:], 16), at).encode()
        else:
            raw.append(int(code[1:], 16) if code[0] == "x" else int(code, 8) & 0xFF)
        last = escape.end()
    raw += body[last:].encode()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Misread(at, "not UTF-8") from None


def _character(code: int, at: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise Misread(at, f"U+{code:X} is no character")
    return chr(code)
