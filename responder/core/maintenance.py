"""Maintenance windows: once, or recurring on the same hours of some days."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from responder.core.calendar import boundary
from responder.core.catalogue import MaintenanceSpec, Recurring
from responder.core.instant import to_datetime
from responder.core.match import holds
from responder.core.matcher import CompileRegex, as_test, parse_selector
from responder.core.rule import Match
from responder.core.signal import Instant, Signal

_MIDNIGHT: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class Window(Struct, frozen=True):
    """A planned window; what opens inside is planned."""

    name: str
    reason: str
    services: frozenset[str] = frozenset()
    match: Match | None = None
    start: Instant = 0
    end: Instant = 0
    recurring: Recurring | None = None

    def covers(self, service: str, labels: Mapping[str, str], at: Instant) -> Instant | None:
        """Return the end of the window that covers this at *at*, or none."""
        if service not in self.services and not self._matches(labels):
            return None
        if self.recurring is not None:
            return _recurs(self.recurring, at)
        return self.end if self.start <= at < self.end else None

    def _matches(self, labels: Mapping[str, str]) -> bool:
        if self.match is None:
            return False
        return holds(self.match, Signal("", 0, dict(labels), {}, True, 0), True)

    def stretches(self, since: Instant, until: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Yield when the window is open between two instants, [start, end)."""
        if self.recurring is not None:
            found = _openings(self.recurring, since, until)
        else:
            found = iter(((self.start, self.end),))
        for start, end in found:
            if start < until and end > since:
                yield max(start, since), min(end, until)


class Posted(Struct, frozen=True):
    """A window that was announced over the API."""

    name: str
    reason: str
    start: Instant
    end: Instant
    """0: it recurs until it is ended."""
    services: tuple[str, ...] = ()
    match: str = ""
    """A Prometheus selector; empty: the services count."""
    recurring: Recurring | None = None
    by: str = ""
    posted_at: Instant = 0
    ended_at: Instant | None = None
    """It was taken back, or ended early."""


def posted_window(row: Posted, compile_regex: CompileRegex) -> Window:
    """Return the window that was announced.

    Raises:
        ValueError: Its match is no selector.
    """
    match = None
    if row.match:
        match = Match(tuple(as_test(found) for found in parse_selector(row.match, compile_regex)), words=row.match)
    return Window(row.name, row.reason, frozenset(row.services), match, row.start, row.end, row.recurring)


def windows_after(
    configured: Iterable[Window], posted: Mapping[str, Window], name: str, window: Window | None
) -> Iterator[Window]:
    """Yield the windows that there are once the announced one of a name is another, or none."""
    yield from configured
    yield from (known for known in posted.values() if known.name != name)
    if window is not None:
        yield window


def latest_end(windows: Iterable[Window], service: str, labels: Mapping[str, str], at: Instant) -> Instant | None:
    """Return until when one of the windows covers this, or none."""
    return max((end for window in windows if (end := window.covers(service, labels, at)) is not None), default=None)


def united(stretches: Iterable[tuple[Instant, Instant]]) -> Iterator[tuple[Instant, Instant]]:
    """Yield stretches without overlaps, in order."""
    begun: Instant | None = None
    ended = 0
    for start, end in sorted(stretches):
        if begun is not None and start <= ended:
            ended = max(ended, end)
            continue
        if begun is not None:
            yield begun, ended
        begun, ended = start, end
    if begun is not None:
        yield begun, ended


def window_of(spec: MaintenanceSpec) -> Window:
    """Return the window that the configuration describes."""
    return Window(
        spec.name, spec.reason, frozenset(spec.services), spec.match, spec.start or 0, spec.end or 0, spec.recurring
    )


def _recurs(spec: Recurring, at: Instant) -> Instant | None:
    return max((end for start, end in _openings(spec, at, at) if start <= at < end), default=None)


def _openings(spec: Recurring, since: Instant, until: Instant) -> Iterator[tuple[Instant, Instant]]:
    """Yield every opening that can touch a stretch of time, and perhaps one more at each end."""
    zone = ZoneInfo(spec.timezone)
    end = spec.end if spec.end > spec.start else spec.end + _MIDNIGHT
    first = to_datetime(since).astimezone(zone).toordinal() - 1
    last = to_datetime(until).astimezone(zone).toordinal() + 1  # a clock set back over midnight shows yesterday again
    for day in range(first - _EPOCH_DAY, last - _EPOCH_DAY + 1):
        if (day + 3) % 7 in spec.days:  # 1970-01-01 was a Thursday
            opens, closes = boundary(zone, day, spec.start), boundary(zone, day, end)
            if opens < closes:  # else the clock jumps over all of it
                yield opens, closes
