"""/api/v1/problems over a real store: what is shown, what is commanded, and what mistakes get."""

from typing import Any

import pytest

from responder.core.signal import DAY, HOUR, MINUTE
from responder.web import bodies
from tests.web.conftest import Client, House
from tests.web.test_api import problem

FIELDS = {
    "id", "title", "state", "origin", "service", "incidents", "probable_causes", "root_cause", "workaround", "owner",
    "opened_at", "due_at",
}  # fmt: skip
"""SPEC 6."""
P = "/api/v1/problems"


def opened(api: Client, *instances: str, **fields: Any) -> dict[str, Any]:
    """Open a problem by hand, with an incident for each instance."""
    first = len(api.get("/api/v1/incidents?limit=1000").json()["items"]) + 1
    for instance in instances:
        api.fire(instance)
    names = [f"INC-{first + n}" for n in range(len(instances))]
    made = api.post(P, {"title": "The switch in rack 7", "incidents": names, **fields})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def test_a_problem_opened_by_hand_has_every_field_of_the_contract(api: Client) -> None:
    shown = opened(api, "a", "b", due="2026-01-09T00:00:00Z")
    assert shown.keys() >= FIELDS
    assert (shown["id"], shown["state"], shown["origin"], shown["service"]) == ("PRB-1", "open", "manual", "order")
    assert (shown["owner"], shown["incidents"], shown["due_at"]) == (
        "order-ops",
        ["INC-1", "INC-2"],
        "2026-01-09T00:00:00Z",
    )
    assert [(one["incident"], one["reason"], one["by"]) for one in shown["links"]] == [
        ("INC-1", "by hand", "alice"), ("INC-2", "by hand", "alice"),
    ]  # fmt: skip
    assert api.get(f"{P}/PRB-1").json() == api.get(f"{P}/1").json() == shown
    assert api.get("/api/v1/incidents/1").json()["problem"] == "PRB-1"
    assert [item["id"] for item in api.get("/api/v1/incidents?problem=PRB-1").json()["items"]] == ["INC-2", "INC-1"]


def test_a_list_of_problems_has_pages_and_filters(api: Client) -> None:
    for name in "abc":
        opened(api, name)
    api.post(f"{P}/2/state", {"state": "closed"})
    first = api.get(f"{P}?limit=2").json()
    assert ([item["id"] for item in first["items"]], first["next"]) == (["PRB-3", "PRB-2"], "2")
    second = api.get(f"{P}?limit=2&cursor=2").json()
    assert ([item["id"] for item in second["items"]], second["next"]) == (["PRB-1"], None)
    for query, ids in {
        "state=unresolved": ["PRB-3", "PRB-1"], "state=closed": ["PRB-2"], "service=order&origin=manual": ["PRB-3", "PRB-2", "PRB-1"],
        "origin=recur": [], "state=&service=&origin=": ["PRB-3", "PRB-2", "PRB-1"],
    }.items():  # fmt: skip
        assert [item["id"] for item in api.get(f"{P}?{query}").json()["items"]] == ids, query


