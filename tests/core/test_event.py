"""What an event says, as others read it: no field shows our microseconds."""

from collections.abc import Iterator
from typing import Any

from responder.core.event import INSTANTS, SPANS
from responder.core.shown import event_data
from responder.core.signal import DAY, HOUR, MINUTE
from tests.core.test_major import BY_RULE
from tests.shop import START, Shop


def numbers(data: Any) -> Iterator[float]:
    if isinstance(data, dict | list | tuple):
        for one in data.values() if isinstance(data, dict) else data:
            yield from numbers(one)
    elif isinstance(data, int | float):
        yield data


def lived() -> Shop:
    """A shop in which much happens."""
    shop = Shop(
        "maintenance: [{name: m, services: [bureau], from: 2026-01-05T00:00:00Z, to: 2026-01-05T01:00:00Z, reason: r}]\n",
        house=BY_RULE,
    )
    shop.fire(service="hotline")
    shop.do("handover")
    shop.do("snooze", until=shop.now + HOUR)
    shop.do("pause", reason="supplier")
    shop.until(10 * MINUTE)
    shop.end(service="hotline")
    shop.until(11 * MINUTE)
    shop.fire(service="hotline")
    for _ in range(2):
        shop.do("handover")
    shop.do("note", text="what we learn", review=True)
    shop.do("handover")
    second = shop.open("bureau")
    shop.do("handover", second)
    shop.do("handover", second, to="carol")
    shop.until(3 * HOUR)
    shop.do("major", second, lead="lea", every=HOUR)
    for _ in range(40):  # its oldest runs are settled
        shop.do("resolve", second)
        shop.until(shop.now - START + MINUTE)
        shop.do("reopen", second, reason="again")
    shop.until(2 * DAY)
    return shop


def test_no_event_shows_microseconds() -> None:
    shop = lived()
    assert len({event.kind for event in shop.events}) > 15
    for event in shop.events:
        shown = event_data(event)
        shown.pop("sla_version", None)  # a number, but of no time
        assert not [n for n in numbers(shown) if abs(n) > 100 * DAY / 1_000_000], (event.kind, shown)


def test_a_verdict_speaks_in_seconds_and_dates() -> None:
    [closed] = [event for event in lived().events if event.kind == "closed"]
    response = event_data(closed)["verdict"]["response"]
    assert (response["target_s"], response["elapsed_s"], response["state"]) == (600, 0, "met")
    assert response["due_at"] == "2026-01-05T00:10:00Z"
    assert not INSTANTS & SPANS
