"""What a change gives, what the last look finds, how long to wait: all of it pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from responder.core import plan
from responder.core.book import Book
from responder.core.catalogue import ChannelRef, ChannelSpec, Flow, MaintenanceSpec, Service, Stage, Team
from responder.core.event import Actor, Event
from responder.core.incident import Incident, apply
from responder.core.outbox import LEASE, Kind, Lane, Message, Part
from responder.core.plan import MOOT, SEND, Verdict
from responder.core.signal import HOUR, MINUTE, SECOND, Instant

NOW = 1_767_571_200 * SECOND
RULE = Actor("rule", "down")
FLOW = Flow("loop", (Stage("fix", "ops"), Stage("verify", "ops")))
BOOK = Book(
    teams={"ops": Team("ops", "lead", (ChannelRef("chat"), ChannelRef("mail")), (ChannelRef("boss"),))},
    services={"shop": Service("shop", "ops"), "loop": Service("loop", "ops", flow="loop")},
    flows=[FLOW],
)


def incident(*events: tuple[str, dict[str, Any]], told: tuple[str, ...] = (), **fields: Any) -> Incident:
    data = {
        "rule": "down", "key": {}, "key_hash": 1, "service": "shop", "team": "ops", "owner": "ops", "title": "t",
        "priority": "P2", "impact": None, "urgency": None, "started_at": NOW,
        "stages": [{"name": "respond", "owner": "ops", "started_at": NOW}],
    }  # fmt: skip
    row = apply(None, Event(NOW, "opened", "incident", 1, RULE, data | fields))
    for n, (kind, more) in enumerate(events, 1):
        row = apply(row, Event(NOW + n * SECOND, kind, "incident", 1, RULE, more))
    return replace(row, told=told)


RESOLVED = ("resolved", {"resolution": "recovered"})
REOPENED = ("reopened", {"reason": "again"})
ACKNOWLEDGED = ("acknowledged", {})
CANCELLED = ("cancelled", {"reason": "duplicate"})
EXEMPTED = ("sla_exempted", {"reason": "theirs"})
BREACHED = ("sla_breached", {"target": "resolution", "late": 60})
RESTORE = ("handed_over", {"stage": "restore", "owner": "ops"})
VERIFY = ("handed_over", {"stage": "verify", "owner": "ops"})


@pytest.mark.parametrize(
    ("kind", "about", "row", "sent"),
    [
        ("opened", {}, incident(), True),
        ("opened", {}, incident(told=("chat",)), False),
        ("opened", {}, incident(told=("mail",)), True),
        ("opened", {}, incident(ACKNOWLEDGED), True),
        ("opened", {}, incident(RESOLVED), False),
        ("opened", {}, incident(CANCELLED), False),
        ("opened", {}, incident(RESOLVED, REOPENED), True),
        ("repeat", {}, incident(told=("chat",)), True),
        ("repeat", {}, incident(), False),
        ("repeat", {}, incident(ACKNOWLEDGED, told=("chat",)), False),
        ("repeat", {}, incident(RESOLVED, told=("chat",)), False),
        ("resolved", {}, incident(RESOLVED, told=("chat",)), True),
        ("resolved", {}, incident(RESOLVED), False),
        ("resolved", {}, incident(RESOLVED, REOPENED, told=("chat",)), False),
        ("resolved", {}, incident(CANCELLED, told=("chat",)), True),
        ("stage", {"stage": "restore"}, incident(ACKNOWLEDGED, RESTORE), True),
        ("stage", {"stage": "respond"}, incident(ACKNOWLEDGED, RESTORE), False),
        ("stage", {"stage": "restore", "owner": "who had it before"}, incident(ACKNOWLEDGED, RESTORE), False),
        ("stage", {"stage": "restore"}, incident(ACKNOWLEDGED, RESTORE, RESOLVED), False),
        ("stage", {"stage": "verify"}, incident(RESOLVED, VERIFY, service="loop"), True),
        ("overdue", {"stage": "respond"}, incident(), True),
        ("overdue", {"stage": "respond"}, incident(RESOLVED), False),
        ("warned", {"target": "response"}, incident(), True),
        ("warned", {"target": "response"}, incident(ACKNOWLEDGED), False),
        ("warned", {"target": "resolution"}, incident(ACKNOWLEDGED), True),
        ("warned", {"target": "resolution"}, incident(RESOLVED), False),
        ("warned", {"target": "resolution"}, incident(EXEMPTED), False),
        ("warned", {"target": "resolution"}, incident(BREACHED), False),
        ("warned", {"target": "response"}, incident(BREACHED), True),
        ("breached", {"target": "resolution"}, incident(RESOLVED), True),
        ("breached", {"target": "resolution"}, incident(CANCELLED), False),
        ("breached", {"target": "resolution"}, incident(EXEMPTED), False),
        ("opened", {}, None, False),
    ],
)
def test_what_is_moot_is_not_sent(kind: Kind, about: dict[str, Any], row: Incident | None, sent: bool) -> None:
    verdict = plan.look(Part(kind, 1, NOW, about), "chat", row, None, BOOK, NOW, None)
    assert verdict == (SEND if sent else MOOT)


def test_an_end_is_sent_to_who_perhaps_heard_the_beginning() -> None:
    part = Part("resolved", 1, NOW)
    assert plan.look(part, "chat", incident(RESOLVED), None, BOOK, NOW, None, perhaps=True) == SEND


SNOOZED = incident(("snoozed", {"until": NOW + HOUR}))
PLANNED = incident(flags=["planned"], planned_until=NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("row", "parent", "silenced_until", "expected"),
    [
        (SNOOZED, None, None, Verdict("hold", "snoozed", NOW + HOUR)),
        (PLANNED, None, None, Verdict("hold", "planned", NOW + 2 * HOUR)),
        (incident(), None, NOW + 5, Verdict("hold", "silenced", NOW + 5)),
        (incident(), incident(), None, Verdict("hold", "merged", None, 1)),
        (incident(), incident(RESOLVED), None, SEND),
        (SNOOZED, incident(), NOW + 5, Verdict("hold", "merged", None, 1)),
    ],
)
def test_openings_wait_for_the_end_of_what_suppresses_them_and_moments_pass(
    row: Incident, parent: Incident | None, silenced_until: Instant | None, expected: Verdict
) -> None:
    opening, moment = Part("opened", 1, NOW), Part("breached", 1, NOW, {"target": "response"})
    assert plan.look(opening, "chat", row, parent, BOOK, NOW, silenced_until) == expected
    passed = SEND if expected == SEND else Verdict("drop", expected.reason)
    assert plan.look(moment, "chat", row, parent, BOOK, NOW, silenced_until) == passed


def test_a_window_that_begins_later_suppresses_what_was_open_before() -> None:
    book = Book(maintenance=[MaintenanceSpec("w", "r", ("shop",), start=NOW + HOUR, end=NOW + 2 * HOUR)])
    opening = Part("opened", 1, NOW)
    assert plan.look(opening, "chat", incident(), None, book, NOW, None) == SEND
    inside = plan.look(opening, "chat", incident(), None, book, NOW + HOUR, None)
    assert inside == Verdict("hold", "planned", NOW + 2 * HOUR)


# Pauses.


def tried(attempt: int, id: str = "x") -> Message:
    return Message(1, "chat", Part("opened", 1, NOW), NOW, NOW, attempt=attempt, notification_id=id)


@given(st.integers(1, plan.ATTEMPTS), st.text(max_size=8))
def test_a_pause_doubles_each_time_up_to_a_quarter_of_an_hour_and_is_spread_by_a_fifth(attempt: int, id: str) -> None:
    plain = min(SECOND * 2 ** (attempt - 1), 15 * MINUTE)
    pause = plan.pause(tried(attempt, id))
    assert 0.8 * plain <= pause <= 1.2 * plain
    assert pause == plan.pause(tried(attempt, id)), "the same after a restart"


def test_messages_that_failed_together_do_not_come_back_together() -> None:
    assert len({plan.pause(tried(5, str(n))) for n in range(50)}) == 50


def test_all_attempts_end_within_the_time_after_which_a_message_is_given_up() -> None:
    longest = sum(min(SECOND * 2**n, 15 * MINUTE) for n in range(plan.ATTEMPTS - 1)) * 6 // 5
    assert longest < plan.GIVE_UP_AFTER


def test_no_two_messages_share_an_id() -> None:
    kinds: tuple[Kind, ...] = ("opened", "resolved")
    messages = [
        Message(id, channel, Part(kind, number, at), at, at)
        for id in (1, 2) for channel in ("a", "b") for kind in kinds for number in (1, 11) for at in (NOW, NOW + 1)
    ]  # fmt: skip
    assert len({plan.notification_id(message) for message in messages}) == len(messages)


# Urgency.


def test_what_is_open_comes_before_what_is_over_and_the_graver_first() -> None:
    low, high = incident(priority="P3"), incident(priority="P1")
    parts = [
        (Part("resolved", 1, NOW), high), (Part("stage", 1, NOW), high), (Part("opened", 1, NOW + 1), low),
        (Part("breached", 1, NOW), high), (Part("opened", 1, NOW), low),
    ]  # fmt: skip
    ordered = sorted(parts, key=lambda one: plan.urgency(*one))
    assert [(part.event, part.at - NOW) for part, _ in ordered] == [
        ("breached", 0), ("stage", 0), ("opened", 0), ("opened", 1), ("resolved", 0),
    ]  # fmt: skip


# Lanes.


def message(id: int, at: Instant = NOW, **fields: Any) -> Message:
    return Message(id, "chat", Part("opened", id, at), at, at, **fields)


def test_a_lane_is_due_when_its_first_message_is_and_the_channel_is_free() -> None:
    spec, lane = ChannelSpec("chat"), Lane()
    assert lane.next_due(spec) is None
    lane.put(message(1, NOW + 5))
    assert lane.next_due(spec) == NOW + 5
    lane.put(replace(message(2), attempt=1, claimed_at=NOW, not_before=NOW + LEASE, leased=True))
    assert lane.next_due(spec) == NOW + 30 * SECOND, "the bundle's wait has begun"


def test_a_lease_that_ran_out_is_due_again() -> None:
    spec, lane = ChannelSpec("chat"), Lane()
    lane.put(message(1))
    assert lane.take(spec, NOW, 10, 10) == ([1], [])
    lane.put(plan.claimed(message(1), NOW))
    assert lane.take(spec, NOW + LEASE - 1, 10, 10) == ([], [])
    assert lane.take(spec, NOW + LEASE, 10, 10) == ([], [1])


def test_a_message_that_has_left_leaves_nothing_behind() -> None:
    spec, lane = ChannelSpec("chat", bundle=0), Lane()
    lane.put(message(1))
    lane.put(plan.claimed(message(1), NOW))
    lane.put(replace(plan.claimed(message(1), NOW), state="sent"))
    assert (lane.rows, lane.of) == ({}, {})
    assert lane.take(spec, NOW + HOUR, 10, 10) == ([], [])
    assert lane.next_due(spec) is None


def test_the_rate_counts_what_left_in_its_span() -> None:
    spec, lane = ChannelSpec("chat", bundle=0, rate=2, per=MINUTE), Lane()
    for id, at in ((1, NOW), (2, NOW + 10 * SECOND)):
        lane.put(replace(message(id), attempt=1, claimed_at=at, state="sent"))
    assert lane.free_at(spec) == NOW + MINUTE
    assert lane.left(spec, NOW + MINUTE - 1) == 0
    assert lane.left(spec, NOW + MINUTE) == 1


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=40))
def test_every_message_of_a_lane_is_taken_once(entries: list[tuple[int, bool]]) -> None:
    spec, lane = ChannelSpec("chat", bundle=0, rate=1000), Lane()
    for id, (wait, twice) in enumerate(entries):
        lane.put(message(id, NOW + wait))
        if twice:
            lane.wake(id)
    found: list[int] = []
    for _ in range(len(entries) + 1):
        fresh, _ = lane.take(spec, NOW + 100, 3, 3)
        found += fresh
        for id in fresh:
            lane.put(replace(lane.rows[id], state="dropped"))
    assert sorted(found) == list(range(len(entries)))