def test_a_problem_goes_its_way_by_commands_and_its_timeline_says_so(api: Client, house: House) -> None:
    opened(api, "a")
    api.fire("b")
    way: list[tuple[str, Any]] = [
        ("state", {"state": "investigating"}),
        ("note", {"text": "the lamp is red"}),
        ("cause", {"text": "a fan", "service": "db"}),
        ("workaround", {"text": "turn it by hand"}),
        ("assign", {"to": "noc"}),
        ("due", {"due": "2026-03-01T00:00:00Z"}),
        ("link", {"incident": "INC-2"}),
        ("unlink", {"incident": "INC-1"}),
        ("state", {"state": "known_error"}),
        ("action", {"text": "buy a fan", "owner": "noc", "due": "2026-02-01T00:00:00Z"}),
        ("done", {"action": 1}),
        ("review", {"text": "new fan, no news", "effective": True, "incident": "INC-2"}),
        ("state", {"state": "resolved"}),
        ("state", {"state": "closed"}),
    ]
    for name, body in way:
        answer = api.post(f"{P}/PRB-1/{name}", body)
        assert answer.status_code == 200, (name, answer.text)
        house.advance(MINUTE)
    shown = api.get(f"{P}/1").json()
    assert (shown["state"], shown["root_cause"], shown["workaround"], shown["owner"]) == (
        "closed",
        "a fan",
        "turn it by hand",
        "noc",
    )
    assert (shown["service"], shown["incidents"], shown["allowed"]) == (
        "db",
        ["INC-2"],
        ["note", "review", "action", "done"],
    )
    [review], [action] = shown["reviews"], shown["actions"]
    assert (review["effective"], review["by"], review["incident"]) == (True, "alice", "INC-2")
    assert (shown["due_at"], shown["overdue"]) == ("2026-03-01T00:00:00Z", False)
    assert (action["owner"], action["due_at"], action["done_at"] is None) == ("noc", "2026-02-01T00:00:00Z", False)
    assert api.get("/api/v1/incidents/1").json()["problem"] is None
    kinds = [entry["kind"] for entry in api.get(f"{P}/1/timeline").json()["items"]]
    assert kinds == [
        "opened", "state_changed", "noted", "cause_changed", "workaround_changed", "assigned", "due_changed",
        "linked", "unlinked", "state_changed", "action_added", "action_done", "reviewed", "state_changed", "state_changed",
    ]  # fmt: skip
    refused = problem(api.post(f"{P}/1/link", {"incident": "INC-1"}), 409)
    assert refused["allowed"] == ["note", "review", "action", "done"]
    version = shown["version"]
    assert api.post(f"{P}/1/state", {"state": "closed"}).json()["version"] == version  # said again
    assert api.post(f"{P}/1/note", {"text": "it held"}).status_code == 200


def test_two_problems_that_are_one_have_both_histories(api: Client) -> None:
    opened(api, "a")
    opened(api, "b")
    api.post(f"{P}/2/workaround", {"text": "wait"})
    shown = api.post(f"{P}/2/merge", {"into": "PRB-1"}).json()
    assert (shown["id"], shown["incidents"], shown["merged"], shown["workaround"]) == (
        "PRB-1",
        ["INC-1", "INC-2"],
        ["PRB-2"],
        "wait",
    )
    gone = api.get(f"{P}/2").json()
    assert (gone["state"], gone["merged_into"], gone["incidents"]) == ("closed", "PRB-1", [])
    timeline = [(e["kind"], e["data"]) for e in api.get(f"{P}/1/timeline").json()["items"]]
    assert [kind for kind, _ in timeline] == ["opened", "opened", "workaround_changed", "merged", "merged"]
    assert timeline[3:] == [
        ("merged", {"into": "PRB-1", "reason": "by hand"}), ("merged", {"from": "PRB-2", "reason": "by hand"}),
    ]  # fmt: skip
    linked = api.get("/api/v1/incidents/2/timeline").json()["items"][2:]
    assert [(e["kind"], e["data"]["problem"]) for e in linked] == [("linked", "PRB-1"), ("unlinked", "PRB-2")]


def test_a_problem_is_split_by_hand_and_both_go_on(api: Client) -> None:
    opened(api, "a", "b", "c")
    shown = api.post(f"{P}/1/split", {"incidents": ["INC-2", "3"]}).json()
    assert (shown["id"], shown["state"], shown["incidents"]) == ("PRB-2", "open", ["INC-2", "INC-3"])
    assert api.get(f"{P}/1").json()["incidents"] == ["INC-1"]
    assert api.get("/api/v1/incidents/3").json()["problem"] == "PRB-2"


