"""A configuration is loaded again: what its rules knew of alerts that fire, and what they do not know."""

import pytest

from responder.core import reloading
from responder.core.signal import HOUR, MINUTE
from responder.handlers import upkeep
from responder.handlers.commands import Loaded
from responder.house import book_of
from tests.config.kit import load
from tests.story import EACH, HOUSE, Story, alert

OTHER = EACH.replace("each", "other").replace("service: shop}}}}", "service: nothing}}}}")
FINER = EACH.replace("[alertname]", "[alertname, service]")
POLLS = 'sources: {am: {kind: alertmanager, url: "http://y"}}'


def reload(story: Story, rules: str) -> None:
    """Put other rules in force as the daemon does: end, load, offer what fires and what holds."""
    loaded = load(HOUSE + rules)
    assert loaded.settings is not None, loaded.errors
    stage, book = story.stage, book_of(loaded.settings)
    resident = stage.resident
    heard = reloading.heard_from_now_on(stage.book, book)
    book.posted, stage.book = resident.windows, book
    resident.forget_rests()
    gone = reloading.gone(book, resident.states.values())
    stage.take(Loaded("", gone, (), reloading.unpromised(book, resident.sources.values())))
    waiting = [key for key, row in resident.states.items() if reloading.waits(book.rules.get(row.rule), row)]
    stage.take(upkeep.Offer([a.identity for a in resident.alerts.values() if not a.ended], waiting, heard))


def shown(story: Story) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.state, row.flags) for row in story.incidents()]


def test_a_rule_that_was_gone_for_a_while_takes_what_still_fires() -> None:
    story = Story()
    story.fire()
    story.until(MINUTE)
    reload(story, OTHER)
    assert shown(story) == [("open", ("orphaned",))]
    reload(story, EACH)
    assert shown(story) == [("open", ("orphaned",)), ("open", ())]
    story.end()
    assert shown(story) == [("open", ("orphaned",)), ("resolved", ())]


def test_a_key_that_changed_and_changed_back_takes_what_still_fires() -> None:
    story = Story()
    story.fire()
    reload(story, FINER)
    reload(story, EACH)
    assert shown(story) == [("open", ("orphaned",)), ("open", ("orphaned",)), ("open", ())]


def test_a_key_whose_incident_was_cancelled_opens_another_when_its_rule_comes_back() -> None:
    story = Story()
    story.fire()
    story.command("cancel", reason="false_positive")
    reload(story, OTHER)
    reload(story, EACH)
    story.fire("A", n="2")
    assert shown(story) == [("cancelled", ()), ("open", ())]
    story.until(24 * HOUR)
    assert [row.taking for row in story.incidents()] == [False, True]


def test_a_rule_without_an_incident_counts_an_alert_once_after_it_was_gone() -> None:
    feeder = EACH.rpartition("    incident")[0]
    story = Story(feeder)
    story.fire()
    reload(story, OTHER)
    reload(story, feeder)
    [state] = [row.state for (rule, _), row in story.stage.resident.states.items() if rule == "each"]
    assert (state.phase, state.firing) == ("open", 1)
    [known] = story.stage.resident.alerts.values()
    assert len(known.joined) == 1


def test_loading_the_same_rules_again_changes_nothing() -> None:
    story = Story()
    story.fire()
    reload(story, EACH)
    assert shown(story) == [("open", ())]
    assert story.incident().alerts_count == 1


def test_alerts_of_a_source_that_is_not_polled_any_more_lapse() -> None:
    story = Story(POLLS + EACH)
    story.poll("am", alert("A", 0, source="am", ends=4 * MINUTE))
    story.until(MINUTE)
    reload(story, EACH)
    story.until(5 * MINUTE)
    assert story.states() == ["resolved"]
    assert story.at(story.incident().resolved_at) == 4 * MINUTE


OBSERVED = EACH.replace("    by:", "    mode: observe\n    by:")
FEEDER = EACH.rpartition("    incident")[0]


@pytest.mark.parametrize("before", [OBSERVED, FEEDER])
def test_a_rule_that_opens_incidents_from_now_on_opens_them_for_what_fires(before: str) -> None:
    story = Story(before)
    story.fire("A")
    story.fire("A", instance="two")
    story.until(MINUTE)
    reload(story, EACH)
    row = story.incident()
    assert (row.title, row.state, row.alerts_count, row.firing, story.at(row.opened_at)) == ("A", "open", 2, 2, MINUTE)
    reload(story, EACH)
    assert story.incident().alerts_count == 2
    story.end("A")
    assert story.states() == ["open"]
    story.end("A", instance="two")
    assert story.states() == ["resolved"]


def test_what_a_person_closed_while_it_fires_stays_closed_over_reloads() -> None:
    story = Story()
    story.fire()
    story.command("resolve")
    story.command("close")
    reload(story, EACH)
    assert story.states() == ["closed"]


def test_a_rule_that_goes_back_to_notify_opens_for_what_began_meanwhile() -> None:
    story = Story()
    story.fire()
    story.end()
    story.until(2 * HOUR)
    reload(story, OBSERVED)
    story.fire()
    assert story.states() == ["closed"]
    reload(story, EACH)
    assert story.states() == ["closed", "open"]


COUNTS = """
  - id: often
    by: []
    MODE
    when: {count: {of: {rule: each}, at_least: 2, within: 1h}}
    incident: {service: shop, title: "{{ count }} of them", priority: P2}
  - id: twice
    by: []
    when: {count: {of: {rule: often}, at_least: 2, within: 1h}}
    incident: {service: shop, title: "twice"}
"""


