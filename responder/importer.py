"""``responder import prometheus-rules``: alerting rule files of Prometheus -> our rules.

An alert fires while its expression returns a series. Where the expression ends in a
comparison with a number, that becomes the thresholds of the rule, so that hysteresis can be
added; else the expression is asked as it is and any sample opens. What has no counterpart is
told, each with its place. Source: Prometheus model/rulefmt.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, isfinite, nextafter, prod
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

from msgspec import Struct

from responder.config.errors import ConfigError, Mark
from responder.config.nodes import Document, decode, read
from responder.config.promql import kept_labels
from responder.core.instant import format_span, parse_span
from responder.core.signal import DAY, Span
from responder.gotemplate import Untranslatable, escaped, labels_in, quoted
from responder.gotemplate import translate as translate_template

EVERY: Final = "1m"
"""Prometheus's evaluation interval, unless its configuration or the group says otherwise."""
ANY: Final = "-1e300"
PRIORITIES: Final = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5", "none": "P5"}
_TITLES: Final = ("summary", "title")
_DESCRIPTIONS: Final = ("description", "message")
_RUNBOOKS: Final = ("runbook_url", "runbook")
_GROUP: Final = {"name", "interval", "rules", "labels"}
_ALERT: Final = {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?P<comment>\#[^\n]*)|(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<compare>==|!=(?!~)|>=|<=|>|<)|(?P<other>=~|!~|.)""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CONSTANT = re.compile(r"\s*(?:absent|absent_over_time|vector|scalar)\s*\(")
_ALWAYS = re.compile(r"\s*vector\s*\(\s*\d+\s*\)\s*")


class RuleFileError(Exception):
    """It is no rule file; the text says where and why."""


class Translated(Struct, frozen=True):
    text: str
    """YAML of our rules."""
    remarks: tuple[str, ...]
    """``file:line:column: what was left out or guessed``."""


class Threshold(Struct, frozen=True):
    """An expression that ends in a comparison with a number, taken apart."""

    query: str
    op: str
    number: float

    def opens(self) -> str:
        """Return the bound that holds while the alert fires."""
        match self.op:
            case ">=":
                return f"above: {_shown(nextafter(self.number, -inf))}"
            case "<=":
                return f"below: {_shown(nextafter(self.number, inf))}"
            case _:
                return f"{_WORDS[self.op]}: {_shown(self.number)}"

    def closes(self) -> str:
        """Return the exact contrary."""
        return Threshold(self.query, _CONTRARY[self.op], self.number).opens()


_WORDS: Final = {">": "above", "<": "below", "==": "equal", "!=": "not_equal"}
_CONTRARY: Final = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}


def translate(files: Iterable[Path], source: str = "prometheus") -> Translated:
    """Return the rules of all files as one text.

    Args:
        source: The source of the configuration that they ask.

    Raises:
        RuleFileError: A file can't be read, or is no file of Prometheus rules.
    """
    remarks: list[str] = []
    taken: set[str] = set()
    blocks = [
        _Alert(alert, group, place, source, remarks).block(taken)
        for file in files
        for group, alert, place in _alerts(_document(file), remarks)
    ]
    text = "\n".join(blocks) if blocks else "  []\n"
    return Translated(f"rules:\n{text}", tuple(remarks))


# The file


class _Place(Struct, frozen=True):
    document: Document
    path: tuple[str | int, ...]

    def mark(self, *steps: str | int, key: bool = False) -> Mark:
        return self.document.mark((*self.path, *steps), key=key)


def _document(file: Path) -> Document:
    try:
        document, errors = read(decode(file.read_bytes(), str(file)), str(file))
    except OSError as error:
        raise RuleFileError(f"{file} can't be read: {error.strerror}") from None
    except ConfigError as error:
        raise RuleFileError(str(error)) from None
    if document is None or errors:
        raise RuleFileError("\n".join(map(str, errors)))
    return document