def test_what_a_person_moves_between_problems_is_on_the_timelines_of_both(api: Client) -> None:
    def moved(number: int) -> list[tuple[str, str, str | None]]:
        items = api.get(f"{P}/{number}/timeline").json()["items"]
        assert {item["actor"]["name"] for item in items} == {"alice"}
        return [
            (one["kind"], one["data"]["incident"], one["data"].get("instead"))
            for one in items
            if one["kind"] != "opened"
        ]

    opened(api, "a", "b", "c")
    api.post(f"{P}/1/split", {"incidents": ["INC-2"]})
    api.post(f"{P}/2/link", {"incident": "INC-3"})
    api.post(f"{P}/2/unlink", {"incident": "INC-3"})
    assert moved(1) == [("unlinked", "INC-2", "PRB-2"), ("unlinked", "INC-3", "PRB-2")]
    assert moved(2) == [("linked", "INC-2", None), ("linked", "INC-3", None), ("unlinked", "INC-3", None)]


def test_a_known_error_is_shown_on_an_incident_like_its_own_the_moment_it_opens(api: Client, house: House) -> None:
    opened(api, "a")
    api.post(f"{P}/1/workaround", {"text": "turn it off and on"})
    api.post(f"{P}/1/state", {"state": "known_error"})
    api.fire("a", firing=False)
    house.advance(HOUR)
    api.tick()
    api.fire("a")
    api.fire("b")
    shown = api.get("/api/v1/incidents/2").json()
    assert shown["known_error"] == {
        "problem": "PRB-1", "title": "The switch in rack 7", "root_cause": None, "workaround": "turn it off and on",
    }  # fmt: skip
    assert "known_error_found" in [e["kind"] for e in api.get("/api/v1/incidents/2/timeline").json()["items"]]
    assert api.get("/api/v1/incidents/3").json()["known_error"] is None
    found = [e for e in api.get(f"{P}/1/timeline").json()["items"] if e["kind"] == "known_error_found"]
    assert [e["data"] for e in found] == [{"incident": "INC-2"}]


def test_an_incident_like_those_of_a_problem_that_was_closed_says_that_it_did_not_hold(
    api: Client, house: House
) -> None:
    opened(api, "a")
    api.post("/api/v1/problems/1/state", {"state": "closed"})
    assert house.resident.problems == {}
    for wait, reviews in ((DAY, ["INC-2"]), (DAY, ["INC-2", "INC-3"]), (100 * DAY, ["INC-2", "INC-3"])):
        api.fire("a", firing=False)
        house.advance(HOUR)
        api.tick()
        house.advance(wait)
        house.resident.rebuild(house.at)  # what is watched outlives a restart
        api.fire("a")
        found = api.get(f"{P}/1").json()["reviews"]
        assert [(one["incident"], one["effective"], one["by"]) for one in found] == [
            (name, False, None) for name in reviews
        ]


def test_a_problem_of_a_major_incident_is_closed_after_its_review(api: Client) -> None:
    opened(api, "a")
    api.post("/api/v1/incidents/1/major", {"lead": "carol", "every": "30m"})
    refused = problem(api.post(f"{P}/1/state", {"state": "closed"}), 409)
    assert refused["allowed"] == ["review"]
    api.post(f"{P}/1/review", {"text": "what we learned", "effective": True})
    assert api.post(f"{P}/1/state", {"state": "closed"}).json()["state"] == "closed"


def test_a_command_for_an_older_version_of_a_problem_changes_nothing(api: Client) -> None:
    opened(api, "a")
    version = api.get(f"{P}/1").json()["version"]
    taken = api.post(f"{P}/1/note", {"text": "x"}, headers={"if-match": f'"{version}"'})
    assert (taken.status_code, taken.headers["etag"]) == (200, f'"{version + 1}"')
    problem(api.post(f"{P}/1/note", {"text": "x"}, headers={"if-match": f'"{version}"'}), 412)


