"""Maintenance windows: once, or recurring on the same hours of some days."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from responder.core.catalogue import MaintenanceSpec, Recurring
from responder.core.instant import to_datetime, to_instant
from responder.core.match import holds
from responder.core.rule import Match
from responder.core.signal import Instant, Signal


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


def window_of(spec: MaintenanceSpec) -> Window:
    """Return the window that the configuration describes."""
    return Window(
        spec.name, spec.reason, frozenset(spec.services), spec.match, spec.start or 0, spec.end or 0, spec.recurring
    )


def _recurs(spec: Recurring, at: Instant) -> Instant | None:
    zone = ZoneInfo(spec.timezone)
    today = to_datetime(at).astimezone(zone).date()
    length = spec.end - spec.start if spec.end > spec.start else spec.end + 86_400 - spec.start
    for day in (today - timedelta(days=1), today):
        if day.weekday() in spec.days:
            start = _wall(day, spec.start, zone)
            end = _wall(day, spec.start + length, zone)
            if start <= at < end:
                return end
    return None


def _wall(day: date, second: int, zone: ZoneInfo) -> Instant:
    """Return the instant at which the local clock shows so many seconds of the day."""
    midnight = datetime(day.year, day.month, day.day) + timedelta(seconds=second)  # noqa: DTZ001 a wall time
    return to_instant(midnight.replace(tzinfo=zone))
