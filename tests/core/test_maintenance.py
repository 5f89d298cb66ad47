"""Maintenance from the configuration and from the API: planned, exempt, or counted from its end."""

import pytest

from responder.config.regexes import compile_regex
from responder.core.lifecycle import Refused
from responder.core.maintenance import Posted, posted_window, united
from responder.core.signal import DAY, HOUR, MINUTE
from responder.handlers.commands import Announce, EndMaintenance, NotFound
from tests.shop import ANN, HOUSE, START, Shop, since_start

NIGHTLY = """
maintenance:
  - {name: nightly, services: [shop], recurring: {days: mon-sun, from: "02:00", to: "03:00", timezone: UTC}, reason: backup}
"""


def announce(shop: Shop, start: int, end: int, name: str = "works", **fields: object) -> None:
    row = Posted(name, "works", START + start, START + end, **({"services": ("shop",)} | fields))  # type: ignore[arg-type]
    shop.take(Announce(row, posted_window(row, compile_regex), ANN))


def outcomes(shop: Shop, outcome: str) -> float:
    return shop.fact("sla_outcomes_total", outcome=outcome)


def test_what_is_resolved_inside_is_exempt() -> None:
    shop = Shop()
    announce(shop, 0, HOUR)
    shop.open()
    assert shop.see().flags == ("planned",)
    shop.until(50 * MINUTE)
    shop.do("resolve")
    shop.until(5 * HOUR)
    assert (shop.see().state, outcomes(shop, "exempt"), outcomes(shop, "met")) == ("closed", 2, 0)
    assert [e.kind for e in shop.events if e.subject_kind == "incident" and e.kind.startswith("sla")] == []


def test_what_outlives_it_is_counted_from_its_end_even_when_nobody_looked() -> None:
    shop = Shop()
    announce(shop, 0, HOUR)
    shop.open()
    shop.restart()
    shop.now += 90 * MINUTE
    shop.until(91 * MINUTE)
    row = shop.see()
    assert (row.flags, since_start(row.clock.opened_at)) == ((), HOUR)
    breach = next(e for e in shop.of_kind("sla_breached") if e.data["target"] == "response")
    assert (since_start(breach.at), breach.data.get("late")) == (70 * MINUTE, True)
    assert [since_start(e.at) for e in shop.of_kind("stage_overdue")] == [70 * MINUTE]
    shop.do("resolve")
    shop.until(5 * HOUR)
    assert (outcomes(shop, "breached"), outcomes(shop, "met")) == (1, 1)


def test_a_window_that_goes_on_from_another_keeps_it_planned() -> None:
    shop = Shop()
    announce(shop, 0, HOUR)
    announce(shop, HOUR, 2 * HOUR, "more")
    shop.open()
    shop.until(HOUR + 30 * MINUTE)
    assert shop.see().flags == ("planned",)
    shop.until(2 * HOUR)
    assert shop.see().flags == ()


def test_an_end_that_comes_early_or_late_moves_planned_incidents() -> None:
    shop = Shop()
    announce(shop, 0, HOUR)
    shop.open()
    announce(shop, 0, 3 * HOUR)
    shop.until(2 * HOUR)
    assert shop.see().flags == ("planned",)
    shop.take(EndMaintenance("works", ANN))
    assert (shop.see().flags, since_start(shop.see().clock.opened_at)) == ((), 2 * HOUR)
    with pytest.raises(NotFound):
        shop.take(EndMaintenance("works", ANN))


def test_windows_of_the_configuration_recur_and_survive_a_reload_without_them() -> None:
    shop = Shop(NIGHTLY)
    shop.until(2 * HOUR + 15 * MINUTE)
    shop.open()
    assert since_start(shop.see().planned_until) == 3 * HOUR
    shop.until(2 * HOUR + 30 * MINUTE)
    shop.reload(HOUSE)
    assert (shop.see().flags, since_start(shop.see().clock.opened_at)) == ((), 150 * MINUTE)
    shop.until(DAY)
    assert shop.fact("service_time_seconds_total", service="shop") == 86400 - 1800


def test_a_name_of_the_configuration_is_taken() -> None:
    shop = Shop(NIGHTLY)
    with pytest.raises(Refused):
        announce(shop, 0, HOUR, "nightly")


def test_a_window_by_labels_looks_at_those_of_the_alert() -> None:
    shop = Shop()
    announce(shop, 0, HOUR, services=(), match='{host=~"db.*"}')
    shop.fire("A", host="db1")
    shop.fire("B", host="web1")
    assert [shop.see(1).flags, shop.see(2).flags] == [("planned",), ()]


def test_announced_windows_survive_a_kill() -> None:
    shop = Shop()
    announce(shop, HOUR, 2 * HOUR)
    announce(shop, 3 * HOUR, 4 * HOUR, "gone")
    shop.take(EndMaintenance("gone", ANN))
    shop.restart()
    shop.until(90 * MINUTE)
    shop.open()
    shop.until(200 * MINUTE)
    shop.open()
    assert [shop.see(1).clock.opened_at, shop.see(2).flags] == [START + 2 * HOUR, ()]


def test_stretches_unite() -> None:
    assert list(united([(5, 7), (0, 2), (1, 3), (3, 4), (6, 9)])) == [(0, 4), (5, 9)]
    assert list(united([])) == []
