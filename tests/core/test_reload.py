"""Open incidents follow the newest promise, from the instant at which it came into force, for ever."""

from responder.core.signal import HOUR, MINUTE
from responder.handlers import upkeep
from tests.shop import HOUSE, Shop, since_start

STRICT = HOUSE.replace("P2: {response: 30m, resolution: 4h}", "P2: {response: 5m, resolution: 20m}")
LOOSE = HOUSE.replace("P2: {response: 30m, resolution: 4h}", "P2: {response: 3h, resolution: 9h}")


def breaches(shop: Shop, id: int = 1) -> dict[str, int | None]:
    return {event.data["target"]: since_start(event.at) for event in shop.of_kind("sla_breached", id)}


def test_a_stricter_target_breaches_at_its_load_and_not_before() -> None:
    shop = Shop()
    shop.open(priority="P2")
    shop.until(10 * MINUTE)
    shop.reload(STRICT)
    shop.until(HOUR)
    assert breaches(shop) == {"response": 10 * MINUTE, "resolution": 20 * MINUTE}


def test_a_restart_does_not_move_the_instant_from_which_a_promise_counts() -> None:
    shop = Shop()
    shop.open(priority="P2")
    shop.until(25 * MINUTE)
    shop.reload(STRICT)
    shop.restart()  # before a tick saw the breach
    shop.now += HOUR
    shop.reload(STRICT)
    shop.until(2 * HOUR)
    assert breaches(shop) == {"response": 25 * MINUTE, "resolution": 25 * MINUTE}
    assert all(event.data.get("late") for event in shop.of_kind("sla_breached"))


def test_the_same_targets_in_another_order_are_the_same_promise() -> None:
    shop = Shop()
    before = {meter.service: meter.promised_at for meter in shop.resident.all_meters()}
    shop.until(HOUR)
    shop.reload(HOUSE.replace("{P1: {response: 10m, resolution: 1h}, P2: {response: 30m, resolution: 4h}}",
                              "{P2: {resolution: 240m, response: 30m}, P1: {resolution: 60m, response: 600s}}"))  # fmt: skip
    assert {meter.service: meter.promised_at for meter in shop.resident.all_meters()} == before


def test_a_looser_target_takes_away_what_was_due() -> None:
    shop = Shop()
    shop.open(priority="P2")
    shop.until(10 * MINUTE)
    shop.reload(LOOSE)
    shop.until(2 * HOUR)
    assert breaches(shop) == {}
    shop.until(4 * HOUR)
    assert breaches(shop) == {"response": 3 * HOUR}


def test_what_was_breached_stays_so_and_a_closed_incident_keeps_its_verdict() -> None:
    shop = Shop()
    shop.open(priority="P2")
    shop.open(priority="P2")
    shop.do("resolve", 1)
    shop.do("close", 1)
    shop.until(HOUR)
    shop.reload(LOOSE)
    shop.do("resolve", 2)
    shop.do("close", 2)
    met, missed = (shop.of_kind("closed", id)[0].data["verdict"][0] for id in (1, 2))
    assert (met["met"], missed["met"]) == (True, False)
    assert shop.of_kind("closed", 1)[0].data["sla_version"] != shop.of_kind("closed", 2)[0].data["sla_version"]


def test_a_service_that_gets_another_sla_is_promised_anew() -> None:
    shop = Shop()
    shop.until(10 * HOUR)
    shop.open("bureau")
    shop.until(11 * HOUR + 30 * MINUTE)
    shop.reload(HOUSE.replace("bureau: {team: ops, sla: hours}", "bureau: {team: ops, sla: gold}"))
    shop.until(12 * HOUR)
    assert breaches(shop) == {"response": 11 * HOUR, "resolution": 11 * HOUR + 30 * MINUTE}


def test_the_sweep_looks_at_five_hundred_incidents_at_a_time() -> None:
    shop = Shop()
    for n in range(1201):
        shop.fire(f"a{n}") if n % 2 else shop.open()
    seen, last = [], shop.take(upkeep.Sweep(0))
    while last is not None:
        seen.append(last)
        last = shop.take(upkeep.Sweep(last))
    assert seen == [500, 1000]
