"""Agreed service time and downtime of each service (SPEC 7).

Time passes by itself, so nothing is written while it does: a meter holds what has been
counted until ``since``, and what has run since then is worked out when somebody asks. Every
change that matters moves ``since``; a restart, or a kill, changes nothing.

    availability = (agreed - unplanned) / agreed

Agreed is the open time of the SLA's calendar since the service was first configured, without
its planned maintenance, whether or not this daemon ran. Down is a service while a P1 or P2
of it is unresolved, however many; what lies outside of the calendar is not counted. That is
planned while all of them are, or while the service is in maintenance: so unplanned downtime
always lies within the agreed time.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from responder.core.signal import Instant, Span

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.desk import Desk
    from responder.core.incident import Incident

GRAVE: Final = frozenset({"P1", "P2"})


class Meter(Struct, frozen=True):
    """What one service has used of its time."""

    service: str
    """As metrics name it: all that are outside of the catalogue share one."""
    since: Instant
    """Everything before is counted."""
    agreed: Span = 0
    unplanned: Span = 0
    planned: Span = 0
    down: int = 0
    """Unresolved P1 and P2."""
    excused: int = 0
    """Those of them that are planned."""
    runs: bool = True
    """False: the service has left the catalogue, its time stands still."""
    promise: str = ""
    """Digest of the targets and the calendar in force."""
    promised_at: Instant = 0
    """Since when; no breach of them is dated before."""


def advanced(meter: Meter, book: "Book", to: Instant) -> Meter:
    """Return the meter with everything counted until *to*; it never runs backwards."""
    if to <= meter.since:
        return meter
    if not meter.runs:
        return replace(meter, since=to)
    calendar = book.terms(meter.service).calendar
    whole = calendar.service_time(meter.since, to)
    stretches = book.maintenance_of(meter.service, meter.since, to)
    inside = sum(calendar.service_time(start, end) for start, end in stretches)
    unplanned = whole - inside if meter.down > meter.excused else 0
    return replace(
        meter,
        since=to,
        agreed=meter.agreed + whole - inside,
        unplanned=meter.unplanned + unplanned,
        planned=meter.planned + (whole - unplanned if meter.down else 0),
    )


def weigh(desk: "Desk", book: "Book", before: "Incident | None", row: "Incident", at: Instant) -> None:
    """Note that an incident begins or ceases to make its service unavailable."""
    (down, excused), (was_down, was_excused) = _weight(row), _weight(before)
    if (down, excused) == (was_down, was_excused):
        return
    name = book.metric_service(row.service)
    known = desk.meters.get(name) or Meter(name, at)
    after = replace(
        advanced(known, book, at), down=known.down + down - was_down, excused=known.excused + excused - was_excused
    )
    desk.meters.put(name, after)
    if known.down == known.excused and after.down > after.excused:
        desk.count("service_failures_total", (("service", name),))


def settle(desk: "Desk", book: "Book", at: Instant) -> None:
    """Count everything until *at*: what the configuration says of the past must not change it."""
    for meter in desk.all_meters():
        desk.meters.put(meter.service, advanced(meter, book, at))


def configure(desk: "Desk", book: "Book", at: Instant) -> bool:
    """Let the meters follow a catalogue that is in force from now on; says whether any promise changed."""
    weights: dict[str, tuple[int, int]] = {}
    for row in desk.living_incidents():
        down, excused = _weight(row)
        if down:
            name = book.metric_service(row.service)
            known = weights.get(name, (0, 0))
            weights[name] = known[0] + down, known[1] + excused
    settle(desk, book, at)
    meters = {meter.service: meter for meter in desk.all_meters()}
    changed = False
    for name in {*meters, *book.services, *weights}:
        meter = meters.get(name) or Meter(name, at, promised_at=at)
        down, excused = weights.get(name, (0, 0))
        promise = book.promise(name)
        if promise != meter.promise:
            changed = True
            meter = replace(meter, promise=promise, promised_at=at)
        desk.meters.put(name, replace(meter, down=down, excused=excused, runs=book.metric_service(name) == name))
    book.date_promises(desk.all_meters())
    return changed


def facts(meters: Iterable[Meter], book: "Book", at: Instant) -> dict[tuple[str, tuple[tuple[str, str], ...]], Span]:
    """Return the series of the meters as of *at*, in microseconds."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Span] = {}
    for meter in meters:
        shown, own = advanced(meter, book, at), ("service", meter.service)
        if meter.service in book.services or (shown.agreed and not meter.runs):
            found["service_time_seconds_total", (own,)] = shown.agreed
        found["service_downtime_seconds_total", (own, ("kind", "unplanned"))] = shown.unplanned
        found["service_downtime_seconds_total", (own, ("kind", "planned"))] = shown.planned
    return found


def _weight(row: "Incident | None") -> tuple[int, int]:
    """Return (1 if it makes its service unavailable, 1 if that is planned)."""
    if row is None or row.resolved_at is not None or row.closed_at is not None or row.priority not in GRAVE:
        return 0, 0
    return 1, int("planned" in row.flags)