def test_a_step_that_the_state_does_not_allow_says_what_is_allowed(api: Client) -> None:
    opened(api, "a")
    refused = problem(api.post(f"{P}/1/state", {"state": "known_error"}), 409)
    assert "workaround" in refused["detail"]
    api.post(f"{P}/1/state", {"state": "resolved"})
    refused = problem(api.post(f"{P}/1/state", {"state": "open"}), 409)
    assert refused["allowed"] == ["investigating", "closed"]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/1/note", {}, "text"),
        ("/1/state", {"state": "cancelled"}, "state"),
        ("/1/link", {"incident": "INC-9"}, "incident"),
        ("/1/link", {"incident": 1}, "incident"),
        ("/1/unlink", {"incident": "INC-2"}, "incident"),
        ("/1/merge", {"into": "PRB-1"}, "into"),
        ("/1/merge", {"into": "PRB-9"}, "into"),
        ("/1/merge", {"into": "INC-1"}, "into"),
        ("/1/split", {"incidents": []}, "incidents"),
        ("/1/split", {"incidents": ["INC-2"]}, "incidents"),
        ("/1/split", {"incidents": ["INC-1", "INC-1"]}, "incidents"),
        ("/1/review", {"text": "x"}, "effective"),
        ("/1/review", {"text": "x", "effective": True, "incident": "INC-9"}, "incident"),
        ("/1/action", {"text": "x", "owner": "noc"}, "due"),
        ("/1/done", {"action": 1}, "action"),
        ("", {"title": "t", "incidents": ["INC-9"]}, "incidents"),
        ("", {"incidents": ["INC-1"]}, "title"),
    ],
)
def test_a_body_that_is_wrong_gets_422_and_the_field(api: Client, path: str, body: Any, where: str) -> None:
    opened(api, "a")
    api.fire("b")
    refused = problem(api.post(P + path, body), 422)
    assert ["body", where] in [mistake["loc"][:2] for mistake in refused["errors"]]
    assert api.get(P).json()["items"][0]["incidents"] == ["INC-1"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/1/link", {"incident": "INC-9"}, "there is no INC-9"),
        ("/1/unlink", {"incident": "INC-2"}, "INC-2 is not of this problem"),
        ("/1/split", {"incidents": ["INC-1", "INC-2"]}, "INC-2 is not of this problem"),
        ("/1/merge", {"into": "PRB-9"}, "there is no other problem PRB-9 that is not closed"),
        ("", {"title": "t", "incidents": ["INC-1", "INC-9"]}, "there is no INC-9"),
    ],
)
def test_what_is_named_and_is_not_there_is_named_in_the_answer(api: Client, path: str, body: Any, words: str) -> None:
    opened(api, "a")
    api.fire("b")
    assert problem(api.post(P + path, body), 422)["detail"] == words


def test_a_problem_that_is_not_there_gets_404(api: Client) -> None:
    for path in (f"{P}/7", f"{P}/PRB-7/timeline", f"{P}/INC-7"):
        problem(api.get(path), 404)
    for name in bodies.PROBLEM_COMMANDS:
        body = {"text": "x", "effective": True} if name == "review" else {"text": "x"}
        if name in ("note", "workaround", "cause", "review"):
            problem(api.post(f"{P}/7/{name}", body), 404)


def test_a_problem_that_nobody_was_named_for_belongs_to_the_team_of_its_service(api: Client) -> None:
    api.post("/api/v1/incidents", {"service": "elsewhere", "title": "t", "priority": "P3"})
    for body, owner in (
        ({"service": "db"}, "noc"),
        ({"service": "db", "incidents": ["INC-1"]}, "noc"),
        ({"service": "db", "owner": "bob"}, "bob"),
        ({"service": "nowhere", "incidents": ["INC-1"]}, "default"),
        ({}, "alice"),
    ):
        assert api.post("/api/v1/problems", {"title": "t", **body}).json()["owner"] == owner, body
