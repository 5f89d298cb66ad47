"""A configuration is loaded again: what its rules knew of alerts that fire, and what they do not know."""

from responder.core.signal import MINUTE
from responder.handlers import upkeep
from responder.handlers.commands import Loaded
from responder.house import book_of
from tests.config.kit import load
from tests.story import EACH, HOUSE, Story, alert

OTHER = EACH.replace("each", "other").replace("service: shop}}}}", "service: nothing}}}}")
FINER = EACH.replace("[alertname]", "[alertname, service]")
POLLS = 'sources: {am: {kind: alertmanager, url: "http://y"}}'


def reload(story: Story, rules: str) -> None:
    """Put other rules in force as the daemon does: end, load, offer what fires."""
    loaded = load(HOUSE + rules)
    assert loaded.settings is not None, loaded.errors
    stage, book = story.stage, book_of(loaded.settings)
    states = stage.resident.states.values()
    gone = {s.rule for s in states if s.rule not in book.rules or book.rules[s.rule].digest != s.digest}
    book.posted, stage.book = stage.resident.windows, book
    stage.resident.forget_rests()
    stage.take(Loaded("", tuple(gone)))
    stage.take(upkeep.Offer([a.fp for a in stage.resident.alerts.values() if not a.ended]))


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
