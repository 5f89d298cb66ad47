"""From signals to incidents: one key, one incident, whatever way and however often its alerts come."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.core.incident import Incident, apply
from responder.core.incident_commands import COMMANDS
from responder.core.lifecycle import Invalid, Refused
from responder.core.signal import HOUR, MINUTE, SECOND, Signal
from responder.handlers.signals import LAPSE
from tests.core.test_lifecycle import ARGS
from tests.shop import HOUSE, Shop, since_start
from tests.story import EACH, Story, alert

METRIC = """
sources: {prom: {kind: prometheus, url: "http://x"}}
rules:
  - id: slow
    by: [region]
    when: {metric: {source: prom, query: q, every: 30s, open: {above: 10, for: 1m}, close: {below: 5}, no_data: keep}}
    incident: {service: shop, title: t, priority: P2}
"""
PROMISED = {"sla_warned", "sla_breached", "stage_overdue"}
"""Told by clocks that were promised to a customer; dated with their true instant, however late they are found."""
POLLED = 'sources: {am: {kind: alertmanager, url: "http://x"}, other: {kind: alertmanager, url: "http://y"}}' + EACH


def test_sixteen_first_alerts_open_one_incident() -> None:
    together, apart = Story(), Story()
    alerts = [alert("A", 0, host=str(n)) for n in range(16)]
    together.push(*alerts)
    for each in alerts:
        apart.push(each)
    for story in (together, apart):
        [row] = story.incidents()
        assert (row.alerts_count, row.firing, story.kinds()) == (16, 16, ["opened"])


def test_the_same_alert_by_push_and_by_poll_is_one() -> None:
    story = Story(POLLED)
    story.push(alert("A", 0, ends=5 * MINUTE))
    for minute in range(1, 10):
        story.until(minute * MINUTE)
        story.poll("am", alert("A", story.now, starts=0, source="am"))
    row = story.incident()
    assert (story.states(), row.alerts_count, row.firing) == (["open"], 1, 1), "a poll that lists it keeps it alive"
    assert story.push(alert("A", story.now, firing=False, starts=0)) == ["accepted"]
    assert story.states() == ["resolved"]


def test_a_resolution_ends_it_unless_another_source_reports_a_later_start() -> None:
    story = Story(POLLED)
    story.push(alert("A", 0))
    story.until(MINUTE)
    story.poll("am", alert("A", MINUTE, starts=MINUTE, source="am"))
    assert story.push(alert("A", MINUTE, firing=False, starts=0, ends=30 * SECOND)) == ["duplicate"]
    assert story.states() == ["open"]


def test_a_resolution_does_not_end_what_another_source_reports_with_a_later_start_whoever_spoke_last() -> None:
    story = Story()
    story.push(alert("A", 0, starts=0, source="grafana"), source="grafana")
    story.until(MINUTE)
    story.push(alert("A", MINUTE, starts=MINUTE))
    story.until(2 * MINUTE)
    assert story.push(alert("A", 0, starts=0, source="grafana"), source="grafana") == ["duplicate"]
    ended = alert("A", 2 * MINUTE, firing=False, starts=0, source="grafana")
    assert story.push(ended, source="grafana") == ["duplicate"]
    assert story.states() == ["open"]
    story.push(alert("A", 2 * MINUTE, firing=False, starts=MINUTE))
    assert story.states() == ["resolved"]


def test_what_a_poll_misses_lapses_at_its_end_or_after_five_minutes() -> None:
    story = Story(POLLED)
    story.poll("am", alert("with", 0, ends=3 * MINUTE, source="am"), alert("without", 0, source="am"))
    story.poll("other", alert("elsewhere", 0, source="other"))
    story.until(MINUTE)
    story.poll("am")
    assert story.states() == ["open"] * 3
    story.until(HOUR)
    ended = {row.title: (row.resolution, story.at(row.resolved_at)) for row in story.incidents()}
    assert ended == {"with": ("expired", 3 * MINUTE), "without": ("expired", MINUTE + LAPSE), "elsewhere": ("", None)}


def test_a_listed_alert_outlives_the_end_that_was_on_it() -> None:
    """The end that an Alertmanager lists moves on with every resend; a poll that fails must not let it lapse."""
    story = Story(POLLED)
    story.poll("am", alert("A", 0, ends=4 * MINUTE, source="am"))
    for _ in range(3):
        story.until(story.now + 10 * MINUTE)
        story.poll_fails("am")
        assert story.states() == ["open"]


def test_a_source_that_is_down_changes_no_rules_state() -> None:
    story = Story(METRIC)
    story.sample(({"region": "eu"}, 50.0))
    story.until(MINUTE)
    story.sample(({"region": "eu"}, 50.0), last_at=30 * SECOND)
    assert story.states() == ["open"]
    states, count = dict(story.stage.resident.states), len(story.events)
    for minute in range(2, 60):
        story.until(minute * MINUTE)
        story.poll_fails("prom")
    assert (story.stage.resident.states, story.states()) == (states, ["open"])
    assert {event.kind for event in story.events[count:]} <= PROMISED, "promised clocks run on; nothing else happens"


def test_a_gap_in_evaluations_restarts_what_is_pending_but_ends_nothing() -> None:
    story = Story(METRIC)
    story.sample(({"region": "eu"}, 50.0))
    story.until(10 * MINUTE)
    story.sample(({"region": "eu"}, 50.0), last_at=0)
    assert story.states() == []
    story.until(11 * MINUTE)
    story.sample(({"region": "eu"}, 50.0), last_at=10 * MINUTE + 30 * SECOND)
    assert story.states() == ["open"]
    story.until(5 * HOUR)
    story.sample(({"region": "eu"}, 7.0), last_at=11 * MINUTE)
    assert story.states() == ["open"], "neither open nor close is met"


def test_messages_out_of_order_and_twice_change_nothing_that_is_over() -> None:
    story = Story()
    fired = alert("A", 0)
    assert story.push(fired, fired) == ["accepted", "duplicate"]
    story.until(MINUTE)
    ended = alert("A", MINUTE, firing=False, starts=0)
    assert story.push(ended, ended, fired) == ["accepted", "duplicate", "duplicate"]
    assert (story.states(), story.kinds()) == (["resolved"], ["opened", "recovered", "resolved"])
    assert story.end("never seen") == "duplicate"
    assert len(story.incidents()) == 1


def test_an_end_that_comes_before_its_beginning_ends_nothing_that_began_later() -> None:
    story = Story()
    story.until(HOUR)
    assert story.push(alert("A", HOUR, firing=False, starts=0, ends=MINUTE)) == ["duplicate"]
    assert story.push(alert("A", HOUR, starts=30 * MINUTE)) == ["accepted"]
    assert story.states() == ["open"]


def test_after_max_age_a_new_incident_opens_and_the_old_one_resolves_with_its_last() -> None:
    story = Story(EACH.replace("by:", "max_age: 1h\n    by:"))
    story.fire(host="old")
    story.until(HOUR)
    story.fire(host="new")
    old, new = story.incidents()
    assert (old.state, old.alerts_count, new.state, new.previous, new.alerts_count) == ("open", 1, "open", 1, 1)
    story.fire(host="newer")
    story.end(host="new")
    story.end(host="newer")
    assert story.states() == ["open", "resolved"]
    story.end(host="old")
    assert story.states() == ["resolved", "resolved"]


def test_an_incident_that_was_over_before_it_was_too_old_closed_when_its_window_had_passed() -> None:
    story = Story(EACH.replace("by:", "max_age: 1h\n    reopen_within: 10m\n    by:"))
    story.fire()
    story.end()
    story.stage.now += 2 * HOUR  # nobody has looked at what was due
    story.fire()
    assert (story.states(), story.at(story.incident().closed_at)) == (["closed", "open"], 10 * MINUTE)


BY_REGION = EACH.replace("[alertname]", "[region]")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_key_whose_incident_was_closed_while_it_fires_hears_its_end_and_the_next_beginning(restarts: bool) -> None:
    story = Story()
    story.fire("A", host="1")
    story.command("resolve")
    story.command("close")
    story.until(MINUTE)
    story.fire("A", host="2")
    assert story.states() == ["closed"], "a repeat joins silently"
    if restarts:
        story.stage.resident.rebuild(story.stage.now)
    story.end("A", host="1")
    story.until(2 * MINUTE)
    story.fire("A", host="3")
    assert story.states() == ["closed"], "it still fires on one host"
    story.end("A", host="2")
    story.end("A", host="3")
    story.until(3 * MINUTE)
    story.fire("A", host="1")
    assert story.states() == ["closed", "open"]
    assert story.incident(2).previous == 1


@pytest.mark.parametrize("missing, count", [("separate", 3), ("skip", 1)])
def test_a_missing_by_label_is_never_a_shared_bucket(missing: str, count: int) -> None:
    story = Story(BY_REGION.replace("by:", f"by_missing: {missing}\n    by:"))
    story.fire("A", region="eu")
    story.fire("A", host="a")
    story.fire("A", host="b")
    story.fire("A", host="b", region="eu")
    rows = story.incidents()
    assert len(rows) == count
    assert rows[0].alerts_count == 2
    if missing == "separate":
        story.end("A", host="a")
        assert story.states() == ["open", "resolved", "open"]


UNCLAIMED = (
    EACH
    + """
  - {id: rest, by: [alertname], unclaimed: true, when: {event: {match: {}}}, incident: {service: shop, title: rest}}
  - {id: seen, by: [], mode: observe, when: {event: {match: {}}}, incident: {service: shop, title: seen}}
