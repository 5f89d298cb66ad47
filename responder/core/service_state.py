"""How a service is, in one word and in the words that a hotline reads out."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from responder.core.clocks import Terms
from responder.core.incident import Incident, update_due
from responder.core.instant import to_datetime
from responder.core.signal import Instant
from responder.core.sla import reading

ServiceState: TypeAlias = Literal["operational", "degraded", "outage", "maintenance"]
STATES: Final[tuple[ServiceState, ...]] = get_args(ServiceState)
_FELT: Final = ("P1", "P2", "P3")
"""Priorities that customers feel: below them a service works as usual."""
_HAPPENED: Final = {"outage": "does not work", "degraded": "does not work as it should"}


def state_of(worst: str | None, *, planned: bool) -> ServiceState:
    """Return the state of a service.

    Args:
        worst: The highest priority among its unresolved incidents that nobody planned.
        planned: It is in maintenance, or has incidents that belong to one.
    """
    if worst == "P1":
        return "outage"
    if worst in _FELT:
        return "degraded"
    return "maintenance" if planned else "operational"


def read_out(
    service: str, state: ServiceState, unresolved: Sequence[Incident], terms: Terms, planned_until: Instant | None,
    now: Instant,
) -> str:  # fmt: skip
    """Return what customers may be told: since when, whether somebody works on it, until when, when there is news.

    Nothing in it comes from an alert: neither hosts nor titles. Times are in the zone of the service's calendar.

    Args:
        unresolved: The incidents of the service.
        planned_until: When the maintenance of the service ends, if it is in one.
    """
    zone = ZoneInfo(terms.calendar.timezone)
    if state == "operational":
        return f"{service} works as usual."
    if state == "maintenance":
        end = f" until {_clock(planned_until, now, zone)}" if planned_until is not None else ""
        return f"{service} is in planned maintenance{end}."
    felt = [row for row in unresolved if row.priority in _FELT and "planned" not in row.flags]
    called = [row for row in felt if row.priority == "P1"] if state == "outage" else felt  # by what the state is called
    said = [f"{service} {_HAPPENED[state]} since {_clock(min(row.started_at for row in called), now, zone)}."]
    said.append(
        "It is being worked on." if any(row.acknowledged_at for row in called) else "It is known to those in charge."
    )
    ends = [reading(row.clock, "resolution", terms.sla, terms.calendar, max(now, row.last_at)).due_at for row in felt]
    if all(end is not None and end > now for end in ends):
        said.append(f"It is to work again before {_clock(max(end for end in ends if end is not None), now, zone)}.")
    news = [due for row in felt if (due := update_due(row)) is not None and due > now]
    if news:
        said.append(f"There will be news before {_clock(min(news), now, zone)}.")
    return " ".join(said)


def _clock(at: Instant, now: Instant, zone: ZoneInfo) -> str:
    there, today = to_datetime(at).astimezone(zone), to_datetime(now).astimezone(zone)
    return f"{there:%H:%M %Z}" if there.date() == today.date() else f"{there:%Y-%m-%d %H:%M %Z}"
