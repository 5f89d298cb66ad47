"""Calendars and SLAs: checked models -> plain data that is known to make sense (SPEC 3.5)."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from responder.config.checking import Place, attempt, check
from responder.config.draft import Draft
from responder.config.errors import Report, nearest
from responder.config.models import CalendarForm, SlaForm
from responder.core.calendar import Hours, compile_calendar, parse_hours
from responder.core.catalogue import CalendarSpec, SlaSpec
from responder.core.instant import format_span, to_datetime
from responder.core.signal import DAY, Instant

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS_HINT: Final = "write mon-fri, sat or mon,wed"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_IN_DAYS = re.compile(r"\d[dw]")
_REMIND: Final = 60 * DAY


def compile_calendars(draft: Draft, now: Instant) -> dict[str, CalendarSpec]:
    """Return the calendars without mistakes; warns of one whose holidays end within 60 days of *now*."""
    calendars = {}
    for entry in draft.named("calendars"):
        form = check(CalendarForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        found = _calendar(entry.name, form, entry.place, draft.report, now)
        if found is not None:
            calendars[entry.name] = found
    return calendars


def _calendar(name: str, form: CalendarForm, place: Place, report: Report, now: Instant) -> CalendarSpec | None:
    before = len(report.errors)
    sound = check_zone(form.timezone, place.at("timezone"), report)
    weekly: dict[int, tuple[Hours, ...]] = {}
    if form.hours != "24x7":
        for days, written in form.hours.items():
            here = place.at("hours", days)
            hours = _hours(written, here, report)
            for weekday in attempt(parse_days, days, here.key, report, DAYS_HINT) or ():
                weekly[weekday] = weekly.get(weekday, ()) + hours
    holidays = [attempt(_date, text, place.at("holidays", i).mark, report) for i, text in enumerate(form.holidays)]
    overrides = {
        day: _hours(written, place.at("overrides", text), report)
        for text, written in form.overrides.items()
        if (day := attempt(_date, text, place.at("overrides", text).key, report)) is not None
    }
    if not sound or len(report.errors) > before:
        return None
    spec = CalendarSpec(
        name, form.timezone, weekly, tuple(day for day in holidays if day is not None), overrides, form.hours == "24x7"
    )
    try:
        calendar = compile_calendar(spec.timezone, weekly, spec.holidays, overrides, always=spec.always)
    except ValueError as error:
        report.error(place.mark("overrides" if "override" in str(error) else "hours"), str(error))
        return None
    if form.holidays and calendar.valid_until is not None and calendar.valid_until - now < _REMIND:
        report.warn(
            place.mark("holidays"),
            f'the calendar "{name}" knows no holidays after those of {_last_year(calendar.valid_until, form.timezone)}',
            "add those of the next year",
        )
    return spec


def _last_year(end: Instant, timezone: str) -> int:
    return to_datetime(end - 1).astimezone(ZoneInfo(timezone)).year


def check_zone(timezone: str, place: Place, report: Report) -> bool:
    """Report a time zone that does not exist; return whether it does."""
    try:
        compile_calendar(timezone, {}, always=True)
    except ValueError as error:
        report.error(place.mark(), str(error), _zone_meant(timezone))
        return False
    return True


def _zone_meant(text: str) -> str:
    """Return a hint at the zone whose name, or the name of whose city, was meant.

    Short ones without a place are passed over, UTC but for: ``EST`` is near ``CEST`` and is another time.
    """
    asked = text.lower().replace(" ", "_")
    names = {name.lower(): name for name in available_timezones() if "/" in name and not name.startswith("Etc/")}
    cities = {lower.rpartition("/")[2]: name for lower, name in names.items()} | {"utc": "UTC"}
    near = cities.get(asked) or "".join(names[lower] for lower in nearest(asked, names))
    return f'did you mean "{near}"?' if near else ""


def parse_days(text: str) -> list[int]:
    """Return the days of ``mon-fri``, ``sat`` or ``mon,wed``, Monday 0; ``fri-mon`` goes over the weekend.

    Raises:
        ValueError: If these are no days.
    """
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.strip().partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f'"{text}" names no days')
        start, end = DAYS.index(first), DAYS.index(last or first)
        days += [(start + i) % 7 for i in range((end - start) % 7 + 1)]
    return days


def _hours(written: Sequence[str], place: Place, report: Report) -> tuple[Hours, ...]:
    found = [attempt(parse_hours, text, place.at(i).mark, report) for i, text in enumerate(written)]
    return tuple(hours for hours in found if hours is not None)


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError(f'"{text}" is not a date such as 2026-10-01')
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a date: {error}') from None


def compile_slas(draft: Draft, calendars: Mapping[str, CalendarSpec]) -> dict[str, SlaSpec]:
    """Return the SLAs without mistakes."""
    slas = {}
    for entry in draft.named("slas"):
        form = check(SlaForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        draft.refer("calendars", form.calendar, entry.place.at("calendar"))
        _check_targets(form, entry.raw, calendars.get(form.calendar), entry.place, draft.report)
        slas[entry.name] = SlaSpec(
            entry.name,
            form.calendar,
            {priority: (target.response, target.resolution) for priority, target in form.targets.items()},
            form.objective.response,
            form.objective.resolution,
            tuple(sorted(set(form.warn_at))),
        )
        for i, percent in enumerate(form.warn_at):
            if percent < 1:
                said = f"warn_at counts in percent: {percent:g} is less than one of them"
                draft.report.warn(entry.place.mark("warn_at", i), said, f"write {percent * 100:g}")
    return slas


def _check_targets(
    form: SlaForm,
    raw: Mapping[str, Mapping[str, Mapping[str, str]]],
    calendar: CalendarSpec | None,
    place: Place,
    report: Report,
) -> None:
    for priority, target in form.targets.items():
        here = place.at("targets", priority)
        for name, written in raw["targets"][priority].items():
            if _IN_DAYS.search(str(written)) and calendar is not None and not is_always(calendar):
                report.error(
                    here.mark(name),
                    f'a target in days on calendar "{calendar.name}", whose days are not 24 hours long',
                    "write the service hours: 8h for a working day of eight hours",
                )
        if target.response is not None and target.resolution is not None and target.response > target.resolution:
            longer, shorter = format_span(target.response), format_span(target.resolution)
            report.error(
                here.mark("response"), f"the response target {longer} is above the resolution target {shorter}"
            )


def is_always(calendar: CalendarSpec) -> bool:
    """Say whether service time is real time: open around the clock, every day of every year."""
    return compile_calendar(
        calendar.timezone, calendar.weekly, calendar.holidays, calendar.overrides, always=calendar.always
    ).always
