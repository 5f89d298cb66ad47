"""What leaves when, and what does not: bundles, occasions, what is moot, what suppresses."""

from types import SimpleNamespace

import msgspec
import pytest
from sqlalchemy.exc import OperationalError

from responder.core import satisfaction
from responder.core.catalogue import (
    ChannelRef,
    ChannelSpec,
    Flow,
    MaintenanceSpec,
    Service,
    Stage,
    Team,
)
from responder.core.lifecycle import Opening
from responder.core.rule import (
    Bound,
    EventOf,
    IncidentForm,
    Match,
    Member,
    MetricWhen,
    Priority,
    Rule,
    SequenceWhen,
)
from responder.core.signal import HOUR, MINUTE, SECOND, Sample, Signal, identity
from responder.handlers import deliveries
from responder.handlers.commands import ExpireSilence, OpenByHand, RecordChange
from responder.handlers.signals import MetricPolled, Pushed
from responder.ports import Transient
from tests.post import ANNA, AT_ONCE, T0, Post, is_, rule

# Bundles and rates.


def test_the_first_message_leaves_at_once_and_the_rest_of_a_storm_as_one() -> None:
    post = Post()
    post.fire("a")
    for n in range(10):
        post.at(1 + n).fire(f"b{n}")
    post.at(29)
    assert post.said() == [(0, "opened", 1, 0)]
    post.at(60)
    assert post.said()[1:] == [(30, "opened", 2, 9)]


def test_a_storm_in_one_request_gives_two_messages_too() -> None:
    post = Post()
    post.fire(*(f"h{n}" for n in range(100)))
    post.at(300)
    assert post.said() == [(0, "opened", 1, 0), (30, "opened", 2, 98)]


def test_a_storm_of_any_size_leaves_as_one_message() -> None:
    post = Post()
    post.fire(*(f"h{n}" for n in range(1301)))
    post.at(300)
    assert post.said() == [(0, "opened", 1, 0), (30, "opened", 2, 1299)]
    assert "And 1299 more:" in post.sent[1][1].text
    assert "- ... 1279 not listed here" in post.sent[1][1].text


def test_incidents_that_a_silence_held_leave_together_when_it_ends() -> None:
    post = Post()
    post.silence(600, severity="warning")
    post.fire(*(f"h{n}" for n in range(10)))
    post.at(700)
    assert post.said() == [(600, "opened", 1, 0), (630, "opened", 2, 8)]


def test_a_bundle_speaks_of_its_most_urgent_incident_and_names_the_others() -> None:
    post = Post()
    post.fire("first")
    post.at(1).fire("b")
    post.at(2).fire("c", severity="critical")
    post.at(31)
    message = post.sent[-1][1]
    assert (message.part.incident, [part.incident for part in message.bundle]) == (3, [2])
    body = msgspec.json.decode(message.body)
    assert (body["incident"]["id"], body["more"]) == ("INC-3", 1)
    assert message.title == "[P1] shop: c is down (INC-3) (and 1 more)"
    assert "And 1 more:\n- [P3] shop: b is down (INC-2)" in message.text


def test_a_message_shows_the_change_before_however_late_it_is_sent() -> None:
    post = Post(AT_ONCE)
    post.stage.take(RecordChange("shop", "release", "1.2", None, "https://ci.example/7", ANNA))
    post.silence(7200, host="a")
    post.fire("a")
    post.at(7300)
    [(_, message)] = post.sent
    [change] = msgspec.json.decode(message.body)["incident"]["changes"]
    assert (change["id"], change["version"], change["url"]) == (1, "1.2", "https://ci.example/7")
    assert "Changed before: release 1.2" in message.text


def test_after_a_quiet_while_the_next_message_leaves_at_once_again() -> None:
    post = Post()
    post.fire("a")
    post.at(100).fire("b")
    assert post.said() == [(0, "opened", 1, 0), (100, "opened", 2, 0)]


def test_a_bundle_begins_a_wait_of_its_own() -> None:
    post = Post()
    for second in (0, 10, 40, 50):
        post.at(second).fire(f"h{second}")
    post.at(200)
    assert [(at, more) for at, _, _, more in post.said()] == [(0, 0), (30, 0), (60, 1)]