def _alerts(document: Document, remarks: list[str]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], _Place]]:
    """Yield (group, alert, place); recording rules and constant alerts are told and passed over."""
    top: tuple[str | int, ...] = ("spec",) if isinstance(document.data.get("spec"), dict) else ()
    root = document.data["spec"] if top else document.data
    groups = root.get("groups")
    if not isinstance(groups, list):
        raise RuleFileError(f"{document.mark(top)}: no file of Prometheus rules: there is no list of groups")
    for g, group in enumerate(groups):
        place = _Place(document, (*top, "groups", g))
        _expect(
            isinstance(group, dict) and isinstance(group.get("rules") or [], list),
            place.mark(),
            "a group has a list of rules",
        )
        remarks += [
            f'{place.mark(name, key=True)}: "{name}" of the group "{group.get("name")}" has no counterpart'
            for name in sorted(group.keys() - _GROUP)
        ]
        for r, rule in enumerate(group.get("rules") or []):
            here = _Place(document, (*place.path, "rules", r))
            _expect(isinstance(rule, dict) and isinstance(rule.get("expr"), str), here.mark(), "a rule has an expr")
            if isinstance(rule.get("record"), str):
                remarks.append(f"{here.mark()}: the recording rule {rule['record']} is Prometheus's business; skipped")
                continue
            _expect(isinstance(rule.get("alert"), str), here.mark(), "a rule is an alert: or a record:")
            if _ALWAYS.fullmatch(rule["expr"]):
                remarks.append(
                    f"{here.mark()}: {rule['alert']} fires always, which is no incident; skipped, "
                    "and pack:default tells when a Watchdog stops"
                )
                continue
            yield group, rule, here


def _expect(holds: bool, mark: Mark, words: str) -> None:
    if not holds:
        raise RuleFileError(f"{mark}: no file of Prometheus rules: {words}")


# One alert


