from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.core.calendar import Calendar, Hours, compile_calendar, parse_hours, parse_wall
from responder.core.instant import parse_instant, to_instant
from responder.core.signal import DAY, HOUR, MINUTE, SECOND, Instant

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # moves by 30 minutes
    "America/Santiago",  # moves at midnight
    "Asia/Beirut",  # moves at midnight
    "America/Nuuk",  # jumps onto midnight
    "America/St_Johns",  # moved at 00:01 until 2011
    "Africa/Cairo",  # moves at midnight, on a Friday
    "Asia/Kathmandu",
    "Asia/Shanghai",
)


def change_days(zone: str) -> list[date]:
    """Return the civil days on which the clock of a zone is changed, else one day like any other."""
    place = ZoneInfo(zone)
    midnights = [datetime(2010, 1, 1, tzinfo=place) + timedelta(days=day) for day in range(365 * 17)]
    changed = [a.date() for a, b in pairwise(midnights) if a.utcoffset() != b.utcoffset()]
    return changed or [date(2026, 3, 1)]


CHANGES = {zone: change_days(zone) for zone in ZONES}
OFFICE = {day: [parse_hours("09:00-12:00"), parse_hours("13:00-18:00")] for day in range(5)}
quick = settings(max_examples=60, deadline=None, database=None)

minutes = st.one_of(st.integers(0, 1439), st.integers(0, 48).map(lambda half: min(half * 30, 1439)))
hours = st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1]).map(lambda p: (p[0] * 60, p[1] * 60))
day_hours = st.tuples(minutes, st.integers(1, 1440)).filter(lambda p: p[0] < p[1]).map(lambda p: (p[0] * 60, p[1] * 60))
weeks = st.dictionaries(st.integers(0, 6), st.lists(hours, min_size=1, max_size=3), min_size=1)


@st.composite
def places(draw: st.DrawFn) -> tuple[str, date]:
    """A zone, and a day close to one on which its clock is changed."""
    zone = draw(st.sampled_from(ZONES))
    return zone, draw(st.sampled_from(CHANGES[zone])) + timedelta(days=draw(st.integers(-2, 1)))


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Calendar, Instant]:
    """A calendar with exceptions around an instant."""
    zone, day = draw(places())
    near = st.integers(-3, 3).map(lambda n: day + timedelta(days=n))
    calendar = compile_calendar(
        zone,
        draw(weeks),
        draw(st.sets(near, max_size=2)),
        draw(st.dictionaries(near, st.lists(day_hours, max_size=2), max_size=2)),
    )
    return calendar, to_instant(datetime(day.year, day.month, day.day, tzinfo=UTC)) + draw(st.integers(0, DAY))


