"""Reload, drain, one daemon per file, the command line on a running one."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.adapters.conftest import wait_until
from tests.e2e.kit import Daemon, records

GOOD = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
rules:
  - id: first
    by: [alertname]
    when: {event: {match: {labels: {alertname: A}}}}
    incident: {service: shop, title: first, priority: P3}
"""
BETTER = (
    GOOD
    + """
  - id: second
    by: [alertname]
    when: {event: {match: {labels: {alertname: B}}}}
    incident: {service: shop, title: second, priority: P2}
"""
)
BAD = BETTER.replace("incident:", "incidnet:", 1)


def by_signal(responder: Daemon) -> str:
    seen = len(responder.log)
    responder.send(signal.SIGHUP)
    wait_until(lambda: "configuration was" in responder.log[seen:])
    return responder.log[seen:]


def by_request(responder: Daemon) -> str:
    return responder.ask("POST", "/-/reload").text


@pytest.mark.parametrize("reload", [by_signal, by_request])
def test_a_bad_file_changes_nothing_and_a_good_one_the_rules(
    daemon: Callable[..., Daemon], reload: Callable[[Daemon], str]
) -> None:
    responder = daemon(GOOD)
    assert responder.metric("responder_config_last_reload_successful") == 1
    began = responder.metric("responder_config_last_reload_success_timestamp_seconds")
    responder.configure(BAD)
    said = reload(responder)
    assert "responder.yml:8:5" in said and "incidnet" in said and "incident" in said, said
    assert 'unknown key \\"incidnet\\"; did you mean \\"incident\\"?' in responder.log, "one line, with the way out"
    assert responder.metric("responder_config_last_reload_successful") == 0
    assert responder.metric("responder_config_last_reload_success_timestamp_seconds") == began
    responder.fire({"alertname": "A"}, {"alertname": "B"})
    assert [i["rule"] for i in responder.incidents()] == ["first"]
    responder.configure(BETTER)
    reload(responder)
    wait_until(lambda: responder.metric("responder_config_last_reload_successful") == 1)
    assert responder.metric("responder_config_last_reload_success_timestamp_seconds") >= began
    told = [record for record in records(responder.log) if "config" in record["message"]]
    loaded = [record.get("rules") for record in told if record["level"] == "info"]
    assert loaded == [2], "said once"
    responder.fire({"alertname": "B", "host": "new"})  # what fired before is offered to the new rule, too
    assert [(i["rule"], i["state"]) for i in responder.incidents()] == [("first", "open"), ("second", "open")]
    assert responder.incidents()[1]["alerts_count"] == 2
    over = [{"alertname": "A"}, {"alertname": "B"}, {"alertname": "B", "host": "new"}]
    responder.fire(*over, ends_at="2020-01-01T00:00:00Z")
    assert {i["state"] for i in responder.incidents()} == {"resolved"}


def test_a_reload_says_what_is_doubtful_too(daemon: Callable[..., Daemon]) -> None:
    """A folder of rules that is empty for a moment, as while it is mounted, is allowed, but leaves nobody watching."""
    responder = daemon(GOOD)
    responder.configure('include: ["rules.d/*.yml"]\n' + GOOD)
    by_request(responder)
    assert 'responder.yml:1:11: no file matches \\"rules.d/*.yml\\"' in responder.log


PROMISE = """
sources: {gone: {kind: prometheus-alerts, url: "http://127.0.0.1:1", every: 1s, on_failure: {for: 1s, priority: P2, service: shop}}}
"""


@pytest.mark.parametrize("restarts", [False, True])
def test_a_rule_that_begins_to_speak_opens_for_what_fires_and_a_lost_promise_is_orphaned(
    daemon: Callable[..., Daemon], restarts: bool
) -> None:
    responder = daemon(GOOD.replace("    by:", "    mode: observe\n    by:") + PROMISE)
    responder.fire({"alertname": "A"}, {"alertname": "A", "host": "two"})
    wait_until(lambda: [i["rule"] for i in responder.incidents()] == ["source:gone"])
    responder.configure(GOOD)
    if restarts:
        responder.terminate()
        responder.start()
    else:
        by_signal(responder)
    wait_until(lambda: len(responder.incidents()) == 2)
    lost, opened = responder.incidents()
    assert (lost["state"], lost["flags"]) == ("open", ["orphaned"])
    assert (opened["rule"], opened["state"], opened["alerts_count"]) == ("first", "open", 2)
    responder.verify()


def test_a_removed_rule_leaves_its_incident_to_a_person(daemon: Callable[..., Daemon]) -> None:
    responder = daemon(BETTER)
    responder.fire({"alertname": "A"}, {"alertname": "B"})
    responder.configure(GOOD)
    by_request(responder)
    first, second = responder.incidents()
    assert (first["flags"], second["flags"], second["state"]) == ([], ["orphaned"], "open")
    responder.fire({"alertname": "B"}, ends_at="2020-01-01T00:00:00Z")
    assert responder.incidents()[1]["state"] == "open"
    responder.post("/api/v1/incidents/INC-2/resolve", {"note": "over"})
    assert responder.incidents()[1]["state"] == "resolved"


