"""Open keys of rules that are none of alerts, as the Alertmanager API shows them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from responder.core.signal import MINUTE
from responder.handlers.commands import SetSilence
from responder.web.alertmanager import AlertmanagerApi
from responder.web.backend import Backend
from responder.web.decode import Decoder
from responder.web.http import Response
from responder.web.silences import decode_silence
from tests.story import ANN, START, Story

SLOW = """
sources: {prom: {kind: prometheus, url: "http://x"}}
rules:
  - id: slow
    by: [region]
    when: {metric: {source: prom, query: q, every: 30s, open: {above: 10}, close: {below: 5}, no_data: keep}}
    incident: {service: shop, title: slow, priority: P2}
"""
LABELS = {"alertname": "slow", "service": "shop", "priority": "P2", "region": "eu"}


@pytest.fixture
def story() -> Story:
    story = Story(SLOW)
    story.sample(({"region": "eu"}, 20.0))
    return story


def backend(story: Story) -> Backend:
    core: Any = SimpleNamespace(resident=story.stage.resident, reader=story.stage.reader, book=story.stage.book)
    return Backend(core)


def test_an_alert_that_could_not_be_decided_is_not_answered_as_taken(story: Story) -> None:
    found = backend(story)

    async def submit(item: Any) -> list[str]:
        return ["accepted", "rejected"]

    found._core.submit, found._core.now = submit, lambda: START  # type: ignore[method-assign]
    answer = drive(AlertmanagerApi(found, Decoder()), [{"labels": {"a": "1"}}, {"labels": {"a": "2"}}])
    assert answer.status == 500
    assert isinstance(answer.body, bytes) and b"1 of 2 alerts could not be decided" in answer.body


def drive(api: AlertmanagerApi, alerts: object) -> Response:
    scope = {
        "type": "http", "method": "POST", "path": "/api/v2/alerts", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    message = {"type": "http.request", "body": msgspec.json.encode(alerts), "more_body": False}

    async def receive() -> dict[str, object]:
        return message

    return asyncio.run(api.respond(scope, receive))


def listed(story: Story) -> list[dict[str, str]]:
    return [alert.labels for alert in backend(story).alerts()]


def test_an_open_key_is_an_alert_of_its_rule(story: Story) -> None:
    [alert] = backend(story).alerts()

    assert alert.labels == LABELS
    assert (alert.since, alert.annotations) == (START, {"summary": "slow", "incident": "INC-1"})
    assert backend(story).receivers_of(alert) == ["slow"]


@pytest.mark.parametrize(("command", "args"), [("resolve", {}), ("cancel", {"reason": "exercise"})])
def test_it_shows_until_its_condition_is_over_whatever_people_do_to_the_incident(
    story: Story, command: str, args: dict[str, Any]
) -> None:
    story.command(command, **args)
    assert listed(story) == [LABELS]

    story.until(MINUTE)
    story.sample(({"region": "eu"}, 7.0), last_at=30_000_000)
    assert listed(story) == [LABELS], "between its two edges it is open"
    story.until(2 * MINUTE)
    story.sample(({"region": "eu"}, 4.0), last_at=MINUTE)
    assert listed(story) == []


def test_a_silence_on_it_matches(story: Story) -> None:
    body = b"""{"matchers": [{"name": "alertname", "value": "slow", "isRegex": false}, {"name": "region", "value": "e.", "isRegex": true}],
        "startsAt": "2026-01-05T00:00:00Z", "endsAt": "2026-01-05T01:00:00Z", "createdBy": "ann", "comment": "known"}"""
    story.stage.take(SetSilence(decode_silence(body), "7a0a1f5c-6d58-4cf0-a6a2-f8a6d29a8c2e", ANN))

    assert backend(story).silences().silencing(listed(story)[0], story.stage.now) == [
        "7a0a1f5c-6d58-4cf0-a6a2-f8a6d29a8c2e"
    ]