class _Alert:
    """Writes one rule, and remarks on what it could not take over."""

    def __init__(
        self, alert: Mapping[str, Any], group: Mapping[str, Any], place: _Place, source: str, remarks: list[str]
    ) -> None:
        self._alert, self._group, self._place, self._source, self._remarks = alert, group, place, source, remarks
        self._labels: dict[str, Any] = {**(group.get("labels") or {}), **(alert.get("labels") or {})}
        self._annotations: dict[str, Any] = alert.get("annotations") or {}

    def block(self, taken: set[str]) -> str:
        """Return the rule as YAML; *taken* are the ids that are in use."""
        for name in sorted(self._alert.keys() - _ALERT):
            self._remark(f'"{name}" has no counterpart', name)
        texts = {name: self._template(text, "annotations", name) for name, text in self._annotations.items()}
        severity = self._labels.get("severity")
        lines = [
            f"# {self._place.mark().file}:{self._place.mark().line}, group {self._group.get('name')}".replace(
                "\n", " "
            ),
            f"- id: {scalar(self._id(taken))}",
            f"  by: [{', '.join(map(scalar, self._by()))}]",
            "  when:",
            "    metric:",
            f"      source: {scalar(self._source)}",
            *self._condition(),
            "  incident:",
            f"    service: {scalar(self._service())}",
            *self._texts(texts),
            *([f"    priority: {PRIORITIES[severity]}"] if severity in PRIORITIES else []),
            *self._label_lines(),
        ]
        if severity is not None and severity not in PRIORITIES:
            self._remark(
                f'the severity "{severity}" stands for no priority; without one it is P4', "labels", "severity"
            )
        return indent("\n".join(lines), "  ") + "\n"

    def _remark(self, words: str, *steps: str | int) -> None:
        self._remarks.append(f"{self._place.mark(*steps)}: {self._alert['alert']}: {words}")

    def _id(self, taken: set[str]) -> str:
        name = re.sub(r"[\s/?#%\\\x00-\x1f\x7f]+", "-", self._alert["alert"])  # what no id may have
        candidates = [
            name,
            f"{name}-{self._labels.get('severity', '2')}",
            *(f"{name}-{i}" for i in range(2, len(taken) + 3)),
        ]
        id = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(id)
        return str(id)

    def _by(self) -> Sequence[str]:
        """Return the labels that tell its alerts apart, as far as the expression or its texts name them."""
        expr = self._alert["expr"]
        kept = kept_labels(expr)
        if kept is not None:
            return sorted(kept)
        if _CONSTANT.match(expr):
            return []
        texts = [str(text) for text in (*self._annotations.values(), *self._labels.values())]
        used = [name for name in labels_in("\n".join(texts)) if name not in ("alertname", "severity")]
        by = used or ["job", "instance"]
        why = "the labels that its texts name" if used else "a guess"
        self._remark(f"by: [{', '.join(by)}] is {why}; series that differ in other labels share an incident", "expr")
        return by

    def _condition(self) -> Iterator[str]:
        hold, keep = self._span("for"), self._span("keep_firing_for")
        threshold = threshold_of(self._alert["expr"])
        query = threshold.query if threshold is not None else self._alert["expr"]
        yield f"      query: {_block(query, 8)}"
        yield f"      every: {format_span(self._interval())}"
        pending = f", for: {format_span(hold)}" if hold else ""
        if threshold is not None:
            yield f"      open: {{{threshold.opens()}{pending}}}{_comment(threshold)}"
            if keep:
                yield f"      close: {{{threshold.closes()}, for: {format_span(keep)}}}"
                yield f"      no_data: {self._no_data(query, keep)}"
                return
        else:
            yield f"      open: {{above: {ANY}{pending}}}  # any sample: the query drops what is well"
            if keep:
                self._remark("keep_firing_for needs a threshold beside the query; left out", "keep_firing_for")
        yield "      no_data: close"

    def _no_data(self, query: str, keep: Span) -> str:
        """Return what comes nearest to ``keep_firing_for``, which is there for series that vanish too.

        Its wait for such has no counterpart: ``keep`` waits for the series, ``close`` not at all.
        """
        nearest, words = ("close", "closes at once") if _drops(query) else ("keep", "stays open until it is back")
        self._remark(
            f"a series that vanishes {words} (no_data: {nearest}); Prometheus resolves it after {format_span(keep)}",
            "keep_firing_for",
        )
        return nearest

    def _interval(self) -> Span:
        text = str(self._group.get("interval") or EVERY)
        span = _duration(text)
        _expect(span is not None and span > 0, self._place.mark(), f"{text!r} is no interval")
        return span or 0

    def _span(self, key: str) -> Span:
        text = self._alert.get(key)
        span = _duration(str(text)) if text is not None else 0
        _expect(span is not None, self._place.mark(key), f"{text!r} is no duration")
        return span or 0

    def _service(self) -> str:
        for name in ("service", "job"):
            given = self._labels.get(name)
            if given and "{{" not in given:
                return f"{{{{ {quoted(given)} }}}}"
        return "{{ labels.service or labels.job or 'uncatalogued' }}"

    def _texts(self, texts: Mapping[str, str | None]) -> Iterator[str]:
        """Yield title, description and runbook; an annotation that has no place here is told."""
        places = (("title", _TITLES + _DESCRIPTIONS), ("description", _DESCRIPTIONS), ("runbook", _RUNBOOKS))
        used: set[str] = set()
        for field, names in places:
            name = next((name for name in names if texts.get(name) and name not in used), None)
            if name is not None:
                used.add(name)
                yield f"    {field}: {_block(str(texts[name]), 6)}"
            elif field == "title":
                yield f"    title: {scalar(escaped(self._alert['alert']))}"
        for name in sorted(texts.keys() - used):
            if texts[name]:
                self._remark(f'the annotation "{name}" has no place in an incident; left out', "annotations", name)

    def _label_lines(self) -> Iterator[str]:
        pairs = [(name, self._template(text, "labels", name)) for name, text in self._labels.items()]
        shown = [f"{scalar(name)}: {scalar(text)}" for name, text in pairs if text]
        if shown:
            yield f"  labels: {{{', '.join(shown)}}}"

    def _template(self, text: object, *steps: str) -> str | None:
        if not isinstance(text, str) or not text.strip():
            return None
        try:
            return translate_template(text).strip()
        except Untranslatable as error:
            self._remark(
                f"{steps[0].removesuffix('s')} {steps[1]} uses {error}, which has no counterpart; left out", *steps
            )
            return None


