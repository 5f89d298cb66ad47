"""Changes and releases: what opens soon after one is linked to it."""

from responder.core.signal import MINUTE
from responder.handlers.commands import RecordChange
from tests.shop import ANN, START, Shop


def test_a_change_that_is_told_afterwards_is_linked_to_what_has_opened_since() -> None:
    shop = Shop()
    shop.open()
    shop.until(20 * MINUTE)
    shop.open()
    shop.open("bureau")
    shop.until(30 * MINUTE)
    shop.take(RecordChange("shop", "release", "2.3", START + 10 * MINUTE, "", ANN))
    assert [shop.see(id).changes for id in (1, 2, 3)] == [(), (1,), ()], "before it, after it, of another service"
    [linked] = shop.of_kind("change_linked", 2)
    assert (linked.at, linked.actor, linked.data["version"]) == (START + 30 * MINUTE, ANN, "2.3")
    assert shop.fact("incidents_change_related_total", service="shop") == 1
    shop.take(RecordChange("shop", "release", "2.2", START - 11 * MINUTE, "", ANN))
    assert [shop.see(id).changes for id in (1, 2)] == [(2,), (1,)], "half an hour is the limit"
    assert shop.fact("incidents_change_related_total", service="shop") == 2
