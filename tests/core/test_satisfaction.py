"""The customer answers once, within thirty days, whoever or whatever ended the stage before."""

import pytest

from responder.core import satisfaction
from responder.core.signal import DAY, MINUTE
from responder.handlers.commands import NotFound, Rate, Spent
from tests.shop import Shop


def asked() -> tuple[Shop, str]:
    shop = Shop()
    shop.book.secret = b"s"
    shop.open("hotline")
    for _ in range(3):
        shop.do("handover")
    token = satisfaction.token_of(shop.book, shop.see())
    assert token is not None
    return shop, satisfaction.digest(token)


def test_an_answer_is_kept_once_also_after_the_end_and_a_restart() -> None:
    shop, token = asked()
    shop.do("handover")
    assert shop.see().state == "closed"
    shop.restart()
    shop.take(Rate(token, 5, "fine"))
    assert (shop.see().score, shop.see().comment) == (5, "fine")
    shop.restart()
    with pytest.raises(Spent, match="used"):
        shop.take(Rate(token, 1, ""))
    assert shop.fact("satisfaction_responses_total", service="hotline", score="5") == 1
    [event] = shop.of_kind("satisfaction_rated")
    assert (event.actor.kind, event.data) == ("person", {"score": 5, "comment": "fine"})


def test_a_link_works_for_thirty_days() -> None:
    shop, token = asked()
    shop.until(30 * DAY - MINUTE)
    shop.take(Rate(token, 3, ""))
    shop, token = asked()
    shop.until(30 * DAY)
    with pytest.raises(Spent, match="expired"):
        shop.take(Rate(token, 3, ""))


def test_a_guess_is_nobody() -> None:
    shop, _ = asked()
    with pytest.raises(NotFound):
        shop.take(Rate(satisfaction.digest("guess"), 5, ""))


def test_no_token_is_in_the_timeline() -> None:
    shop, _ = asked()
    token = satisfaction.token_of(shop.book, shop.see())
    assert token is not None
    assert all(token not in repr(event) for event in shop.events)


def test_who_is_asked_again_after_a_reopening_gets_another_link() -> None:
    shop, first = asked()
    shop.until(MINUTE)
    shop.do("reopen", reason="not yet")
    for _ in range(3):
        if shop.see().stage != "inform":
            shop.do("handover")
    second = satisfaction.digest(satisfaction.token_of(shop.book, shop.see()) or "")
    assert first != second
    shop.take(Rate(second, 2, ""))
    shop.take(Rate(first, 4, ""))
    assert len(shop.of_kind("satisfaction_rated")) == 2
