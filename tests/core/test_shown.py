"""An incident has one shape, wherever it is shown, and a message says in words what one has to know."""

from msgspec.structs import replace

from responder.core.alert import Alert
from responder.core.causes import Cause
from responder.core.desk import Change, ProblemRow
from responder.core.outbox import Part
from responder.core.problem import Problem
from responder.core.shown import event_data, incident_json, problem_json
from responder.core.signal import MINUTE
from responder.core.words import text_of, title_of
from responder.web import views
from tests.core.test_plan import ACKNOWLEDGED, BOOK, CANCELLED, NOW, REOPENED, RESOLVED, incident
from tests.story import Story


def test_a_message_and_the_api_show_the_same_incident() -> None:
    for row in (incident(), incident(ACKNOWLEDGED, RESOLVED), incident(CANCELLED), incident(RESOLVED, REOPENED)):
        terms = BOOK.terms(row.service)
        assert incident_json(row, terms, NOW + MINUTE) == views.incident(row, [], row.alerts_count, terms, NOW + MINUTE)


def test_an_incident_of_a_metric_shows_what_was_seen_when_it_opened() -> None:
    story = Story("""
sources: {prom: {kind: prometheus, url: "http://x"}}
rules:
  - id: slow
    by: []
    when: {metric: {source: prom, query: up == 0, every: 30s, open: {above: 10}, no_data: keep}}
    incident: {service: shop, title: slow}
""")
    story.sample(({}, 20.0))
    story.sample(({}, 30.0))
    row, terms = story.incident(), BOOK.terms("shop")
    seen = {"source": "prom", "query": "up == 0", "value": 20.0, "at": "2026-01-05T00:00:00Z"}
    assert incident_json(row, terms, NOW)["evidence"] == seen
    [opened] = [event for event in story.events if event.kind == "opened"]
    assert event_data(opened)["evidence"] == seen
    assert "Seen: 20 of up == 0 (prom)\n" in text_of(Part("opened", 1, NOW), row, terms, NOW, "http://r")


PROBLEM = Problem(
    id=4, origin="group", title="the disk of db is full", owner="ops", opened_at=NOW, workaround="delete old logs"
)  # fmt: skip


def test_a_message_and_the_api_show_the_same_problem() -> None:
    row = ProblemRow(PROBLEM, (1, 2))
    assert problem_json(row) == views.problem(row)


def test_the_text_names_changes_the_problem_and_the_workaround() -> None:
    row = incident()
    change = Change(1, NOW - MINUTE, "shop", "release", "1.2", "https://ci.example/7")
    text = text_of(
        Part("opened", 1, NOW),
        row,
        BOOK.terms("shop"),
        NOW,
        "http://r",
        changes=[change],
        problem=PROBLEM,
        error=PROBLEM,
    )
    assert "Changed before: release 1.2 at 2026-01-04 23:59:00 UTC https://ci.example/7\n" in text
    assert "Problem: PRB-4 the disk of db is full\nWorkaround: delete old logs\n" in text
    assert "Known error: PRB-4 the disk of db is full\nWorkaround: delete old logs\n" in text


def test_a_root_cause_that_a_person_named_is_not_called_probable() -> None:
    def said(problem: Problem) -> str:
        terms = BOOK.terms("shop")
        return text_of(Part("opened", 1, NOW), incident(), terms, NOW, "http://r", problem=problem).split("Problem: ")[
            1
        ]

    ranked = replace(PROBLEM, causes=(Cause("db", "db", 0.9, ""),))
    assert said(ranked).startswith("PRB-4 the disk of db is full, probably because of db\n")
    named = replace(ranked, root_cause="no rotation of logs")
    assert said(named).startswith("PRB-4 the disk of db is full, because of no rotation of logs\n")


def test_the_title_says_what_happened() -> None:
    row = incident()
    titles = {
        "opened": title_of(Part("opened", 1, NOW), row, 0),
        "stage": title_of(Part("stage", 1, NOW, {"stage": "fix", "owner": "lab"}), row, 0),
        "overdue": title_of(Part("overdue", 1, NOW, {"stage": "fix"}), row, 0),
        "warned": title_of(Part("warned", 1, NOW, {"percent": 75, "target": "response"}), row, 0),
        "breached": title_of(Part("breached", 1, NOW, {"target": "resolution"}), row, 3),
        "cancelled": title_of(Part("resolved", 1, NOW), replace(row, state="cancelled"), 0),
    }
    assert titles == {
        "opened": "[P2] shop: t (INC-1)",
        "stage": "[P2] fix is now with lab: shop: t (INC-1)",
        "overdue": "[P2] fix is overdue: shop: t (INC-1)",
        "warned": "[P2] 75% of the response time is used: shop: t (INC-1)",
        "breached": "[P2] resolution target missed: shop: t (INC-1) (and 3 more)",
        "cancelled": "[P2] cancelled: shop: t (INC-1)",
    }


def test_a_message_of_a_major_incident_says_so_and_who_leads_it() -> None:
    row = replace(incident(), flags=("major",), lead="lea", update_every=30 * MINUTE, news_at=NOW)
    part = Part("breached", 1, NOW, {"target": "resolution"})
    assert title_of(part, row, 0) == "[P2 major] resolution target missed: shop: t (INC-1)"
    text = text_of(part, row, BOOK.terms("shop"), NOW, "http://r")
    assert "\nMajor incident: led by lea, next news before 2026-01-05 00:30:00 UTC\n" in text


def test_the_text_links_to_where_the_alert_was_seen() -> None:
    alert = Alert(1, 1, "am-api", {}, {}, NOW, None, NOW, url="http://prom/graph?g0")
    text = text_of(Part("opened", 1, NOW), incident(), BOOK.terms("shop"), NOW, "http://r", alert=alert)
    assert "\nSeen at: http://prom/graph?g0\n" in text


def test_an_incident_shows_for_whom_it_waits_and_why_it_was() -> None:
    story = Story()
    story.fire()
    terms = BOOK.terms("shop")

    def shown() -> tuple[str | None, str | None]:
        found = incident_json(story.incident(), terms, NOW)
        return found["paused_for"], found["cause"]

    story.command("pause", reason="supplier")
    assert shown() == ("supplier", None)
    assert "\nState: paused for the supplier, stage " in text_of(
        Part("overdue", 1, NOW, {"stage": "fix"}), story.incident(), terms, NOW, "http://r"
    )
    story.command("resume")
    assert shown() == (None, None)
    story.command("pause", reason="customer")
    story.command("resolve", cause="a full disk")
    assert shown() == (None, "a full disk")
    story.command("reopen", reason="not over")
    assert shown() == (None, None)


def test_what_the_title_says_is_not_said_again() -> None:
    said = {"summary": "disk of db is full", "description": "3 GB left of 500"}
    alert = Alert(1, 1, "am-api", {}, said, NOW, None, NOW)
    row = replace(incident(), title="DiskFull: disk of db is full")
    text = text_of(Part("opened", 1, NOW), row, BOOK.terms("shop"), NOW, "http://r", alert=alert)
    assert text.startswith("DiskFull: disk of db is full\n3 GB left of 500\n\nService: shop\n")
