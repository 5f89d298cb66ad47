"""Agreed service time and downtime: what runs while nothing is written, over restarts and reloads."""

from responder.core.signal import DAY, HOUR, MINUTE, SECOND
from tests.shop import HOUSE, Shop

WINDOW = """
maintenance:
  - {name: works, services: [shop], from: "2026-01-05T02:00:00Z", to: "2026-01-05T03:00:00Z", reason: works}
"""


def down(shop: Shop, service: str = "shop", kind: str = "unplanned") -> float:
    return shop.fact("service_downtime_seconds_total", service=service, kind=kind)


def agreed(shop: Shop, service: str = "shop") -> float:
    return shop.fact("service_time_seconds_total", service=service)


def test_downtime_runs_while_a_p1_or_p2_is_unresolved_and_overlaps_count_once() -> None:
    shop = Shop()
    first = shop.open(priority="P1")
    shop.until(10 * MINUTE)
    second = shop.open(priority="P2")
    shop.open(priority="P3")
    shop.until(20 * MINUTE)
    shop.do("resolve", first)
    assert down(shop) == 1200
    shop.until(30 * MINUTE)
    shop.do("resolve", second)
    shop.until(HOUR)
    assert down(shop) == 1800
    assert agreed(shop) == 3600
    assert shop.fact("service_failures_total", service="shop") == 1


def test_a_priority_that_rises_begins_a_failure_and_one_that_falls_ends_it() -> None:
    shop = Shop()
    shop.open(priority="P3")
    shop.until(10 * MINUTE)
    shop.do("priority", priority="P1", reason="worse")
    shop.until(15 * MINUTE)
    shop.do("priority", priority="P4", reason="better")
    shop.until(HOUR)
    assert (down(shop), shop.fact("service_failures_total")) == (300, 1)


def test_a_paused_incident_keeps_its_service_down_and_a_cancelled_one_does_not() -> None:
    shop = Shop()
    shop.open()
    shop.do("pause", reason="supplier")
    shop.until(10 * MINUTE)
    shop.do("cancel", reason="false_positive")
    shop.until(HOUR)
    assert down(shop) == 600


def test_what_lies_outside_of_the_calendar_is_neither_agreed_nor_down() -> None:
    shop = Shop()  # midnight; the bureau opens at nine
    shop.until(8 * HOUR)
    shop.open("bureau")
    shop.until(10 * HOUR)
    shop.do("resolve")
    shop.until(DAY)
    assert (down(shop, "bureau"), agreed(shop, "bureau")) == (3600, 8 * 3600)


def test_maintenance_is_not_agreed_and_downtime_inside_is_planned() -> None:
    shop = Shop(WINDOW)
    shop.until(HOUR + 30 * MINUTE)
    shop.open()  # before it: unplanned, but not while maintenance lasts
    shop.until(3 * HOUR + 30 * MINUTE)
    assert (down(shop), down(shop, kind="planned")) == (3600, 3600)
    assert agreed(shop) == 2.5 * 3600
    assert shop.fact("service_failures_total") == 1


def test_an_incident_that_outlives_its_maintenance_becomes_a_failure_at_the_end() -> None:
    shop = Shop(WINDOW)
    shop.until(2 * HOUR + 30 * MINUTE)
    shop.open()
    shop.until(2 * HOUR + 59 * MINUTE)
    assert (down(shop), down(shop, kind="planned"), shop.fact("service_failures_total")) == (0, 29 * 60, 0)
    shop.until(3 * HOUR + 10 * MINUTE)
    assert (down(shop), down(shop, kind="planned"), shop.fact("service_failures_total")) == (600, 1800, 1)


def test_a_restart_changes_nothing_and_time_runs_on_while_nobody_is_there() -> None:
    shop = Shop()
    shop.open()
    shop.until(10 * MINUTE)
    before = shop.facts()
    shop.restart()
    assert shop.facts() == before
    shop.now += HOUR
    shop.restart()
    assert (down(shop), agreed(shop)) == (4200, 4200)


def test_a_service_outside_of_the_catalogue_counts_under_one_name() -> None:
    shop = Shop()
    shop.open("nobody")
    shop.open("nothing")
    shop.until(MINUTE)
    assert down(shop, "uncatalogued") == 60
    assert shop.fact("service_time_seconds_total", service="uncatalogued") == 0


def test_what_passed_under_a_configuration_stays_as_it_was_under_another() -> None:
    shop = Shop()
    shop.open()
    shop.until(HOUR)
    shop.reload(
        HOUSE
        + '\nmaintenance: [{name: w, services: [shop], from: "2026-01-05T00:00:00Z", to: "2026-01-05T02:00:00Z", reason: r}]'
    )
    assert (down(shop), agreed(shop)) == (3600, 3600)
    shop.until(2 * HOUR)
    assert (down(shop), down(shop, kind="planned"), agreed(shop)) == (3600, 3600, 3600)


def test_time_stands_still_for_a_service_that_left_the_catalogue() -> None:
    shop = Shop()
    shop.until(HOUR)
    shop.reload(HOUSE.replace("  bureau: {team: ops, sla: hours}\n", ""))
    shop.until(12 * HOUR)
    assert agreed(shop, "bureau") == 0
    shop.reload(HOUSE)
    shop.until(13 * HOUR)
    assert agreed(shop, "bureau") == 3600


def test_the_counters_are_exact_to_the_microsecond_however_often_they_are_settled() -> None:
    shop = Shop()
    shop.open()
    for n in range(1, 50):
        shop.until(n * (7 * SECOND + 1))
        shop.restart()
        shop.do("note", text="x")
    assert round(down(shop) * SECOND) == 49 * (7 * SECOND + 1)