def test_without_bundling_each_leaves_until_the_rate_is_used_up_and_then_the_rest_as_one() -> None:
    post = Post(ChannelSpec("chat", bundle=0, rate=3, per=MINUTE))
    for n in range(10):
        post.at(n).fire(f"h{n}")
    post.at(200)
    assert [(at, more) for at, _, _, more in post.said()] == [(0, 0), (1, 0), (2, 0), (60, 6)]


def test_channels_bundle_each_for_itself() -> None:
    post = Post(ChannelSpec("chat"), ChannelSpec("mail", bundle=MINUTE))
    post.fire("a")
    post.at(5).fire("b")
    post.at(100)
    assert [at for at, *_ in post.said("chat")] == [0, 30]
    assert [at for at, *_ in post.said("mail")] == [0, 60]


# Who is told what.


@pytest.mark.parametrize(
    ("refs", "told"),
    [
        ((ChannelRef("chat"),), True),
        ((ChannelRef("chat", priorities=("P1", "P2")),), False),
        ((ChannelRef("chat", on=("resolved",)),), False),
        ((ChannelRef("chat", on=("opened",)), ChannelRef("chat")), True),
    ],
)
def test_a_team_says_what_its_channels_hear_of(refs: tuple[ChannelRef, ...], told: bool) -> None:
    post = Post(AT_ONCE, refs=refs)
    post.fire("a")
    assert post.kinds() == ["opened"] * told


def test_an_incident_is_told_on_every_occasion_of_its_way() -> None:
    post = Post(AT_ONCE, teams={"default": Team("default", "lead")})
    post.fire("a", severity="critical")  # 15 minutes to acknowledge, 4 hours to restore, warnings at 75 %
    post.at(60 * 60 * 5).clear("a", severity="critical")
    assert post.said() == [
        (0, "opened", 1, 0), (675, "warned", 1, 0), (900.000001, "breached", 1, 0), (900.000001, "overdue", 1, 0),
        (10800, "warned", 1, 0), (14400.000001, "breached", 1, 0), (18000, "resolved", 1, 0),
    ]  # fmt: skip
    texts = [message.title for _, message in post.sent]
    assert texts[1] == "[P1] 75% of the response time is used: shop: a is down (INC-1)"
    assert texts[2] == "[P1] response target missed: shop: a is down (INC-1)"
    assert texts[6] == "[P1] resolved: shop: a is down (INC-1)"


def test_a_handed_over_stage_is_told_to_the_team_and_to_the_next_owner() -> None:
    flow = Flow("loop", (Stage("fix", "service.team", None), Stage("verify", "testers", None)))
    post = Post(
        AT_ONCE, ChannelSpec("lab", bundle=0), refs=(ChannelRef("chat"),), flows=[flow],
        services={"shop": Service("shop", "ops", flow="loop")},
        teams={"testers": Team("testers", "lead", (ChannelRef("lab"),))},
    )  # fmt: skip
    post.fire("a")
    post.clear("a")
    assert sorted(post.kinds("chat")) == ["opened", "resolved", "stage"]
    assert post.kinds("lab") == ["stage"]
    assert post.sent[-1][1].title == "[P3] verify is now with testers: shop: a is down (INC-1)"


def test_who_takes_over_reads_what_the_one_before_says_and_until_when_the_stage_has_to_end() -> None:
    stages = (Stage("fix", "service.team"), Stage("verify", "ops", 3 * HOUR), Stage("inform", "ops", HOUR))
    post = Post(AT_ONCE, flows=[Flow("loop", stages)], services={"shop": Service("shop", "ops", flow="loop")})
    post.fire("a")
    post.at(60).do("handover", note="patched, build 812")
    post.at(120).do("handover", note="holds on staging")
    post.clear("a")
    texts = [m.text for _, m in post.sent if m.part.event == "stage"]
    assert "verify is now with ops\nanna says: patched, build 812\n" in texts[0]
    assert "\nEnd verify before: 2026-01-05 03:01:00 UTC (in 3h)\n" in texts[0]
    assert "inform is now with ops\nanna says: holds on staging\n" in texts[1]
    post.at(2 * 3600)
    [late] = [m.text for _, m in post.sent if m.part.event == "overdue"]
    assert "\nEnd of inform was due: 2026-01-05 01:02:00 UTC\n" in late and "says" not in late