"""
)


def test_unclaimed_takes_what_no_other_event_rule_takes() -> None:
    story = Story(UNCLAIMED)
    story.fire("A")
    other = msgspec.structs.replace(alert("B", 0), labels={"alertname": "B"}, identity=7)
    story.push(other)
    assert [(row.rule, row.key["alertname"]) for row in story.incidents()] == [("each", "A"), ("rest", "B")]


def test_an_alert_counts_for_every_rule_it_matches() -> None:
    story = Story(
        EACH
        + """
  - {id: host, by: [host], when: {event: {match: {labels: {host: {exists: true}}}}}, incident: {service: shop, title: h}}
"""
    )
    story.fire("A", host="x")
    story.fire("B", host="x")
    assert [(row.rule, row.alerts_count) for row in story.incidents()] == [("each", 1), ("host", 2), ("each", 1)]
    story.end("A", host="x")
    story.end("B", host="x")
    assert set(story.states()) == {"resolved"}


def test_an_alert_that_says_a_later_start_is_another_occurrence() -> None:
    story = Story()
    story.fire(starts=0)
    story.until(MINUTE)
    story.fire(starts=MINUTE)
    row = story.incident()
    assert (row.alerts_count, row.firing, story.states()) == (2, 1, ["open"])
    story.end()
    assert story.states() == ["resolved"]


# Properties.

NAMES, HOSTS = st.sampled_from("AB"), st.sampled_from("xy")


@st.composite
def signals(draw: Callable[..., Any], now: int) -> Signal:
    starts = draw(st.integers(max(0, now - 3), now)) * MINUTE
    more: dict[str, Any] = {
        "starts": starts,
        "host": draw(HOSTS),
        "severity": draw(st.sampled_from(["critical", "info"])),
    }
    name = draw(NAMES)
    if draw(st.booleans()):
        ends = draw(st.none() | st.integers(1, 10).map(lambda m: (now + m) * MINUTE))
        return alert(name, now * MINUTE, ends=ends, **more)
    return alert(name, now * MINUTE, firing=False, ends=draw(st.integers(starts // MINUTE, now)) * MINUTE, **more)


def batches(now: int) -> st.SearchStrategy[list[Signal]]:
    return st.lists(signals(now), min_size=1, max_size=6)


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def picture(story: Story) -> Any:
    """Return everything about the incidents that does not depend on how often they were spoken of."""
    return [msgspec.structs.replace(row) for row in story.incidents()]


@quick
@given(st.data())
def test_resending_a_batch_changes_nothing(data: st.DataObject) -> None:
    story = Story()
    for minute in range(4):
        story.until(minute * MINUTE)
        batch = data.draw(batches(minute))
        # what one batch says twice about one alert is not resent by any sender: its newest word stands
        batch = list({signal.identity: signal for signal in batch}.values())
        story.push(*batch)
        before, count = picture(story), len(story.events)
        assert set(story.push(*batch)) == {"duplicate"}
        assert (picture(story), len(story.events)) == (before, count)


@quick
@given(st.data())
def test_splitting_a_batch_changes_nothing(data: st.DataObject) -> None:
    whole, split = Story(), Story()
    for minute in range(4):
        batch = data.draw(batches(minute))
        for story in (whole, split):
            story.until(minute * MINUTE)
        results = whole.push(*batch)
        assert results == [split.push(signal)[0] for signal in batch]
    assert picture(whole) == picture(split)
    assert whole.events == split.events


@quick
@given(st.data())
def test_an_incident_is_the_fold_of_its_events(data: st.DataObject) -> None:
    """Random signals, commands and time; never two taking incidents of a key, never an instant that goes back."""
    story = Story(EACH.replace("by:", "max_age: 2h\n    by:"))
    minute = 0
    for _ in range(data.draw(st.integers(1, 12))):
        minute += data.draw(st.sampled_from([0, 1, 3, 29, 30, 31, 125]))
        story.until(minute * MINUTE)
        if data.draw(st.booleans()):
            story.push(*data.draw(batches(minute)))
        elif story.incidents():
            number = data.draw(st.integers(1, len(story.incidents())))
            name = data.draw(st.sampled_from(sorted(COMMANDS)))
            try:
                story.command(name, number, **ARGS.get(name, {}))
            except (Refused, Invalid):
                pass
    check(story)
    story.until(minute * MINUTE + 10 * HOUR)
    check(story)


FOLDED = tuple(
    f for f in Incident.__struct_fields__ if f not in ("common", "alerts_count", "firing", "alarmed_at", "started_at")
)


def check(story: Story) -> None:
    folded: dict[int, Incident] = {}
    for event in story.events:
        if event.subject_kind == "incident":
            before = folded.get(event.subject)
            assert before is None or event.at >= before.last_at or event.kind in PROMISED, event
            folded[event.subject] = apply(before, event)
    rows = story.incidents()
    assert len(rows) == len(folded)
    taking = [(row.rule, row.key_hash) for row in rows if row.taking]
    assert len(taking) == len(set(taking))
    for row in rows:
        for field in FOLDED:
            assert getattr(row, field) == getattr(folded[row.id], field), field
        firing = [a for a in story.stage.resident.alerts.values() if any(j.incident == row.id for j in a.joined)]
        assert row.firing == len(firing)
        assert row.holds or not firing or row.rule is None
        instants = [row.opened_at, row.resolved_at or row.opened_at, row.closed_at or row.last_at]
        assert instants == sorted(instants) and row.started_at <= row.opened_at


def test_a_text_that_cannot_be_filled_is_shown_on_its_rule_until_one_can() -> None:
    story = Story(METRIC.replace("title: t", 'title: "{{ key.region }}: {{ 10 / (value - 20) }}"'))
    tally = story.stage.book.tally
    for minute, value in enumerate((20.0, 20.0, 20.0)):
        story.until(minute * MINUTE)
        story.sample(({"region": "eu"}, value), last_at=None if not minute else (minute - 1) * MINUTE)
    assert [row.title for row in story.incidents()] == ["slow: region=eu"]
    assert (tally.failures["slow"], [*tally.unfilled]) == (1, ["slow"])
    for minute, value in ((4, 30.0), (5, 30.0)):
        story.until(minute * MINUTE)
        story.sample(({"region": "us"}, value), ({"region": "eu"}, 20.0), last_at=(minute - 1) * MINUTE)
    assert ([row.title for row in story.incidents()][1:], tally.unfilled) == (["us: 1"], {})


def test_a_worse_alert_is_rated_by_the_same_templates() -> None:
    story = Story(EACH.replace("[alertname]", "[tier]").replace('}}"}', '}}", impact: "{{ key.tier }}", urgency: low}'))
    for name in ("A", "B"):
        story.fire(name, tier="low", severity="critical")
    assert (story.states(), story.incident().priority) == (["open"], "P5")


def test_a_breach_that_no_tick_has_seen_is_told_before_a_worse_alert_brings_another_target() -> None:
    shop = Shop()
    shop.fire(severity="error", host="1")
    shop.until(29 * MINUTE)
    shop.now += 2 * MINUTE
    shop.fire(severity="critical", host="2")
    late = [
        (event.kind, since_start(event.at)) for event in shop.events if event.kind in PROMISED | {"priority_changed"}
    ]
    assert late[1:3] == [("sla_breached", 30 * MINUTE), ("stage_overdue", 30 * MINUTE)]
    assert late[3] == ("priority_changed", 31 * MINUTE)


def test_a_limit_that_no_tick_has_seen_is_told_before_the_last_alert_of_a_former_incident_ends_it() -> None:
    shop = Shop(house=HOUSE.replace('alertname }}"}', 'alertname }}"}\n    max_age: 10m'))
    shop.fire(severity="error", host="1")
    shop.until(11 * MINUTE)
    shop.fire(severity="error", host="2")
    shop.until(29 * MINUTE)
    shop.now += 2 * MINUTE
    shop.end(severity="error", host="1")
    assert [since_start(event.at) for event in shop.of_kind("stage_overdue")] == [30 * MINUTE]
    assert shop.kinds()[-4:] == ["sla_breached", "stage_overdue", "recovered", "resolved"]


def test_recovered_at_is_when_the_condition_cleared_and_resolved_at_when_we_accepted_that() -> None:
    story = Story()
    story.fire(starts=0)
    story.until(10 * MINUTE)
    story.push(alert("A", story.now, firing=False, starts=0, ends=8 * MINUTE))
    row = story.incident()
    assert (story.at(row.recovered_at), story.at(row.resolved_at)) == (8 * MINUTE, 10 * MINUTE)


def test_an_end_from_before_the_incident_opened_does_not_go_back_behind_it() -> None:
    story = Story()
    story.until(5 * MINUTE)
    story.fire(starts=0)
    story.until(10 * MINUTE)
    story.push(alert("A", story.now, firing=False, starts=0, ends=MINUTE))
    row = story.incident()
    assert (story.at(row.opened_at), story.at(row.recovered_at)) == (5 * MINUTE, 5 * MINUTE)


def test_started_at_is_the_earliest_start_of_its_alerts() -> None:
    story = Story()
    story.until(5 * MINUTE)
    story.fire(host="1", starts=4 * MINUTE)
    story.fire(host="2", starts=MINUTE)
    story.fire(host="3", starts=3 * MINUTE)
    assert story.at(story.incident().started_at) == MINUTE


TOGETHER = """
rules:
  - id: both
    by: []
    reopen_within: 0s
    when: {all: {of: [{event: {match: {labels: {alertname: A}}}}, {event: {match: {labels: {alertname: B}}}}], within: 1h}}
    incident: {service: shop, title: both, priority: P2}
