"""``responder explain``: each rule's verdict on an alert, in words."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from responder.cli import main

CONFIG = """
sources: {jobs: {kind: webhook, map: {labels: {type: type, job: job}, id: id}}}
rules:
  - {id: critical, by: [host], when: {event: {match: '{alertname=~"Disk.*", severity="critical"}'}}}
  - {id: quiet, by: [], mode: observe, when: {event: {match: {labels: {alertname: DiskFull}, none: ['{env="dev"}']}}}}
  - {id: strict, by: [rack], by_missing: skip, when: {event: {match: {labels: {alertname: DiskFull}}}}}
  - {id: many, by: [], when: {count: {of: {rule: critical}, at_least: 2, within: 5m}}}
  - {id: late, by: [job], when: {absence: {of: {event: {source: jobs, match: {labels: {type: done}}}}, every: 1d, grace: 1h}}}
  - {id: rest, by: [], unclaimed: true, when: {event: {}}}
"""
FULL = {"alertname": "DiskFull", "severity": "critical", "host": "a"}


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("responder.yml").write_text(CONFIG)

    def call(body: object, *options: str) -> Result:
        Path("signal.json").write_text(body if isinstance(body, str) else json.dumps(body))
        return CliRunner().invoke(main, ["explain", "signal.json", *options])

    return call


def verdicts(result: Result) -> dict[str, str]:
    """Return what is said of each rule about the only alert."""
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.output)
    return {
        rule["rule"]: rule["why"] if not rule["matches"] else f"yes {rule['key']} {rule['why']}".strip()
        for rule in found["rules"]
    }


def test_each_rule_says_whether_it_matches_or_what_does_not(explain):
    assert verdicts(explain({"labels": FULL}, "--json")) == {
        "critical": "yes {'host': 'a'}",
        "quiet": "yes {} observes only: it opens no incident",
        "strict": "by: label rack is missing, and by_missing is skip",
        "many": "a rule of kind count looks at no alerts itself",
        "late": "event: source is am-api, not jobs",
        "rest": 'unclaimed: rule "critical" matches it',
    }


def test_the_first_condition_that_does_not_hold_is_named(explain):
    said = verdicts(explain({"labels": {"alertname": "DiskFull", "env": "dev"}}, "--json"))
    assert said["critical"] == 'label severity is missing: severity = "critical" does not hold'
    assert said["quiet"].startswith("excluded by none: ")
    assert verdicts(explain({"labels": {"alertname": "Odd"}}, "--json"))["rest"] == "yes {}"


def test_people_get_aligned_columns(explain):
    lines = explain([{"labels": FULL}]).output.splitlines()
    assert lines[0] == '{alertname="DiskFull", host="a", severity="critical"} firing, from am-api'
    assert lines[1] == "RULE      KIND     MATCHES  WHY"
    assert lines[2] == "critical  event    yes      key host=a"
    assert lines[3] == "quiet     event    yes      key (one for all); observes only: it opens no incident"
    assert lines[4] == "strict    event    no       by: label rack is missing, and by_missing is skip"


def test_a_list_is_explained_one_by_one(explain):
    found = json.loads(explain([{"labels": FULL}, {"labels": {"alertname": "B"}}], "--json").output)
    assert [one["labels"]["alertname"] for one in found] == ["DiskFull", "B"]


def test_the_body_of_a_webhook_is_understood(explain):
    alert = {
        "status": "resolved",
        "labels": FULL,
        "annotations": {},
        "startsAt": "2026-01-05T00:00:00Z",
        "endsAt": "2026-01-05T00:01:00Z",
    }
    [found] = json.loads(explain({"version": "4", "status": "resolved", "alerts": [alert]}, "--json").output)
    assert (found["status"], found["source"]) == ("resolved", "am-webhook")


def test_a_text_may_come_by_any_push_source(explain):
    said = verdicts(explain({"type": "done", "job": "settle"}, "--json", "--source", "jobs"))
    assert said["late"] == "yes {'job': 'settle'}"


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        ("{", (), "not JSON"),
        ("", (), "not JSON"),
        ("[]", (), "there is no alert in it"),
        ({"alerts": []}, (), "there is no alert in it"),
        ("[{}]", (), "labels in body is required"),
        ({"labels": {}}, (), "at least one label pair required"),
        ("3", (), "cannot unmarshal"),
        ({"alerts": [{"status": "firing"}]}, (), "no label with a value"),
        ({"labels": FULL}, ("--source", "job"), 'there is no push source "job"; did you mean "jobs"?'),
        ({"labels": FULL}, ("--source", "jobs"), "no label"),
    ],
)  # fmt: skip
def test_what_holds_no_alert_is_refused_with_a_sentence(explain, body: object, options: tuple[str, ...], said: str):
    result = explain(body, *options)
    assert result.exit_code == 1
    assert said in result.output


def test_without_a_file_the_built_in_rules_explain(explain):
    Path("responder.yml").unlink()
    assert verdicts(explain({"labels": {"alertname": "A"}}, "--json"))["default-name"] == "yes {'alertname': 'A'}"


def test_an_alert_is_read_from_standard_input(explain):
    result = CliRunner().invoke(main, ["explain", "-", "--json"], input=json.dumps({"labels": FULL}))
    assert verdicts(result)["critical"] == "yes {'host': 'a'}"
