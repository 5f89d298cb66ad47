"""Maintenance from the configuration and from the API: planned, exempt, or counted from its end."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.config.regexes import compile_regex
from responder.core.catalogue import Recurring
from responder.core.instant import format_instant, parse_instant
from responder.core.lifecycle import Refused
from responder.core.maintenance import Posted, Window, posted_window, united
from responder.core.signal import DAY, HOUR, MINUTE, SECOND
from responder.handlers.commands import Announce, EndMaintenance, NotFound
from responder.handlers.upkeep import Forget, Settle
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


def test_what_was_planned_does_not_shorten_how_long_incidents_take() -> None:
    """Its clocks stand at 0 seconds: means of them would get better by every maintenance."""
    shop = Shop()
    announce(shop, 0, HOUR)
    shop.open()
    shop.do("acknowledge")
    shop.do("resolve")
    shop.until(2 * HOUR)
    assert shop.see().state == "closed"
    shop.open()
    shop.until(2 * HOUR + 5 * MINUTE)
    shop.do("acknowledge", 2)
    shop.do("resolve", 2)
    shop.until(5 * HOUR)
    for name in ("response", "resolution", "restore"):
        taken = [shop.fact(f"incident_{name}_seconds_{part}", service="shop") for part in ("count", "sum")]
        assert taken == [1, 300], name


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


def test_announced_windows_that_have_passed_are_asked_no_more_once_their_time_is_counted() -> None:
    shop = Shop()
    shop.reload(HOUSE)
    announce(shop, HOUR, 2 * HOUR, "passed")
    announce(shop, 3 * DAY, 4 * DAY, "to come")
    shop.until(2 * DAY)
    shop.take(Forget(first=True))
    assert shop.resident.windows.keys() == {"passed", "to come"}, "its time is not counted yet"
    shop.take(Settle())
    shop.take(Forget(first=True))
    assert shop.resident.windows.keys() == shop.resident.maintenance.keys() == {"to come"}
    shop.until(3 * DAY)
    assert shop.fact("service_time_seconds_total", service="shop") == 71 * HOUR / SECOND


def test_ending_a_window_that_has_passed_leaves_it_as_it_is() -> None:
    shop = Shop()
    announce(shop, HOUR, 2 * HOUR)
    shop.until(3 * HOUR)
    shop.take(EndMaintenance("works", ANN))
    assert shop.resident.maintenance["works"].ended_at is None


def test_stretches_unite() -> None:
    assert list(united([(5, 7), (0, 2), (1, 3), (3, 4), (6, 9)])) == [(0, 4), (5, 9)]
    assert list(united([])) == []


# Clocks that are changed.

QUARTER = 15 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def recurring(start: int, end: int, zone: str, days: tuple[int, ...] = tuple(range(7))) -> Window:
    return Window("w", "r", frozenset({"shop"}), recurring=Recurring(days, start, end, zone))


@pytest.mark.parametrize(
    ("hours", "found"),
    [
        ((9000, 11700), "01:00:00Z 01:15:00Z"),  # 02:30-03:15 begins at the jump
        ((9000, 14400), "01:00:00Z 02:00:00Z"),
        ((7200, 10800), ""),  # 02:00-03:00 does not exist
        ((9000, 9900), ""),
        ((84600, 9900), "00:00:00Z 01:00:00Z 21:30:00Z 22:00:00Z"),  # 23:30-02:45 ends at the jump
    ],
)
def test_a_window_in_the_gap_of_the_clocks_begins_and_ends_at_the_jump(hours: tuple[int, int], found: str) -> None:
    since, until = parse_instant("2026-03-29T00:00:00Z"), parse_instant("2026-03-29T22:00:00Z")
    stretches = list(recurring(*hours, "Europe/Berlin").stretches(since, until))
    assert all(start < end for start, end in stretches)
    told = sorted({format_instant(at)[11:] for stretch in stretches for at in stretch})
    assert told == sorted(found.split())


@given(
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Havana", "Australia/Lord_Howe",
         "Pacific/Apia", "Africa/Casablanca", "America/Santiago", "Asia/Kathmandu"]
    ),
    begin=st.datetimes(datetime(2009, 1, 1), datetime(2030, 1, 1)),
    hours=st.tuples(st.integers(0, 95), st.integers(0, 96)).filter(lambda found: found[0] != found[1]),
    days=st.sets(st.integers(0, 6), min_size=1),
)  # fmt: skip
def test_a_window_is_open_from_when_the_clock_shows_its_start_until_it_shows_its_end(
    zone: str, begin: datetime, hours: tuple[int, int], days: set[int]
) -> None:
    """Against the definition, looked up on every minute of six days."""
    local = ZoneInfo(zone)
    noon = begin.replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=UTC)
    minutes = [noon + timedelta(minutes=n) for n in range(-4320, 4320)]
    walls = [moment.astimezone(local).replace(tzinfo=None) for moment in minutes]

    def first(wall: datetime) -> datetime:
        return next(moment for moment, shown in zip(minutes, walls, strict=True) if shown >= wall)

    open_: set[datetime] = set()
    length = (hours[1] - hours[0]) % 96 or 96
    for ahead in (-2, -1, 0, 1):
        day = noon.replace(hour=0, tzinfo=None) + timedelta(days=ahead)
        if day.weekday() in days:
            start = day + timedelta(minutes=15 * hours[0])
            bounds = first(start), first(start + timedelta(minutes=15 * length))
            open_ |= {moment for moment in minutes if bounds[0] <= moment < bounds[1]}
    window = recurring(hours[0] * 900, hours[1] * 900, zone, tuple(days))
    since = (noon - timedelta(hours=12) - EPOCH) // timedelta(microseconds=1)
    asked = [since + n * QUARTER for n in range(97)]
    stretches = list(united(window.stretches(asked[0], asked[-1])))
    assert all(start < end for start, end in stretches) and all(a[1] < b[0] for a, b in pairwise(stretches))
    for at in asked[:-1]:
        expected = EPOCH + timedelta(microseconds=at) in open_
        assert any(start <= at < end for start, end in stretches) is expected
        assert (window.covers("shop", {}, at) is not None) is expected