"""


def test_an_alert_that_joined_a_former_incident_of_a_condition_closes_the_next_one() -> None:
    story = Story(TOGETHER)
    story.fire("B")
    story.fire("A")
    story.end("B")
    story.until(MINUTE)
    story.fire("B")
    assert story.states() == ["closed", "open"]
    story.end("A")
    assert story.states() == ["closed", "resolved"], "the first member that ends closes it"


FED = """
rules:
  - {id: deployed, by: [], when: {event: {match: {labels: {alertname: Deploy}}}}}
  - {id: failing, by: [], max_age: 10m, when: {event: {match: {labels: {alertname: Failing}}}}, incident: {service: shop, title: failing}}
  - id: both
    by: []
    when: {all: {of: [{rule: failing}, {rule: deployed}], within: 1h}}
    incident: {service: shop, title: "{{ steps | length }}", priority: P2}
"""


def test_a_momentary_alert_is_momentary_to_the_rules_that_refer_to_its_rule() -> None:
    story = Story(FED)
    story.fire("Failing")
    story.fire("Deploy", momentary="id-1")
    assert story.states() == ["open", "open"], "both hold until it no longer fails"
    story.end("Failing")
    assert story.states() == ["resolved", "resolved"]


@pytest.mark.parametrize("momentary", ["", "id-2"])
def test_what_a_too_old_incident_hands_over_is_neither_an_end_nor_a_beginning_to_other_rules(momentary: str) -> None:
    story = Story(FED)
    story.fire("Failing", host="1")
    story.fire("Deploy", momentary="id-1")
    story.until(11 * MINUTE)
    story.fire("Failing", host="2", momentary=momentary)
    if not momentary:
        assert story.states() == ["open", "open", "open"]
        story.end("Failing", host="2")
    assert story.states() == ["open", "resolved", "resolved"], "an edge for each edge: nothing is counted for ever"
    story.end("Failing", host="1")
    assert story.states() == ["resolved"] * 3


def test_an_incident_that_opens_because_the_one_before_is_too_old_is_considered_for_problems() -> None:
    same = "problems: [{id: same, owner: ops, group: {same: [service], at_least: 2, within: 1h}}]"
    story = Story(EACH.replace("by: [alertname]", "by: [service]\n    max_age: 10m") + same)
    story.fire(host="1")
    story.until(11 * MINUTE)
    story.fire(host="2")
    assert [len(row.incidents) for row in story.stage.problems()] == [2]


FLAPPING = """
rules:
  - id: flaps
    by: [host]
    when: {flapping: {of: {event: {match: {}}}, start: {changes: 2, within: 5m}, stop: {changes: 0, within: 5m}}}
    incident: {service: shop, title: flaps, priority: P3}
