"""Templates of Prometheus rules (Go's text/template) -> ours, as far as they say the same.

Source: https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

import json
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

_ACTION = re.compile(r"\{\{(-\s)?\s*((?:\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^\"`])*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\]|\\.)*" | `[^`]*`) | (?P<number>[+-]?\d+(?:\.\d+)?) | (?P<sign>[|()])
    | (?P<name>[$.]?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*) )""",
    re.VERBOSE,
)
_VERB = re.compile(r"%(?:%|[-+#0 ]*\d*(?:\.(?P<digits>\d+))?(?P<kind>[a-zA-Z]))")
_DECLARED = re.compile(r"\$(labels|value)\s*:=\s*\.(Labels|Value)")
_COMPARE: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FILTERS: Final = {
    "humanize1024": "bytes", "humanizeDuration": "duration", "humanizePercentage": "percent",
    "toUpper": "upper", "toLower": "lower", "title": "title",
}  # fmt: skip
_AS_IT_IS: Final = ("humanize", "safeHtml", "print", "html")
"""What our templates do by themselves, or need not do."""


class Untranslatable(Exception):
    """It has no counterpart; the text names it."""


class Part(Struct, frozen=True):
    """A piece of what is printed: a text as it is, or an expression of ours."""

    text: str = ""
    code: str = ""

    @property
    def operand(self) -> str:
        """Return it as part of a larger expression."""
        if not self.code:
            return quoted(self.text)
        return self.code if re.fullmatch(r"[\w.]+|labels\['[^']*'\]", self.code) else f"({self.code})"


Parts = tuple[Part, ...]


def translate(text: str) -> str:
    """Return the template that prints the same.

    Raises:
        Untranslatable: It uses what we have not; names it.
    """
    printed: list[str] = []
    at, depth, trim = 0, 0, False
    for match in _ACTION.finditer(text):
        before = text[at : match.start()]
        printed.append(_literal(_trimmed(before, trim, bool(match[1])), printed))
        action = _action(match[2].strip())
        depth += action.startswith("{% if") - (action == "{% endif %}")
        printed.append(action)
        at, trim = match.end(), bool(match[3])
    printed.append(_literal(_trimmed(text[at:], trim, False), printed))
    if depth:
        raise Untranslatable("an if without its end")
    return "".join(printed)


def quoted(text: str) -> str:
    """Return a text as a constant of our templates."""
    simple = text.isprintable() and not set(text) & {"'", "\\"}
    return f"'{text}'" if simple else json.dumps(text, ensure_ascii=False)


def escaped(text: str) -> str:
    """Return a template that prints the text as it is."""
    return re.sub(r"\{[{%#]", lambda found: f"{{{{ {quoted(found[0])} }}}}", text)


def labels_in(text: str) -> list[str]:
    """Return the labels that a template reads, in the order of their first use."""
    found = re.findall(r"(?:\$labels|\.Labels)\.([A-Za-z_]\w*)", text)
    found += re.findall(r'index\s+(?:\$labels|\.Labels)\s+"([^"]+)"', text)
    return list(dict.fromkeys(found))


def _trimmed(text: str, left: bool, right: bool) -> str:
    text = text.lstrip() if left else text
    return text.rstrip() if right else text


def _literal(text: str, printed: Sequence[str]) -> str:
    """Return text between actions; what our templates would read as their own is quoted."""
    if "{{" in text:
        raise Untranslatable("an action without its end")
    if printed and "| bytes }}" in printed[-1][-12:] and re.match(r"B\b", text):
        text = text[1:]  # humanize1024 prints 1.5Mi, bytes prints 1.5 MiB
    return escaped(text)


def _action(code: str) -> str:
    if code.startswith("/*") or _DECLARED.fullmatch(code):
        return ""
    word, _, rest = code.partition(" ")
    if word == "if":
        return f"{{% if {_condition(rest)} %}}"
    if word == "else":
        kind, _, condition = rest.strip().partition(" ")
        if kind == "if":
            return f"{{% elif {_condition(condition)} %}}"
        if not kind:
            return "{% else %}"
    if code == "end":
        return "{% endif %}"
    if word in ("range", "with", "template", "define", "block", "else", "break", "continue"):
        raise Untranslatable(word)
    return "".join(escaped(part.text) if not part.code else f"{{{{ {part.code} }}}}" for part in _Reader(code).read())


def _condition(code: str) -> str:
    return _joined(_Reader(code).read())


