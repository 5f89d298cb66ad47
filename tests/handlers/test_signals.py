"""What comes of signals that arrive together."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from responder.core import engine
from responder.core.conditions.state import Closed, Opened
from responder.core.desk import Desk
from responder.core.signal import MINUTE, SECOND, Signal
from responder.handlers.signals import AlertsPolled, MetricPolled, PollFailed, Pushed, alerts_polled, pushed
from responder.web import views
from tests.story import EACH, START, Story, alert

POLLED = 'sources: {am: {kind: alertmanager, url: "http://x"}}' + EACH


def polled(story: Story, *signals: Signal, careful: bool = False) -> list[str]:
    desk = Desk(story.stage.resident)
    item = AlertsPolled("am", story.stage.now, signals)
    return list(alerts_polled(item, desk, story.stage.book, story.stage.now, careful))


def test_a_poll_says_what_became_of_each_alert() -> None:
    story = Story(POLLED)
    story.poll("am", alert("A", 0, source="am"))
    story.until(MINUTE)
    again, new = alert("A", MINUTE, starts=0, source="am"), alert("B", MINUTE, source="am")
    assert polled(story, again, new) == ["duplicate", "accepted"]


def test_an_alert_of_a_poll_that_cannot_be_decided_fails_none_of_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = engine.take_signal

    def fails(desk: Any, book: Any, signal: Signal, now: int, **options: Any) -> Any:
        if signal.labels["alertname"] == "bad":
            raise ZeroDivisionError
        return take(desk, book, signal, now, **options)

    monkeypatch.setattr(engine, "take_signal", fails)
    alerts = [alert(name, 0, source="am") for name in ("A", "bad", "C")]
    assert polled(Story(POLLED), *alerts, careful=True) == ["accepted", "rejected", "accepted"]


TWO = (
    EACH
    + """
  - id: broken
    by: [alertname]
    when: {event: {match: {labels: {service: shop}}}}
    incident: {service: shop, title: "{{ labels.alertname }}"}
  - id: often
    by: []
    when: {count: {of: {rule: each}, at_least: 2, within: 1h}}
    incident: {service: shop, title: "often"}
"""
)


def breaks(monkeypatch: pytest.MonkeyPatch, rule: str, told: type) -> None:
    """Have that rule raise whenever it is told that."""
    advance = engine._advance

    def fails(desk: Any, book: Any, of: Any, row: Any, what: Any, cause: Any) -> Any:
        if of.id == rule and isinstance(what, told):
            raise ZeroDivisionError("the rule is broken")
        return advance(desk, book, of, row, what, cause)

    monkeypatch.setattr(engine, "_advance", fails)


def rules_of(story: Story) -> list[tuple[str | None, str]]:
    return [(row.rule, row.state) for row in story.stage.resident.incidents.values()]


def failures_of(story: Story) -> dict[str, int]:
    return dict(story.stage.book.tally.failures)


def careful(story: Story, *signals: Signal) -> list[str]:
    """Take signals as the intake does after they failed together."""
    desk = Desk(story.stage.resident)
    results: list[str] = [*pushed(Pushed("am-api", signals), desk, story.stage.book, story.stage.now, True)]
    story.stage.resident.apply(desk)
    return results


@pytest.mark.parametrize("where", ["_advance", "take_signal"])
def test_what_the_store_could_not_read_is_no_fault_of_the_rule(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OperationalError("SELECT", {}, ConnectionError("server closed the connection"))

    monkeypatch.setattr(engine, where, fails)
    story = Story(TWO)
    with pytest.raises(OperationalError):
        careful(story, alert("A", 0))
    assert failures_of(story) == {}


def test_a_rule_that_fails_on_an_alert_harms_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(TWO)
    breaks(monkeypatch, "broken", Opened)
    assert careful(story, alert("A", 0), alert("B", 0)) == ["accepted", "accepted"]
    assert rules_of(story) == [("each", "open"), ("each", "open"), ("often", "open")]
    assert failures_of(story) == {"broken": 2}
    assert "the rule is broken" in story.stage.book.tally.last_error["broken"]
    assert careful(story, alert("A", MINUTE, firing=False, starts=0)) == ["accepted"]
    assert rules_of(story)[0] == ("each", "resolved")


def test_a_rule_that_fails_on_the_edge_of_another_harms_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(TWO)
    breaks(monkeypatch, "often", Opened)
    careful(story, alert("A", 0))
    assert rules_of(story) == [("each", "open"), ("broken", "open")]
    assert failures_of(story) == {"often": 1}


def test_an_alert_that_lapses_ends_for_all_rules_but_the_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(TWO)
    story.fire(ends=5 * MINUTE)
    breaks(monkeypatch, "broken", Closed)
    story.until(10 * MINUTE)
    assert rules_of(story) == [("each", "resolved"), ("broken", "open")]
    assert failures_of(story) == {"broken": 1}


def test_a_source_that_answers_again_resolves_its_incident_when_we_learn_of_it() -> None:
    story = Story(
        """
sources: {prom: {kind: prometheus, url: "http://x", on_failure: {for: 1m, priority: P2, service: shop}}}
rules:
  - id: asked
    by: []
    when: {metric: {source: prom, query: q, every: 1m, open: {above: 1}, no_data: keep}}
"""
    )
    for minute in (0, 1):
        story.until(minute * MINUTE)
        story.poll_fails("prom")
    assert story.states() == ["open"]
    story.until(2 * MINUTE + 5 * SECOND)
    [query] = story.stage.book.queries
    story.stage.take(MetricPolled("prom", query, START + 2 * MINUTE, []))
    row = story.incident()
    assert (story.at(row.recovered_at), story.at(row.resolved_at)) == (2 * MINUTE, 2 * MINUTE + 5 * SECOND)


ASKED = """
sources: {prom: {kind: prometheus, url: "http://x", on_failure: {for: 0s, priority: P2, service: shop}}}
rules:
  - id: good
    by: []
    when: {metric: {source: prom, query: up, every: 1m, open: {above: 1}, no_data: keep}}
  - id: bad
    by: []
    when: {metric: {source: prom, query: "up and", every: 1m, open: {above: 1}, no_data: keep}}
  - id: bad-too
    by: []
    when: {metric: {source: prom, query: "up and", every: 1m, open: {above: 9}, no_data: keep}}
"""


def health(story: Story) -> dict[str, tuple[str, str | None, int]]:
    shown = views.rules(story.stage.book, [])
    return {id: (rule["health"], rule["last_error"], rule["failures"]) for id, rule in shown.items()}


def test_a_query_that_is_refused_is_a_failure_of_every_rule_that_asks_it_until_it_is_answered() -> None:
    story = Story(ASKED)
    [bad] = [query for query in story.stage.book.queries if query.text == "up and"]
    story.stage.take(PollFailed("prom", story.stage.now, "http://x refuses the query: parse error", bad, refused=True))
    failing = ("failing", "http://x refuses the query: parse error", 1)
    assert health(story) == {"good": ("ok", None, 0), "bad": failing, "bad-too": failing}
    assert story.incident().title == "polls of prom fail: http://x refuses the query: parse error"
    story.sample()
    assert health(story)["bad"] == ("ok", None, 1)


def test_that_a_source_is_away_is_no_failure_of_its_rules_and_shown_on_them() -> None:
    story = Story(ASKED)
    for query in story.stage.book.queries:
        story.stage.take(PollFailed("prom", story.stage.now, "cannot reach http://x", query))
    assert set(health(story).values()) == {("unknown", "cannot reach http://x", 0)}
    story.sample()
    assert set(health(story).values()) == {("ok", None, 0)}