"""


def test_the_end_of_an_alert_that_fired_for_long_is_a_change() -> None:
    story = Story(FLAPPING)
    story.fire(host="1")
    story.until(HOUR)
    story.end(host="1")
    assert story.states() == []
    story.until(HOUR + MINUTE)
    story.fire(host="1")
    assert story.states() == ["open"]
    story.until(3 * HOUR)
    story.end(host="1")
    story.until(3 * HOUR + MINUTE)
    story.fire(host="1")
    assert story.states() == ["closed", "open"]


def test_a_worse_momentary_alert_raises_the_incident_that_it_reopens() -> None:
    story = Story()
    story.fire(momentary="id-1")
    story.fire(momentary="id-2", severity="critical")
    assert (story.states(), story.incident().reopened, story.incident().priority) == (["resolved"], 1, "P1")


ABSORBING = """
rules:
  - {id: down, by: [host], when: {event: {match: {}}}, incident: {service: shop, title: down}}
  - id: many-down
    by: []
    when: {count: {of: {rule: down}, at_least: 2, within: 10m}}
    absorbs: [down]
    incident: {service: shop, title: many, priority: P1}
"""


def test_what_feeds_an_absorbing_rule_becomes_a_child_while_the_parent_is_open() -> None:
    story = Story(ABSORBING)
    for minute, host in enumerate("abcd"):
        story.until(minute * MINUTE)
        story.fire(host=host)
    assert [(row.rule, row.parent) for row in story.incidents()] == [
        ("down", 3), ("down", 3), ("many-down", None), ("down", 3), ("down", 3),
    ]  # fmt: skip
    story.command("resolve", 3)
    story.fire(host="e")
    assert story.incident(6).parent is None, "its parent is over"


def test_what_was_cancelled_absorbs_nothing_when_its_condition_returns() -> None:
    story = Story(ABSORBING)
    story.fire(host="a")
    story.fire(host="b")
    story.command("cancel", 3, reason="exercise")
    story.until(11 * MINUTE)
    story.fire(host="c")
    story.fire(host="d")
    assert [(row.rule, row.parent) for row in story.incidents()[2:]] == [
        ("many-down", None),
        ("down", None),
        ("down", None),
    ]


def test_a_rule_that_observes_ends_no_alert_that_other_rules_hear() -> None:
    observing = "  - {id: tried, by: [], mode: observe, when: {event: {match: {}, expire: 10m}}, incident: {service: shop, title: t}}"
    story = Story(EACH + observing)
    story.fire()
    story.until(HOUR)
    assert story.states() == ["open"]
