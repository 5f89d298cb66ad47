"""Attempts and what comes of them, on a virtual clock and over real sockets."""

import itertools

import msgspec
import pytest

from responder.core.catalogue import (
    ChannelRef,
    ChannelSpec,
)
from responder.core.event import Actor
from responder.core.signal import SECOND
from responder.ports import Permanent, Transient
from tests.post import AT_ONCE, Post

# Attempts.


def test_pauses_grow_and_every_attempt_carries_the_same_bytes() -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("503", "http_503")
    post.fire("a")
    post.at(20)
    post.do("note", text="the incident goes on")
    post.at(100)
    post.fails.clear()
    post.at(200)
    instants = [at for at, _ in post.tried]
    pauses = [later - earlier for earlier, later in itertools.pairwise(instants)]
    assert len(pauses) == 7
    for n, pause in enumerate(pauses):
        assert 0.8 * 2**n * SECOND <= pause <= 1.2 * 2**n * SECOND
    assert len({(m.notification_id, m.body, m.title, m.text) for _, m in post.tried}) == 1
    assert [m.attempt for _, m in post.tried] == [1, 2, 3, 4, 5, 6, 7, 8]
    [notified] = [event for event in post.timeline() if event.kind == "notified"]
    assert notified.actor == Actor("source", "chat")
    assert (notified.data["attempt"], notified.data["event"]) == (8, "opened")


def test_what_the_other_side_asks_for_is_kept_and_holds_for_all_messages() -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("429", "http_429", retry_after=90 * SECOND)
    post.fire("a")
    post.fails.clear()
    post.at(10).fire("b")
    post.at(89)
    assert len(post.tried) == 1
    post.at(100)
    assert sorted(post.said()) == [(90, "opened", 1, 0), (90, "opened", 2, 0)]


def test_a_refused_message_does_not_hold_up_the_next_one() -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("500", "http_500")
    post.fire("a")
    post.fails.clear()
    post.at(0.5).fire("b")
    assert post.said() == [(0.5, "opened", 2, 0)]


@pytest.mark.parametrize("error", [Permanent("404", "http_404"), Transient("503", "http_503")])
def test_a_message_that_is_given_up_goes_to_the_teams_next_channel(error: Transient | Permanent) -> None:
    backup = ChannelRef("backup", priorities=("P1",))
    post = Post(AT_ONCE, ChannelSpec("backup", bundle=0), refs=(ChannelRef("chat"), backup))
    post.fails["chat"] = error
    post.fire("a")
    post.at(3600)
    [failure] = [event for event in post.timeline() if event.kind == "notification_failed"]
    attempts = 1 if isinstance(error, Permanent) else 12
    assert (failure.data["attempt"], failure.data["next"], failure.actor.name) == (attempts, "backup", "chat")
    [(_, message)] = [(at, m) for at, m in post.sent if m.part.event == "opened"]
    assert (message.channel, message.attempt) == ("backup", 1)
    assert "Sent here because chat could not be reached." in message.text
    assert post.incident().told == ("backup",)
    assert not post.stage.resident.outbox or all(m.part.event != "opened" for m in post.stage.resident.outbox.values())


def test_when_no_channel_works_a_message_is_given_up_once_on_each() -> None:
    post = Post(
        AT_ONCE,
        ChannelSpec("backup", bundle=0),
        refs=(ChannelRef("chat", on=("opened",)), ChannelRef("backup", on=("breached",))),
    )
    post.fails = {"chat": Permanent("410", "http_410"), "backup": Permanent("410", "http_410")}
    post.fire("a")
    post.at(10)
    failures = [event.data for event in post.timeline() if event.kind == "notification_failed"]
    assert [(data["channel"], data["next"]) for data in failures] == [("chat", "backup"), ("backup", None)]
    assert not post.stage.resident.outbox


def test_an_end_is_told_to_a_channel_that_perhaps_heard_of_the_beginning() -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("no answer", "timeout")
    post.fire("a")
    post.fails.clear()
    post.at(0.5).clear("a")
    post.at(10)
    assert post.kinds() == ["resolved"]


def test_an_end_is_not_told_to_a_channel_that_refused_the_beginning() -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("refused", "unreachable")
    post.fire("a")
    post.fails.clear()
    post.at(0.5).clear("a")
    post.at(10)
    assert post.kinds() == []


def test_a_message_is_no_change_of_the_incident() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    assert [event.kind for event in post.timeline()] == ["opened", "notified"]
    assert post.incident().version == 1


def test_the_body_is_that_of_the_contract() -> None:
    post = Post(AT_ONCE)
    post.fire("a", severity="critical")
    body = msgspec.json.decode(post.sent[0][1].body)
    assert body.keys() == {"version", "notification_id", "event", "at", "incident", "problem", "more"}
    assert (body["version"], body["event"], body["at"], body["problem"], body["more"]) == (
        1, "opened", "2026-01-05T00:00:00Z", None, 0,
    )  # fmt: skip
    incident = body["incident"]
    assert (incident["id"], incident["state"], incident["priority"], incident["alerts_count"]) == (
        "INC-1",
        "open",
        "P1",
        1,
    )
    assert incident["alerts"][0]["labels"]["host"] == "a"
    assert incident["sla"]["response"]["due_at"] == "2026-01-05T00:15:00Z"


def test_the_text_says_what_one_has_to_know_at_three_in_the_morning() -> None:
    post = Post(AT_ONCE, external_url="https://responder.example")
    post.fire("a", severity="critical")
    assert post.sent[0][1].text == (
        "a is down\n"
        "\n"
        "Service: shop\n"
        "Priority: P1\n"
        "State: open, stage respond\n"
        "Since: 2026-01-05 00:00:00 UTC (0s ago)\n"
        "Acknowledge before: 2026-01-05 00:15:00 UTC (in 15m)\n"
        "Restore before: 2026-01-05 04:00:00 UTC (in 4h)\n"
        "Owner: ops\n"
        "Details: https://responder.example/api/v1/incidents/INC-1\n"
    )