def test_the_body_says_which_target_and_which_stage_it_speaks_of() -> None:
    post = Post(AT_ONCE)
    post.fire("a", severity="critical")
    post.at(1000).do("acknowledge")
    post.do("handover", to="bob", note="I go home")
    bodies = [msgspec.json.decode(m.body) for _, m in post.sent]
    said = [(body["event"], body.get("about")) for body in bodies]
    stage = {"stage": "restore", "owner": "bob", "note": "I go home", "by": "anna"}
    assert said == [
        ("opened", None), ("warned", {"target": "response", "percent": 75}), ("breached", {"target": "response"}),
        ("overdue", {"stage": "respond", "owner": "ops"}), ("stage", {"stage": "restore", "owner": "ops"}), ("stage", stage),
    ]  # fmt: skip


def test_the_end_says_what_the_one_who_resolved_it_says() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.do("resolve", cause="a full disk", note="logs are rotated daily now")
    assert "resolved by hand\nanna says: logs are rotated daily now\nCause: a full disk\n" in post.sent[-1][1].text


def test_the_message_of_the_stage_that_asks_the_customer_holds_the_link_and_no_other_does() -> None:
    stages = (Stage("fix", "service.team"), Stage("verify", "ops"), Stage("inform", "ops", 3 * HOUR, "satisfaction"))
    post = Post(
        AT_ONCE, flows=[Flow("loop", stages)], services={"shop": Service("shop", "ops", flow="loop")},
        external_url="https://responder.example",
    )  # fmt: skip
    post.fire("a")
    post.clear("a")
    post.do("handover")
    link = satisfaction.link(post.stage.book, post.incident())
    assert link is not None and link.startswith("https://responder.example/s/")
    post.at(4 * 3600)
    told = [(m.part.event, m.part.about.get("stage"), link in m.text, link in m.body) for _, m in post.sent]
    assert [entry for entry in told if entry[2] or entry[3]] == [("stage", "inform", True, True)]
    assert ("overdue", "inform", False, False) in told and ("stage", "verify", False, False) in told
    [late] = [m.text for _, m in post.sent if m.part.event == "overdue"]
    assert "\nNo answer yet: the customer was asked at 2026-01-05 00:00:00 UTC\n" in late, "a reminder to the lead"
    [message] = [m for _, m in post.sent if link in m.text]
    assert f"\nFor the customer to answer: {link}\n" in message.text
    assert msgspec.json.decode(message.body)["incident"]["satisfaction"]["link"] == link


def test_an_overdue_stage_goes_to_the_lead() -> None:
    post = Post(AT_ONCE, ChannelSpec("boss", bundle=0), refs=(ChannelRef("chat"),), lead=(ChannelRef("boss"),))
    post.fire("a", severity="critical")
    post.at(1000)
    assert post.kinds("boss") == ["overdue"]
    assert "overdue" not in post.kinds("chat")


def test_who_was_told_of_it_while_it_was_open_hears_of_the_end() -> None:
    boss = ChannelSpec("boss", bundle=0)
    post = Post(AT_ONCE, boss, refs=(ChannelRef("chat"),), lead=(ChannelRef("boss"),))
    post.fire("a", severity="critical")
    post.at(1000).clear("a", severity="critical")
    assert post.kinds("boss") == ["overdue", "resolved"]
    deaf = Post(AT_ONCE, boss, refs=(ChannelRef("chat"),), lead=(ChannelRef("boss", on=("stage",)),))
    deaf.fire("a", severity="critical")
    deaf.at(1000).clear("a", severity="critical")
    assert deaf.kinds("boss") == ["overdue"]


