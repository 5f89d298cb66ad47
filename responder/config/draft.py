"""The files of a configuration, put together: every entry under its name, not yet looked into."""

from collections.abc import Collection, Iterator
from typing import Any, Final

from msgspec import Struct

from responder.config.checking import Place, shown
from responder.config.errors import Report, did_you_mean
from responder.config.nodes import Document

ONCE: Final = ("storage", "listen", "external_url", "auth", "retention", "startup_grace", "priorities", "causes")
"""Keys that stand once in all files."""
NAMED: Final = ("sources", "channels", "teams", "calendars", "slas", "services", "flows")
"""Mappings from names; files add to them."""
LISTED: Final = {"rules": "id", "problems": "id", "maintenance": "name"}
"""Lists whose items carry their name; files add to them."""
MANY: Final = ("topology", "tests")
"""What each file may hold a part of."""
KEYS: Final = (*ONCE, *NAMED, *LISTED, *MANY, "include")
_ONE: Final = {
    "sources": "source", "channels": "channel", "teams": "team", "calendars": "calendar", "slas": "sla",
    "services": "service", "flows": "flow", "rules": "rule", "problems": "problem", "maintenance": "maintenance",
}  # fmt: skip
_IMPORT: Final = "for rules of Prometheus: `responder import prometheus-rules FILE` writes them as ours"


class Entry(Struct, frozen=True):
    """One thing of the configuration as it stands in a file."""

    name: str
    raw: Any
    place: Place


class Draft:
    """All entries by section and name, and who refers to whom."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._once: dict[str, Entry] = {}
        self._named: dict[str, dict[str, Entry]] = {section: {} for section in (*NAMED, *LISTED)}
        self._many: dict[str, list[Entry]] = {section: [] for section in MANY}

    def add(self, document: Document) -> None:
        """Take over the entries of a file."""
        for key, raw in document.data.items():
            place = Place(document, (key,))
            if key not in KEYS:
                hint = _IMPORT if key == "groups" else did_you_mean(key, KEYS, "known keys")
                self.report.error(place.key(), f'unknown key "{key}"', hint)
            elif raw is None or key == "include":
                continue
            elif key in ONCE:
                self._put(self._once, Entry(key, raw, place), f'"{key}"', place)
            elif key in NAMED:
                self._add_named(key, raw, place)
            elif key in LISTED:
                self._add_listed(key, raw, place)
            else:
                self._many[key].append(Entry(key, raw, place))

    def once(self, key: str) -> Entry | None:
        """Return a key that stands at most once, if it is there."""
        return self._once.get(key)

    def named(self, section: str) -> Collection[Entry]:
        """Return the entries of a section in the order of files."""
        return self._named[section].values()

    def many(self, key: str) -> Iterator[Entry]:
        """Yield the parts of a key that several files may hold."""
        yield from self._many[key]

    def names(self, section: str) -> Collection[str]:
        """Return the names of a section, those of faulty entries too: one mistake is told once."""
        return self._named[section].keys()

    def refer(self, section: str, name: str, place: Place) -> None:
        """Report a reference to what does not exist."""
        known = self._named[section]
        if name not in known:
            hint = did_you_mean(name, known, section)
            self.report.error(place.mark(), f'there is no {_ONE[section]} "{name}"', hint)

    def _add_named(self, section: str, raw: Any, place: Place) -> None:
        if not isinstance(raw, dict):
            self.report.error(place.mark(), f"expected a mapping of names, found {shown(raw)}")
            return
        for name, inner in raw.items():
            self._put(
                self._named[section], Entry(name, inner, place.at(name)), f'{_ONE[section]} "{name}"', place.at(name)
            )

    def _add_listed(self, section: str, raw: Any, place: Place) -> None:
        if not isinstance(raw, list):
            self.report.error(place.mark(), f"expected a list, found {shown(raw)}")
            return
        called = LISTED[section]
        for i, item in enumerate(raw):
            here = place.at(i)
            if not isinstance(item, dict):
                self.report.error(here.mark(), f"expected a mapping, found {shown(item)}")
            elif called not in item:
                hint = _IMPORT if "expr" in item else ""
                self.report.error(here.mark(), f'missing key "{called}"', hint)
            elif not isinstance(item[called], str) or not item[called]:
                self.report.error(here.mark(called), f"expected text, found {shown(item[called])}")
            else:
                name = item[called]
                self._put(self._named[section], Entry(name, item, here), f'{_ONE[section]} "{name}"', here.at(called))

    def _put(self, into: dict[str, Entry], entry: Entry, words: str, place: Place) -> None:
        first = into.setdefault(entry.name, entry)
        if first is not entry:
            there = first.place.key() if isinstance(first.place.path[-1], str) else first.place.mark()
            self.report.error(place.key(), f"{words} is defined twice", f"it stands at {there} already")
