"""The closed loop of a software house through the real daemon: API, metrics, command line, and the customer."""

import json
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.kit import Daemon, wait_until

CONFIG = """
storage: {url: "sqlite:///responder.db"}
include: ["pack:default"]
external_url: https://desk.example
teams:
  desk: {lead: dora}
  devs: {lead: fred}
  testers: {lead: tom}
slas:
  gold: {calendar: always, targets: {P1: {response: 10m, resolution: 1h}, P2: {response: 1h, resolution: RESOLUTION}}, warn_at: [90]}
calendars: {always: {timezone: UTC, hours: 24x7}}
flows:
  closed-loop:
    - {stage: register, owner: desk, within: 1s}
    - {stage: fix,      owner: service.team, within: sla.resolution}
    - {stage: verify,   owner: testers, within: 4h}
    - {stage: inform,   owner: desk, within: 8h, collect: satisfaction}
services:
  hotline: {team: devs, sla: gold, flow: closed-loop, availability: 0.99}
  other: {team: devs, sla: gold}
"""
FILE = CONFIG.replace("RESOLUTION", "4h")


@pytest.fixture
def responder(daemon: Callable[..., Daemon]) -> Daemon:
    return daemon(FILE)


def command(responder: Daemon, name: str, body: Any = None, id: str = "INC-1") -> Any:
    return responder.post(f"/api/v1/incidents/{id}/{name}", body if body is not None else {})


def opened(responder: Daemon, service: str = "hotline", priority: str = "P1") -> str:
    found = responder.post(
        "/api/v1/incidents", {"service": service, "title": "<b>login</b> fails", "priority": priority}
    )
    return str(found["id"])


def kinds(responder: Daemon, id: str = "INC-1") -> list[str]:
    return [event["kind"] for event in responder.get(f"/api/v1/incidents/{id}/timeline")["items"]]


def refused(responder: Daemon, name: str, body: Any, id: str = "INC-1") -> list[str]:
    answer = responder.ask("POST", f"/api/v1/incidents/{id}/{name}", json=body)
    assert answer.status_code == 409, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    allowed: list[str] = answer.json()["allowed"]
    return allowed


def test_a_bug_goes_from_the_desk_to_its_customer_with_one_stage_overdue(responder: Daemon) -> None:
    opened(responder)
    assert "resume" not in refused(responder, "resume", {})
    wait_until(lambda: "stage_overdue" in kinds(responder), 10)
    [event] = [e for e in responder.get("/api/v1/incidents/INC-1/timeline")["items"] if e["kind"] == "stage_overdue"]
    assert (event["data"]["stage"], event["actor"]["kind"]) == ("register", "timer")
    assert responder.metric("responder_incident_stages_overdue_total", service="hotline", stage="register") == 1
    assert "stage_overdue" in responder.run("incidents", "timeline", "INC-1", "--url", responder.url).stdout
    assert command(responder, "accept")["state"] == "acknowledged"
    fix = command(responder, "handover")
    assert (fix["stage"], fix["owner"], fix["stages"][-1]["due_at"]) == (
        "fix",
        "devs",
        fix["sla"]["resolution"]["due_at"],
    )
    assert command(responder, "accept")["state"] == "in_progress"
    assert command(responder, "pause", {"reason": "customer"})["stages"][-1]["due_at"] is None
    command(responder, "resume")
    responder.kill()
    responder.start()
    verify = command(responder, "handover", {"note": "patched"})
    assert (verify["stage"], verify["owner"], verify["state"], verify["satisfaction"]) == (
        "verify",
        "testers",
        "resolved",
        None,
    )
    assert {"reopen", "close", "handover"} <= set(verify["allowed"]) and "pause" in set(fix["allowed"]) - set(
        verify["allowed"]
    )
    inform = command(responder, "handover")
    link = inform["satisfaction"]["link"]
    assert re.fullmatch(r"https://desk\.example/s/[A-Za-z0-9_-]{43}", link)
    assert responder.get("/api/v1/incidents/INC-1")["satisfaction"]["link"] == link
    assert responder.get("/api/v1/incidents")["items"][0]["satisfaction"]["link"] is None
    _customer(responder, link.removeprefix("https://desk.example"))
    done = command(responder, "handover")
    assert (done["state"], done["satisfaction"]["score"], done["satisfaction"]["comment"]) == ("closed", 4, "danke <3")
    assert [k for k in kinds(responder) if k in ("verified", "satisfaction_rated", "customer_informed", "closed")] == [
        "verified", "satisfaction_rated", "customer_informed", "closed",
    ]  # fmt: skip
    assert responder.metric("responder_satisfaction_responses_total", service="hotline", score="4") == 1
    assert responder.metric("responder_incident_stage_seconds_count") == 4
    assert responder.metric("responder_service_failures_total", service="hotline") == 1
    page = responder.run("incidents", "show", "INC-1", "--url", responder.url).stdout
    assert re.search(r"stage register: desk since .* accepted by anonymous, ended .* overdue", page), page
    assert "gave 4 of 5 danke <3" in page
    shown = responder.run("incidents", "show", "INC-1", "--json", "--url", responder.url)
    assert json.loads(shown.stdout)["stages"][0]["overdue_at"] is not None
    responder.verify()