def test_the_team_that_gets_an_incident_hears_of_it_and_of_its_end() -> None:
    net = Team("net", "nell", (ChannelRef("lab"),))
    post = Post(AT_ONCE, ChannelSpec("lab", bundle=0), refs=(ChannelRef("chat"),), teams={"net": net})
    post.fire("a")
    post.at(10).do("assign", to="net")
    post.at(20).do("assign", to="nina")
    post.at(30).clear("a")
    assert post.said("lab") == [(10, "opened", 1, 0), (30, "resolved", 1, 0)]
    assert post.kinds("chat") == ["opened", "resolved"]
    assert "\nOwner: net\n" in next(m.text for _, m in post.sent if m.channel == "lab")
    post.at(40).fire("a")
    post.do("acknowledge")
    post.do("handover", to="net")
    post.at(50).clear("a")
    assert post.kinds("lab")[2:] == ["stage", "resolved"]


def test_the_owner_of_the_first_stage_hears_of_the_opening() -> None:
    flow = Flow("loop", (Stage("register", "desk", HOUR), Stage("fix", "service.team", None)))
    post = Post(
        AT_ONCE, ChannelSpec("mail", bundle=0), refs=(ChannelRef("chat"),), flows=[flow],
        services={"shop": Service("shop", "ops", flow="loop")},
        teams={"desk": Team("desk", "dora", (ChannelRef("mail"),))},
    )  # fmt: skip
    post.fire("a")
    assert (post.kinds("chat"), post.kinds("mail")) == (["opened"], ["opened"])
    assert "\nEnd register before: 2026-01-05 01:00:00 UTC (in 1h)\n" in post.sent[-1][1].text


def test_the_lead_is_told_when_an_incident_is_major() -> None:
    post = Post(AT_ONCE, ChannelSpec("boss", bundle=0), refs=(ChannelRef("chat"),), lead=(ChannelRef("boss"),))
    post.fire("a")
    assert post.kinds("boss") == []
    post.at(60).do("major", lead="lea", every=HOUR)
    post.at(120).clear("a")
    assert post.said("boss") == [(60, "opened", 1, 0), (120, "resolved", 1, 0)]
    assert post.kinds("chat") == ["opened", "resolved"]


def test_a_major_incident_without_news_reminds_the_lead() -> None:
    post = Post(AT_ONCE, ChannelSpec("boss", bundle=0), refs=(ChannelRef("chat"),), lead=(ChannelRef("boss"),))
    post.fire("a")
    post.do("major", lead="lea", every=300 * SECOND)
    post.at(310)
    assert post.said("boss") == [(0, "opened", 1, 0), (300, "overdue", 1, 0)]
    assert "news was promised by now" in post.sent[-1][1].text


def test_a_higher_priority_is_told_to_those_who_were_not_to_hear_of_the_lower() -> None:
    pager = ChannelRef("pager", priorities=("P1",))
    post = Post(AT_ONCE, ChannelSpec("pager", bundle=0), refs=(ChannelRef("chat"), pager))
    post.fire("a")
    assert (post.kinds("chat"), post.kinds("pager")) == (["opened"], [])
    post.at(10).do("priority", priority="P1", reason="many customers")
    assert (post.kinds("chat"), post.kinds("pager")) == (["opened", "opened"], ["opened"])
    post.at(20).do("priority", priority="P4", reason="few customers")
    post.at(30).clear("a")
    assert post.kinds("pager")[1:] == ["resolved"], "who was told of the opening hears of the end"


def test_only_those_who_were_told_of_the_opening_hear_of_the_end() -> None:
    post = Post(AT_ONCE, ChannelSpec("deaf", bundle=0), refs=(ChannelRef("chat"), ChannelRef("deaf", on=("resolved",))))
    post.fire("a")
    post.at(10).clear("a")
    assert (post.kinds("chat"), post.kinds("deaf")) == (["opened", "resolved"], [])


def test_a_reopening_counts_as_an_opening() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.at(60).clear("a")
    post.at(120).fire("a")
    assert post.kinds() == ["opened", "resolved", "opened"]
    assert post.sent[-1][1].title == "[P3] again: shop: a is down (INC-1)"


def test_a_cancelled_incident_is_over_for_those_who_were_told() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.do("cancel", reason="false_positive")
    assert post.kinds() == ["opened", "resolved"]
    assert "cancelled as a false positive" in post.sent[-1][1].text


