"""What comes of signals that arrive together."""

from typing import Any

import pytest

from responder.core import engine
from responder.core.desk import Desk
from responder.core.signal import MINUTE, Signal
from responder.handlers.signals import AlertsPolled, alerts_polled
from tests.story import EACH, Story, alert

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