def _customer(responder: Daemon, path: str) -> None:
    """Look twice, which changes nothing; answer once."""
    for language, words in (("zh-CN,zh;q=0.9,en;q=0.8", "满意"), ("de, en", "satisfied")):
        page = responder.ask("GET", path, headers={"accept-language": language})
        assert page.status_code == 200 and words in page.text
        assert "&lt;b&gt;login&lt;/b&gt;" in page.text and "<b>login" not in page.text
        assert page.headers["cache-control"] == "no-store"
    assert responder.ask("POST", path, data={"score": "6"}).status_code == 422
    assert responder.ask("POST", path, data={"comment": "x"}).status_code == 422
    assert responder.ask("POST", path, json={"score": 5}).status_code == 415
    assert responder.ask("PUT", path).status_code == 405
    assert responder.ask("POST", path, data={"score": "4", "comment": "x" * 40_000}).status_code == 413
    assert responder.ask("POST", path, data={"score": "4", "comment": " danke <3 "}).status_code == 200
    responder.kill()
    responder.start()
    assert responder.ask("POST", path, data={"score": "1"}).status_code == 410
    assert responder.ask("GET", path).status_code == 410
    assert responder.ask("GET", "/s/" + "a" * 43).status_code == 404
    assert responder.ask("POST", "/s/%ff%00<script>", data={"score": "1"}).status_code == 404


def test_maintenance_is_announced_listed_and_ended(responder: Daemon) -> None:
    window = {"name": "works", "reason": "patching", "services": ["other"], "to": "2099-01-01T00:00:00Z"}
    made = responder.post("/api/v1/maintenance", window)
    assert (made["state"], made["origin"]) == ("active", "api")
    id = opened(responder, "other")
    shown = responder.get(f"/api/v1/incidents/{id}")
    assert (shown["flags"], shown["planned_until"], shown["sla"]["response"]["state"]) == (
        ["planned"],
        window["to"],
        "none",
    )
    assert responder.metric("responder_service_state", service="other", state="maintenance") == 1
    responder.kill()
    responder.start()
    assert [item["name"] for item in responder.get("/api/v1/maintenance")["items"]] == ["works"]
    ended = responder.ask("DELETE", "/api/v1/maintenance/works")
    assert (ended.status_code, ended.json()["state"]) == (200, "ended")
    shown = responder.get(f"/api/v1/incidents/{id}")
    assert (shown["flags"], shown["sla"]["response"]["state"]) == ([], "running")
    assert responder.metric("responder_service_state", service="other", state="outage") == 1
    assert responder.ask("DELETE", "/api/v1/maintenance/works").status_code == 404
    assert responder.metric("responder_service_downtime_seconds_total", service="other", kind="planned") > 0


NONSENSE = (
    {"services": ["nothing"], "to": "2099-01-01T00:00:00Z"},
    {"services": ["other"], "to": "2020-01-01T00:00:00Z"},
    {"services": ["other"], "to": "2099-01-01T00:00:00"},
    {"services": ["other"]},
    {"to": "2099-01-01T00:00:00Z"},
    {"services": ["other"], "match": '{a="b"}', "to": "2099-01-01T00:00:00Z"},
    {"match": "{a=~'('}", "to": "2099-01-01T00:00:00Z"},
    {"services": ["other"], "recurring": {"days": "mon-tag", "from": "01:00", "to": "02:00", "timezone": "UTC"}},
    {"services": ["other"], "recurring": {"days": "mon", "from": "01:00", "to": "02:00", "timezone": "Mars"}},
    {"services": ["other"], "recurring": {"days": "mon", "from": "01:00", "to": "01:00", "timezone": "UTC"}},
)


def test_maintenance_that_makes_no_sense_is_refused(responder: Daemon) -> None:
    for wrong in NONSENSE:
        answer = responder.ask("POST", "/api/v1/maintenance", json={"name": "w", "reason": "r"} | wrong)
        assert answer.status_code == 422, (wrong, answer.text)
    recurring = {"days": "mon-fri", "from": "22:00", "to": "02:00", "timezone": "Asia/Shanghai"}
    made = responder.post(
        "/api/v1/maintenance", {"name": "w", "reason": "r", "services": ["other"], "recurring": recurring}
    )
    assert made["recurring"] == recurring | {"days": "mon,tue,wed,thu,fri"}