def test_a_momentary_incident_is_announced_and_nobody_waits_for_its_end() -> None:
    post = Post(AT_ONCE)
    labels = {"alertname": "Down", "host": "a", "severity": "warning"}
    for n in range(2):
        signal = Signal("jobs", identity(labels), labels, {}, True, post.stage.now, momentary=True, dedup=f"id:{n}")
        post.stage.take(Pushed("jobs", [signal]))
        post.at(100 * (n + 1))
    assert post.kinds() == ["opened", "opened"]
    assert post.incident().told == ()


def test_a_momentary_incident_of_a_maintenance_is_not_announced_and_waits_for_nothing() -> None:
    window = MaintenanceSpec("upgrade", "planned", services=("shop",), start=T0, end=T0 + 3600 * SECOND)
    post = Post(AT_ONCE, maintenance=[window])
    labels = {"alertname": "Down", "host": "a", "severity": "warning"}
    signal = Signal("jobs", identity(labels), labels, {}, True, post.stage.now, momentary=True, dedup="id:1")
    post.stage.take(Pushed("jobs", [signal]))
    post.at(2 * 3600)
    assert (post.kinds(), post.suppressed()) == ([], [])


def test_an_incident_opened_by_hand_is_told() -> None:
    post = Post(AT_ONCE)
    post.stage.take(OpenByHand(Opening("shop", "the till is slow", "P2", "manual", T0), ANNA))
    assert post.sent[0][1].title == "[P2] shop: the till is slow (INC-1)"


# What is moot.


def test_what_is_over_before_it_was_told_is_never_told() -> None:
    post = Post()
    post.fire("a")
    post.at(5).fire("b")
    post.at(20).clear("b")
    post.at(300)
    assert post.said() == [(0, "opened", 1, 0)]
    assert post.incident(2).told == ()


def test_an_end_that_was_not_told_yet_and_a_return_cancel_each_other_out() -> None:
    post = Post()
    post.fire("a")
    post.at(5).clear("a")
    post.at(10).fire("a")
    post.at(300)
    assert post.said() == [(0, "opened", 1, 0)]


def test_a_repeat_that_was_given_up_does_not_end_the_repeats() -> None:
    """A chat that is away over night is back in the morning, and nobody has acknowledged."""
    post = Post(ChannelSpec("chat", bundle=0, repeat=HOUR))
    post.fire("a")
    post.fails["chat"] = Transient("away", "unreachable")
    post.at(8 * 3600)
    post.fails.clear()
    post.at(12 * 3600)
    repeats = [at for at, event, _, _ in post.said() if event == "repeat"]
    assert len(repeats) >= 3 and repeats[0] < 9 * 3600
    post.clear("a")
    post.at(13 * 3600)
    assert post.kinds()[-1] == "resolved" and post.kinds().count("resolved") == 1


def test_an_incident_that_comes_and_goes_is_repeated_as_often_as_one_that_stays() -> None:
    post = Post(ChannelSpec("chat", bundle=0, repeat=HOUR))
    for n in range(4):
        post.at(600 * n).fire("a")
        post.at(600 * n + 300).clear("a")
    post.at(2400).fire("a")
    post.at(3 * 3600)
    assert post.kinds().count("opened") == 5
    assert [at for at, event, _, _ in post.said() if event == "repeat"] == [2400 + 3600, 2400 + 7200]


def test_a_repeat_outlives_an_end_that_was_not_told() -> None:
    post = Post(ChannelSpec("chat", bundle=0, repeat=HOUR), refs=(ChannelRef("chat", on=("opened",)),))
    post.fire("a")
    post.at(600).clear("a")
    post.at(900).fire("a")
    post.at(2 * 3600)
    assert post.said() == [(0, "opened", 1, 0), (3600, "repeat", 1, 0), (7200, "repeat", 1, 0)]


def test_who_heard_of_a_breach_before_the_opening_is_reminded_too() -> None:
    post = Post(ChannelSpec("chat", bundle=0, repeat=HOUR))
    post.fails["chat"] = Transient("503", "http_503")
    post.fire("a", severity="critical")
    post.at(890)
    del post.fails["chat"]
    post.at(901)
    assert post.kinds()[0] == "breached"  # the opening waits for its next attempt
    post.at(900 + 2 * 3600 + 60)
    assert [round(at) for at, event, _, _ in post.said() if event == "repeat"] == [900 + 3600, 900 + 7200]