def open_minutes(
    zone: str,
    weekly: dict[int, list[Hours]],
    holidays: set[date],
    overrides: dict[date, list[Hours]],
    start: Instant,
    end: Instant,
) -> list[bool]:
    """Say for each minute whether it is open, by watching a local clock whose hands never go back.

    That clock shows the latest wall time that was shown so far, which is the rule for
    boundaries read the other way round: what begins at 02:30 begins when it first shows 02:30 or later.
    """
    place = ZoneInfo(zone)
    shown = datetime.min
    told = []
    for at in range(start - 2 * DAY, end, MINUTE):
        local = datetime.fromtimestamp(at // SECOND, place).replace(tzinfo=None, fold=0)
        shown = max(shown, local)
        today, yesterday = shown.date(), shown.date() - timedelta(days=1)
        second = shown.hour * 3600 + shown.minute * 60
        if today in overrides:
            is_open = any(a <= second < b for a, b in overrides[today])
        elif today in holidays:
            is_open = False
        else:
            is_open = any(a <= second and (second < b or b < a) for a, b in weekly.get(today.weekday(), ())) or any(
                b < a and second < b for a, b in weekly.get(yesterday.weekday(), ())
            )
        if at >= start:
            told.append(is_open)
    return told


@given(data=st.data(), place=places(), weekly=weeks)
@settings(quick, max_examples=40)
def test_service_time_is_what_somebody_counts_who_watches_the_clock_minute_by_minute(
    data: st.DataObject, place: tuple[str, date], weekly: dict[int, list[Hours]]
) -> None:
    zone, day = place
    near = st.integers(-1, 3).map(lambda n: day + timedelta(days=n))
    holidays = data.draw(st.sets(near, max_size=2))
    overrides = data.draw(st.dictionaries(near, st.lists(day_hours, max_size=2), max_size=1))
    start = to_instant(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 12 * HOUR
    told = open_minutes(zone, weekly, holidays, overrides, start, start + 4 * DAY)

    calendar = compile_calendar(zone, weekly, holidays, overrides)
    got = [calendar.service_time(at, at + MINUTE) for at in range(start, start + 4 * DAY, MINUTE)]
    assert got == [MINUTE * is_open for is_open in told]
    assert calendar.service_time(start, start + 4 * DAY) == MINUTE * sum(told)
    assert [calendar.is_open(at) for at in range(start, start + 4 * DAY, MINUTE)] == told
    periods = list(calendar.periods(start, start + 4 * DAY))
    assert sum(b - a for a, b in periods) == MINUTE * sum(told)
    assert all(a < b for a, b in periods)
    assert all(b < c for (_, b), (c, _) in pairwise(periods))


@given(calendars(), st.integers(0, 9 * DAY), st.integers(0, 9 * DAY))
@quick
def test_service_time_is_additive_and_never_longer_than_real_time(
    made: tuple[Calendar, Instant], first: int, second: int
) -> None:
    calendar, a = made
    b, c = a + first, a + first + second
    assert calendar.service_time(a, b) + calendar.service_time(b, c) == calendar.service_time(a, c)
    assert 0 <= calendar.service_time(a, b) <= b - a
    assert calendar.service_time(b, a) == 0


@given(calendars(), st.integers(0, 60 * HOUR))
@quick
def test_advance_is_the_first_and_last_at_the_last_instant_of_a_reading(
    made: tuple[Calendar, Instant], span: int
) -> None:
    calendar, a = made
    first, last = calendar.advance(a, span), calendar.last_at(a, span)
    assert first is not None
    assert last is not None
    assert a <= first <= last
    assert calendar.service_time(a, first) == calendar.service_time(a, last) == span
    assert span == 0 or calendar.service_time(a, first - 1) == span - 1
    assert calendar.service_time(a, last + 1) == span + 1


@given(places(), st.lists(st.tuples(st.integers(0, 6), hours), min_size=1, max_size=8), st.randoms())
@quick
def test_the_notation_of_hours_means_nothing(
    place: tuple[str, date], intervals: list[tuple[int, Hours]], chance: object
) -> None:
    """Order, overlaps, doubled and split intervals, and nights written as two parts."""
    zone, day = place
    weekly: dict[int, list[Hours]] = {}
    other: dict[int, list[Hours]] = {}
    for weekday, (start, end) in intervals:
        weekly.setdefault(weekday, []).append((start, end))
    for weekday, (start, end) in reversed([*intervals, *intervals]):
        if end < start:
            other.setdefault(weekday, []).append((start, 86400))
            if end:
                other.setdefault((weekday + 1) % 7, []).append((0, end))
        else:
            middle = (start + end) // 2
            other.setdefault(weekday, []).extend([(middle, end), (start, middle)])
    calendar = compile_calendar(zone, weekly, {day})
    same = compile_calendar(zone, other, {day})
    a = to_instant(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 4 * DAY
    assert list(calendar.periods(a, a + 9 * DAY)) == list(same.periods(a, a + 9 * DAY))


def test_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    a = parse_instant("2026-03-20T10:00:00Z")
    fresh = compile_calendar("Europe/Berlin", OFFICE).service_time(a, a + 30 * DAY)
    calendar = compile_calendar("Europe/Berlin", OFFICE)
    for years in (9, -9, 40, -40, -70, 300):
        calendar.service_time(a + years * 365 * DAY, a + (years * 365 + 1) * DAY)
        assert calendar.service_time(a, a + 30 * DAY) == fresh


def test_the_edge_of_what_is_known_is_never_mistaken_for_closed() -> None:
    """Local days far ahead of and behind UTC, asked day after day while the calendar grows."""
    for zone, shift in (("Pacific/Kiritimati", "00:00-01:00"), ("Pacific/Pago_Pago", "23:00-24:00")):
        calendar = compile_calendar(zone, {day: [parse_hours(shift)] for day in range(7)})
        a = parse_instant("2026-03-20T09:00:00Z")  # both shifts are 10:00-11:00 in UTC
        for days in (range(900), range(0, -900, -1)):
            assert all(calendar.service_time(a + n * DAY, a + n * DAY + 3 * HOUR) == HOUR for n in days)


def test_many_threads_read_one_calendar_while_it_grows() -> None:
    calendar = compile_calendar("America/New_York", OFFICE)
    alone = compile_calendar("America/New_York", OFFICE)
    a = parse_instant("2026-03-01T00:00:00Z")
    spans = [(a + n * 97 * DAY, a + (n * 97 + 50) * DAY) for n in range(-40, 41)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda span: calendar.service_time(*span), spans * 3))
    assert got == [alone.service_time(*span) for span in spans] * 3


def test_24x7_is_real_time() -> None:
    calendar = compile_calendar("Europe/Berlin", {}, always=True)
    written_out = compile_calendar("Europe/Berlin", {day: [(0, 86400)] for day in range(7)})
    a = parse_instant("2026-03-28T22:00:00Z")
    for each in (calendar, written_out):
        assert each.always
        assert each.valid_until is None
        assert each.service_time(a, a + DAY) == DAY
        assert each.advance(a, DAY) == each.last_at(a, DAY) == a + DAY
        assert list(each.periods(a, a + DAY)) == [(a, a + DAY)]
        assert list(each.periods(a, a)) == []


def test_a_holiday_closes_the_civil_day_and_the_night_shift_goes_on_after_it() -> None:
    """The worked days of point 4: the 25th is closed, what Friday's shift has on Saturday is not."""
    calendar = compile_calendar(
        "Europe/London", {day: [parse_hours("22:00-06:00")] for day in range(5)}, {date(2026, 12, 25)}
    )
    a = parse_instant("2026-12-24T12:00:00Z")
    assert list(calendar.periods(a, a + 3 * DAY)) == [
        (parse_instant("2026-12-24T22:00:00Z"), parse_instant("2026-12-25T00:00:00Z")),
        (parse_instant("2026-12-26T00:00:00Z"), parse_instant("2026-12-26T06:00:00Z")),
    ]


def test_an_override_replaces_one_day_and_beats_a_holiday() -> None:
    day = date(2026, 5, 1)
    calendar = compile_calendar("UTC", OFFICE, {day}, {day: [parse_hours("10:00-11:00")], date(2026, 5, 4): []})
    a = parse_instant("2026-05-01T00:00:00Z")
    assert list(calendar.periods(a, a + 4 * DAY)) == [(a + 10 * HOUR, a + 11 * HOUR)]
    assert list(calendar.periods(a + 11 * HOUR, a + 4 * DAY)) == []
    assert calendar.valid_until == parse_instant("2027-01-01T00:00:00Z")


def test_a_calendar_that_does_not_open_again_never_reads_more() -> None:
    calendar = compile_calendar("UTC", {}, (), {date(2026, 5, 1): [parse_hours("10:00-11:00")]})
    a = parse_instant("2026-04-01T00:00:00Z")
    assert calendar.advance(a, HOUR) == parse_instant("2026-05-01T11:00:00Z")
    assert calendar.advance(a, HOUR + 1) is None
    assert calendar.last_at(a, HOUR) is None
    assert calendar.advance(a, 10**30) is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Europe/Berlin", {}), "never opens"),
        (("Europe/Berlin", {}, {date(2026, 1, 1)}, {date(2026, 1, 2): []}), "never opens"),
        (("America/New_York", {}, (), {date(2026, 3, 8): [parse_hours("02:15-02:45")]}), "never opens"),
        (("Europe/Berlim", OFFICE), 'unknown timezone "Europe/Berlim"'),
        (("America", OFFICE), "unknown timezone"),
        (("", OFFICE), "unknown timezone"),
        (("../../etc/passwd", OFFICE), "unknown timezone"),
        (("UTC", {0: [(3600, 3600)]}), "01:00-01:00 ends where it starts"),
        (("UTC", {0: [(0, 86401)]}), "not within 00:00 and 24:00"),
        (("UTC", {0: [(86400, 3600)]}), "starts at 24:00"),
        (("UTC", OFFICE, (), {date(2026, 1, 2): [(79200, 3600)]}), "override of 2026-01-02 passes midnight"),
        (("UTC", OFFICE, (), {date(2026, 1, 2): [(3600, 3600)]}), "ends where it starts"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused_with_a_sentence(arguments: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compile_calendar(*arguments)  # type: ignore[arg-type]


def test_hours_are_written_as_wall_times() -> None:
    assert parse_hours("09:00-12:00") == (32400, 43200)
    assert parse_hours("22:00 - 06:00:30") == (79200, 21630)
    assert parse_wall("24:00") == 86400


@pytest.mark.parametrize(
    "text", ["9:00-12:00", "09:00", "09:00-25:00", "09:60-10:00", "24:01-25:00", "08:00-08:00", "a-b", ""]
)
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|ends where"):
        parse_hours(text)