def test_open_incidents_follow_new_targets_from_their_load_on_also_after_a_restart(responder: Daemon) -> None:
    id = opened(responder, "other", "P2")
    time.sleep(2.5)
    config = responder.folder / "responder.yml"
    config.write_text(CONFIG.replace("RESOLUTION", "1s").replace("response: 1h", "response: 1s"))
    responder.send(signal.SIGHUP)
    wait_until(lambda: "sla_breached" in kinds(responder, id), 10)
    shown = responder.get(f"/api/v1/incidents/{id}")
    loaded_at = shown["sla"]["resolution"]["breached_at"]
    assert loaded_at > shown["opened_at"] and shown["sla"]["resolution"]["target_s"] == 1
    other = opened(responder, "other", "P2")
    responder.kill()
    responder.start()
    wait_until(lambda: "sla_breached" in kinds(responder, other), 10)
    assert responder.get(f"/api/v1/incidents/{id}")["sla"]["resolution"]["breached_at"] == loaded_at
    assert kinds(responder, id).count("sla_breached") == 2
    # the same targets again date nothing anew
    responder.send(signal.SIGHUP)
    third = opened(responder, "other", "P2")
    wait_until(lambda: kinds(responder, third).count("sla_breached") == 2, 10)
    assert kinds(responder, id).count("sla_breached") == 2


def test_commands_of_a_desk_reach_the_timeline_and_unlawful_ones_say_what_is_lawful(responder: Daemon) -> None:
    first, second = opened(responder, "other"), opened(responder, "other", "P2")
    assert command(responder, "merge", {"into": first}, second)["parent"] == first
    assert command(responder, "unmerge", {}, second)["parent"] is None
    snoozed = command(responder, "snooze", {"until": "2099-01-01T00:00:00Z"}, second)
    assert (snoozed["flags"], snoozed["snoozed_until"]) == (["snoozed"], "2099-01-01T00:00:00Z")
    assert (
        command(responder, "priority", {"impact": "low", "urgency": "low", "reason": "one user"}, second)["priority"]
        == "P5"
    )
    assert command(responder, "exempt", {"reason": "force majeure"}, second)["sla"]["response"]["state"] in (
        "none",
        "exempt",
    )
    for reason in ("customer", "supplier", "change"):
        assert command(responder, "pause", {"reason": reason}, first)["state"] == "paused"
        assert command(responder, "resume", {}, first)["state"] == "open"
    assert responder.ask("POST", f"/api/v1/incidents/{first}/pause", json={"reason": "lunch"}).status_code == 422
    assert command(responder, "cancel", {"reason": "duplicate"}, second)["state"] == "cancelled"
    assert refused(responder, "acknowledge", {}, second) == ["note"]
    major = command(responder, "major", {"lead": "lea", "every": "30m"}, first)
    assert (major["lead"], major["update_due_at"] is not None) == ("lea", True)
    command(responder, "resolve", {"cause": "cable"}, first)
    assert "close" not in refused(responder, "close", {}, first)
    command(responder, "note", {"text": "what we learnt", "review": True}, first)
    assert command(responder, "close", {}, first)["state"] == "closed"
    assert "reopen" not in refused(responder, "reopen", {"reason": "too late"}, first)
    assert responder.metric("responder_incidents_cancelled_total", reason="duplicate") == 1
    responder.verify()


def test_the_customers_link_is_shown_to_who_may_command_only(daemon: Callable[..., Daemon]) -> None:
    tokens = "[{name: boss, token_env: BOSS, role: responder}, {name: wall, token_env: WALL, role: viewer}]"
    responder = daemon(FILE + f"auth: {{mode: tokens, tokens: {tokens}}}\n", BOSS="boss-token", WALL="wall-token")
    boss, wall = ({"authorization": f"Bearer {name}-token"} for name in ("boss", "wall"))
    body = {"service": "hotline", "title": "t", "priority": "P1"}
    assert responder.ask("POST", "/api/v1/incidents", json=body, headers=boss).status_code == 201
    for _ in range(3):
        shown = responder.ask("POST", "/api/v1/incidents/INC-1/handover", json={}, headers=boss).json()
    link = shown["satisfaction"]["link"]
    assert link is not None
    assert responder.get("/api/v1/incidents/INC-1", headers=wall)["satisfaction"]["link"] is None
    assert responder.ask("POST", link.removeprefix("https://desk.example"), data={"score": "5"}).status_code == 200
