"""A timeline in words for people: no field of the machine, and nothing of Python."""

import re

from responder.cli.tables import Cell
from responder.cli.words import event_row
from responder.core.shown import event_data
from tests.core.test_event import lived


def test_no_event_shows_how_it_is_written_down() -> None:
    for event in lived().events:
        item = {"at": "", "kind": event.kind, "actor": {"name": event.actor.name}, "data": event_data(event)}
        said = event_row(item)[3]
        assert not isinstance(said, Cell)
        assert not re.search(r"True|False|None|[{}\[\]\']|_s\\b|_at\\b", said), (event.kind, said)


def say(kind: str, **data: object) -> str:
    return str(event_row({"at": "", "kind": kind, "actor": {"name": "x"}, "data": data})[3])


def test_the_words_say_what_a_reader_asks() -> None:
    assert say("flagged", flag="major", on=True, lead="lea", every_s=1800.0) == "major; lead lea; every 30m"
    assert say("flagged", flag="taking", on=False) == "takes no new alerts"
    assert (
        say("notified", channel="chat", event="opened", notification="6f", attempt=2, told=True)
        == "opened on chat; attempt 2"
    )
    assert say("noted", text="we look", review=True) == "we look; review"
    assert say("handed_over", stage="fix", owner="ops", due_at="2026-01-05T00:10:00Z", follows="resolution") == (
        "fix; owner ops; due 2026-01-05T00:10:00Z"
    )
    clock = {"target_s": 600.0, "elapsed_s": 12.0, "state": "met"}
    assert say("closed", verdict={"response": clock, "resolution": clock | {"target_s": None}}, sla="gold") == (
        "sla gold; response met, 12s of 10m"
    )
