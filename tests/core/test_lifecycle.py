"""The way of an incident: each line of the table of SPEC 3.4, and what stands around it."""

from typing import Any

import pytest

from responder.core.incident_commands import COMMANDS
from responder.core.lifecycle import Invalid, Refused
from responder.core.signal import HOUR, MINUTE, SECOND
from tests.story import EACH, Story

WINDOW = 30 * MINUTE
ARGS: dict[str, dict[str, Any]] = {
    "assign": {"to": "bob"}, "handover": {"to": "bob"}, "pause": {"reason": "customer"}, "reopen": {"reason": "r"},
    "cancel": {"reason": "duplicate"}, "note": {"text": "n"}, "priority": {"priority": "P1", "reason": "r"},
    "exempt": {"reason": "r"}, "snooze": {"until": 1 << 62}, "major": {"lead": "ann", "every": HOUR}, "merge": {"into": 2},
}  # fmt: skip


@pytest.fixture
def story() -> Story:
    return Story()


def test_an_alert_opens_its_end_recovers_and_resolves(story: Story) -> None:
    story.until(MINUTE)
    story.fire(starts=-HOUR)
    story.until(2 * MINUTE)
    story.end()
    row = story.incident()
    assert story.kinds() == ["opened", "recovered", "resolved"]
    assert [story.at(i) for i in (row.started_at, row.opened_at, row.recovered_at, row.resolved_at)] == [
        -HOUR, MINUTE, 2 * MINUTE, 2 * MINUTE,
    ]  # fmt: skip
    assert (row.state, row.resolution, row.alerts_count, row.firing) == ("resolved", "recovered", 1, 0)


def test_others_of_the_key_join_and_the_last_end_resolves(story: Story) -> None:
    for host in "abc":
        story.fire(host=host)
    story.end(host="a")
    story.end(host="c")
    assert (story.states(), story.incident().firing, story.incident().alerts_count) == (["open"], 1, 3)
    story.end(host="b")
    assert story.states() == ["resolved"]


def test_a_condition_that_returns_inside_the_window_reopens_where_it_was(story: Story) -> None:
    story.fire()
    story.command("acknowledge")
    story.end()
    story.until(WINDOW - SECOND)
    story.fire()
    row = story.incident()
    assert (len(story.incidents()), row.state, row.reopened, row.resolved_at) == (1, "acknowledged", 1, None)
    assert row.recovered_at is None


@pytest.mark.parametrize("late", [0, SECOND, 24 * HOUR])
def test_after_the_window_it_is_closed_and_a_linked_successor_opens(story: Story, late: int) -> None:
    story.fire()
    story.end()
    story.until(WINDOW + late)
    story.fire()
    former, new = story.incidents()
    assert (former.state, story.at(former.closed_at), story.kinds()[-2:]) == ("closed", WINDOW, ["verified", "closed"])
    assert (new.state, new.previous, new.reopened) == ("open", former.id, 0)


def test_what_is_reopened_has_a_window_anew(story: Story) -> None:
    for n in range(5):
        story.until(n * 20 * MINUTE)
        story.fire()
        story.until(n * 20 * MINUTE + MINUTE)
        story.end()
    assert (story.states(), story.incident().reopened) == (["resolved"], 4)
    story.until(81 * MINUTE + WINDOW)
    assert story.states() == ["closed"]


def test_an_alert_that_falls_silent_expires_and_one_that_is_ended_recovers(story: Story) -> None:
    story.fire("silent", ends=5 * MINUTE)
    story.fire("ended", ends=5 * MINUTE)
    story.end("ended")
    story.until(10 * MINUTE)
    silent, ended = story.incidents()
    assert (silent.state, silent.resolution, story.at(silent.resolved_at)) == ("resolved", "expired", 5 * MINUTE)
    assert (ended.state, ended.resolution) == ("resolved", "recovered")


def test_a_resend_moves_the_end(story: Story) -> None:
    for minute in range(0, 20, 4):
        story.until(minute * MINUTE)
        story.fire(starts=0, ends=(minute + 5) * MINUTE)
        assert story.states() == ["open"]
    story.until(21 * MINUTE)
    assert story.at(story.incident().resolved_at) == 21 * MINUTE


def test_a_momentary_occurrence_opens_and_resolves_at_once(story: Story) -> None:
    assert story.fire(momentary="id-1") == "accepted"
    assert story.kinds() == ["opened", "recovered", "resolved"]
    assert story.fire(momentary="id-1") == "duplicate"
    story.until(MINUTE)
    assert story.fire(momentary="id-2") == "accepted"
    row = story.incident()
    assert (row.state, row.reopened, row.alerts_count, row.firing) == ("resolved", 1, 2, 0)


