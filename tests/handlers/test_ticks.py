"""What is due is looked at when it is due."""

from responder.core.signal import MINUTE
from tests.shop import START, Shop


def test_an_incident_that_changed_is_not_looked_at_for_what_was_due_before() -> None:
    shop = Shop()
    shop.fire()  # a P1 is warned after half of its ten minutes
    shop.until(MINUTE)
    shop.end()
    shop.until(2 * MINUTE)
    shop.resident.drop_outdated()
    assert shop.resident.next_due() == shop.resident.rests_until(1)
    assert shop.resident.take_due(START + 20 * MINUTE, 500) == []


def test_an_incident_that_changed_is_looked_at_when_it_is_due_now() -> None:
    shop = Shop()
    shop.fire()
    shop.until(MINUTE)
    shop.end()
    shop.until(31 * MINUTE)
    assert shop.see().state == "closed"
