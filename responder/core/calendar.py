"""When a service is promised: weekly hours of a zone, holidays, and days that differ.

The hours of each civil day are turned into UTC once and kept in a table with running
sums, so that any question, over an hour or over ten years, is two binary searches. The
table grows as far as it is asked (1970 to 2199, at most a few megabytes); it is replaced,
never changed, so readers in other threads need no lock.

Source: SPEC 3.5, points 2 to 6.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from responder.core.signal import DAY, SECOND, Instant, Span

Hours: TypeAlias = tuple[int, int]
"""(start, end) in seconds since local midnight; end < start runs past midnight."""

_MIDNIGHT: Final = 86_400
_ONE_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_FIRST_DAY: Final = 0
_LAST_DAY: Final = date(2200, 1, 1).toordinal() - _EPOCH_DAY
_WALL = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?")


def parse_hours(text: str) -> Hours:
    """Return the interval of ``09:00-12:00``; seconds are allowed, so is ``24:00`` as the end.

    Raises:
        ValueError: If it is no such interval, or if it ends where it starts.
    """
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not an interval such as 09:00-17:00")
    return _checked((parse_wall(start.strip()), parse_wall(end.strip())))


def parse_wall(text: str) -> int:
    """Return the seconds from midnight to ``HH:MM`` or ``HH:MM:SS``, up to ``24:00``.

    Raises:
        ValueError: If it is no time of day.
    """
    match = _WALL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of day such as 09:00")
    hour, minute, second = (int(part or 0) for part in match.groups())
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > _MIDNIGHT:
        raise ValueError(f"{text!r} is not a time of day between 00:00 and 24:00")
    return seconds


def parse_start(text: str) -> int:
    """Return the seconds from midnight at which something begins.

    Raises:
        ValueError: If it is no time of day, or ``24:00``, which only ends one.
    """
    seconds = parse_wall(text)
    if seconds == _MIDNIGHT:
        raise ValueError("24:00 is only an end; write 00:00 on the next day")
    return seconds


def compile_calendar(
    timezone: str,
    weekly: Mapping[int, Sequence[Hours]],
    holidays: Collection[date] = (),
    overrides: Mapping[date, Sequence[Hours]] | None = None,
    *,
    always: bool = False,
) -> "Calendar":
    """Return the calendar of these hours.

    Args:
        timezone: IANA name.
        weekly: Monday is 0. Overlapping and adjacent intervals unite; order means nothing.
        holidays: Closed from local midnight to midnight.
        overrides: The hours of one civil day instead of its weekly ones or its holiday; none: closed.
        always: 24x7; *weekly* is not looked at.

    Raises:
        ValueError: If the zone is unknown, an interval ends where it starts, an override
            passes midnight, or the calendar never opens.
    """
    zone = _zone(timezone)
    days: list[list[Hours]] = [[(0, _MIDNIGHT)] if always else [] for _ in range(7)]
    for weekday, intervals in () if always else weekly.items():
        for start, end in map(_checked, intervals):
            if end >= start:
                days[weekday].append((start, end))
            else:  # point 3: the same as two notes, one on each day, also where one of them is a holiday
                days[weekday].append((start, _MIDNIGHT))
                days[(weekday + 1) % 7].append((0, end))
    exceptions: dict[int, tuple[Hours, ...]] = {day.toordinal() - _EPOCH_DAY: () for day in holidays}
    for day, intervals in (overrides or {}).items():
        for start, end in map(_checked, intervals):
            if end < start:
                raise ValueError(f"the override of {day} passes midnight; it speaks of one day only, 24:00 ends it")
        exceptions[day.toordinal() - _EPOCH_DAY] = _united(intervals)
    calendar = Calendar(zone, tuple(map(_united, days)), exceptions)
    if not any(days) and not any(calendar.opens_on(day) for day in exceptions):
        raise ValueError("the calendar never opens")
    return calendar


class _Table(Struct, frozen=True, gc=False):
    """The opening periods of the civil days [first, last), as UTC, and their sums."""

    first: int
    last: int
    opens: list[Instant]
    closes: list[Instant]
    before: list[Span]
    """Open time of all periods before this one."""
    through: list[Span]
    """Open time up to the end of this one."""

    def reads(self, at: Instant) -> Span:
        """Return the open time from the table's beginning."""
        i = bisect_right(self.opens, at) - 1
        if i < 0:
            return 0
        close = self.closes[i]
        return self.before[i] + (at if at < close else close) - self.opens[i]