def test_what_a_person_resolved_and_still_fires_reopens_after_the_window(story: Story) -> None:
    story.fire()
    story.until(MINUTE)
    story.command("resolve", cause="c")
    story.fire("A", host="other")  # joins silently
    assert (story.states(), story.incident().alerts_count) == (["resolved"], 2)
    story.until(MINUTE + WINDOW - 1)
    assert story.states() == ["resolved"]
    story.until(MINUTE + WINDOW)
    row = story.incident()
    [reopened] = [e for e in story.events if e.kind == "reopened"]
    assert (row.state, row.reopened, reopened.data["reason"]) == ("open", 1, "still firing")
    assert story.at(reopened.at) == MINUTE + WINDOW


def test_the_window_after_a_persons_resolve_starts_when_the_condition_clears(story: Story) -> None:
    story.fire()
    story.command("resolve")
    story.until(20 * MINUTE)
    story.end()
    story.until(20 * MINUTE + WINDOW - 1)
    assert story.states() == ["resolved"]
    story.until(20 * MINUTE + WINDOW)
    row = story.incident()
    assert (row.state, row.resolution, story.at(row.recovered_at)) == ("closed", "manual", 20 * MINUTE)


def test_a_cancelled_one_stays_so_and_takes_repeats_until_the_condition_has_cleared(story: Story) -> None:
    story.fire()
    story.command("cancel", reason="false_positive")
    story.until(5 * HOUR)
    story.fire("A", host="b")
    assert story.states() == ["cancelled"]
    story.end()
    story.end("A", host="b")
    story.until(5 * HOUR + WINDOW - 1)
    story.fire("A", host="c")
    story.end("A", host="c")
    assert (story.states(), story.incident().alerts_count) == (["cancelled"], 3)
    story.until(6 * HOUR)
    story.fire()
    assert (story.states(), story.incident(2).previous) == (["cancelled", "open"], 1)


def test_resolve_ends_a_pause_and_reopen_goes_back_before_it(story: Story) -> None:
    story.fire()
    story.command("accept")
    story.command("pause", reason="supplier")
    assert story.states() == ["paused"]
    story.end()
    assert story.states() == ["resolved"]
    story.until(SECOND)
    story.fire()
    assert story.states() == ["in_progress"]


def test_resume_goes_back_to_where_it_was(story: Story) -> None:
    story.fire()
    story.command("pause", reason="customer")
    story.command("acknowledge")
    assert story.states() == ["paused"]
    assert story.command("resume").state == "acknowledged"


def test_a_person_reopens_only_what_is_resolved(story: Story) -> None:
    story.fire()
    story.end()
    assert story.command("reopen", reason="not over").state == "open"
    story.command("resolve")
    story.command("close")
    with pytest.raises(Refused):
        story.command("reopen", reason="late")


def reach(state: str) -> Story:
    """Return a story whose first incident is in the state; a second one is there to merge into."""
    story = Story()
    story.fire()
    story.fire("B")
    if state == "in_progress":
        story.command("accept")
    elif state in ("acknowledged", "paused", "resolved"):
        story.command(
            {"acknowledged": "acknowledge", "paused": "pause", "resolved": "resolve"}[state], **ARGS.get("pause", {})
        )
    elif state == "closed":
        story.command("resolve")
        story.command("close")
    elif state == "cancelled":
        story.command("cancel", **ARGS["cancel"])
    assert story.incident().state == state
    return story


REPEATS = {("paused", "pause"), ("resolved", "resolve"), ("closed", "close"), ("cancelled", "cancel")}


@pytest.mark.parametrize("state", ["open", "acknowledged", "in_progress", "paused", "resolved", "closed", "cancelled"])
def test_a_command_that_does_not_fit_is_refused_with_what_is_allowed(state: str) -> None:
    for name in COMMANDS:
        story = reach(state)
        before, count = story.incident(), len(story.events)
        if name in story.allowed():
            story.command(name, **ARGS.get(name, {}))
        elif (state, name) in REPEATS:
            story.command(name, **ARGS.get(name, {}))
            assert (story.incident(), len(story.events)) == (before, count), f"{name} in {state} is no repeat"
        else:
            with pytest.raises(Refused) as caught:
                story.command(name, **ARGS.get(name, {}))
            assert caught.value.allowed == story.allowed()
            assert (story.incident(), len(story.events)) == (before, count)


