"""Attempts and what comes of them, on a virtual clock and over real sockets."""

import asyncio
import contextlib
import itertools
import random
from typing import Any

import msgspec
import pytest

from responder import dispatch
from responder.core.book import Book
from responder.core.catalogue import ChannelRef, ChannelSpec, Service, Team
from responder.core.event import Actor
from responder.core.outbox import Message
from responder.core.signal import HOUR, MINUTE, SECOND
from responder.dispatch import Dispatcher
from responder.handlers.deliveries import Claim
from responder.intake import Unavailable
from responder.ports import Delivery, Permanent, Transient
from tests.post import AT_ONCE, Killed, Post, rule

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


def test_where_nobody_else_can_be_told_a_message_is_tried_for_four_hours() -> None:
    """A chat that is away for an hour is the only one that the team has."""
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("503", "http_503")
    post.fire("a")
    post.at(4200)
    post.fails.clear()
    post.at(5200)
    assert post.kinds() == ["opened"]
    post.fails["chat"] = Transient("503", "http_503")
    post.fire("b")
    post.at(9 * 3600)
    assert ("notification_failed", "opened") in [(e.kind, e.data.get("event")) for e in post.timeline(2)]


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


def replaced(post: Post, *names: str) -> None:
    """The team has these channels from now on, and no other channel exists."""
    post.fails = {"chat": Permanent("no channel is called chat any more", "no_channel")}
    refs = tuple(ChannelRef(name) for name in names)
    post.stage.book = Book(
        (rule("down", "Down"),), teams={"ops": Team("ops", "lead", refs)}, services={"shop": Service("shop", "ops")},
        channels=[ChannelSpec(name, bundle=0) for name in names],
    )  # fmt: skip


def test_what_waits_for_a_channel_that_is_replaced_goes_to_the_one_instead_and_so_does_the_end() -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("500", "http_500")
    post.fire("a", severity="critical")
    replaced(post, "pager")
    post.at(10)
    assert post.kinds("pager") == ["opened"]
    [failure] = [event.data for event in post.timeline() if event.kind == "notification_failed"]
    assert failure["next"] == "pager"
    post.clear("a", severity="critical")
    assert post.kinds("pager") == ["opened", "resolved"]


def test_what_waits_for_a_bundle_of_a_channel_that_is_replaced_goes_to_the_one_instead_at_once() -> None:
    post = Post()
    post.fire("a")
    post.at(5).fire("b")
    replaced(post, "pager")
    post.at(6)
    assert [(at, incident) for at, _, incident, _ in post.said("pager")] == [(5, 2)]


@pytest.mark.parametrize("when", ["before the end", "while the end waits"])
def test_the_end_of_what_a_replaced_channel_was_told_goes_to_the_one_instead(when: str) -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.fails["chat"] = Transient("500", "http_500")
    if when == "while the end waits":
        post.clear("a")
    replaced(post, "pager")
    post.at(10).clear("a")
    post.at(60)
    assert (post.kinds(), post.kinds("pager")) == (["opened"], ["resolved"])


def test_of_two_channels_that_are_replaced_by_one_it_hears_once() -> None:
    refs = (ChannelRef("chat"), ChannelRef("mail"))
    post = Post(AT_ONCE, ChannelSpec("mail", bundle=0), refs=refs)
    post.fails = {name: Transient("500", "http_500") for name in ("chat", "mail")}
    post.fire("a")
    replaced(post, "pager")
    post.fails["mail"] = post.fails["chat"]
    post.at(10)
    assert post.kinds("pager") == ["opened"]


@pytest.mark.parametrize("end", [False, True])
def test_a_channel_that_is_sent_its_own_message_is_not_sent_that_of_another(end: bool) -> None:
    post = Post(AT_ONCE, ChannelSpec("mail", bundle=0), refs=(ChannelRef("chat"), ChannelRef("mail")))
    if end:
        post.fire("a")
    post.fails["chat"] = Permanent("410", "http_410")
    if end:
        post.clear("a")
    else:
        post.fire("a")
    post.at(60)
    assert post.kinds("mail") == (["opened", "resolved"] if end else ["opened"])
    [failure] = [event.data for event in post.timeline() if event.kind == "notification_failed"]
    assert failure["next"] is None


@pytest.mark.parametrize("reason", ["cut_off", "partly_refused", "protocol", "timeout"])
def test_an_end_is_told_to_a_channel_that_perhaps_heard_of_the_beginning(reason: str) -> None:
    post = Post(AT_ONCE)
    post.fails["chat"] = Transient("no answer", reason)
    post.fire("a")
    post.fails.clear()
    post.at(0.5).clear("a")
    post.at(10)
    assert post.kinds() == ["resolved"]