def threshold_of(expr: str) -> Threshold | None:
    """Take ``QUERY > NUMBER`` apart; None if the expression is something else."""
    expr = _unwrapped(expr.strip())
    depth, found = 0, list[re.Match[str]]()
    for token in _TOKEN.finditer(expr):
        if token["other"] and token["other"] in "([{":
            depth += 1
        elif token["other"] and token["other"] in ")]}":
            depth -= 1
        elif depth == 0 and token["word"] in ("and", "or", "unless", "bool"):
            return None
        elif depth == 0 and token["compare"]:
            found.append(token)
    if len(found) != 1:
        return None
    query, number = expr[: found[0].start()].strip(), _number(expr[found[0].end() :])
    if not query or number is None or _number(query) is not None:
        return None
    return Threshold(query, found[0]["compare"], number)


def _drops(query: str) -> bool:
    """Say whether a query may lose a series because all is well: it compares, or asks for one beside another."""
    tokens = [token for token in _TOKEN.finditer(query) if token[0].strip() and not token["comment"]]
    braces = 0
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        braces += (token["other"] == "{") - (token["other"] == "}")
        if braces == 0 and token["compare"] and not (after and after["word"] == "bool"):
            return True
        if braces == 0 and token["word"] in ("and", "unless"):
            return True
    return False


def _unwrapped(expr: str) -> str:
    """Return the expression without brackets around the whole of it."""
    while expr.startswith("("):
        depth = 0
        for token in _TOKEN.finditer(expr):
            depth += (token["other"] == "(") - (token["other"] == ")")
            if depth == 0:
                if token.end() != len(expr):
                    return expr
                expr = expr[1:-1].strip()
                break
        else:
            return expr
    return expr


def _number(text: str) -> float | None:
    """Return a number, or a product of numbers such as ``24 * 60 * 60``."""
    factors = [part.strip() for part in re.sub(r"#[^\n]*", "", text).split("*")]
    if not all(_NUMBER.fullmatch(part) for part in factors):
        return None
    number = prod(map(float, factors))
    return number if isfinite(number) else None


def _duration(text: str) -> Span | None:
    years = re.match(r"(\d+)y", text)
    rest = text[years.end() :] if years else text
    try:
        return (int(years[1]) * 365 * DAY if years else 0) + (parse_span(rest) if rest or not years else 0)
    except ValueError:
        return None


# YAML


def scalar(text: str) -> str:
    """Return text as a YAML scalar, in double quotes where plain text could be misread."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", text) and text.lower() != "null":
        return text
    return '"' + "".join(map(_character, text)) + '"'


def _character(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char == "\n":
        return "\\n"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _block(text: str, margin: int) -> str:
    """Return text of several lines as a literal block, other text as a scalar."""
    text = dedent(text.expandtabs(2)).strip()
    if "\n" not in text or not all(char.isprintable() or char == "\n" for char in text):
        return scalar(text)
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return "|-\n" + indent(lines, " " * margin)


def _shown(number: float) -> str:
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e15 else repr(number)


def _comment(threshold: Threshold) -> str:
    words = {">=": "at least", "<=": "at most"}.get(threshold.op)
    return f"  # {words} {_shown(threshold.number)}" if words else ""
