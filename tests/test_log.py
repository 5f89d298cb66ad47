"""What an engineer on call reads in the log: which incident, of what, and on one line."""

import json
import logging
from typing import Any

import pytest

from responder import log as logs
from responder.core.event import Actor, Event
from responder.log import event_words
from tests.shop import Shop


def last(shop: Shop) -> tuple[str, dict[str, Any]]:
    return event_words(shop.events[-1], shop.resident)  # type: ignore[arg-type]


def test_a_line_names_the_incident_its_title_and_what_it_is_about() -> None:
    shop = Shop()
    shop.fire("DiskFull")
    message, fields = last(shop)
    assert message == "INC-1 opened: DiskFull"
    assert fields == {
        "incident": "INC-1", "rule": "each", "service": "shop", "priority": "P1", "event": "opened", "actor": "rule:each",
        "seq": 0,
    }  # fmt: skip


def test_a_delivery_is_the_doing_of_a_channel() -> None:
    shop = Shop()
    shop.fire()
    event = Event(0, "notification_failed", "incident", 1, Actor("source", "hook"), {"channel": "hook"})
    message, fields = event_words(event, shop.resident)  # type: ignore[arg-type]
    assert (message, fields["actor"]) == ("INC-1 notification failed: A", "channel:hook")


def test_an_incident_that_joins_or_leaves_a_problem_names_it() -> None:
    shop = Shop()
    shop.fire()
    for kind, said in (("linked", "linked to"), ("unlinked", "unlinked from")):
        event = Event(0, kind, "incident", 1, Actor("rule", "correlation"), {"problem": 4})
        message, fields = event_words(event, shop.resident)  # type: ignore[arg-type]
        assert (message, fields["problem"]) == (f"INC-1 {said} PRB-4: A", "PRB-4")


def test_other_subjects_are_named_as_far_as_they_have_a_name() -> None:
    nobody: Any = Shop().resident
    actor = Actor("person", "ann")
    assert (
        event_words(Event(0, "created", "maintenance", 0, actor, {"name": "move"}), nobody)[0]
        == "maintenance move created"
    )
    assert event_words(Event(0, "loaded", "config", 0, actor, {"digest": "x"}), nobody)[0] == "config loaded"


@pytest.mark.parametrize("text", [True, False])
def test_text_from_outside_stays_on_its_line(text: bool, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.set_up("INFO", text=text)
        title = "a\nb\x1b[2J\u2028c\x9bd\ud800 订单"
        logging.getLogger("x").info("%s", f"INC-1 opened: {title}", extra={"service": "s\ns"})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    [line] = capsys.readouterr().err.split("\n")[:-1]
    assert "订单" in line
    assert not set("\x1b\u2028\x9b\ud800") & set(line)
    if not text:
        assert json.loads(line)["message"] == f"INC-1 opened: {title}"