AGAIN: list[tuple[str, dict[str, Any]]] = [
    ("acknowledge", {}), ("assign", {"to": "bob"}), ("accept", {}), ("priority", {"priority": "P1", "reason": "r"}),
    ("exempt", {"reason": "r"}), ("snooze", {"until": 1 << 62}), ("merge", {"into": 2}), ("pause", {"reason": "customer"}),
    ("major", {"lead": "ann", "every": HOUR}), ("resolve", {}), ("close", {}), ("cancel", {"reason": "exercise"}),
]  # fmt: skip


@pytest.mark.parametrize("name, args", AGAIN)
def test_a_command_that_asks_for_what_holds_already_changes_nothing(name: str, args: dict[str, Any]) -> None:
    story = reach("resolved" if name == "close" else "open")
    first, count = story.command(name, **args), len(story.events)
    story.until(SECOND)
    assert (story.command(name, **args), len(story.events)) == (first, count)


@pytest.mark.parametrize(
    "undo, args, done", [("resume", {}, "pause"), ("reopen", {"reason": "r"}, "resolve"), ("unmerge", {}, "merge")]
)
def test_nothing_is_taken_back_that_was_not_done(undo: str, args: dict[str, Any], done: str) -> None:
    story = reach("open")
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            story.command(undo, **args)
        assert caught.value.allowed == story.allowed()
        story.command(done, **ARGS.get(done, {}))
        story.command(undo, **args)


@pytest.mark.parametrize(
    "name, args",
    [("pause", {"reason": "lunch"}), ("cancel", {"reason": "boring"}), ("snooze", {"until": 5}), ("merge", {"into": 99}),
     ("merge", {"into": 1}), ("priority", {"reason": "r"})],
)  # fmt: skip
def test_a_command_that_lacks_sense_changes_nothing(story: Story, name: str, args: dict[str, Any]) -> None:
    story.fire()
    count = len(story.events)
    with pytest.raises(Invalid):
        story.command(name, **args)
    assert len(story.events) == count


def test_there_is_exactly_one_owner_at_any_time(story: Story) -> None:
    story.fire()
    assert story.incident().owner == "ops"
    assert story.command("assign", to="bob").owner == "bob"
    assert story.command("accept").owner == "ann"
    assert story.command("handover", to="eve").owner == "eve"


def test_priority_follows_the_worst_alert_upward_only(story: Story) -> None:
    story.fire(severity="warning", host="a")
    assert story.incident().priority == "P3"
    story.fire(severity="critical", host="b")
    assert story.incident().priority == "P1"
    story.end(severity="critical", host="b")
    story.fire(severity="info", host="c")
    assert story.incident().priority == "P1"


def test_alerts_do_not_change_the_priority_that_a_person_set(story: Story) -> None:
    story.fire(severity="warning", host="a")
    story.command("priority", priority="P4", reason="known")
    story.fire(severity="critical", host="b")
    assert story.incident().priority == "P4"


@pytest.mark.parametrize("end, args", [("close", {}), ("cancel", {"reason": "exercise"})])
def test_nothing_becomes_part_of_what_is_over_though_its_alerts_still_fire(
    story: Story, end: str, args: dict[str, Any]
) -> None:
    story.fire("A")
    story.fire("B")
    story.command("resolve")
    story.command(end, **args)
    with pytest.raises(Invalid, match="no INC-1 that is still worked on"):
        story.command("merge", 2, into=1)
    assert story.incident(2).parent is None


def test_parts_of_an_incident_do_not_go_in_a_ring(story: Story) -> None:
    for name in "ABC":
        story.fire(name)
    story.command("merge", 2, into=1)
    story.command("merge", 3, into=2)
    with pytest.raises(Invalid):
        story.command("merge", 1, into=3)
    assert [row.parent for row in story.incidents()] == [None, 1, 2]
    assert story.command("unmerge", 3).parent is None


def test_a_removed_reopen_window_closes_at_once() -> None:
    story = Story(EACH.replace("by:", "reopen_within: 0s\n    by:"))
    story.fire()
    story.end()
    story.until(SECOND)
    assert (story.states(), story.at(story.incident().closed_at)) == (["closed"], 0)
    story.fire()
    assert story.states() == ["closed", "open"]


def test_instants_of_an_incident_never_go_back(story: Story) -> None:
    story.until(HOUR)
    story.fire(starts=-HOUR, ends=2 * HOUR)
    story.end(starts=-HOUR, ends=-MINUTE)  # it says that it ended before we heard of it
    row = story.incident()
    assert row.opened_at <= (row.recovered_at or 0) <= (row.resolved_at or 0)
    assert story.at(row.resolved_at) == HOUR
    ats = [event.at for event in story.events if event.subject_kind == "incident"]
    assert ats == sorted(ats)
