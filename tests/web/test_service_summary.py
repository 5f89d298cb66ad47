"""One text for each affected service, for a hotline to read out."""

from responder.core.signal import DAY, MINUTE
from tests.web.conftest import Client, House


def said(api: Client, service: str = "order") -> str:
    text: str = api.get(f"/api/v1/services/{service}").json()["summary"]
    return text


def test_a_service_that_nobody_misses_works_as_usual(api: Client) -> None:
    assert said(api) == "order works as usual."
    api.post("/api/v1/incidents", {"service": "order", "title": "t", "impact": "low", "urgency": "low"})
    assert said(api) == "order works as usual."


def test_many_incidents_are_one_text_that_names_no_host(api: Client, house: House) -> None:
    for name in "abcde":
        api.fire(name)
    began = "order does not work as it should since 00:00 UTC."
    assert said(api) == f"{began} It is known to those in charge. It is to work again before 04:00 UTC."
    house.advance(MINUTE)
    api.post("/api/v1/incidents/1/acknowledge", {})
    api.post("/api/v1/incidents/1/major", {"lead": "ann", "every": "30m"})
    worked_on = f"{began} It is being worked on. It is to work again before 04:00 UTC."
    assert said(api) == f"{worked_on} There will be news before 00:31 UTC."
    assert said(api, "db") == "db works as usual."


def test_what_was_promised_and_is_past_is_not_promised_again(api: Client, house: House) -> None:
    api.fire("a")
    house.advance(DAY)
    known = "It is known to those in charge."
    assert said(api) == f"order does not work as it should since 2026-01-05 00:00 UTC. {known}"


def test_a_paused_clock_promises_no_end(api: Client) -> None:
    api.fire("a")
    api.post("/api/v1/incidents/1/pause", {"reason": "customer"})
    assert "to work again" not in said(api)


def test_an_outage_is_called_one(api: Client) -> None:
    api.post("/api/v1/incidents", {"service": "order", "title": "t", "impact": "high", "urgency": "high"})
    assert said(api).startswith("order does not work since 00:0")


def test_an_outage_is_not_dated_by_what_was_only_a_nuisance_before(api: Client, house: House) -> None:
    api.fire("a")
    api.post("/api/v1/incidents/1/acknowledge", {})
    house.advance(10 * MINUTE)
    api.post("/api/v1/incidents", {"service": "order", "title": "t", "impact": "high", "urgency": "high"})
    began = "order does not work since 00:10 UTC. It is known to those in charge."
    assert said(api) == f"{began} It is to work again before 04:00 UTC.", "and whole when the last one is over"
