"""How a service is, in one word and in words; how incidents are told: tests/web/test_service_summary.py."""

import pytest

from responder.core.book import Book
from responder.core.catalogue import CalendarSpec, Service, SlaSpec
from responder.core.service_state import ServiceState, read_out, state_of
from responder.core.signal import DAY, HOUR

NOON = 1_767_614_400_000_000
"""2026-01-05T12:00:00Z."""
TERMS = Book(
    [], services={"order": Service("order", "ops", sla="s")}, slas=[SlaSpec("s", "berlin", {})],
    calendars=[CalendarSpec("berlin", "Europe/Berlin", always=True)],
).terms("order")  # fmt: skip


@pytest.mark.parametrize(
    ("worst", "planned", "state"),
    [
        ("P1", True, "outage"),
        ("P2", False, "degraded"),
        ("P3", True, "degraded"),
        ("P4", True, "maintenance"),
        ("P4", False, "operational"),
        (None, True, "maintenance"),
        (None, False, "operational"),
    ],
)
def test_the_worst_incident_that_nobody_planned_says_how_a_service_is(
    worst: str | None, planned: bool, state: ServiceState
) -> None:
    assert state_of(worst, planned=planned) == state


def test_the_end_of_a_maintenance_is_told_in_the_time_of_the_services_calendar() -> None:
    words = read_out("order", "maintenance", [], TERMS, NOON + HOUR, NOON)
    assert words == "order is in planned maintenance until 14:00 CET."
    words = read_out("order", "maintenance", [], TERMS, NOON + DAY, NOON)
    assert words == "order is in planned maintenance until 2026-01-06 13:00 CET."
    assert read_out("order", "maintenance", [], TERMS, None, NOON) == "order is in planned maintenance."