def test_a_repeat_comes_until_somebody_acknowledges() -> None:
    post = Post(ChannelSpec("chat", bundle=0, repeat=HOUR), refs=(ChannelRef("chat", on=("opened",)),))
    post.fire("a")
    post.at(3 * 3600 - 1)
    post.do("acknowledge")
    post.at(6 * 3600)
    assert post.said() == [(0, "opened", 1, 0), (3600, "repeat", 1, 0), (7200, "repeat", 1, 0)]
    assert post.sent[1][1].title == "[P3] still open, not acknowledged: shop: a is down (INC-1)"


def test_a_warning_of_an_answer_that_came_is_moot() -> None:
    post = Post()
    post.fire("a", severity="critical")
    post.at(670).fire("b")
    post.at(680).do("acknowledge")
    post.at(800)
    assert ("warned", 1) not in [(event, incident) for _, event, incident, _ in post.said()]


def test_a_warning_that_comes_after_its_breach_is_moot_and_stays_on_the_timeline() -> None:
    post = Post(AT_ONCE)
    post.fire("a", severity="critical")
    post.stage.now += 3600 * SECOND  # it was down meanwhile
    post.restart()
    post.at(3700)
    kinds = post.kinds()
    assert (kinds.count("warned"), kinds.count("breached")) == (0, 1), kinds
    late = [event for event in post.timeline() if event.kind == "sla_warned" and event.data["target"] == "response"]
    assert late and all(event.data["late"] for event in late)


# What suppresses messages.


def test_a_silenced_incident_is_announced_when_the_silence_ends() -> None:
    post = Post(AT_ONCE)
    post.silence(600, host="a")
    post.fire("a")
    post.fire("b")
    post.at(500)
    assert post.said() == [(0, "opened", 2, 0)]
    assert post.incident().state == "open", "a silence suppresses messages, never state"
    post.at(700)
    assert post.said()[1:] == [(600, "opened", 1, 0)]


def test_a_silence_that_is_ended_early_lets_the_incident_be_announced_at_once() -> None:
    post = Post(AT_ONCE)
    id = post.silence(6000, host="a")
    post.fire("a")
    post.at(100)
    post.stage.take(ExpireSilence(id, ANNA))
    post.at(101)
    assert post.said() == [(100, "opened", 1, 0)]


def test_an_incident_is_silenced_only_while_all_its_firing_alerts_are() -> None:
    post = Post(AT_ONCE)
    post.silence(6000, disk="1")
    post.fire("a", disk="1")
    assert post.said() == []
    post.at(50).fire("a", disk="2")
    post.at(51)
    assert post.said() == [(50, "opened", 1, 0)]