def test_a_key_without_alerts_of_its_own_opens_at_the_reload_and_feeds_no_rule_again() -> None:
    story = Story(FEEDER + COUNTS.replace("MODE", "mode: observe"))
    story.fire("A")
    story.fire("B")
    story.until(MINUTE)
    assert story.states() == []
    reload(story, FEEDER + COUNTS.replace("MODE", "mode: notify"))
    [row] = story.incidents()
    assert (row.rule, row.title, row.priority, row.state) == ("often", "2 of them", "P2", "open")
    story.until(HOUR)
    assert story.states() == ["resolved"]


METRIC = """
sources: {prom: {kind: prometheus, url: "http://x"PROMISE}}
rules:
  - id: slow
    by: [region]
    MODE
    when: {metric: {source: prom, query: q, every: 1m, open: {above: 1}, close: {below: 1, for: 5m}, no_data: keep}}
    incident: {service: shop, title: "{{ key.region }} {{ value }}"}
"""


def metric(mode: str = "notify", promise: str = "") -> str:
    return METRIC.replace("MODE", f"mode: {mode}").replace("PROMISE", promise)


@pytest.mark.parametrize("closing", [False, True])
def test_a_metric_that_holds_opens_at_the_reload_and_resolves_as_ever(closing: bool) -> None:
    story = Story(metric("observe"))
    story.sample(({"region": "eu"}, 5.0))
    story.until(MINUTE)
    story.sample(({"region": "eu"}, 0.0 if closing else 7.0))
    reload(story, metric())
    [row] = story.incidents()
    assert (row.title, row.state, row.source) == ("eu 5", "open", "prom")
    for minute in range(2, 9):
        story.until(minute * MINUTE)
        story.sample(({"region": "eu"}, 0.0), last_at=(minute - 1) * MINUTE)
    assert story.states() == ["resolved"]


PROMISE = ", on_failure: {for: 1m, priority: P2, service: shop}"


def failed() -> Story:
    story = Story(metric(promise=PROMISE))
    for minute in (0, 1):
        story.until(minute * MINUTE)
        story.poll_fails("prom")
    assert shown(story) == [("open", ())]
    return story


def test_the_incident_of_a_source_that_is_gone_is_left_to_a_person() -> None:
    story = failed()
    reload(story, EACH)
    assert shown(story) == [("open", ("orphaned",))]
    reload(story, EACH)
    assert story.kinds().count("orphaned") == 1
    reload(story, metric(promise=PROMISE))  # it is back, and fails anew
    for minute in (2, 3):
        story.until(minute * MINUTE)
        story.poll_fails("prom")
    assert shown(story) == [("open", ("orphaned",)), ("open", ())]


def test_the_incident_of_a_source_that_promises_none_any_more_resolves_when_it_answers() -> None:
    story = failed()
    reload(story, metric())
    assert shown(story) == [("open", ("orphaned",))]
    story.until(2 * MINUTE)
    story.poll_fails("prom")
    assert shown(story) == [("open", ("orphaned",))]
    story.sample()
    assert shown(story) == [("resolved", ("orphaned",))]
    reload(story, metric())
    assert story.kinds().count("orphaned") == 1


def test_an_incident_that_a_person_resolved_does_not_return_because_its_source_answers() -> None:
    story = failed()
    reload(story, metric())
    story.command("resolve")
    story.sample()
    assert story.states() == ["resolved"] and "reopened" not in story.kinds()


def test_alerts_whose_incident_lost_its_rule_are_counted_once_by_the_key_that_takes_its_place() -> None:
    story = Story()
    story.fire()
    story.fire(n="2")
    reload(story, FINER)
    reload(story, OBSERVED)
    story.end()
    [state] = [row.state for (rule, _), row in story.stage.resident.states.items() if rule == "each"]
    assert (state.phase, state.firing) == ("open", 1)


def test_what_still_fires_of_an_incident_that_a_person_closed_joins_the_one_that_a_rule_opens_from_now_on() -> None:
    story = Story()
    story.fire()
    story.command("resolve")
    story.command("close")
    story.fire(n="2")
    reload(story, OBSERVED)
    reload(story, EACH)
    assert [(row.state, row.alerts_count, row.firing) for row in story.incidents()] == [
        ("closed", 1, 0),
        ("open", 2, 2),
    ]
    story.end()
    assert story.states() == ["closed", "open"]
    story.end(n="2")
    assert story.states() == ["closed", "resolved"]


BOTH = """
  - id: both
    by: [service]
    when: {all: {within: 10m, of: [{rule: each}, {event: {match: {labels: {alertname: B}}}}]}}
    incident: {service: shop, title: both}
"""


def test_a_rule_that_waits_for_the_end_of_a_key_that_is_gone_begins_anew() -> None:
    story = Story(EACH + BOTH)
    story.fire("A")
    story.fire("B")
    reload(story, FINER + BOTH)
    [former] = [row for row in story.incidents() if row.rule == "both"]
    assert (former.state, former.flags) == ("open", ("orphaned",))
    for tell in (story.end, story.fire):
        tell("A")
        tell("B")
        story.until(story.now + MINUTE)
    assert [row.state for row in story.incidents() if row.rule == "both"] == ["open", "open"]
    story.end("B")
    assert [row.state for row in story.incidents() if row.rule == "both"] == ["open", "resolved"]
