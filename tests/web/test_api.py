"""/api/v1 over a real store: what is shown, what is commanded, and what mistakes get."""

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute

from responder.core.signal import HOUR, MINUTE, SECOND
from responder.web import bodies
from tests.web.conftest import Client, House

FIELDS = {
    "id", "version", "rule", "key", "service", "title", "state", "stage", "owner", "priority", "impact", "urgency",
    "started_at", "opened_at", "acknowledged_at", "recovered_at", "resolved_at", "closed_at", "reopened", "flags",
    "labels", "alerts", "alerts_count", "parent", "previous", "problem", "changes", "known_error", "sla",
}  # fmt: skip
"""SPEC 6."""


def ids(api: Client, query: str = "") -> list[str]:
    return [item["id"] for item in api.get(f"/api/v1/incidents{query}").json()["items"]]


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert {"type", "title", "detail"} <= body.keys()
    return body


# What is shown.


def test_an_incident_has_every_field_of_the_contract(api: Client) -> None:
    api.fire("a", job="node")
    api.house.advance(10 * SECOND)
    shown = api.get("/api/v1/incidents/INC-1").json()
    assert shown.keys() >= FIELDS
    assert shown["key"] == {"instance": "a"}
    assert shown["labels"] == {"alertname": "HostDown", "instance": "a", "job": "node"}
    assert shown["opened_at"] == "2026-01-05T00:00:00Z"
    assert shown["acknowledged_at"] is None
    assert shown["sla"]["response"] == {
        "target_s": 1800, "elapsed_s": 10, "due_at": "2026-01-05T00:30:00Z", "breached_at": None, "state": "running"
    }  # fmt: skip
    [alert] = shown["alerts"]
    assert alert == {
        "fingerprint": alert["fingerprint"], "status": "firing", "starts_at": "2026-01-05T00:00:00Z", "ends_at": None,
        "labels": {"alertname": "HostDown", "instance": "a", "job": "node"}, "annotations": {"summary": "down"},
        "url": "http://prometheus/graph", "source": "am-api",
    }  # fmt: skip


def test_an_incident_is_found_by_its_name_and_by_its_number(api: Client) -> None:
    api.fire("a")
    assert api.get("/api/v1/incidents/INC-1").json() == api.get("/api/v1/incidents/1").json()