@pytest.mark.parametrize(
    "error", [Permanent("550 for one of two", "partly_refused"), Transient("no answer in time", "timeout")]
)
def test_an_end_is_told_though_the_beginning_was_given_up_if_it_had_perhaps_arrived(
    error: Permanent | Transient,
) -> None:
    """The mail of a list on which one address is dead reaches the others; a slow receiver may act on each attempt."""
    post = Post(AT_ONCE)
    post.fails["chat"] = error
    post.fire("a")
    post.at(20_000)
    post.fails.clear()
    post.clear("a")
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


# Restarts.


def test_a_hundred_kills_between_sending_and_recording_repeat_the_attempt_in_flight_and_no_other() -> None:
    chance, post = random.Random(4), Post(AT_ONCE)
    kills = 0
    for n in range(150):
        post.dies = dies = chance.random() < 0.75
        with pytest.raises(Killed) if dies else contextlib.nullcontext():
            post.at(n).fire(f"h{n}")
        if dies:
            post.restart()
            kills += 1
    assert kills >= 100
    attempts: dict[str, list[Message]] = {}
    for _, message in post.tried:
        attempts.setdefault(message.notification_id, []).append(message)
    assert len(attempts) == 150
    assert sum(map(len, attempts.values())) == 150 + kills
    for made in attempts.values():
        assert [message.attempt for message in made] == list(range(1, len(made) + 1))
        assert len({(message.body, message.title, message.text) for message in made}) == 1
    for id in range(1, 151):
        assert [event.kind for event in post.timeline(id)].count("notified") == 1


def test_what_waits_is_still_waiting_after_a_restart() -> None:
    post = Post(ChannelSpec("chat"), ChannelSpec("mail", bundle=0))
    post.silence(600, host="quiet")
    post.fire("a", "quiet")
    post.fails["mail"] = Transient("503", "http_503")
    post.at(10).fire("b")
    post.restart()
    post.fails.clear()
    post.at(29)
    assert post.said("chat") == [(0, "opened", 1, 0)], "the bundle's wait goes on"
    post.at(599)
    assert post.said("chat")[1:] == [(30, "opened", 3, 0)]
    assert [incident for _, _, incident, _ in post.said("mail")] == [1, 3]
    post.at(700)
    assert post.said("chat")[2:] == [(600, "opened", 2, 0)]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_message_that_was_given_up_counts_in_the_rate_and_begins_a_bundle(restarted: bool) -> None:
    post = Post(ChannelSpec("chat", bundle=MINUTE))
    post.fails["chat"] = Permanent("404", "http_404")
    post.fire("a")
    del post.fails["chat"]
    if restarted:
        post.restart()
    post.at(10).fire("b")
    post.at(300)
    assert post.said() == [(60, "opened", 2, 0)]


def test_an_end_in_place_of_another_channel_is_told_though_what_leads_its_bundle_became_moot() -> None:
    refs = (ChannelRef("mail"), ChannelRef("chat", priorities=("P1",)))
    post = Post(ChannelSpec("mail", bundle=0), ChannelSpec("chat", bundle=MINUTE), refs=refs)
    post.fire("first", severity="critical")
    post.fire("a")
    post.fails = {"mail": Permanent("404", "http_404"), "chat": Transient("503", "http_503")}
    post.at(5).clear("a")
    post.at(6).fire("b", severity="critical")
    post.at(60.1).clear("b", severity="critical")
    del post.fails["chat"]
    post.at(300)
    told = [(part.event, part.incident) for _, m in post.sent if m.channel == "chat" for part in m.parts]
    assert told.count(("resolved", 2)) == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_an_attempt_whose_message_became_moot_counts_too(restarted: bool) -> None:
    post = Post(ChannelSpec("chat", bundle=MINUTE))
    post.fails["chat"] = Transient("busy", "http_503")
    post.fire("a")
    del post.fails["chat"]
    post.do("cancel", reason="duplicate")
    post.at(30)
    if restarted:
        post.restart()
    post.fire("b")
    post.at(300)
    assert post.said() == [(60, "opened", 2, 0)]


def test_an_end_is_told_after_a_kill_if_the_beginning_had_perhaps_arrived() -> None:
    post = Post(AT_ONCE)
    post.dies = True
    with pytest.raises(Killed):
        post.fire("a")
    post.stage.now += SECOND
    post.clear("a")
    post.restart()
    post.at(60)
    assert [(m.part.event, m.attempt) for _, m in post.tried] == [("opened", 1), ("resolved", 1)]
    assert post.incident().told == ()


@pytest.mark.parametrize("bundle", [0, 30 * SECOND])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_was_ahead_and_is_set_back_keeps_nobody_waiting(bundle: int, restarted: bool) -> None:
    """A machine whose hardware clock is in local time is hours ahead until it hears of NTP."""
    post = Post(ChannelSpec("chat", bundle=bundle))
    post.at(7200).fire("told")
    post.at(7210)
    post.fails["chat"] = Transient("429", "http_429", retry_after=HOUR)
    post.fire("tried")
    post.at(7260)
    post.fails.clear()
    post.sent.clear()
    post.stage.now -= 2 * HOUR
    if restarted:
        post.restart()
    post.stage.take(Claim("chat", 0))
    post.fire("new")
    post.clear("told")
    post.at(180)
    heard = {(part.event, part.incident) for _, message in post.sent for part in message.parts}
    assert heard == {("opened", 2), ("opened", 3), ("resolved", 1)}