class _Reader:
    """Reads one pipeline."""

    def __init__(self, code: str) -> None:
        self._tokens = []
        at = 0
        while at < len(code.rstrip()):
            match = _TOKEN.match(code, at)
            if match is None:
                raise Untranslatable(code[at:].strip().split()[0])
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            at = match.end()

    def read(self) -> Parts:
        parts = self._pipeline()
        if self._tokens:
            raise Untranslatable(self._tokens[0][1])
        return parts

    def _pipeline(self) -> Parts:
        parts = self._command(())
        while self._tokens and self._tokens[0][1] == "|":
            self._tokens.pop(0)
            parts = self._command((parts,))
        return parts

    def _command(self, piped: tuple[Parts, ...]) -> Parts:
        if not self._tokens:
            raise Untranslatable("an empty action")
        kind, word = self._tokens[0]
        if kind == "name" and word[0] not in "$.":
            self._tokens.pop(0)
            return _call(word, (*self._operands(), *piped))
        operands = self._operands()
        if piped or len(operands) != 1:
            raise Untranslatable(word)
        return operands[0]

    def _operands(self) -> tuple[Parts, ...]:
        found = []
        while self._tokens and self._tokens[0][1] not in ("|", ")"):
            kind, word = self._tokens.pop(0)
            if word == "(" and kind == "sign":
                found.append(self._pipeline())
                if not self._tokens or self._tokens.pop(0)[1] != ")":
                    raise Untranslatable("a bracket that does not close")
            elif kind == "text":
                found.append((Part(text=_unquoted(word)),))
            else:
                found.append((Part(code=_operand(kind, word)),))
        return tuple(found)


def _operand(kind: str, word: str) -> str:
    if kind == "number":
        return word
    if word in ("true", "false"):
        return word
    for prefix in ("$labels.", ".Labels."):
        if word.startswith(prefix):
            return "labels." + word.removeprefix(prefix)
    if word in ("$labels", ".Labels"):
        return "labels"
    if word in ("$value", ".Value"):
        return "value"
    raise Untranslatable(word)


def _unquoted(word: str) -> str:
    if word.startswith("`"):
        return word[1:-1]
    try:
        return str(json.loads(word))
    except ValueError:
        raise Untranslatable(word) from None


def _call(name: str, arguments: tuple[Parts, ...]) -> Parts:
    if name in _AS_IT_IS and len(arguments) == 1:
        return arguments[0]
    if name in _FILTERS and len(arguments) == 1:
        return (Part(code=f"{_joined(arguments[0])} | {_FILTERS[name]}"),)
    if name == "printf" and arguments:
        return _printf(arguments[0], list(arguments[1:]))
    if name in _COMPARE and len(arguments) == 2:
        left, right = map(_joined, arguments)
        return (Part(code=f"{left} {_COMPARE[name]} {right}"),)
    if name in ("and", "or") and arguments:
        return (Part(code=f" {name} ".join(map(_joined, arguments))),)
    if name == "not" and len(arguments) == 1:
        return (Part(code=f"not {_joined(arguments[0])}"),)
    if name == "index" and len(arguments) == 2 and _joined(arguments[0]) == "labels":
        return (Part(code=f"labels[{_joined(arguments[1])}]"),)
    raise Untranslatable(name)


def _printf(written: Parts, arguments: list[Parts]) -> Parts:
    if len(written) != 1 or written[0].code:
        raise Untranslatable("printf")
    text, at = written[0].text, 0
    parts: list[Part] = []
    for match in _VERB.finditer(text):
        parts.append(Part(text=text[at : match.start()]))
        at = match.end()
        if match[0] == "%%":
            parts.append(Part(text="%"))
        elif not arguments:
            raise Untranslatable("printf")
        else:
            parts += _formatted(arguments.pop(0), match["kind"], match["digits"])
    parts.append(Part(text=text[at:]))
    if arguments:
        raise Untranslatable("printf")
    return tuple(part for part in parts if part.code or part.text)


def _formatted(argument: Parts, kind: str, digits: str | None) -> Parts:
    if kind not in "fgdsvqeF":
        raise Untranslatable(f"printf %{kind}")
    if kind in "fF" and _joined(argument) == "value":
        return (Part(code=f"value | round({digits or 6})"),)
    return argument


def _joined(parts: Parts) -> str:
    """Return parts as one expression."""
    return " ~ ".join(part.operand for part in parts) if len(parts) != 1 else parts[0].operand