def test_an_incident_shows_its_newest_hundred_alerts_unless_all_are_asked_for(api: Client) -> None:
    for number in range(103):
        api.fire("a", disk=str(number))
    shown = api.get("/api/v1/incidents/1").json()
    assert shown["alerts_count"] == 103
    assert len(shown["alerts"]) == 100
    assert shown["alerts"][0]["labels"]["disk"] == "102"
    assert len(api.get("/api/v1/incidents/1?alerts=all").json()["alerts"]) == 103


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_alerts_that_are_encoded_slice_by_slice_are_all_there(
    api: Client, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("responder.web.api.SLICE", 2)
    for n in range(count):
        api.fire("a", disk=str(n))
    shown = api.get("/api/v1/incidents/1?alerts=all").json()["alerts"]
    assert [alert["labels"]["disk"] for alert in shown] == [str(n) for n in reversed(range(count))]


def test_an_incident_that_is_over_is_read_from_the_store_with_its_count(api: Client, house: House) -> None:
    api.fire("a")
    api.fire("a", disk="1")
    api.fire("a", firing=False)
    api.fire("a", firing=False, disk="1")
    house.advance(HOUR)
    api.tick()
    assert house.resident.incidents == {}
    shown = api.get("/api/v1/incidents/1").json()
    assert (shown["state"], shown["alerts_count"], shown["resolution"]) == ("closed", 2, "recovered")
    assert [alert["status"] for alert in shown["alerts"]] == ["resolved", "resolved"]
    assert shown["sla"]["resolution"]["state"] == "met"
    assert ids(api, "?state=closed") == ["INC-1"]


def test_a_list_goes_from_page_to_page_newest_first_and_misses_nothing(api: Client) -> None:
    for name in "abcde":
        api.fire(name)
    found, cursor = [], ""
    for _ in range(3):
        page = api.get(f"/api/v1/incidents?limit=2&cursor={cursor}").json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert found == ["INC-5", "INC-4", "INC-3", "INC-2", "INC-1"]
    assert cursor is None


def test_filters_narrow_a_list_and_empty_ones_do_not(api: Client) -> None:
    api.fire("a")
    api.fire("b")
    api.post("/api/v1/incidents", {"service": "db", "title": "Slow 100% of it", "priority": "P1"})
    api.post("/api/v1/incidents/2/cancel", {"reason": "exercise"})
    assert ids(api, "?state=&service=&priority=&rule=&problem=&flag=&q=&cursor=") == ["INC-3", "INC-2", "INC-1"]
    assert ids(api, "?state=unresolved") == ["INC-3", "INC-1"]
    assert ids(api, "?state=cancelled&state=closed") == ["INC-2"]
    assert ids(api, "?service=db") == ["INC-3"]
    assert ids(api, "?priority=P1&priority=P5") == ["INC-3"]
    assert ids(api, "?rule=host-alerts&state=open") == ["INC-1"]
    api.post("/api/v1/incidents/1/assign", {"to": "nina"})
    assert ids(api, "?owner=nina&owner=bob&team=&owner=") == ["INC-1"]
    assert ids(api, "?q=SLOW") == ["INC-3"]
    assert ids(api, "?q=0%25+of") == ["INC-3"]
    assert ids(api, "?q=_low") == []
    assert ids(api, "?problem=PRB-1") == ids(api, "?problem=1") == []
    assert ids(api, "?flag=major") == []
    assert ids(api, "?q=INC-3") == ids(api, "?q=inc-3") == ids(api, "?q=3") == ["INC-3"]
    assert ids(api, "?q=INC-77") == []
    assert ids(api, "?state=open,cancelled&priority=P1,P2") == ["INC-3", "INC-2", "INC-1"]


def test_a_timeline_says_who_did_what_and_when_with_its_hash(api: Client, house: House) -> None:
    api.fire("a")
    house.advance(MINUTE)
    api.post("/api/v1/incidents/1/snooze", {"until": "2026-01-05T02:00:00+01:00"}, by="bob")
    first = api.get("/api/v1/incidents/1/timeline?limit=1").json()
    [opened] = first["items"]
    assert (opened["kind"], opened["actor"]) == ("opened", {"kind": "rule", "name": "host-alerts"})
    assert opened["data"]["started_at"] == "2026-01-05T00:00:00Z"
    assert len(opened["hash"]) == 64
    rest = api.get(f"/api/v1/incidents/1/timeline?cursor={first['next']}").json()
    [snoozed] = rest["items"]
    assert rest["next"] is None
    assert snoozed == {
        "seq": 2, "at": "2026-01-05T00:01:00Z", "recorded_at": "2026-01-05T00:01:00Z", "kind": "snoozed",
        "actor": {"kind": "person", "name": "bob"}, "data": {"until": "2026-01-05T01:00:00Z"}, "hash": snoozed["hash"],
    }  # fmt: skip


def test_an_export_is_one_incident_a_line(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.web.api.EXPORTED", 2)
    for name in "abcde":
        api.fire(name)
    exported = api.get("/api/v1/export/incidents")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [line["id"] for line in lines] == ["INC-5", "INC-4", "INC-3", "INC-2", "INC-1"]
    assert lines[-1] == api.get("/api/v1/incidents/1").json()
    assert api.get("/api/v1/export/incidents?state=closed").text == ""


def test_rules_show_their_health_and_last_match(api: Client, house: House) -> None:
    house.advance(MINUTE)
    api.fire("a")
    [rule] = api.get("/api/v1/rules").json()["items"]
    assert (rule["id"], rule["kind"], rule["by"], rule["health"]) == ("host-alerts", "event", ["instance"], "ok")
    assert rule["last_match"] == "2026-01-05T00:01:00Z"
    assert rule["open_incidents"] == 1


def test_a_service_shows_its_state_open_incidents_and_what_was_kept(api: Client) -> None:
    for name in "abcde":
        api.fire(name)
    api.post("/api/v1/incidents", {"service": "elsewhere", "title": "t", "impact": "low", "urgency": "low"})
    order = api.get("/api/v1/services/order").json()
    assert (order["state"], order["open_count"], order["open_incidents"][0]["id"]) == ("degraded", 5, "INC-1")
    assert order["objective"] == {"response": 0.95, "resolution": 0.9, "availability": 0.999}
    assert order["attainment"]["resolution"] is None
    names = [item["name"] for item in api.get("/api/v1/services").json()["items"]]
    assert names == ["db", "elsewhere", "order"]
    assert api.get("/api/v1/services/elsewhere").json()["catalogued"] is False
    problem(api.get("/api/v1/services/nowhere"), 404)


@pytest.mark.parametrize("name", ["", "  ", "\u3000", "a\nb"])
def test_nobody_is_no_owner(api: Client, name: str) -> None:
    api.fire("a")
    for command in ("assign", "handover"):
        said = problem(api.post(f"/api/v1/incidents/1/{command}", {"to": name}), 422)
        assert said["detail"] == "to: must be one line of text, and not empty"
    assert api.get("/api/v1/incidents/1").json()["owner"] == "order-ops"


def test_attainment_is_what_was_met_of_what_was_judged(api: Client, house: House) -> None:
    for name in "abcde":
        api.fire(name)
    for number in (1, 2, 3):
        api.post(f"/api/v1/incidents/{number}/resolve")
        api.post(f"/api/v1/incidents/{number}/close")
    house.advance(5 * HOUR)
    api.post("/api/v1/incidents/4/resolve")
    api.post("/api/v1/incidents/4/close")
    api.post("/api/v1/incidents/5/cancel", {"reason": "false_positive"})
    sla = next(item for item in api.get("/api/v1/sla").json()["items"] if item["service"] == "order")
    assert sla["outcomes"]["resolution"] == {"met": 3, "breached": 1, "exempt": 1}
    assert sla["attainment"]["resolution"] == 0.75
    assert sla["budget"]["resolution"] == pytest.approx(1 - 0.25 / 0.1)
    assert sla["targets"]["P1"] == {"response_s": 600, "resolution_s": 3600}


def test_catalogue_lists_have_pages_too(api: Client) -> None:
    first = api.get("/api/v1/services?limit=1").json()
    assert ([item["name"] for item in first["items"]], first["next"]) == (["db"], "db")
    second = api.get("/api/v1/services?limit=1&cursor=db").json()
    assert ([item["name"] for item in second["items"]], second["next"]) == (["order"], None)


# What is commanded.


def test_an_incident_opened_by_hand_has_clocks_and_a_place(api: Client) -> None:
    body = {
        "service": "order",
        "title": "Nobody can pay",
        "impact": "high",
        "urgency": "high",
        "labels": {"shop": "eu"},
    }
    made = api.post("/api/v1/incidents", body)
    assert made.status_code == 201
    shown = made.json()
    assert api.get(made.headers["location"]).json() == shown
    assert (shown["priority"], shown["source"], shown["rule"], shown["owner"]) == ("P1", "manual", None, "order-ops")
    assert shown["labels"] == {"shop": "eu"}
    assert shown["sla"]["response"]["target_s"] == 600
    timeline = api.get("/api/v1/incidents/1/timeline").json()["items"]
    assert timeline[0]["actor"] == {"kind": "person", "name": "alice"}


def test_an_incident_goes_its_way_by_commands(api: Client, house: House) -> None:
    api.fire("a")
    way: list[tuple[str, Any, str]] = [
        ("acknowledge", None, "acknowledged"),
        ("assign", {"to": "bob"}, "acknowledged"),
        ("accept", None, "in_progress"),
        ("pause", {"reason": "supplier", "note": "carrier looks"}, "paused"),
        ("resume", {}, "in_progress"),
        ("note", {"text": "a router"}, "in_progress"),
        ("priority", {"impact": "high", "urgency": "high", "reason": "all shops"}, "in_progress"),
        ("major", {"lead": "carol", "every": "30m"}, "in_progress"),
        ("exempt", {"reason": "force majeure"}, "in_progress"),
        ("resolve", {"cause": "cable"}, "resolved"),
        ("reopen", {"reason": "not yet"}, "in_progress"),
        ("resolve", None, "resolved"),
        ("note", {"text": "what happened, and what we change", "review": True}, "resolved"),
        ("close", None, "closed"),
    ]
    for name, body, state in way:
        answer = api.post(f"/api/v1/incidents/INC-1/{name}", body)
        assert (answer.status_code, answer.json()["state"]) == (200, state), (name, answer.text)
        house.advance(SECOND)
    shown = api.get("/api/v1/incidents/1").json()
    assert (shown["priority"], shown["lead"], shown["reopened"]) == ("P1", "carol", 1)
    assert {"major", "exempt"} <= set(shown["flags"])
    assert shown["sla"]["resolution"]["state"] == "exempt"


def test_merge_and_unmerge_name_the_other_incident(api: Client) -> None:
    api.fire("a")
    api.fire("b")
    assert api.post("/api/v1/incidents/2/merge", {"into": "INC-1"}).json()["parent"] == "INC-1"
    assert api.post("/api/v1/incidents/2/unmerge").json()["parent"] is None
    kinds = [(e["kind"], e["data"]) for e in api.get("/api/v1/incidents/2/timeline").json()["items"][1:]]
    assert kinds == [("merged", {"into": "INC-1"}), ("unmerged", {"from": "INC-1"})]


def test_a_service_that_is_misspelt_by_hand_is_refused_and_one_outside_the_catalogue_is_not(api: Client) -> None:
    report = {"title": "t", "impact": "low", "urgency": "low"}
    for path, body in (("incidents", report), ("changes", {"kind": "release", "version": "1"})):
        for misspelt in ("ordr", "Order", "orders"):
            answer = api.post(f"/api/v1/{path}", body | {"service": misspelt})
            told = f'there is no service "{misspelt}"; did you mean "order"?'
            assert (answer.status_code, answer.json()["detail"]) == (422, told)
        for other in ("order", "order-2", "order@eu", "search"):
            assert api.post(f"/api/v1/{path}", body | {"service": other}).status_code == 201


def test_a_team_that_is_misspelt_by_hand_is_refused_and_a_person_is_not(api: Client) -> None:
    api.fire("a")
    told = 'there is no team "order-opss"; did you mean "order-ops"?'
    by_hand = {"title": "t", "owner": "noc"}
    assert api.post("/api/v1/problems", by_hand | {"incidents": ["INC-1"]}).status_code == 201
    for path, body in (
        ("incidents/1/assign", {"to": "order-opss"}),
        ("incidents/1/handover", {"to": "order-opss"}),
        ("incidents/1/major", {"lead": "order-opss", "every": "30m"}),
        ("problems/1/assign", {"to": "order-opss"}),
        ("problems/1/action", {"owner": "order-opss", "text": "t", "due": "2026-02-01T00:00:00Z"}),
        ("problems", by_hand | {"owner": "order-opss"}),
    ):
        assert problem(api.post(f"/api/v1/{path}", body), 422)["detail"] == told
    told = 'there is no service "ordr"; did you mean "order"?'
    assert problem(api.post("/api/v1/problems/1/cause", {"text": "t", "service": "ordr"}), 422)["detail"] == told
    for person in ("nina", "order-lead", "order-ops-2"):
        assert api.post("/api/v1/incidents/1/assign", {"to": person}).json()["owner"] == person
    answer = api.post("/api/v1/incidents/1/assign", {"to": "order-opz"}, by="order-opz")
    assert answer.json()["owner"] == "order-opz", "who commands here is known"


def test_a_change_is_linked_to_what_breaks_soon_after(api: Client, house: House) -> None:
    made = api.post(
        "/api/v1/changes", {"service": "order", "kind": "release", "version": "1.4.2", "url": "http://ci/7"}
    )
    assert made.status_code == 201
    assert made.json() == {
        "id": 1, "at": "2026-01-05T00:00:00Z", "service": "order", "kind": "release", "version": "1.4.2", "url": "http://ci/7"
    }  # fmt: skip
    house.advance(4 * MINUTE)
    api.fire("a")
    assert api.get("/api/v1/incidents/1").json()["changes"] == [made.json()]
    house.advance(HOUR)
    house.resident.forget_ended(house.at)
    assert api.get("/api/v1/incidents/1").json()["changes"] == [made.json()], "long after it is forgotten"


def test_changes_are_listed_newest_first_and_by_service(api: Client) -> None:
    for service, version in (("order", "1"), ("db", "2"), ("order", "3")):
        api.post("/api/v1/changes", {"service": service, "kind": "release", "version": version})
    first = api.get("/api/v1/changes?limit=2&service=").json()
    assert ([item["version"] for item in first["items"]], first["next"]) == (["3", "2"], "2")
    rest = api.get(f"/api/v1/changes?limit=2&cursor={first['next']}").json()
    assert ([item["version"] for item in rest["items"]], rest["next"]) == (["1"], None)
    assert [item["version"] for item in api.get("/api/v1/changes?service=order").json()["items"]] == ["3", "1"]


@pytest.mark.parametrize("written", ["{version}", '"{version}"', "*", ""])
def test_a_command_for_the_version_that_was_read_is_taken(api: Client, written: str) -> None:
    api.fire("a")
    version = api.get("/api/v1/incidents/1").json()["version"]
    headers = {"if-match": written.format(version=version)}
    answer = api.post("/api/v1/incidents/1/note", {"text": "x"}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{version + 1}"'


def test_a_command_for_an_older_version_changes_nothing(api: Client) -> None:
    api.fire("a")
    api.post("/api/v1/incidents/1/note", {"text": "x"})
    problem(api.post("/api/v1/incidents/1/resolve", headers={"if-match": '"1"'}), 412)
    assert api.get("/api/v1/incidents/1").json()["state"] == "open"


# Mistakes.


def test_an_unlawful_transition_says_what_is_allowed(api: Client) -> None:
    api.fire("a")
    refused = problem(api.post("/api/v1/incidents/1/close"), 409)
    assert "resolve" in refused["allowed"]
    assert "close" not in refused["allowed"]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("incidents/1/pause", {}, "reason"),
        ("incidents/1/pause", {"reason": "holiday"}, "reason"),
        ("incidents/1/reopen", {}, "reason"),
        ("incidents/1/reopen", {"reason": "  "}, "reason"),
        ("incidents/1/cancel", {}, "reason"),
        ("incidents/1/exempt", {}, "reason"),
        ("incidents/1/priority", {"priority": "P1"}, "reason"),
        ("incidents/1/note", {}, "text"),
        ("incidents/1/note", {"text": ["x"]}, "text"),
        ("incidents/1/note", {"text": "x", "colour": "red"}, "colour"),
        ("incidents/1/resolve", {"why": "x"}, "why"),
        ("incidents/1/snooze", {"until": "2026-02-01T00:00:00"}, "until"),
        ("incidents/1/snooze", {"until": "2026-02-01"}, "until"),
        ("incidents/1/snooze", {"until": 1_800_000_000}, "until"),
        ("incidents/1/snooze", {"until": "2020-01-01T00:00:00Z"}, "until"),
        ("incidents/1/merge", {"into": "INC-77"}, "into"),
        ("incidents/1/merge", {"into": "INC-1"}, "into"),
        ("incidents/1/major", {"lead": "x", "every": "0s"}, "every"),
        ("incidents/1/major", {"lead": "x", "every": 30}, "every"),
        ("incidents", {"service": "order", "impact": "high", "urgency": "high"}, "title"),
        ("incidents", {"service": "or\u0000der", "title": "t", "priority": "P1"}, "service"),
        ("incidents", {"service": "order", "title": "t", "priority": "P9"}, "priority"),
        ("changes", {"service": "order", "kind": "release"}, "version"),
        ("changes", {"service": "order", "kind": "release", "version": "1", "url": "javascript:alert(1)"}, "url"),
        ("changes", {"service": "order", "kind": "release", "version": "1", "url": "https:// x"}, "url"),
        ("changes", {"service": "order", "kind": "release", "version": "1", "at": "2026-01-05 00:00"}, "at"),
    ],
)
def test_a_body_that_is_wrong_gets_422_and_the_field(api: Client, path: str, body: Any, where: str) -> None:
    api.fire("a")
    refused = problem(api.post(f"/api/v1/{path}", body), 422)
    assert ["body", where] in [mistake["loc"][:2] for mistake in refused["errors"]]


def test_a_priority_needs_one_of_its_two_ways(api: Client) -> None:
    refused = problem(api.post("/api/v1/incidents", {"service": "order", "title": "t", "impact": "high"}), 422)
    assert "impact and urgency" in refused["detail"]


def test_all_mistakes_of_a_body_are_told_at_once(api: Client) -> None:
    refused = problem(api.post("/api/v1/changes", {"service": "", "colour": 1}), 422)
    assert {mistake["loc"][1] for mistake in refused["errors"]} == {"service", "kind", "version", "colour"}


@pytest.mark.parametrize(
    ("query", "where"),
    [("?limit=0", "limit"), ("?limit=1001", "limit"), ("?cursor=x", "cursor"), ("?state=broken", "state"),
     ("?priority=P0", "priority"), ("?sevice=order", "sevice"), ("?q=%00", "q"), ("?flag=bogus", "flag"), ("?state=open,broken", "state"), ("?problem=INC-1", "problem")],
)  # fmt: skip
def test_a_parameter_that_is_wrong_gets_422_and_its_name(api: Client, query: str, where: str) -> None:
    refused = problem(api.get(f"/api/v1/incidents{query}"), 422)
    assert refused["errors"][0]["loc"][:2] == ["query", where]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("incidents?state=bogus", None, "state: must be one of unresolved, open, acknowledged, in_progress, paused, resolved, closed, cancelled"),
        ("incidents?flag=bogus", None, "flag: must be one of snoozed, suppressed, planned, orphaned, major, review_due, exempt"),
        ("incidents?limit=many", None, "limit: must be a whole number"),
        ("incidents?limit=0", None, "limit: must be greater than or equal to 1"),
        ("incidents?cursor=x", None, "cursor: must be the `next` of the page before"),
        ("incidents?colour=red", None, "colour: is not known here"),
        ("problems?state=bogus", None, "state: must be one of unresolved, open, investigating, known_error, resolved, closed"),
        ("incidents/1/reopen", {"reason": " "}, "reason: must not be empty"),
        ("incidents/1/reopen", {}, "reason: is missing"),
        ("changes", [], "the body must be an object"),
        ("incidents", {"service": "order", "title": "t"}, "give priority, or impact and urgency"),
        ("incidents/1/assign", {"to": "a\nb"}, "to: must be one line of text, and not empty"),
        ("incidents/1/note", {"text": "x" * 10_001}, "text: must have at most 10000 characters"),
        ("incidents/1/pause", {"reason": "lunch"}, "reason: must be one of customer, supplier, change"),
        ("incidents/1/snooze", {"until": "soon"}, "until: an instant is RFC 3339 with an offset: 2026-01-05T00:00:00Z, 2026-01-05T08:00:00+08:00"),
        ("changes", {"service": "s", "kind": "k", "version": "1", "url": "javascript:x"}, "url: a link begins with http:// or https://, and holds no spaces"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_plain_words(api: Client, path: str, body: Any, words: str) -> None:
    answer = api.get(f"/api/v1/{path}") if body is None else api.post(f"/api/v1/{path}", body)
    assert problem(answer, 422)["detail"] == words


def test_a_body_that_is_not_there_is_called_so_and_a_header_is_told_what_it_takes(api: Client) -> None:
    assert problem(api("POST", "/api/v1/changes"), 422)["detail"] == "the body is missing"
    refused = problem(api.post("/api/v1/incidents/1/accept", {}, headers={"if-match": "abc"}), 422)
    assert refused["detail"] == "if-match: must be the `version` that is to be changed, a whole number"
    api.fire("a")
    refused = problem(api.post("/api/v1/incidents/1/merge", {"into": "INC-99"}), 422)
    assert refused["detail"] == "there is no INC-99 that is still worked on"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("id", ["INC-99", "99", "0", "INC-x", "PRB-1", "9" * 30, "%00"])
def test_an_incident_that_is_not_there_gets_404(api: Client, id: str, method: str) -> None:
    path = f"/api/v1/incidents/{id}" if method == "GET" else f"/api/v1/incidents/{id}/acknowledge"
    problem(api(method, path), 404)


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/nothing", "/api/v1/incidents/", "/api/v1/incidents/1/explode"])
def test_an_unknown_route_gets_404_as_a_problem(api: Client, path: str) -> None:
    problem(api.get(path), 404)


def test_a_wrong_method_gets_405_with_the_right_ones(api: Client) -> None:
    answer = api("DELETE", "/api/v1/incidents")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b'{"text": ', 400, "at character"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"text": "\xff"}', 400, "no UTF-8 at byte 11"),
        (b'{"text": 1' + b"0" * 5000 + b"}", 400, "4300 digits"),
        (b'{"text": "\\ud800"}', 422, "text"),
        (b'{"\\ud800": 1, "text": "x"}', 422, ""),
        (b"[null]", 422, ""),
        (b"null", 422, ""),
        (b"", 422, ""),
    ],
)
def test_a_body_that_is_no_good_json_is_answered(api: Client, content: bytes, status: int, words: str) -> None:
    api.fire("a")
    answer = api("POST", "/api/v1/incidents/1/note", content=content, headers={"content-type": "application/json"})
    assert words in problem(answer, status)["detail"]