# The dispatcher itself.


class Gate:
    """A channel whose attempts end when the test says so."""

    def __init__(self) -> None:
        self.open, self.inside, self.most = asyncio.Event(), 0, 0

    async def send(self, delivery: Delivery) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1

    async def aclose(self) -> None:
        pass


class Broken:
    async def send(self, delivery: Delivery) -> None:
        raise ZeroDivisionError

    async def aclose(self) -> None:
        pass


class Desktop:
    """A dispatcher over the handlers of a rehearsal that delivers nothing by itself."""

    def __init__(self, *channels: str) -> None:
        self.post = Post(*(ChannelSpec(name, bundle=0, rate=1000) for name in channels))
        self.post.stage._dispatch = lambda deliver: None  # type: ignore[method-assign]
        self.down = False
        self.dispatcher = Dispatcher(self.post.stage.resident.lanes, self._submit, self)

    def now(self) -> int:
        return self.post.stage.now

    async def _submit(self, item: Any) -> Any:
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("the disk is full")
        return self.post.stage.take(item)

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0.001)
        self.dispatcher.look()
        for _ in range(50):
            await asyncio.sleep(0.001)


def test_at_most_four_attempts_are_under_way_on_a_channel_and_none_waits_for_another_channel() -> None:
    async def main() -> None:
        desktop, slow, quick = Desktop("slow", "quick"), Gate(), Gate()
        quick.open.set()
        desktop.dispatcher.replace({"slow": slow, "quick": quick})
        desktop.post.fire(*(f"h{n}" for n in range(20)))
        desktop.dispatcher.look()
        await desktop.settle()
        assert (slow.inside, slow.most) == (4, 4)
        assert desktop.post.stage.resident.lanes.pending() == {"slow": 20, "quick": 0}
        slow.open.set()
        await desktop.settle()
        assert desktop.post.stage.resident.lanes.pending() == {"slow": 0, "quick": 0}
        await desktop.dispatcher.stop()

    asyncio.run(main())


def test_an_attempt_that_could_not_be_recorded_is_recorded_later_and_not_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        desktop, gate = Desktop("chat"), Gate()
        desktop.dispatcher.replace({"chat": gate})
        desktop.post.fire("a")
        desktop.dispatcher.look()
        await desktop.settle()
        desktop.down = True
        gate.open.set()
        await desktop.settle()
        desktop.post.stage.now += MINUTE  # the lease has run out
        desktop.down = False
        for _ in range(30):
            await asyncio.sleep(0.05)
        assert gate.most == 1
        assert [event.kind for event in desktop.post.timeline()] == ["opened", "notified"]
        await desktop.dispatcher.stop()

    asyncio.run(main())


def test_a_channel_that_breaks_in_its_own_way_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        desktop, gate = Desktop("chat", "mail"), Gate()
        gate.open.set()
        desktop.dispatcher.replace({"chat": Broken(), "mail": gate})
        desktop.post.fire("a")
        desktop.dispatcher.look()
        await desktop.settle()
        assert desktop.post.incident().told == ("mail",)
        [waiting] = desktop.post.stage.resident.outbox.values()
        assert (waiting.channel, waiting.attempt, waiting.last_error) == ("chat", 1, "ZeroDivisionError()")
        await desktop.dispatcher.stop()

    asyncio.run(main())
    assert "a channel failed in an unexpected way" in caplog.text


def test_what_waits_for_a_channel_that_is_configured_no_more_is_given_up() -> None:
    async def main() -> None:
        desktop = Desktop("chat")
        desktop.dispatcher.replace({})
        desktop.post.fire("a")
        desktop.dispatcher.look()
        await desktop.settle()
        [failure] = [event for event in desktop.post.timeline() if event.kind == "notification_failed"]
        assert failure.data["error"] == "no channel is called chat any more"
        await desktop.dispatcher.stop()

    asyncio.run(main())


def test_the_end_waits_for_no_attempt_longer_than_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "DRAIN", 0.05)

    async def main() -> None:
        desktop, gate = Desktop("chat"), Gate()
        desktop.dispatcher.replace({"chat": gate})
        desktop.post.fire("a")
        desktop.dispatcher.look()
        await desktop.settle()
        async with asyncio.timeout(1):
            await desktop.dispatcher.stop()
        [waiting] = desktop.post.stage.resident.outbox.values()
        assert waiting.leased, "it is made again after the start"

    asyncio.run(main())
