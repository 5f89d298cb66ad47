"""Commands against the real API: what people see, what scripts get, what mistakes say."""

import json
import re

import pytest

from responder.core.signal import HOUR
from responder.handlers.ticks import Tick
from tests.cli.conftest import Run, Running, lines


def test_without_incidents_the_list_says_so(daemon: Running, run: Run) -> None:
    assert lines(run("incidents", "list")) == ["no incidents"]


def test_a_list_shows_unresolved_incidents_newest_first_and_aligned(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    daemon.fire("b")
    daemon.fire("c")
    run("incidents", "resolve", "2", "--cause", "cable")
    head, *rows = lines(run("incidents", "list"))
    assert head.split() == ["ID", "PRIO", "STATE", "SERVICE", "OWNER", "OPENED", "DUE", "TITLE"]
    assert [row.split()[0] for row in rows] == ["INC-3", "INC-1"]
    assert [row.index("trouble") for row in rows] == [head.index("TITLE")] * 2
    assert "\x1b" not in "".join(rows)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--all"], ["INC-2", "INC-1"]),
        (["--state", "acknowledged"], ["INC-1"]),
        (["--service", "order", "--priority", "p2", "--rule", "host-alerts"], ["INC-2", "INC-1"]),
        (["--search", "on B"], ["INC-2"]),
        (["--limit", "1"], ["INC-2"]),
        (["--limit", "0"], ["INC-2", "INC-1"]),
        (["--flag", "major"], []),
    ],
)
def test_a_list_can_be_narrowed(daemon: Running, run: Run, options: list[str], shown: list[str]) -> None:
    daemon.fire("a")
    daemon.fire("b")
    run("incidents", "ack", "INC-1")
    found = json.loads(run("incidents", "list", "--json", *options).stdout)
    assert [item["id"] for item in found] == shown


def test_a_work_queue_has_on_top_what_is_due_first(daemon: Running, run: Run) -> None:
    def queue(*options: str) -> list[str]:
        return [item["id"] for item in json.loads(run("incidents", "list", "--json", "--due", *options).stdout)]

    for host in "abc":
        daemon.fire(host)
    run("incidents", "ack", "3")
    run("incidents", "priority", "1", "P1", "--reason", "many customers")
    run("incidents", "assign", "2", "nina")
    assert queue() == ["INC-1", "INC-2", "INC-3"], "the graver has less time, and who is answered has more"
    assert queue("--limit", "1") == ["INC-1"]
    assert (queue("--owner", "nina"), queue("--owner", "order-ops")) == (["INC-2"], ["INC-1", "INC-3"])
    run("incidents", "resolve", "2")
    assert (queue("--owner", "nina"), "INC-2" in queue()) == (["INC-2"], False), "a stage may go on"
    assert (len(queue("--all", "--team", "order-ops")), queue("--team", "nina")) == (3, [])


