"""What a scrape shows of problems."""

from responder.core import gauges
from responder.core.book import Book
from responder.core.catalogue import Service
from responder.core.problem import Problem

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
