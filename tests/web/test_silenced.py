"""`suppressed`: the flag of an incident whose firing alerts are all silenced, true while the silence lasts."""

import uuid
from typing import Any

import pytest

from responder.core.event import Actor
from responder.core.signal import HOUR, MINUTE, Instant
from responder.core.silence import Silence, Term
from responder.handlers.commands import SetSilence
from responder.web.silenced import silenced
from tests.story import Story
from tests.web.conftest import START, Client, House


def quiet(api: Client, until: Instant = START + HOUR, since: Instant = START, **labels: str) -> None:
    terms = tuple(Term(name, value) for name, value in labels.items())
    posted = Silence("", terms, since, until, "anna", "quiet")
    api.submit(SetSilence(posted, str(uuid.uuid4()), Actor("person", "anna")))


def flags(api: Client) -> dict[str, list[str]]:
    return {item["id"]: item["flags"] for item in api.get("/api/v1/incidents").json()["items"]}


def suppressed(api: Client, more: str = "") -> list[str]:
    return [item["id"] for item in api.get(f"/api/v1/incidents?flag=suppressed{more}").json()["items"]]


def test_an_incident_is_suppressed_while_all_its_firing_alerts_are_silenced(api: Client, house: House) -> None:
    api.fire("a", disk="1")
    api.fire("a", disk="2")
    api.fire("b")
    quiet(api, instance="a", disk="1")
    assert (flags(api), suppressed(api)) == ({"INC-1": [], "INC-2": []}, [])
    quiet(api, until=START + 10 * MINUTE, disk="2")
    assert (flags(api), suppressed(api)) == ({"INC-1": ["suppressed"], "INC-2": []}, ["INC-1"])
    assert api.get("/api/v1/incidents/1").json()["flags"] == ["suppressed"]
    house.advance(10 * MINUTE)
    assert (flags(api)["INC-1"], suppressed(api)) == ([], [])
    api.fire("a", firing=False, disk="2")
    assert suppressed(api) == ["INC-1"]


def test_what_is_over_or_reported_by_hand_or_silenced_later_is_not_suppressed(api: Client) -> None:
    quiet(api, instance="a")
    quiet(api, since=START + MINUTE, instance="b")
    quiet(api, service="order")
    api.fire("a")
    api.fire("b")
    api.fire("a", firing=False)
    api.post("/api/v1/incidents", {"service": "order", "title": "t", "priority": "P1", "labels": {"instance": "a"}})
    assert suppressed(api) == []


def test_the_filter_goes_with_the_others_and_from_page_to_page(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.web.api.SLICE", 2)
    quiet(api, alertname="HostDown")
    for name in "abcdefg":
        api.fire(name)
    api.post("/api/v1/incidents/4/acknowledge")
    assert suppressed(api, "&state=open") == [f"INC-{n}" for n in (7, 6, 5, 3, 2, 1)]
    assert suppressed(api, "&q=on+c") == ["INC-3"]
    found: list[str] = []
    page: dict[str, Any] = {"next": ""}
    for _ in range(3):
        page = api.get(f"/api/v1/incidents?flag=suppressed&limit=3&cursor={page['next']}").json()
        found += [item["id"] for item in page["items"]]
    assert page["next"] is None
    assert found == [f"INC-{n}" for n in range(7, 0, -1)]


def test_what_a_person_reopened_is_as_quiet_as_what_fired_last(api: Client) -> None:
    """Nothing fires, and yet no message about it leaves; the flag says why."""
    quiet(api, until=START + 10 * MINUTE, instance="a")
    api.fire("a")
    api.fire("a", firing=False)
    api.post("/api/v1/incidents/1/reopen", {"reason": "it is not over"})
    assert suppressed(api) == ["INC-1"]


def test_the_open_key_of_a_rule_that_hears_no_alerts_is_silenced_by_its_own_alert() -> None:
    story = Story("""
sources: {prom: {kind: prometheus, url: "http://x"}}
rules:
  - id: slow
    by: [region]
    when: {metric: {source: prom, query: q, every: 30s, open: {above: 10}, no_data: keep}}
    incident: {service: shop, title: slow}
""")
    story.sample(({"region": "eu"}, 20.0), ({"region": "us"}, 20.0))
    posted = Silence(
        "", (Term("alertname", "slow"), Term("region", "us")), story.stage.now, story.stage.now + HOUR, "ann", "c"
    )
    story.stage.take(SetSilence(posted, str(uuid.uuid4()), Actor("person", "ann")))
    found = silenced(story.stage.resident, story.stage.reader, story.stage.book, story.incidents(), story.stage.now)
    assert {story.incident(id).key["region"] for id in found} == {"us"}
