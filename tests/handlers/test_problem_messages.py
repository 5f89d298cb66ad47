"""Who owns a problem hears of it: once when it is known what probably broke first, and of its end."""

from typing import Any

import msgspec
import pytest

from responder.core.catalogue import ChannelRef, ChannelSpec, Group, ProblemSpec, Recur, Service, Team
from responder.core.event import Event
from responder.core.outbox import Message
from responder.core.signal import DAY, MINUTE
from responder.handlers.commands import ExpireSilence, ProblemCommand
from responder.ports import Permanent, Transient
from tests.post import ANNA, T0, Killed, Post

ALIKE = ProblemSpec("alike", "noc", Group(("alertname",), 2, 10 * MINUTE))


def post(*noc: ChannelRef, problems: tuple[ProblemSpec, ...] = (ALIKE,), bundle: int = 0) -> Post:
    """Return the house: incidents are told on ``chat``, problems belong to the team ``noc``."""
    refs = noc or (ChannelRef("board"),)
    channels = [ChannelSpec(name, bundle=bundle, rate=1000) for name in ("chat", *(ref.channel for ref in refs))]
    return Post(
        *channels, refs=(ChannelRef("chat"),), teams={"noc": Team("noc", "nora", refs)},
        services={"db": Service("db", "ops")}, problems=problems,
    )  # fmt: skip


def told(house: Post, channel: str = "board") -> list[tuple[float, str, str]]:
    """(seconds, event, what it is about) of what a channel took."""
    return [((at - T0) / 1e6, m.part.event, body(m).get("subject", body(m)["incident"]["id"]))
            for at, m in house.sent if m.channel == channel]  # fmt: skip


