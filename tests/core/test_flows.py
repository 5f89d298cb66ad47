"""The closed loop: who has an incident, until when, and what its hand-overs mean."""

import pytest

from responder.core.lifecycle import Invalid, Refused
from responder.core.signal import DAY, HOUR, MINUTE
from tests.shop import HOUSE, START, Shop, since_start


def stages(shop: Shop) -> list[tuple[str, str]]:
    return [(stage.name, stage.owner) for stage in shop.see().stages]


def test_a_closed_loop_goes_from_hand_to_hand_and_its_last_end_closes() -> None:
    shop = Shop()
    shop.open("hotline")
    shop.until(5 * MINUTE)
    shop.do("accept", by="dora")
    assert (shop.see().state, shop.see().owner) == ("acknowledged", "dora")
    shop.until(20 * MINUTE)  # ten minutes too late
    shop.do("handover", by="dora")
    assert (shop.see().stage, shop.see().owner, shop.see().state) == ("fix", "desk", "acknowledged")
    shop.do("accept", by="fred")
    assert shop.see().state == "in_progress"
    shop.until(40 * MINUTE)
    shop.do("handover", by="fred", note="patched")
    assert (shop.see().stage, shop.see().owner, shop.see().state) == ("verify", "testers", "resolved")
    shop.until(3 * HOUR)  # long after the monitor would have verified it
    assert shop.see().state == "resolved"
    shop.do("accept", by="tom")
    shop.do("handover", by="tom")
    assert (shop.see().stage, shop.see().owner, shop.see().state) == ("inform", "desk", "resolved")
    shop.until(4 * HOUR)
    shop.do("handover", by="dora")
    assert shop.see().state == "closed"
    assert stages(shop) == [("register", "desk"), ("fix", "desk"), ("verify", "testers"), ("inform", "desk")]
    assert shop.kinds() == [
        "opened", "sla_warned", "acknowledged", "accepted", "stage_overdue", "handed_over", "accepted", "sla_warned", "resolved", "handed_over",
        "accepted", "verified", "handed_over", "customer_informed", "closed",
    ]  # fmt: skip
    [overdue] = shop.of_kind("stage_overdue")
    assert (since_start(overdue.at), overdue.data["stage"]) == (10 * MINUTE, "register")
    assert shop.fact("incident_stages_overdue_total", service="hotline", stage="register") == 1
    assert shop.fact("incident_stages_overdue_total") == 1
    assert shop.fact("incident_stage_seconds_sum", stage="register") == 20 * 60
    assert shop.fact("incident_stage_seconds_sum", stage="verify") == 140 * 60
    assert shop.fact("incident_stage_seconds_count") == 4


def test_a_hand_over_may_name_the_next_owner_whose_calendar_counts() -> None:
    shop = Shop()
    shop.open("hotline")
    shop.do("handover")
    shop.do("handover", to="ops")  # who works from nine to five
    assert (shop.see().stage, shop.see().owner) == ("verify", "ops")
    assert since_start(shop.see().stages[-1].due_at) == 13 * HOUR


def test_reopening_goes_back_to_the_stage_that_fixes() -> None:
    shop = Shop()
    shop.fire(service="hotline")
    shop.do("handover")
    shop.end(service="hotline")
    assert shop.see().stage == "verify"
    shop.until(10 * MINUTE)
    shop.fire(service="hotline")
    assert (shop.see().state, shop.see().stage, shop.see().reopened) == ("acknowledged", "fix", 1)
    shop.end(service="hotline")
    shop.until(2 * DAY)
    shop.do("reopen", by="tom", reason="it is not fixed")
    assert (shop.see().stage, shop.see().reopened) == ("fix", 2)


def test_after_the_window_an_incident_that_waits_for_people_takes_no_more_alerts() -> None:
    shop = Shop()
    shop.fire(service="hotline")
    shop.end(service="hotline")
    shop.until(HOUR)
    shop.fire(service="hotline")
    assert [shop.see(1).state, shop.see(2).state] == ["resolved", "open"]
    assert shop.see(2).previous == 1


def test_without_a_team_that_verifies_the_monitor_does() -> None:
    shop = Shop()
    shop.fire()
    shop.do("acknowledge")
    assert (shop.see().stage, shop.see().state) == ("restore", "acknowledged")
    shop.until(10 * MINUTE)
    shop.end()
    assert shop.see().stages[-1].ended_at == START + 10 * MINUTE
    shop.until(HOUR)
    assert shop.see().state == "closed"
    [verified] = shop.of_kind("verified")
    assert (verified.actor.kind, since_start(verified.at)) == ("timer", 40 * MINUTE)
    assert shop.fact("incident_stage_seconds_sum", stage="restore") == 600


def test_a_limit_follows_its_clock_through_pauses_and_priorities_and_restarts() -> None:
    shop = Shop()
    shop.open("shop")
    shop.do("accept")
    shop.do("pause", reason="supplier")
    shop.until(2 * HOUR)
    shop.do("resume")
    shop.restart()
    shop.until(2 * HOUR + 30 * MINUTE)
    shop.do("priority", priority="P2", reason="a workaround")  # four hours instead of one
    shop.until(5 * HOUR + 59 * MINUTE)
    assert shop.of_kind("stage_overdue") == []
    shop.restart()
    shop.now += 2 * HOUR
    shop.until(8 * HOUR)
    shop.until(8 * HOUR + MINUTE)
    [overdue] = shop.of_kind("stage_overdue")
    assert (since_start(overdue.at), overdue.data.get("late")) == (6 * HOUR, True)