def test_another_content_type_gets_415(api: Client) -> None:
    api.fire("a")
    answer = api("POST", "/api/v1/incidents/1/note", content=b"text=x", headers={"content-type": "text/plain"})
    problem(answer, 415)


def test_a_store_that_takes_no_writes_gets_503_and_when_to_come_again(api: Client, house: House) -> None:
    api.fire("a")
    house.down = "the store takes no writes: disk full"
    answer = api.post("/api/v1/incidents/1/acknowledge")
    assert "disk full" in problem(answer, 503)["detail"]
    assert int(answer.headers["retry-after"]) > 0
    house.down = None
    assert api.post("/api/v1/incidents/1/acknowledge").status_code == 200


def test_an_error_of_ours_is_a_problem_that_tells_nothing(api: Client, house: House) -> None:
    house.reader = None  # type: ignore[assignment]
    answer = api.get("/api/v1/incidents")
    assert "NoneType" not in json.dumps(problem(answer, 500))


# The description.


def test_openapi_describes_every_command_and_needs_no_page_from_elsewhere(api: Client) -> None:
    described = api.get("/openapi.json").json()
    for name in bodies.COMMANDS:
        assert f"/api/v1/incidents/{{id}}/{name}" in described["paths"]
    assert problem(api.get("/docs"), 404)
    incident = described["components"]["schemas"]["IncidentShape"]
    assert set(incident["required"]) >= FIELDS
    assert "application/problem+json" in described["paths"]["/api/v1/incidents"]["get"]["responses"]["422"]["content"]


def test_what_is_only_described_costs_nothing_until_the_description_is_asked_for(api: Client) -> None:
    """What pydantic builds of an answer's shape it builds for each route: megabytes, for answers that it never sees."""
    routes = [route for route in api.app.routes if isinstance(route, APIRoute)]
    shapes = [route.response_model for route in routes if route.response_model is not None]
    shapes += [answer["model"] for route in routes for answer in route.responses.values() if "model" in answer]
    assert len(shapes) > 100
    assert {
        shape.__name__ for shape in shapes if not getattr(shape, "__pydantic_config__", {}).get("defer_build")
    } == set()


def test_incidents_that_would_be_part_of_each_other_are_named(api: Client) -> None:
    api.fire("a")
    api.fire("b")
    api.post("/api/v1/incidents/2/merge", {"into": "INC-1"})
    refused = problem(api.post("/api/v1/incidents/1/merge", {"into": "INC-2"}), 422)
    assert refused["detail"] == "INC-2 is part of INC-1 already"
    refused = problem(api.post("/api/v1/incidents/1/merge", {"into": "INC-1"}), 422)
    assert refused["detail"] == "an incident can't become part of itself"
