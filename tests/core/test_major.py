"""Major incidents: a lead, news in every interval, and a review before the end."""

import pytest

from responder.core.lifecycle import Refused
from responder.core.signal import DAY, HOUR, MINUTE
from tests.shop import HOUSE, Shop, since_start

BY_RULE = HOUSE.replace('title: "{{ labels.alertname }}"', 'title: "{{ labels.alertname }}", major: true')


def reminders(shop: Shop) -> list[int | None]:
    return [since_start(event.at) for event in shop.of_kind("update_overdue")]


def test_a_major_incident_without_news_reminds_its_lead_each_interval() -> None:
    shop = Shop()
    shop.open()
    shop.do("major", lead="lea", every=20 * MINUTE)
    shop.until(15 * MINUTE)
    shop.do("note", text="we look")
    shop.until(HOUR)
    assert reminders(shop) == [35 * MINUTE, 55 * MINUTE]
    shop.do("resolve")
    shop.until(3 * HOUR)
    assert len(reminders(shop)) == 2


def test_reminders_that_nobody_could_send_are_one() -> None:
    shop = Shop()
    shop.open()
    shop.do("major", lead="lea", every=20 * MINUTE)
    shop.now += 5 * HOUR
    shop.until(5 * HOUR + 10 * MINUTE)
    assert reminders(shop) == [20 * MINUTE]
    shop.until(5 * HOUR + 20 * MINUTE)
    assert reminders(shop) == [20 * MINUTE, 5 * HOUR + 20 * MINUTE]


def test_a_major_incident_stays_resolved_until_its_review_is_written() -> None:
    shop = Shop(house=BY_RULE)
    shop.fire()
    assert (shop.see().flags, shop.see().lead) == (("major",), "ann")
    with pytest.raises(Refused):
        shop.do("note", text="too early", review=True)
    shop.end()
    shop.until(2 * HOUR)
    assert (shop.see().state, shop.see().flags, shop.see().taking) == ("resolved", ("major", "review_due"), False)
    with pytest.raises(Refused) as refused:
        shop.do("close")
    assert "close" not in refused.value.allowed
    shop.do("note", text="cause, effect, what we change", review=True)
    shop.until(2 * HOUR + MINUTE)
    assert (shop.see().state, since_start(shop.see().closed_at)) == ("closed", 2 * HOUR)


def test_the_last_stage_of_a_major_incident_ends_after_its_review() -> None:
    shop = Shop()
    shop.open("hotline", major=True)
    for _ in range(3):
        shop.do("handover")
    with pytest.raises(Refused):
        shop.do("handover")
    shop.do("note", text="review", review=True)
    shop.do("handover")
    assert shop.see().state == "closed"


def test_what_is_reopened_is_reviewed_again() -> None:
    shop = Shop()
    shop.open(major=True)
    shop.do("resolve")
    shop.do("note", text="review", review=True)
    shop.do("reopen", reason="again")
    shop.do("resolve")
    assert "review_due" in shop.see().flags
    shop.until(DAY)
    assert shop.see().state == "resolved"