def body(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(message.body)
    return found


def move(house: Post, state: str, problem: int = 1) -> None:
    house.stage.take(ProblemCommand("state", problem, {"state": state}, ANNA))


def timeline(house: Post, problem: int = 1) -> list[Event]:
    return [entry.event for entry in house.stage.reader.timeline("problem", problem, 0, 100)]


def test_the_owner_hears_of_a_problem_once_when_its_causes_have_settled() -> None:
    house = post()
    house.fire("a", service="db")
    house.at(10).fire("b")
    for n in range(5):
        house.at(20 + 20 * n).fire(f"c{n}")
    house.at(3600)
    assert told(house) == [(70, "opened", "PRB-1")]
    assert [subject for *_, subject in told(house, "chat")] == [f"INC-{n}" for n in range(1, 8)]
    [message] = [m for _, m in house.sent if m.channel == "board"]
    found = body(message)
    assert found.keys() == {"version", "notification_id", "event", "at", "incident", "problem", "more", "subject"}
    assert (found["at"], found["problem"]["owner"]) == ("2026-01-05T00:00:10Z", "noc")
    assert found["incident"]["id"] == "INC-2", "the first of the service that is probably the cause"
    assert [cause["service"] for cause in found["problem"]["probable_causes"]] == ["shop", "db"]
    assert message.title == "[P3] problem: shop: 5 incidents with one cause (PRB-1)"
    first, second = (cause["reason"] for cause in found["problem"]["probable_causes"])
    assert message.text == (
        "shop: 5 incidents with one cause\n\n"
        f"Probable causes, the likeliest first:\n- {first}\n- {second}\n\n"
        "Problem: PRB-1, open, found by alike (group)\n"
        "Since: 2026-01-05 00:00:10 UTC (1m ago)\n"
        "Incidents: 5, the most urgent P3 shop: b is down (INC-2)\n"
        "Owner: noc\n"
        "Details: http://localhost:9920/api/v1/problems/PRB-1\n"
    )


def test_a_message_about_an_incident_is_as_it_was() -> None:
    house = post()
    house.fire("a", "b")
    assert "subject" not in body(house.sent[0][1])


def test_it_is_on_the_timeline_and_no_change_of_the_problem() -> None:
    house = post()
    house.fire("a", "b")
    before = house.stage.resident.problems[1].version
    house.at(100)
    assert [event.kind for event in timeline(house)] == ["opened", "notified"]
    assert timeline(house)[-1].data["channel"] == "board"
    assert house.stage.resident.problems[1].version == before


def test_who_was_told_hears_of_the_end_and_of_a_return() -> None:
    house = post()
    house.fire("a", "b")
    house.at(100).clear("a", "b")
    house.at(200)
    move(house, "resolved")
    house.at(300)
    move(house, "investigating")
    house.at(400)
    move(house, "resolved")
    move(house, "closed")
    house.at(9000)
    assert told(house) == [
        (60, "opened", "PRB-1"), (200, "resolved", "PRB-1"), (360, "opened", "PRB-1"), (400, "resolved", "PRB-1"),
    ]  # fmt: skip
    assert house.sent[-1][1].title == "[P3] problem resolved: shop: 2 incidents with one cause (PRB-1)"


def test_what_is_over_before_it_was_told_is_not_told() -> None:
    house = post()
    house.fire("a", "b")
    house.at(59)
    move(house, "resolved")
    house.at(9000)
    assert told(house) == []


def test_a_problem_whose_incidents_are_all_over_is_told_because_it_is_still_to_be_solved() -> None:
    house = post(problems=(ProblemSpec("again", "noc", Recur(("alertname",), 2, 7 * DAY)),))
    for at in (0, 7200):
        house.at(at).fire("a")
        house.at(at + 10).clear("a")
    house.at(9000)
    assert told(house) == [(7260, "opened", "PRB-1")]


def test_of_two_that_are_one_the_other_is_told() -> None:
    house = post(problems=(ALIKE,))
    house.fire("a", "b")
    house.stage.take(ProblemCommand("split", 1, {"incidents": [2]}, ANNA))
    house.at(30)
    house.stage.take(ProblemCommand("merge", 2, {"into": 1}, ANNA))
    house.at(9000)
    assert told(house) == [(60, "opened", "PRB-1")]


def test_who_was_told_of_a_problem_hears_where_it_went() -> None:
    house = post()
    house.fire("a", "b")
    house.stage.take(ProblemCommand("split", 1, {"incidents": [2]}, ANNA))
    house.at(90)
    house.stage.take(ProblemCommand("merge", 2, {"into": 1}, ANNA))
    assert told(house) == [(60, "opened", "PRB-1"), (60, "opened", "PRB-2"), (90, "resolved", "PRB-2")]
    assert "closed, it is part of PRB-1 now" in house.sent[-1][1].text


@pytest.mark.parametrize(
    ("ref", "severity", "heard"),
    [
        (ChannelRef("board", ("P1",)), "warning", False),
        (ChannelRef("board", ("P1",)), "critical", True),
        (ChannelRef("board", on=("resolved",)), "critical", False),
    ],
)
def test_a_channel_hears_of_the_problems_that_it_is_to_hear_of(ref: ChannelRef, severity: str, heard: bool) -> None:
    house = post(ref)
    house.fire("a", "b")
    house.at(30).fire("c", severity=severity)
    house.at(100)
    assert bool(told(house)) is heard


def test_a_problem_is_quiet_while_all_its_incidents_are() -> None:
    house = post()
    id = house.silence(7200, alertname="Down")
    house.fire("a", "b")
    house.at(1000)
    assert told(house) == []
    house.stage.take(ExpireSilence(id, ANNA))
    assert told(house) == [(1000, "opened", "PRB-1")]


def test_a_problem_that_one_incident_may_be_heard_of_is_told_with_that_one() -> None:
    house = post()
    house.silence(7200, host="a")
    house.fire("a", "b")
    house.at(100)
    assert told(house) == [(60, "opened", "PRB-1")]
    assert body(house.sent[-1][1])["incident"]["id"] == "INC-2"


def test_a_problem_that_is_given_up_on_goes_to_the_owners_next_channel_and_so_does_its_end() -> None:
    house = post(ChannelRef("board"), ChannelRef("phone", on=("resolved",)))
    house.fails["board"] = Permanent("400", "http_4xx")
    house.fire("a", "b")
    house.at(100)
    assert told(house, "phone") == [(60, "opened", "PRB-1")]
    assert [event.kind for event in timeline(house)] == ["opened", "notification_failed", "notified"]
    move(house, "resolved")
    assert told(house, "phone")[1:] == [(100, "resolved", "PRB-1")]
    assert told(house, "board") == []


def test_an_end_is_told_to_a_channel_that_perhaps_heard_of_the_beginning() -> None:
    house = post()
    house.fails["board"] = Transient("no answer", "timeout")
    house.fire("a", "b")
    house.at(61)
    move(house, "resolved")
    house.fails.clear()
    house.at(9000)
    assert [event for _, event, _ in told(house)] == ["resolved"]


def test_an_end_is_told_though_the_beginning_was_given_up_if_it_had_perhaps_arrived() -> None:
    house = post()
    house.fails["board"] = Permanent("550 for one of two", "partly_refused")
    house.fire("a", "b")
    house.at(61)
    house.fails.clear()
    move(house, "resolved")
    house.at(9000)
    assert [event for _, event, _ in told(house)] == ["resolved"]


def test_a_kill_while_it_is_under_way_repeats_that_attempt_with_the_same_bytes() -> None:
    house = post()
    house.fire("a", "b")
    house.at(59).dies = True
    with pytest.raises(Killed):
        house.at(60)
    house.restart()
    house.at(9000)
    [first, second] = [m for _, m in house.tried if m.channel == "board"]
    assert (first.body, first.notification_id) == (second.body, second.notification_id)
    assert (first.attempt, second.attempt) == (1, 2)


def test_it_leaves_with_what_waits_for_the_same_channel() -> None:
    house = post(ChannelRef("chat"), bundle=30 * 1_000_000)
    house.fire("a", "b")
    house.at(50).fire("c")
    house.at(51).fire("d")
    house.at(9000)
    assert [(at, event, more) for at, event, _, more in house.said()] == [
        (0, "opened", 0), (30, "opened", 0), (60, "opened", 2),
    ]  # fmt: skip
    assert house.sent[-1][1].title == "[P3] problem: shop: 4 incidents with one cause (PRB-1) (and 2 more)"


def test_a_problem_that_a_person_has_is_told_to_the_team_of_its_entry() -> None:
    house = post()
    house.fire("a", "b")
    house.stage.take(ProblemCommand("assign", 1, {"to": "nora"}, ANNA))
    house.at(100)
    assert told(house) == [(60, "opened", "PRB-1")]