def test_a_file_with_errors_is_not_started(tmp_path_factory: pytest.TempPathFactory) -> None:
    stopped = Daemon(tmp_path_factory.mktemp("bad"), BAD)
    done = stopped.run("run", "--listen", f"127.0.0.1:{stopped.port}")
    assert done.returncode != 0
    assert 'responder.yml:8:5: unknown key "incidnet"' in done.stderr and 'did you mean "incident"?' in done.stderr


def test_a_second_daemon_on_the_same_file_is_refused_at_once(daemon: Callable[..., Daemon]) -> None:
    responder = daemon()
    began = time.monotonic()
    done = responder.run("run", "--listen", "127.0.0.1:1")
    assert done.returncode == 1 and time.monotonic() - began < 10
    assert f"responder.db is in use by another daemon (process {responder.pid})" in done.stderr
    responder.fire({"alertname": "A"})


def test_a_port_that_another_process_has_is_one_sentence(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    responder = daemon()
    (tmp_path / "other").mkdir()
    done = Daemon(tmp_path / "other").run("run", "--listen", f"127.0.0.1:{responder.port}", "--log", "text")
    assert done.returncode == 1
    assert (
        done.stderr.strip().splitlines()[-2].startswith(f"responder: 127.0.0.1:{responder.port} can't be listened on")
    )
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "other").glob("responder.db*")) == [], "nothing is made in vain"


def test_a_channel_that_cannot_be_made_is_one_sentence_before_it_is_said_to_listen(tmp_path: Path) -> None:
    stopped = Daemon(tmp_path, "channels: {chat: {kind: apprise, url: 'nowhere://x'}}\n" + GOOD)
    done = stopped.run("run", "--listen", f"127.0.0.1:{stopped.port}", "--log", "text")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith('responder: channel "chat": apprise ')
    assert "listens on" not in done.stderr and "Traceback" not in done.stderr


def test_what_the_front_page_names_is_there(daemon: Callable[..., Daemon]) -> None:
    responder = daemon(GOOD)
    named = [path for path in responder.ask("GET", "/").json()["see"] if "{" not in path]
    assert {
        path: status for path in named if (status := responder.ask("GET", path).status_code) not in (200, 405)
    } == {}


def test_a_file_without_rules_is_said_to_open_nothing(daemon: Callable[..., Daemon]) -> None:
    assert (
        'there are no rules, so no signal opens an incident; include: [\\"pack:default\\"]' in daemon("rules: []\n").log
    )


def test_sigterm_answers_what_is_open_stores_what_is_queued_and_ends_soon(daemon: Callable[..., Daemon]) -> None:
    responder = daemon(GOOD)
    answered: list[str] = []
    refused: list[int] = []

    def post(thread: int) -> None:
        with httpx.Client(base_url=responder.url, timeout=20, trust_env=False) as client:
            for n in range(10_000):
                host = f"{thread}-{n}"
                body = [{"labels": {"alertname": "A", "host": f"{host}-{i}"}} for i in range(20)]
                try:
                    answer = client.post("/api/v2/alerts", json=body)
                except httpx.TransportError:
                    return
                if answer.is_success:
                    answered.extend(f"{host}-{i}" for i in range(20))
                else:
                    refused.append(answer.status_code)

    threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    responder.send(signal.SIGTERM)
    assert responder.wait(30) == 0
    assert time.monotonic() - began < 15
    for thread in threads:
        thread.join(25)
    assert len(answered) > 100 and set(refused) <= {503}
    assert not [r for r in records(responder.log) if r["level"] in ("error", "critical") or "exception" in r]
    responder.start()
    hosts = {a["labels"]["host"] for a in responder.get("/api/v2/alerts")}
    assert hosts >= set(answered)
    assert responder.terminate() == 0
    responder.verify()


def test_sigterm_does_not_wait_for_a_client_that_never_finishes(daemon: Callable[..., Daemon]) -> None:
    import socket

    responder = daemon()
    with socket.create_connection(("127.0.0.1", responder.port)) as idle:
        idle.sendall(
            b"POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n["
        )
        time.sleep(0.3)
        responder.send(signal.SIGTERM)
        assert responder.wait(30) == 0


def test_backup_of_a_running_daemon_and_its_anchor(daemon: Callable[..., Daemon]) -> None:
    responder = daemon(GOOD)
    responder.fire({"alertname": "A"})
    done = responder.run("db", "backup", "copy.db")
    assert done.returncode == 0, done.stderr
    anchor = done.stdout.rpartition(" ")[2].strip()
    responder.post("/api/v1/incidents/INC-1/note", {"text": "later"})
    assert responder.run("db", "verify", "--anchor", anchor).returncode == 0
    assert responder.run("db", "verify", "--anchor", f"{anchor[:-4]}0000").returncode == 1
    assert responder.run("db", "backup", "copy.db").returncode != 0
