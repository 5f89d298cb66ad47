"""Who may ask what; no secret in a log or an answer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.kit import Daemon

SECRETS = {f"{role.upper()}_TOKEN": f"s3cret-of-{role}" for role in ("viewer", "ingest", "responder", "admin")}
HIDDEN = [*SECRETS.values(), "s3cret-password", "s3cret-hook", "s3cret-in-url"]
CONFIG = """
auth:
  mode: tokens
  tokens:
    - {name: grafana, token_env: VIEWER_TOKEN, role: viewer}
    - {name: prometheus, token_env: INGEST_TOKEN, role: ingest}
    - {name: ann, token_env: RESPONDER_TOKEN, role: responder}
    - {name: root, token_env: ADMIN_TOKEN, role: admin}
include: ["pack:default"]
sources:
  prometheus: {kind: prometheus, url: "http://127.0.0.1:1", username: u, password_env: PASSWORD}
  jobs: {kind: webhook, token_env: HOOK_TOKEN, map: {labels: {alertname: kind}, id: id}}
channels:
  chat: {kind: webhook, url_env: CHAT_URL}
rules:
  - id: polled
    by: []
    when: {metric: {source: prometheus, query: m, every: 1s, open: {above: 1}, no_data: keep}}
    incident: {service: "x", title: t}
teams: {ops: {lead: ann, channels: [chat]}}
services: {x: {team: ops}}
"""
ENV = SECRETS | {
    "PASSWORD": "s3cret-password",
    "HOOK_TOKEN": "s3cret-hook",
    "CHAT_URL": "http://127.0.0.1:1/s3cret-in-url",
}
ALERT = [{"labels": {"alertname": "A"}}]
SILENCE = {
    "matchers": [{"name": "a", "value": "b", "isRegex": False}], "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "2099-01-01T00:00:00Z", "createdBy": "a", "comment": "c",
}  # fmt: skip
MAY = {
    ("POST", "/api/v2/alerts"): "ingest responder admin",
    ("POST", "/webhooks/grafana"): "ingest responder admin",
    ("GET", "/metrics"): "viewer ingest responder admin",
    ("GET", "/api/v2/alerts"): "viewer responder admin",
    ("GET", "/api/v1/incidents"): "viewer responder admin",
    ("GET", "/openapi.json"): "viewer responder admin",
    ("POST", "/api/v2/silences"): "responder admin",
    ("POST", "/api/v1/incidents/INC-1/note"): "responder admin",
    ("POST", "/-/reload"): "admin",
}
BODIES = {
    "/api/v2/alerts": ALERT, "/webhooks/grafana": {"version": "1", "alerts": []}, "/api/v2/silences": SILENCE,
    "/api/v1/incidents/INC-1/note": {"text": "n"},
}  # fmt: skip


def test_roles_may_what_they_may_and_no_secret_shows(daemon: Callable[..., Daemon]) -> None:
    responder = daemon(CONFIG, **ENV)
    assert responder.ask("GET", "/-/ready").status_code == 200
    said = []
    responder.ask("POST", "/api/v2/alerts", json=ALERT, headers={"Authorization": "Bearer s3cret-of-ingest"})
    for (method, path), allowed in MAY.items():
        body = BODIES.get(path)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            answer = responder.ask(method, path, json=body, headers=headers)
            assert answer.status_code == 401 and "www-authenticate" in answer.headers, (path, headers)
            said.append(answer.text)
        for role in ("viewer", "ingest", "responder", "admin"):
            headers = {"Authorization": f"Bearer s3cret-of-{role}"}
            answer = responder.ask(method, path, json=body, headers=headers)
            assert answer.is_success is (role in allowed.split()), (role, path, answer.text)
            assert answer.is_success or answer.status_code == 403
            said.append(answer.text)
    headers = {"Authorization": "Bearer s3cret-of-admin"}
    said += [
        responder.ask("GET", path, headers=headers).text
        for path in ("/api/v2/status", "/api/v2/receivers", "/api/v1/rules", "/api/v1/services", "/", "/-/x")
    ]
    note = responder.ask("GET", "/api/v1/incidents/INC-1/timeline", headers=headers).json()["items"][-1]
    assert note["actor"] == {"kind": "person", "name": "root"}
    for token, status in (("hook", 200), ("of-admin", 401), ("", 401)):
        hook = {"Authorization": f"Bearer s3cret-{token}"}
        answer = responder.ask("POST", "/webhooks/jobs", json={"kind": "k", "id": "1"}, headers=hook)
        assert answer.status_code == status, "a source with a token of its own asks for that one"
        said.append(answer.text)
    responder.configure(CONFIG.replace("http://127.0.0.1:1", "not a url").replace("role: admin", "role: amdin"))
    said.append(responder.ask("POST", "/-/reload", headers=headers).text)
    assert "amdin" in said[-1]
    responder.configure(CONFIG)
    said.append(responder.run("check").stdout + responder.run("check").stderr)
    assert responder.terminate() == 0
    everything = responder.log + "".join(said) + (responder.folder / "responder.db").read_bytes().decode("latin-1")
    for hidden in HIDDEN:
        assert hidden not in everything, hidden


def test_beyond_loopback_nothing_starts_without_tokens(tmp_path: Path) -> None:
    stopped = Daemon(tmp_path)
    done = stopped.run("run", "--listen", f"0.0.0.0:{stopped.port}")
    assert done.returncode != 0
    assert "auth" in done.stderr and "tokens" in done.stderr
    stopped.configure(CONFIG.replace("mode: tokens", "mode: none").partition("  tokens:")[0] + "listen: 0.0.0.0:9920\n")
    done = stopped.run("run")
    assert done.returncode != 0 and "responder.yml:" in done.stderr and "auth" in done.stderr


@pytest.mark.parametrize("unset", ["ADMIN_TOKEN", "PASSWORD"])
def test_a_secret_that_is_not_set_stops_run_and_warns_check(tmp_path: Path, unset: str) -> None:
    env = {name: value for name, value in ENV.items() if name != unset}
    stopped = Daemon(tmp_path, CONFIG, **env)
    done = stopped.run("run", "--listen", f"127.0.0.1:{stopped.port}")
    assert done.returncode != 0 and unset in done.stderr
    done = stopped.run("check")
    assert done.returncode == 0 and unset in done.stdout + done.stderr