def test_a_limit_without_a_target_is_none() -> None:
    shop = Shop()
    shop.open("shop", "P4")
    shop.until(30 * DAY)
    assert shop.kinds() == ["opened"]
    assert shop.see().stages[-1].due_at is None


def test_who_hands_over_has_taken_notice() -> None:
    shop = Shop()
    shop.open("hotline")
    shop.until(3 * MINUTE)
    shop.do("handover", by="dora")
    assert since_start(shop.see().acknowledged_at) == 3 * MINUTE


def test_after_the_last_working_stage_only_an_owner_can_be_named() -> None:
    shop = Shop()
    shop.open("shop")
    shop.do("acknowledge")
    with pytest.raises(Invalid):
        shop.do("handover")
    shop.do("handover", to="fred")
    assert (shop.see().owner, shop.see().stage) == ("fred", "restore")
    shop.do("cancel", reason="duplicate")
    with pytest.raises(Refused):
        shop.do("handover", to="ann")


def test_a_stage_that_goes_on_with_another_owner_has_a_record_of_its_own_under_the_same_limit() -> None:
    shop = Shop()
    shop.open("shop")
    shop.do("acknowledge")
    shop.do("accept", by="fred")
    shop.until(20 * MINUTE)
    shop.do("handover", by="fred", to="carol", note="my shift ends")
    [_, former, now] = shop.see().stages
    assert (former.owner, former.accepted_by, since_start(former.ended_at)) == ("ops", "fred", 20 * MINUTE)
    assert (now.name, now.owner, now.accepted_at, since_start(now.due_at)) == ("restore", "carol", None, HOUR)
    assert shop.kinds()[-1] == "handed_over"
    shop.do("accept", by="carol")
    shop.until(2 * HOUR)
    shop.do("handover", by="carol", to="dan")  # late already, and told so once
    shop.restart()
    shop.until(3 * HOUR)
    shop.do("resolve")
    [overdue] = shop.of_kind("stage_overdue")
    assert (since_start(overdue.at), overdue.data["owner"]) == (HOUR, "carol")
    assert shop.fact("incident_stages_overdue_total", stage="restore") == 1
    assert shop.fact("incident_stage_seconds_count", stage="restore") == 1
    assert shop.fact("incident_stage_seconds_sum", stage="restore") == 3 * 3600


def test_a_limit_of_its_own_runs_on_too_when_a_stage_changes_hands() -> None:
    shop = Shop(
        house=HOUSE.replace("    - {stage: verify,   owner: testers, within: 4h}\n", "")
        .replace("    - {stage: inform,   owner: desk, within: 8h, collect: satisfaction}\n", "")
        .replace("sla.resolution}", "2h}")
    )
    shop.open("hotline")
    shop.do("handover")
    shop.do("handover", to="testers")
    due = shop.see().stages[-1].due_at
    assert since_start(due) is not None
    shop.until((since_start(due) or 0) + MINUTE)
    shop.do("handover", to="ops")
    shop.until(9 * DAY)
    assert [event.data["owner"] for event in shop.of_kind("stage_overdue")] == ["testers"]


def test_who_is_assigned_owns_the_stage_and_has_not_accepted_it() -> None:
    shop = Shop()
    shop.open("shop")
    shop.do("acknowledge")
    shop.do("accept", by="fred")
    shop.do("assign", to="carol")
    stage = shop.see().stages[-1]
    assert (stage.owner, stage.accepted_by, stage.accepted_at) == ("carol", None, None)
    shop.do("accept", by="carol")
    assert shop.see().stages[-1].accepted_by == "carol"


def test_to_end_the_last_stage_before_verify_is_to_say_that_it_is_repaired() -> None:
    shop = Shop()
    shop.open("hotline")
    shop.do("handover")
    shop.do("handover", to="tom")
    [resolved] = shop.of_kind("resolved")
    assert (resolved.data["resolution"], resolved.data["stage"]) == ("manual", "fix")
    assert (shop.see().stage, shop.see().owner) == ("verify", "tom")


def test_there_is_one_owner_at_every_instant_of_the_loop() -> None:
    shop = Shop()
    shop.fire(service="hotline")
    for name, args in (
        ("accept", {}),
        ("handover", {}),
        ("accept", {}),
        ("handover", {}),
        ("handover", {}),
        ("handover", {}),
    ):
        assert shop.see().owner
        shop.do(name, **args)
    assert shop.see().state == "closed"


def test_a_flow_that_is_taken_away_leaves_its_incidents_movable() -> None:
    shop = Shop()
    shop.open("hotline")
    shop.do("handover")
    shop.reload(HOUSE.replace("flow: closed-loop", "description: x"))
    shop.do("handover", to="ops")
    shop.do("resolve")
    shop.until(2 * HOUR)
    assert shop.see().state == "closed"