class Calendar:
    """Opening hours as functions of UTC instants; see :func:`compile_calendar`.

    Unless it is open always, a calendar is closed before 1970 and from 2200 on.
    """

    __slots__ = ("_exceptions", "_table", "_weekly", "_zone", "always", "valid_until")

    always: bool
    """24x7 without holidays: service time is real time."""
    valid_until: Instant | None
    """End of the last year of which a holiday or an override is known; none if there are none, then nothing runs out."""

    def __init__(
        self, zone: ZoneInfo, weekly: tuple[tuple[Hours, ...], ...], exceptions: Mapping[int, tuple[Hours, ...]]
    ) -> None:
        self._zone, self._weekly, self._exceptions = zone, weekly, exceptions
        self.always = not exceptions and all(hours == ((0, _MIDNIGHT),) for hours in weekly)
        self.valid_until = None
        if exceptions:
            year = date.fromordinal(max(exceptions) + _EPOCH_DAY).year
            self.valid_until = boundary(self._zone, date(year, 12, 31).toordinal() - _EPOCH_DAY, _MIDNIGHT)
        self._table = _Table(0, 0, [], [], [], [])

    @property
    def timezone(self) -> str:
        """Return the IANA name of the zone."""
        return self._zone.key

    def service_time(self, a: Instant, b: Instant) -> Span:
        """Return the open length in [a, b); 0 if *b* is not after *a*."""
        if b <= a:
            return 0
        if self.always:
            return b - a
        table = self._covering(a, b)
        return table.reads(b) - table.reads(a)

    def advance(self, a: Instant, span: Span) -> Instant | None:
        """Return the first instant t >= a at which ``service_time(a, t) == span``; None if there is none."""
        if span <= 0:
            return a
        if self.always:
            return a + span
        table = self._covering(a, a + span)
        wanted = table.reads(a) + span
        while not table.through or table.through[-1] < wanted:
            if table.last >= _LAST_DAY:
                return None
            table = self._grown(table, table.first, table.last + 1)
        i = bisect_left(table.through, wanted)
        return table.opens[i] + wanted - table.before[i]

    def last_at(self, a: Instant, span: Span) -> Instant | None:
        """Return the last instant t >= a at which ``service_time(a, t) <= span``; None if it stays so for ever."""
        if self.always:
            return a + span
        table = self._covering(a, a + span)
        wanted = table.reads(a) + span
        while not table.through or table.through[-1] <= wanted:
            if table.last >= _LAST_DAY:
                return None
            table = self._grown(table, table.first, table.last + 1)
        i = bisect_right(table.through, wanted)
        return table.opens[i] + wanted - table.before[i]

    def is_open(self, at: Instant) -> bool:
        """Say whether the service is promised at this instant."""
        return self.service_time(at, at + 1) == 1

    def periods(self, a: Instant, b: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Yield the opening periods inside [a, b), in order, none touching the next."""
        if self.always:
            if a < b:
                yield a, b
            return
        table = self._covering(a, b)
        for i in range(bisect_right(table.closes, a), bisect_left(table.opens, b)):
            yield max(a, table.opens[i]), min(b, table.closes[i])

    def opens_on(self, day: int) -> bool:
        """Say whether a civil day (days since 1970-01-01) has any open time."""
        return any(opens < closes for opens, closes in self._day(day))

    def _covering(self, a: Instant, b: Instant) -> _Table:
        """Return a table that holds all that is open between two instants."""
        table = self._table
        # A zone is less than a day away from UTC, hence the one day more on either side.
        first, last = max(a // DAY - 1, _FIRST_DAY), min(b // DAY + 2, _LAST_DAY)
        if table.first <= first and last <= table.last:
            return table
        return self._grown(table, first, last)

    def _grown(self, table: _Table, first: int, last: int) -> _Table:
        """Return a table that holds these days too, and keep it; it grows in step with its size."""
        size = max(table.last - table.first, 400)
        first, last = min(max(first, _FIRST_DAY), _LAST_DAY), max(last, _FIRST_DAY)
        if table.first == table.last:
            table = _Table(first, first, [], [], [], [])
        first = max(min(first, table.first - size), _FIRST_DAY) if first < table.first else table.first
        last = min(max(last, table.last + size), _LAST_DAY) if last > table.last else table.last
        opens: list[Instant] = []
        closes: list[Instant] = []
        for begin, end in (
            *self._days(first, table.first),
            *zip(table.opens, table.closes, strict=True),
            *self._days(table.last, last),
        ):
            if closes and closes[-1] == begin:
                closes[-1] = end
            elif begin < end:
                opens.append(begin)
                closes.append(end)
        sums = list(accumulate((end - begin for begin, end in zip(opens, closes, strict=True)), initial=0))
        self._table = table = _Table(first, last, opens, closes, sums[:-1], sums[1:])
        return table

    def _days(self, first: int, last: int) -> Iterator[tuple[Instant, Instant]]:
        for day in range(first, last):
            yield from self._day(day)

    def _day(self, day: int) -> Iterator[tuple[Instant, Instant]]:
        """Yield the hours of one civil day as UTC; some may be empty, they lie in a gap."""
        hours = self._exceptions.get(day)
        if hours is None:
            hours = self._weekly[(day + 3) % 7]  # 1970-01-01 was a Thursday
        if not hours:
            return
        offsets = {_offset(self._zone, day, 0, 0), _offset(self._zone, day, 0, 1)}
        offsets |= {_offset(self._zone, day + 1, 0, 0), _offset(self._zone, day + 1, 0, 1)}
        if len(offsets) == 1:
            midnight = day * DAY - offsets.pop() * SECOND
            for start, end in hours:
                yield midnight + start * SECOND, midnight + end * SECOND
        else:  # the clock is changed on this day
            for start, end in hours:
                yield boundary(self._zone, day, start), boundary(self._zone, day, end)


def boundary(zone: ZoneInfo, day: int, second: int) -> Instant:
    """Return the earliest instant at which the local clock shows a wall time or later.

    In a gap of the clock it is the jump; of a wall time that comes twice, the first.

    Args:
        zone: Whose clock it is.
        day: Civil day, counted from 1970-01-01.
        second: Since local midnight; from 86,400 on it is on the days after.

    Source: SPEC 3.5, point 5.
    """
    wall = day * _MIDNIGHT + second
    late = wall - _offset(zone, day, second, 0)
    early = wall - _offset(zone, day, second, 1)
    # Twice on the clock: `late` is the first of both. In a gap, `early` lies before the jump and `late` not.
    while early + 1 < late:
        middle = (early + late) // 2
        if _shows(zone, middle) >= wall:
            late = middle
        else:
            early = middle
    return late * SECOND


def _offset(zone: ZoneInfo, day: int, second: int, fold: int) -> int:
    """Return the seconds that a wall time is ahead of UTC."""
    extra, second = divmod(second, _MIDNIGHT)
    local = datetime.fromordinal(day + extra + _EPOCH_DAY) + timedelta(seconds=second)
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None
    return offset // _ONE_SECOND


def _shows(zone: ZoneInfo, second: int) -> int:
    """Return what the local clock shows at a UTC second, both counted from 1970."""
    offset = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    assert offset is not None
    return second + offset // _ONE_SECOND


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what the lookup raises for unknown names, bad names and folders
        raise ValueError(f'unknown timezone "{name}"; it takes an IANA name such as Europe/Berlin') from None


def _checked(hours: Hours) -> Hours:
    start, end = hours
    if not (0 <= start <= _MIDNIGHT and 0 <= end <= _MIDNIGHT):
        raise ValueError(f"{_words(hours)} is not within 00:00 and 24:00")
    if start == end:
        raise ValueError(f"{_words(hours)} ends where it starts; a whole day is 00:00-24:00")
    if start == _MIDNIGHT:
        raise ValueError(f"{_words(hours)} starts at 24:00, which is only an end; write 00:00 on the next day")
    return hours


def _words(hours: Hours) -> str:
    return "-".join(f"{s // 3600:02}:{s // 60 % 60:02}" + (f":{s % 60:02}" if s % 60 else "") for s in hours)


def _united(intervals: Sequence[Hours]) -> tuple[Hours, ...]:
    """Return the intervals of one day in order, without overlaps."""
    united: list[Hours] = []
    for start, end in sorted(intervals):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        elif start < end:
            united.append((start, end))
    return tuple(united)
