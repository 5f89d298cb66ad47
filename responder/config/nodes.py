"""YAML text -> plain values, with file:line:column for every one of them.

Every scalar stays text, as written: the model that takes it says whether it is a number, a
duration or a label value, so ``env: no``, ``version: 1.10`` and ``from: 02:00`` mean what
they say. Only an empty scalar, ``~`` and ``null`` are None. Positions cost nothing until a
mistake asks for one: :meth:`Document.mark` walks the composed nodes.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from responder.config.errors import ConfigError, Mark

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 50
MAX_ALIASED: Final = 10_000
"""So many values may come from aliases beyond those that stand in the text."""
Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]

_TEXT, _NULL, _LIST, _MAPPING = "text", "null", "list", "mapping"
_TAGS = {_TEXT, _NULL, _LIST, _MAPPING}
_STANDARD = "tag:yaml.org,2002:"
_EXPLICIT = {_STANDARD + name: _TEXT for name in ("str", "int", "float", "bool", "timestamp")}
_EXPLICIT |= {_STANDARD + "null": _NULL, _STANDARD + "seq": _LIST, _STANDARD + "map": _MAPPING}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INDENT = re.compile("^ *([\t\xa0])", re.MULTILINE)
_QUOTE = "quote a text that holds : # , or a bracket, and one that begins with *, &, %, @ or `"
_CLOSE = "close it, and the quotes in it; " + _QUOTE
_SAID: Final = {
    "found character that cannot start any token": ("a character that can't begin a value", _QUOTE),
    "second occurrence": ("the anchor is defined twice", ""),
    "mapping values are not allowed in this context": (
        "a colon where no key can stand",
        "indent the keys of one mapping alike, and quote a text that holds a colon and a blank",
    ),
    "did not find expected ',' or '}'": ("the { of {there} does not end as it should", _CLOSE),
    "did not find expected ',' or ']'": ("the [ of {there} does not end as it should", _CLOSE),
    "did not find expected key": (
        "this belongs neither to the mapping that begins at {there} nor to what is around it",
        "indent the keys of one mapping alike, and the items of one list",
    ),
    "did not find expected '-' indicator": (
        "this belongs neither to the list that begins at {there} nor to what is around it",
        "indent the items of one list alike, and the keys of one item",
    ),
    "found unexpected ':'": ("a colon without a blank after it", "write KEY: VALUE; " + _QUOTE),
    "found undefined alias": ("an alias of an anchor that is not there", "quote a text that begins with *"),
}
"""What libyaml says: what we say, and the way out. ``{there}`` is where what it was reading begins."""
_SAID_AT_ITS_BEGINNING: Final = {
    "found unexpected end of stream": ("the quoted text that begins here does not end", ""),
    "could not find expected ':'": ("a key without a colon and a blank after it", "write KEY: VALUE"),
    "did not find expected alphabetic or numeric character": (
        "* and & begin the name of an anchor, and here is none",
        _QUOTE,
    ),
}
"""What libyaml notices too late: these are shown where what it was reading begins."""


class Document:
    """One file: its plain values and where each of them stands."""

    def __init__(self, file: str, root: Node | None, data: dict[str, Any], text: str = "") -> None:
        self.file, self.data, self._text = file, data, text
        self.folder = "."
        """What relative paths in the file start from."""
        self._root = root

    def mark(self, path: Sequence[Step] = (), *, key: bool = False) -> Mark:
        """Return where the value at *path* begins, or its key with *key*.

        Steps that lead nowhere are passed over: pydantic puts names of union members among
        them, and what is missing is best shown at what it is missing from.
        """
        node, at = self._root, self._root
        for step in path:
            found = _child(node, step)
            if found is not None:
                at, node = found
        best = at if key else node
        return Mark(self.file) if best is None else _mark(self.file, best.start_mark)

    def inside(self, path: Sequence[Step], offset: int) -> Mark:
        """Return where a character of the text at *path* stands, if YAML writes the text as it is.

        Blanks are not compared: YAML folds and indents. An escape before it ends the search,
        then the mark is that of the whole text.
        """
        node = self._root
        for step in path:
            found = _child(node, step)
            node = found[1] if found is not None else None
        if type(node) is not ScalarNode:
            return self.mark(path)
        at, end = node.start_mark.index, node.end_mark.index
        if node.style in ("|", ">"):
            at = self._text.find("\n", at) + 1
        elif node.style in ("'", '"'):
            at += 1
        for char in node.value[:offset]:
            if not char.isspace():
                at = _past_blanks(self._text, at, end)
                if self._text[at : at + 1] != char:
                    return self.mark(path)
                at += 1
        return _place(self.file, self._text, _past_blanks(self._text, at, end) if offset < len(node.value) else at)


def read(text: str, file: str) -> tuple[Document | None, list[ConfigError]]:
    """Return the document of a text, as far as it can be read, and everything that is wrong with its YAML.

    A text of comments only is an empty configuration. Never raises.
    """
    refused = _refused(text, file)
    if refused is not None:
        return None, [refused]
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        return None, [_syntax(file, error)]
    except yaml.YAMLError as error:
        return None, [ConfigError(Mark(file), f"not YAML: {error}".splitlines()[0])]
    if root is None or (type(root) is ScalarNode and root.tag == _NULL):
        return Document(file, None, {}), []
    plain = _Plain(file, text)
    data = plain.value(root, 0)
    if not isinstance(data, dict) and not plain.errors:
        plain.refuse(root, "a configuration is a mapping of keys such as rules: and services:")
    readable = isinstance(data, dict) and plain.budget >= 0
    return (Document(file, root, data, text) if readable else None), plain.errors


def decode(raw: bytes, file: str) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: If it is not UTF-8, or larger than 16 MiB.
    """
    if len(raw) > MAX_BYTES:
        raise ConfigError(Mark(file), f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        raise ConfigError(
            _place(file, before, len(before)), f"byte 0x{raw[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        ) from None


class _Loader(yaml.CSafeLoader):
    """Composes nodes; bounded in depth, because the composer below recurses on the C stack."""

    depth = 0

    def descend_resolver(self, current_node: Node | None, current_index: object) -> None:
        self.depth += 1
        if self.depth > 2 * MAX_DEPTH:
            mark = current_node.start_mark if current_node is not None else None
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)

    def ascend_resolver(self) -> None:
        self.depth -= 1

    def resolve(self, kind: type[Node], value: object, implicit: Any) -> str:
        if kind is ScalarNode:
            return _NULL if implicit[0] and value in ("", "~", "null", "Null", "NULL") else _TEXT
        return _LIST if kind is SequenceNode else _MAPPING


class _Plain:
    """Turns nodes into values and collects what can't be one."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.budget: float = len(text) + MAX_ALIASED
        self.errors: list[ConfigError] = []

    def refuse(self, node: Node, problem: str, hint: str = "") -> None:
        self.errors.append(ConfigError(_mark(self.file, node.start_mark), problem, hint))

    def stop(self, node: Node, problem: str) -> None:
        if self.budget > -math.inf:
            self.refuse(node, problem)
        self.budget = -math.inf  # said once; the rest is not looked at

    def value(self, node: Node, depth: int) -> Any:
        self.budget -= 1
        if self.budget < 0:
            return self.stop(node, "aliases expand to too many values")
        if depth > MAX_DEPTH:
            return self.stop(node, "nested too deeply")
        tag = _EXPLICIT.get(node.tag, node.tag)
        if tag not in _TAGS:
            return self.refuse(node, f"the tag {tag.replace(_STANDARD, '!!')} is not known here", "leave it out")
        if type(node) is ScalarNode:
            return None if tag == _NULL else node.value
        if type(node) is SequenceNode:
            return [self.value(child, depth + 1) for child in node.value]
        if _is_template(node):
            self.refuse(node, "a template without quotes", 'write "{{ ... }}"')
            return self.text[node.start_mark.index : node.end_mark.index]  # as if it were quoted
        return dict(self.items(node, depth))

    def items(self, node: Node, depth: int) -> Iterator[tuple[str, Any]]:
        first: dict[str, Node] = {}
        for key, child in node.value:
            if type(key) is not ScalarNode or key.tag == _NULL:
                self.refuse(key, "a key is text")
            elif key.value == "<<":
                self.refuse(key, 'merge keys ("<<") are not known here', "write the keys out, or alias a whole value")
            elif key.value in first:
                there = _mark(self.file, first[key.value].start_mark)
                self.refuse(key, f'"{key.value}" is defined twice', f"it stands at {there} already")
            else:
                first[key.value] = key
                yield key.value, self.value(child, depth + 1)


def _is_template(node: Node) -> bool:
    """Say whether YAML took ``{{ x }}`` for a mapping whose key is a mapping."""
    return isinstance(node, MappingNode) and bool(node.flow_style and node.value and node.value[0][0].tag == _MAPPING)


def _child(node: Node | None, step: Step) -> tuple[Node, Node] | None:
    """Return (key node or the value, value) of one step down, if there is one."""
    if type(node) is MappingNode:
        for key, value in node.value:
            if key.value == step:
                return key, value
    elif type(node) is SequenceNode and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _mark(file: str, mark: Any) -> Mark:
    return Mark(file, mark.line + 1, mark.column + 1)


def _past_blanks(text: str, at: int, end: int) -> int:
    while at < end and text[at].isspace():
        at += 1
    return at


def _place(file: str, text: str, index: int) -> Mark:
    line_start = text.rfind("\n", 0, index) + 1
    return Mark(file, text.count("\n", 0, index) + 1, index - line_start + 1)


def _refused(text: str, file: str) -> ConfigError | None:
    if (bad := _UNPRINTABLE.search(text, 1 if text.startswith("\ufeff") else 0)) is not None:
        return ConfigError(_place(file, text, bad.start()), f"U+{ord(bad[0]):04X} can't stand in YAML")
    if (bad := _INDENT.search(text)) is not None:
        named = "a tab" if bad[1] == "\t" else "a no-break space"
        return ConfigError(_place(file, text, bad.start(1)), f"{named} in the indentation", "indent with spaces")
    return None


def _syntax(file: str, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "not YAML"
    if problem == "but found another document":
        return ConfigError(
            _mark(file, mark), "a second document in one file", "write one file per document, and include them"
        )
    if problem in _SAID_AT_ITS_BEGINNING and error.context_mark is not None:
        return ConfigError(_mark(file, error.context_mark), *_SAID_AT_ITS_BEGINNING[problem])
    said, hint = _SAID.get(problem, (problem, ""))
    if error.context_mark is not None:
        said = said.replace("{there}", f"{error.context_mark.line + 1}:{error.context_mark.column + 1}")
    return ConfigError(Mark(file) if mark is None else _mark(file, mark), said, hint)
