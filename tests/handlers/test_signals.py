"""What comes of signals that arrive together."""

from typing import Any

import pytest

from responder.core import engine
from responder.core.desk import Desk
from responder.core.signal import MINUTE, SECOND, Signal
from responder.handlers.signals import AlertsPolled, MetricPolled, alerts_polled
from tests.story import EACH, START, Story, alert

POLLED = 'sources: {am: {kind: alertmanager, url: "http://x"}}' + EACH


def polled(story: Story, *signals: Signal, careful: bool = False) -> list[str]:
    desk = Desk(story.stage.resident)
    item = AlertsPolled("am", story.stage.now, signals)
    return list(alerts_polled(item, desk, story.stage.book, story.stage.now, careful))


def test_a_poll_says_what_became_of_each_alert() -> None:
    story = Story(POLLED)
    story.poll("am", alert("A", 0, source="am"))
    story.until(MINUTE)
    again, new = alert("A", MINUTE, starts=0, source="am"), alert("B", MINUTE, source="am")
    assert polled(story, again, new) == ["duplicate", "accepted"]


def test_an_alert_of_a_poll_that_cannot_be_decided_fails_none_of_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = engine.take_signal

    def fails(desk: Any, book: Any, signal: Signal, now: int, **options: Any) -> Any:
        if signal.labels["alertname"] == "bad":
            raise ZeroDivisionError
        return take(desk, book, signal, now, **options)

    monkeypatch.setattr(engine, "take_signal", fails)
    alerts = [alert(name, 0, source="am") for name in ("A", "bad", "C")]
    assert polled(Story(POLLED), *alerts, careful=True) == ["accepted", "rejected", "accepted"]


def test_a_source_that_answers_again_resolves_its_incident_when_we_learn_of_it() -> None:
    story = Story(
        """
sources: {prom: {kind: prometheus, url: "http://x", on_failure: {for: 1m, priority: P2, service: shop}}}
rules:
  - id: asked
    by: []
    when: {metric: {source: prom, query: q, every: 1m, open: {above: 1}, no_data: keep}}
"""
    )
    for minute in (0, 1):
        story.until(minute * MINUTE)
        story.poll_fails("prom")
    assert story.states() == ["open"]
    story.until(2 * MINUTE + 5 * SECOND)
    [query] = story.stage.book.queries
    story.stage.take(MetricPolled("prom", query, START + 2 * MINUTE, []))
    row = story.incident()
    assert (story.at(row.recovered_at), story.at(row.resolved_at)) == (2 * MINUTE, 2 * MINUTE + 5 * SECOND)
