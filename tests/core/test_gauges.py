"""What a scrape shows of problems."""

from responder.core import gauges
from responder.core.book import Book
from responder.core.catalogue import Service
from responder.core.problem import Problem
from responder.core.signal import MINUTE
from responder.handlers.signals import PollFailed
from tests.story import Story, alert

BOOK = Book(services={"order": Service("order", "ops"), "db": Service("db", "ops")})


def test_series_of_configured_services_start_at_zero() -> None:
    zeros = gauges.zeros(BOOK)
    for origin in ("group", "depends", "recur", "manual"):
        assert zeros["problems_opened_total", (("service", "db"), ("origin", origin))] == 0
    assert zeros["incidents_correlated_total", (("service", "db"),)] == 0
    found = gauges.now(BOOK, [], [], 0)
    assert {labels[0][1] for labels in found["problems_unresolved"]} == {"order", "db"}
    assert {labels[1][1] for labels in found["problems_unresolved"]} == {"open", "investigating", "known_error"}
    assert set(found["known_errors_unresolved"].values()) == {0}


RULES = """
sources:
  hook: {kind: webhook, token_env: X, map: {labels: {alertname: name}}}
  prom: {kind: prometheus, url: "http://x", on_failure: {for: 1m, priority: P2, service: shop}}
rules:
  - {id: heard, by: [alertname], when: {event: {match: {labels: {a: b}}}}, incident: {service: shop, title: t}}
  - {id: slow, by: [], when: {metric: {source: prom, query: q, every: 30s, open: {above: 10}, no_data: keep}}, incident: {service: shop, title: t}}
  - {id: quiet, by: [job], when: {absence: {of: {event: {match: {labels: {beat: x}}}}, every: 1m, grace: 1m, expect: [{job: a}]}}, incident: {service: shop, title: t}}
  - {id: both, by: [], when: {count: {of: {rule: heard}, at_least: 1, within: 5m}}, incident: {service: shop, title: t}}
"""


def test_an_incident_of_any_kind_of_rule_counts_on_a_series_that_began_at_zero() -> None:
    story = Story(RULES)
    zeros = {labels for name, labels in gauges.zeros(story.stage.book) if name == "incidents_opened_total"}
    story.push(alert("A", 0, a="b", source="hook"), alert("B", 0, a="b"), alert("C", 0, a="b", source="pagerduty"))
    story.sample(({}, 20.0))
    story.stage.take(PollFailed("prom", story.stage.now, "refused"))
    story.until(5 * MINUTE)
    story.stage.take(PollFailed("prom", story.stage.now, "refused"))
    opened = {row.rule: row.source for row in story.incidents()}
    assert (opened["slow"], opened["quiet"], opened["both"], opened["source:prom"]) == (
        "prom",
        "responder",
        "responder",
        "prom",
    )
    counted = {labels for name, labels in story.stage.resident.facts if name == "incidents_opened_total"}
    assert counted and counted <= zeros


def test_problems_are_counted_by_service_and_state_and_never_named() -> None:
    problems = [
        Problem(1, "depends", "ops", 0, service="order"),
        Problem(2, "depends", "ops", 0, service="order", state="known_error"),
        Problem(3, "manual", "ops", 0, service="order", state="resolved"),
        Problem(4, "recur", "ops", 0, service="from-a-label", state="known_error"),
    ]
    found = gauges.now(BOOK, [], problems, 0)
    order, other = ("service", "order"), ("service", "uncatalogued")
    assert found["problems_unresolved"][order, ("state", "open")] == 1
    assert found["problems_unresolved"][order, ("state", "known_error")] == 1
    assert found["problems_unresolved"][other, ("state", "known_error")] == 1
    assert found["known_errors_unresolved"] == {(order,): 1, (("service", "db"),): 0, (other,): 1}
    names = {name for series in found.values() for labels in series for name, _ in labels}
    assert not names & {"problem", "incident", "id"}