def test_one_incident_is_shown_with_clocks_alerts_and_what_it_takes(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    text = "\n".join(lines(run("incidents", "show", "inc-1")))
    assert text.startswith("INC-1  trouble on a")
    assert re.search(r"response +running, 0s of 30m, due \S+ \(in \S+\)", text)
    assert re.search(r"takes +.*\back\b", text), "the names of the commands, not of the API"
    assert re.search(r"firing  \S+Z  alertname=HostDown, instance=a", text)


def test_what_began_before_it_was_reported_what_was_missed_and_what_is_over_read_so(daemon: Running, run: Run) -> None:
    run("incidents", "open", "--service", "order", "--title", "calls", "--priority", "P1", "--started",
        "2026-01-05T00:00:00Z")  # fmt: skip
    run("incidents", "major", "1", "--lead", "carol", "--every", "15m")
    page = "\n".join(lines(run("incidents", "show", "1")))
    assert re.search(r"began +2026-01-05T00:00:00Z\n", page)
    assert re.search(r"lead +carol, news before \S+Z\n", page)
    daemon.house.advance(HOUR)
    daemon.submit(Tick(daemon.house.at))
    run("incidents", "exempt", "1", "--reason", "storm")
    run("incidents", "resolve", "1")
    page = "\n".join(lines(run("incidents", "show", "1")))
    assert re.search(r"response +exempt, breached at \S+Z, 1h\S* of 10m\n", page)
    assert re.search(r"lead +carol\n", page)


def test_an_incident_goes_its_way(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    daemon.fire("b")
    way = [
        ("ack", []),
        ("assign", ["bob"]),
        ("accept", []),
        ("pause", ["--reason", "supplier", "--note", "they look"]),
        ("resume", []),
        ("note", ["a router"]),
        ("priority", ["P1", "--reason", "all shops"]),
        ("priority", ["--impact", "low", "--urgency", "low", "--reason", "one shop"]),
        ("handover", ["--to", "noc"]),
        ("snooze", ["--for", "2h"]),
        ("merge", ["inc-2"]),
        ("unmerge", []),
        ("exempt", ["--reason", "storm"]),
        ("major", ["--lead", "carol", "--every", "15m"]),
        ("resolve", ["--cause", "cable"]),
        ("reopen", ["--reason", "not yet"]),
        ("resolve", []),
        ("note", ["what we learnt", "--review"]),
        ("close", []),
    ]
    for name, options in way:
        [said] = lines(run("incidents", name, "1", *options))
        assert said.startswith("INC-1 is "), (name, said)
    assert said == "INC-1 is closed (P5, owner noc): trouble on a"
    head, *rows = lines(run("incidents", "timeline", "1"))
    assert head.split() == ["AT", "WHAT", "BY", "DETAIL"]
    kinds = [row.split()[1] for row in rows]
    assert kinds[0] == "opened" and kinds[-1] == "closed"
    assert {"paused", "noted", "snoozed", "merged", "unmerged", "sla_exempted", "flagged"} <= set(kinds)
    [said] = lines(run("incidents", "cancel", "2", "--reason", "duplicate"))
    assert said.startswith("INC-2 is cancelled")


def test_an_incident_is_reported_by_hand(daemon: Running, run: Run) -> None:
    made = run("incidents", "open", "--service", "order", "--title", "订单停止", "--impact", "high", "--urgency", "high",
               "--label", "shop=eu=1", "--json")  # fmt: skip
    found = json.loads(made.stdout)
    assert (found["id"], found["title"], found["priority"]) == ("INC-1", "订单停止", "P1")
    assert found["labels"] == {"shop": "eu=1"}


def test_one_refusal_stops_no_other_command_and_the_status_tells(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    daemon.fire("b")
    done = run("incidents", "ack", "1", "77", "2")
    assert done.exit_code == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["INC-1", "INC-2"]
    assert done.stderr == "Error: 77: there is no incident INC-77 (HTTP 404)\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["show", "99"], "there is no incident"),
        (["close", "1"], "it takes"),
        (["snooze", "1", "--until", "2026-02-01T00:00:00"], "offset"),
        (["priority", "1", "--reason", "x"], "impact and urgency"),
    ],
)
def test_an_error_of_the_server_is_one_clear_line(daemon: Running, run: Run, args: list[str], words: str) -> None:
    daemon.fire("a")
    done = run("incidents", *args)
    assert (done.exit_code, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["snooze", "1"], "--for or --until"),
        (["snooze", "1", "--for", "soon"], "duration"),
        (["open", "--service", "x", "--title", "t", "--label", "oops"], "NAME=VALUE"),
        (["list", "--url", "file:///etc/passwd"], "URL"),
        (["pause", "1", "--reason", "lunch"], "customer"),
    ],
)
def test_a_wrong_use_is_told_before_anything_is_asked(run: Run, args: list[str], words: str) -> None:
    done = run("incidents", *args, env={"RESPONDER_URL": "http://127.0.0.1:9"})
    assert done.exit_code == 2
    assert words in done.stderr


def test_a_url_may_stand_before_or_after_the_command_or_in_the_environment(daemon: Running, run: Run) -> None:
    nowhere = {"RESPONDER_URL": "http://127.0.0.1:9"}
    assert lines(run("incidents", "list", "--url", daemon.url, env=nowhere)) == ["no incidents"]
    assert lines(run("incidents", "--url", daemon.url + "/", "list", env=nowhere)) == ["no incidents"]
    assert lines(run("incidents", "--json", "list")) == ["[]"]
    done = run("incidents", "list", env=nowhere)
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "Error: no daemon answers at http://127.0.0.1:9: Connection refused\n  hint: start one"
    )


def test_services_show_their_state_and_what_was_promised(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    head, *rows = lines(run("services", "list"))
    assert head.startswith("SERVICE")
    assert [row.split()[:3] for row in rows] == [["db", "operational", "-"], ["order", "degraded", "1"]]
    assert "- of 99.9%" in rows[1]
    text = "\n".join(lines(run("services", "show", "order")))
    assert "depends on" in text and "INC-1  P2  open  trouble on a" in text
    assert json.loads(run("services", "show", "db", "--json").stdout)["team"] == "noc"
    assert run("services", "show", "a/b").exit_code == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["incidents", "acknowledge", "INC-1"], "did you mean 'ack'?"),
        (["incidents", "show", "foo"], "'foo' is no id such as 12 or INC-12"),
        (["incidents", "show", "../rules"], "'../rules' is no id such as 12 or INC-12"),
        (["problems", "show", "PRB-x"], "'PRB-x' is no id such as 12 or PRB-12"),
        (["incidents", "show", "PRB-1"], "'PRB-1' is no id such as 12 or INC-12"),
        (["problems", "note", "INC-1", "x"], "'INC-1' is no id such as 12 or PRB-12"),
        (["problems", "workarond", "1", "x"], "did you mean 'workaround'?"),
    ],
)
def test_a_word_of_the_api_and_what_is_no_id_are_answered_before_anybody_is_asked(
    run: Run, wrong: list[str], said: str
) -> None:
    answer = run(*wrong)
    assert answer.exit_code == 2
    assert said in answer.output
