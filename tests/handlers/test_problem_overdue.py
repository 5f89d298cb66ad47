"""What is not done in time is said: a problem that is not resolved, an action item that is not done."""

import pytest

from responder.core.catalogue import ChannelRef, ChannelSpec, Group, ProblemSpec, Team
from responder.core.event import TIMER, Event
from responder.core.lifecycle import Refused
from responder.core.signal import HOUR, MINUTE, SECOND
from responder.handlers.commands import OpenProblem, ProblemCommand
from responder.ports import Permanent
from tests.post import ANNA, T0, Post

ALIKE = ProblemSpec("alike", "noc", Group(("alertname",), 2, 10 * MINUTE), due=2 * HOUR)


@pytest.fixture
def house() -> Post:
    """A problem that is due two hours after its beginning; the team ``noc`` has it, and its lead hears on ``lead``."""
    channels = [ChannelSpec(name, bundle=0, rate=1000) for name in ("chat", "board", "lead", "dba")]
    noc = Team("noc", "nora", (ChannelRef("board"),), lead_channels=(ChannelRef("lead"),))
    dba = Team("dba", "dora", (ChannelRef("dba"),))
    post = Post(*channels, refs=(ChannelRef("chat"),), teams={"noc": noc, "dba": dba}, problems=(ALIKE,))
    post.fire("a", "b")
    return post


def do(house: Post, name: str, **args: object) -> None:
    house.stage.take(ProblemCommand(name, 1, args, ANNA))


def overdue(house: Post) -> list[Event]:
    return [entry.event for entry in house.stage.reader.timeline("problem", 1, 0, 100) if entry.event.kind == "overdue"]


def heard(house: Post) -> list[tuple[float, str, str]]:
    """(seconds, channel, title) of each message that says that something is overdue."""
    return [
        ((at - T0) / SECOND, m.channel, m.title) for at, m in house.sent if m.part.event == "overdue" and m.part.problem
    ]


def test_the_lead_hears_once_that_a_problem_was_not_resolved_when_it_was_due(house: Post) -> None:
    house.at(9000)
    assert heard(house) == [(7200, "lead", "[P3] problem overdue: shop: 2 incidents with one cause (PRB-1)")]
    assert overdue(house) == [
        Event(T0 + 2 * HOUR, "overdue", "problem", 1, TIMER, {"due_at": T0 + 2 * HOUR}, seq=overdue(house)[0].seq)
    ]
    assert house.stage.resident.problems[1].problem.overdue
    [text] = [m.text for _, m in house.sent if m.part.event == "overdue"]
    assert text.splitlines()[1] == "Not resolved - was due 2026-01-05 02:00:00 UTC"


def test_a_problem_that_was_resolved_in_time_is_not_overdue(house: Post) -> None:
    house.at(3600)
    do(house, "state", state="resolved")
    house.at(9000)
    assert (heard(house), overdue(house)) == ([], [])


def test_a_later_due_takes_the_place_of_the_first_and_counts_again(house: Post) -> None:
    do(house, "due", due=T0 + 3 * HOUR)
    house.at(3 * 3600 + 100)
    do(house, "due", due=T0 + 4 * HOUR)
    assert not house.stage.resident.problems[1].problem.overdue
    house.at(5 * 3600)
    assert [event.at - T0 for event in overdue(house)] == [3 * HOUR, 4 * HOUR]
    assert [at for at, *_ in heard(house)] == [3 * 3600, 4 * 3600]


def test_who_owns_an_action_item_hears_that_it_was_not_done(house: Post) -> None:
    do(house, "action", text="buy a fan", owner="dba", due=T0 + HOUR)
    do(house, "action", text="tell the landlord", owner="nora", due=T0 + HOUR)
    do(house, "action", text="measure", owner="noc", due=T0 + HOUR)
    do(house, "done", action=3)
    house.at(7000)
    assert sorted(heard(house)) == [
        (3600, "dba", "[P3] problem has action item 1 overdue: shop: 2 incidents with one cause (PRB-1)"),
        (3600, "lead", "[P3] problem has action item 2 overdue: shop: 2 incidents with one cause (PRB-1)"),
    ]
    assert [event.data["action"] for event in overdue(house)] == [1, 2]
    [text] = [m.text for _, m in house.sent if m.channel == "dba"]
    assert "Action item 1 of dba: buy a fan - was due 2026-01-05 01:00:00 UTC" in text


def test_when_the_owner_of_an_action_item_can_not_be_reached_another_channel_of_that_owner_is_told() -> None:
    noc = Team("noc", "nora", (ChannelRef("board"),))
    dba = Team("dba", "dora", (ChannelRef("dba"), ChannelRef("pager", on=("breached",))))
    channels = [ChannelSpec(name, bundle=0, rate=1000) for name in ("chat", "board", "dba", "pager")]
    post = Post(*channels, refs=(ChannelRef("chat"),), teams={"noc": noc, "dba": dba}, problems=(ALIKE,))
    post.fails["dba"] = Permanent("no such room", "rejected")
    post.fire("a", "b")
    do(post, "action", text="buy a fan", owner="dba", due=T0 + HOUR)
    post.at(7000)
    assert [channel for _, channel, _ in heard(post)] == ["pager"]


def test_the_action_items_of_a_problem_that_was_merged_are_those_of_the_other(house: Post) -> None:
    do(house, "action", text="buy a fan", owner="noc", due=T0 + HOUR)
    house.stage.take(OpenProblem({"title": "fans", "incidents": (1,), "owner": "noc"}, ANNA))
    house.stage.take(ProblemCommand("merge", 1, {"into": 2}, ANNA))
    for name, args in (("done", {"action": 1}), ("action", {"text": "more", "owner": "noc", "due": T0 + HOUR})):
        with pytest.raises(Refused, match="part of PRB-2"):
            do(house, name, **args)
    house.at(3700)
    assert [title for *_, title in heard(house)] == ["[P3] problem has action item 1 overdue: fans (PRB-2)"]
    assert overdue(house) == []


def test_action_items_outlive_the_problem_and_a_restart(house: Post) -> None:
    for hour in (3, 5):
        do(house, "action", text="buy a fan", owner="dba", due=T0 + hour * HOUR)
    house.at(60).clear("a", "b")
    do(house, "state", state="closed")
    house.restart()
    house.at(4 * 3600)
    assert [at for at, *_ in heard(house)] == [3 * 3600]
    house.restart()
    house.at(6 * 3600)
    assert [at for at, *_ in heard(house)] == [3 * 3600, 5 * 3600]


def test_what_was_overdue_while_the_daemon_was_down_is_dated_when_it_was(house: Post) -> None:
    house.at(100)
    house.stage.now += 3 * HOUR
    house.restart()
    house.at(3 * 3600 + 200)
    assert [event.at - T0 for event in overdue(house)] == [2 * HOUR]
    assert len(heard(house)) == 1


def test_that_it_is_overdue_is_no_change_that_a_person_would_have_to_read_first(house: Post) -> None:
    before = house.stage.resident.problems[1].version
    house.at(9000)
    assert house.stage.resident.problems[1].version == before


def test_a_joining_incident_does_not_ask_again_when_the_problem_is_due(house: Post) -> None:
    house.at(300).fire(*(f"c{n}" for n in range(20)))
    waiting = [subject for _, subject in house.stage.resident._waiting if subject == ("problem", 1)]
    assert len(waiting) <= 3, "one for its due, one for its ranking, one that is out of date"