@pytest.mark.parametrize("loud", ["1", "2", "3", None])
def test_of_a_storm_every_alert_counts_however_many_came_after_it(
    loud: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.handlers.deliveries.SHOWN", 2)
    post = Post()
    post.fire("first")
    post.silence(6000, quiet="yes")
    post.at(5)
    for disk in "123":
        post.fire("a", disk=disk, quiet="no" if disk == loud else "yes")
    post.at(60)
    assert post.said()[1:] == ([] if loud is None else [(30, "opened", 2, 0)])


def test_what_ends_while_it_is_silenced_is_never_told() -> None:
    post = Post(AT_ONCE)
    post.silence(600, host="a")
    post.fire("a")
    post.at(300).clear("a")
    post.at(1000)
    assert post.said() == []


def test_moments_that_pass_while_it_is_silenced_are_not_told_later() -> None:
    post = Post(AT_ONCE)
    post.silence(1000, host="a")
    post.fire("a", severity="critical")
    post.at(1100)
    assert post.said() == [(1000, "opened", 1, 0)]


def test_a_rule_that_is_none_of_alerts_is_silenced_by_its_name() -> None:
    when = SequenceWhen((Member("one", EventOf(Match((is_("alertname", "Down"),)))),), HOUR)
    form = IncidentForm(lambda c: "shop", lambda c: "two things", Priority(fixed="P2"))
    post = Post(AT_ONCE, book_rules=(Rule("both", ("host",), when, form),))
    post.silence(600, alertname="both", service="shop", priority="P2", host="a")
    post.fire("a", "b")
    post.at(300)
    assert [incident for _, _, incident, _ in post.said()] == [2]
    post.at(700)
    assert [incident for _, _, incident, _ in post.said()] == [2, 1]


def test_the_end_of_what_was_told_before_the_silence_is_told_at_once() -> None:
    """Nothing fires any more that a silence could be about, whatever kind of rule it was."""
    when = MetricWhen("prom", "q", 30 * SECOND, Bound("above", 1.0), no_data="keep")
    form = IncidentForm(lambda c: "shop", lambda c: "slow", Priority(fixed="P2"))
    post = Post(AT_ONCE, book_rules=(rule("down", "Down"), Rule("slow", ("host",), when, form)))

    def sample(value: float) -> None:
        for query in post.stage.book.queries:
            samples = [Sample({"host": "a"}, value)]
            post.stage.take(MetricPolled("prom", query, post.stage.now, samples, None))

    post.fire("a")
    sample(2.0)
    post.at(100).silence(600, host="a")
    post.clear("a")
    sample(0.0)
    post.at(200)
    assert post.said()[2:] == [(100, "resolved", 1, 0), (100, "resolved", 2, 0)]


def test_a_snoozed_incident_is_quiet_until_then() -> None:
    post = Post(AT_ONCE)
    post.fire("a", severity="critical")
    post.at(10).do("snooze", until=T0 + 2000 * SECOND)
    post.at(5000)
    assert post.said() == [(0, "opened", 1, 0)], "it was announced, and what passed is past"


def test_the_end_of_a_snoozed_incident_is_told_when_the_snooze_ends() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.at(10).do("snooze", until=T0 + 2000 * SECOND)
    post.at(20).clear("a")
    post.at(1900)
    assert post.kinds() == ["opened"]
    post.at(2100)
    assert post.kinds() == ["opened", "resolved"]


def test_an_incident_that_opens_in_maintenance_is_announced_at_its_end_if_it_is_still_open() -> None:
    window = MaintenanceSpec("upgrade", "planned", services=("shop",), start=T0, end=T0 + 3600 * SECOND)
    post = Post(AT_ONCE, maintenance=[window])
    post.fire("a", "b")
    post.at(100).clear("b")
    post.at(5000)
    assert [(at, event, incident) for at, event, incident, _ in post.said()] == [(3600, "opened", 1)]


def test_a_part_of_an_open_incident_is_not_told_of() -> None:
    post = Post()
    post.fire("first")
    post.at(1).fire("child")
    post.at(2).fire("parent")
    post.do("merge", 2, into=3)
    post.at(100)
    assert post.said()[1:] == [(30, "opened", 3, 0)]
    post.clear("parent")
    post.at(200)
    assert post.said()[2:] == [(100, "opened", 2, 0), (130, "resolved", 3, 0)], "what is open comes first"


def test_an_incident_that_stands_alone_again_is_announced() -> None:
    post = Post(AT_ONCE)
    post.silence(10, host="child")
    post.fire("parent")
    post.fire("child")
    post.do("merge", 2, into=1)
    post.at(100)
    assert post.kinds() == ["opened"]
    post.do("unmerge", 2)
    post.at(101)
    assert post.said()[1:] == [(100, "opened", 2, 0)]


def test_a_message_that_cannot_be_written_fails_and_one_that_cannot_be_read_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults: list[Exception] = [OperationalError("SELECT", {}, ConnectionError("closed")), ZeroDivisionError()]

    def fails(*_: object) -> None:
        raise faults[0]

    monkeypatch.setattr(deliveries, "_written", fails)
    message = SimpleNamespace(id=1)
    look = SimpleNamespace(fail=lambda message, why: why)
    with pytest.raises(OperationalError):
        deliveries._frozen(message, None, T0, None, look)  # type: ignore[arg-type]
    faults.pop(0)
    assert deliveries._frozen(message, None, T0, None, look) == "ZeroDivisionError()"  # type: ignore[arg-type, comparison-overlap]
