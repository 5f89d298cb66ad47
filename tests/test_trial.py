"""``responder test``: promtool's notation, the daemon's handlers, a readable difference."""

import xml.etree.ElementTree as Xml
from pathlib import Path
from textwrap import dedent, indent

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from responder.cli import main
from responder.core.signal import MINUTE, SECOND
from responder.notation import Series, parse_series, parse_values

RULES = """
teams: {ops: {lead: ann, channels: [chat]}}
channels: {chat: {kind: webhook, url: "http://127.0.0.1:1/hook", bundle: 0s}}
calendars: {always: {timezone: UTC, hours: 24x7}}
slas: {gold: {calendar: always, targets: {P1: {response: 10m, resolution: 1h}}}}
services: {order: {team: ops, sla: gold}, stock: {team: ops, sla: gold}}
sources:
  prometheus: {kind: prometheus, url: "http://127.0.0.1:1"}
  jobs: {kind: webhook, map: {labels: {type: type}, id: id}}
rules:
  - id: slow
    by: [region]
    when: {metric: {source: prometheus, query: shared, every: 30s, open: {above: 600, for: 2m}, close: {below: 540, for: 5m}, no_data: close}}
    incident: {service: order, title: "Orders in {{ key.region }} wait {{ value | duration }}", impact: high, urgency: high}
  - id: stale
    by: [region]
    when: {metric: {source: prometheus, query: shared, every: 30s, open: {above: 1}, no_data: open}}
    incident: {service: order, title: stale, priority: P2}
  - id: down
    by: [host]
    when: {event: {match: {labels: {alertname: Down}}}}
    incident: {service: stock, title: "{{ key.host }} is down", priority: P1}
  - id: two-down
    by: []
    when: {count: {of: {rule: down}, at_least: 2, within: 10m}}
    incident: {service: stock, title: "{{ count }} are down", priority: P1}
  - id: logins
    by: []
    when: {count: {of: {event: {source: jobs, match: {labels: {type: login}}}}, at_least: 2, within: 5m}}
    incident: {service: stock, title: logins, priority: P3}
problems: [{id: same, group: {same: [service], at_least: 2, within: 30m}, owner: ops}]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def call(tests: str, *options: str, rules: str = RULES) -> Result:
        Path("responder.yml").write_text(rules + "tests:\n" + indent(dedent(tests), " "))
        return CliRunner().invoke(main, ["test", *options])

    return call


def passes(result: Result) -> None:
    assert (result.exit_code, result.output.count("FAIL")) == (0, 0), result.output


# The notation


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1 2.5 -3", (1, 2.5, -3)),
        ("10x4", (10, 10, 10, 10, 10)),
        ("1x0", (1,)),
        ("0+5x3", (0, 5, 10, 15)),
        ("10-2x2", (10, 8, 6)),
        ("-2+4x3", (-2, 2, 6, 10)),
        ("1e3+1e+1x1", (1000, 1010)),
        ("1 _ _x2 2", (1, None, None, None, 2)),
        ("7 stale", (7, "stale")),
        ("Inf -Inf +Inf", (float("inf"), float("-inf"), float("inf"))),
        (".5x1 1.", (0.5, 0.5, 1)),
        ("", ()),
    ],
)
def test_values_are_read_as_promtool_reads_them(text: str, points: tuple[object, ...]):
    assert parse_values(text) == points


def test_nan_is_a_value():
    [point] = parse_values("NaN")
    assert isinstance(point, float) and point != point


@pytest.mark.parametrize("text", ["abc", "1+2", "1x", "x4", "1x-1", "_x", "1 {{count:1}}", "9x99999999", "1e", "--1"])
def test_values_that_are_none_are_refused_by_name(text: str):
    with pytest.raises(ValueError, match=r"^'"):
        parse_values(text)


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.integers(0, 50))
def test_a_ramp_has_one_sample_more_than_its_steps(first: int, step: int, times: int):
    assert parse_values(f"{first}+{step}x{times}") == tuple(first + step * i for i in range(times + 1))


def test_a_series_names_its_rule_and_the_labels_of_its_samples():
    series = parse_series('metric{rule="slow", region="eu", empty=""}', SECOND, "1")
    assert series == Series("slow", {"region": "eu"}, SECOND, (1.0,))


@pytest.mark.parametrize(
    "text", ["up", 'up{rule="a"}', "metric{}", 'metric{rule=~"a"}', 'metric{rule="a"', 'metric{region="eu"}']
)
def test_a_series_that_names_no_rule_is_refused(text: str):
    with pytest.raises(ValueError):
        parse_series(text, SECOND, "1")


def test_an_evaluation_takes_the_newest_sample_within_five_minutes():
    series = Series("r", {}, MINUTE, parse_values("1 2 _x6 3 stale 4"))

    def value(minutes: float) -> float | None:
        found = series.sample(round(minutes * MINUTE))
        return found and found.value

    assert [value(at) for at in (0, 0.9, 1, 6, 6.1, 8, 9, 9.9, 10, 15, 15.1)] == [
        1,
        1,
        2,
        2,
        None,
        3,
        None,
        None,
        4,
        4,
        None,
    ]


# What happens, and what is compared


def test_the_example_of_the_contract_passes(run):
    passes(
        run("""
        - name: opens after 2m and not inside the hysteresis band
          rules: [slow]
          input_series: [{series: 'metric{rule="slow", region="eu"}', interval: 30s, values: "10x4 700x12 570x20 100x20"}]
          expect:
            - {eval_time: 3m, incidents: []}
            - {eval_time: 4m29s, incidents: []}
            - {eval_time: 4m30s, incidents: [{rule: slow}]}
            - eval_time: 5m
              incidents:
                - {rule: slow, key: {region: eu}, state: open, priority: P1, service: order, opened_at: 4m30s, resolved_at: ~,
                   response_due: 14m30s, resolution_due: 1h4m30s, response_state: running, title: "Orders in eu wait 11m40s",
                   sla: {response: {target_s: 600}}, labels: {region: eu}, flags: [], reopened: 0}
            - {eval_time: 19m, incidents: [{rule: slow, state: open, response_breached: 14m30s}]}
            - {eval_time: 30m, incidents: [{rule: slow, state: resolved}]}
        """)
    )


def test_series_of_a_test_belong_to_one_rule_even_if_rules_share_a_query(run):
    passes(
        run("""
        - name: a
          rules: [slow, stale]
          input_series: [{series: 'metric{rule="stale", region="eu"}', interval: 30s, values: "1000x20"}]
          expect: [{eval_time: 9m, incidents: [{rule: stale, opened_at: 0s}]}]
        """)
    )


def test_a_series_that_ends_is_missing_five_minutes_later_and_at_once_when_it_is_stale(run):
    passes(
        run("""
        - name: a
          rules: [stale]
          input_series:
            - {series: 'metric{rule="stale", region="eu"}', interval: 30s, values: "0x4"}
            - {series: 'metric{rule="stale", region="us"}', interval: 30s, values: "0x4 stale"}
          expect:
            - {eval_time: 2m, incidents: []}
            - {eval_time: 3m, incidents: [{key: {region: us}, opened_at: 2m30s}]}
            - {eval_time: 8m, incidents: [{key: {region: us}}, {key: {region: eu}, opened_at: 7m30s, title: stale}]}
        """)
    )


def test_alerts_feed_rules_and_rules_feed_rules(run):
    passes(
        run("""
        - name: both
          rules: [down, two-down]
          input_alerts:
            - {at: 1m, labels: {alertname: Down, host: a}, annotations: {summary: gone}, for: 20m}
            - {at: 3m, labels: {alertname: Down, host: b}, for: 1m}
          expect:
            - {eval_time: 2m, incidents: [{rule: down, key: {host: a}, started_at: 1m, alerts_count: 1, alerts: [{annotations: {summary: gone}}]}]}
            - {eval_time: 5m, incidents: [{rule: down, state: open}, {rule: down, state: resolved, resolved_at: 4m}, {rule: two-down, title: 2 are down}]}
        - name: only what the test names is looked at, what it needs is there
          rules: [two-down]
          input_alerts:
            - {at: 1m, labels: {alertname: Down, host: a}}
            - {at: 3m, labels: {alertname: Down, host: b}}
          expect: [{eval_time: 5m, incidents: [{rule: two-down}]}]
        """)
    )


def test_an_alert_that_begins_again_as_it_ends_reopens(run):
    passes(
        run("""
        - name: a
          rules: [down]
          input_alerts:
            - {at: 1m, labels: {alertname: Down, host: a}, for: 1m}
            - {at: 2m, labels: {alertname: Down, host: a}}
          expect: [{eval_time: 3m, incidents: [{state: open, reopened: 1}]}]
        """)
    )


def test_occurrences_of_a_source_without_status_are_momentary(run):
    passes(
        run("""
        - name: a
          rules: [logins]
          input_alerts:
            - {at: 1m, source: jobs, labels: {type: login}}
            - {at: 1m, source: jobs, labels: {type: login}}
          expect:
            - {eval_time: 2m, incidents: [{rule: logins, state: open}]}
            - {eval_time: 7m, incidents: [{rule: logins, state: resolved, resolved_at: 6m}]}
        """)
    )
    refused = run("""
        - name: a
          input_alerts: [{at: 1m, source: jobs, labels: {type: login}, for: 5m}]
          expect: [{eval_time: 2m, incidents: []}]
        """)
    assert refused.exit_code == 1
    assert 'the source "jobs" maps no status: its occurrences are over at once\n' in refused.output


def test_problems_and_notifications_are_expected_too(run):
    passes(
        run("""
        - name: a
          rules: [down]
          input_alerts:
            - {at: 1m, labels: {alertname: Down, host: a}, for: 4m}
            - {at: 3m, labels: {alertname: Down, host: b}}
          expect:
            - {eval_time: 2m, problems: [], notifications: [{channel: chat, event: opened, at: 1m, incident: {title: a is down}, more: 0}]}
            - eval_time: 6m
              problems: [{origin: group, state: open, incidents: [INC-1, INC-2], opened_at: 3m}]
              notifications:
                - {event: opened, incident: {key: {host: a}}}
                - {event: opened, incident: {key: {host: b}}}
                - {event: opened, at: 4m, subject: PRB-1, problem: {incidents: [INC-1, INC-2]}}
                - {event: resolved, at: 5m, incident: {id: INC-1}}
        """)
    )


def test_a_difference_is_shown_beside_what_came_nearest(run):
    result = run("""
        - name: wrong
          rules: [down, two-down]
          input_alerts:
            - {at: 1m, labels: {alertname: Down, host: a}}
            - {at: 2m, labels: {alertname: Down, host: b}}
          expect:
            - {eval_time: 90s, incidents: [{rule: down, priority: P1}]}
            - {eval_time: 5m, incidents: [{rule: down, key: {host: a}}, {rule: down, key: {host: b}, state: resolved, opened_at: 90s}]}
            - {eval_time: 6m, incidents: [{rule: down}, {rule: down}, {rule: two-down}, {rule: slow}]}
        - name: right
          rules: [down]
          expect: [{eval_time: 1m, incidents: []}]
        """)
    assert result.exit_code == 1
    assert result.output == dedent("""\
        FAIL  wrong  (responder.yml:34:4)
              at 5m, incidents  (responder.yml:41:8)
                exp: {rule: down, key: {host: b}, state: resolved, opened_at: 90s}
                got: {rule: down, key: {host: b}, state: open, opened_at: 2m}
                exp: nothing
                got: {rule: two-down, key: {}, state: open, priority: P1, service: stock, title: 2 are down}
              at 6m, incidents  (responder.yml:42:8)
                exp: {rule: slow}
                got: nothing
        PASS  right
        2 tests: 1 passed, 1 failed
        """)


def test_an_expectation_takes_no_incident_from_one_that_fits_nothing_else(run):
    passes(
        run("""
        - name: the vague one stands first
          rules: [down]
          input_alerts:
            - {at: 1m, labels: {alertname: Down, host: a}}
            - {at: 1m, labels: {alertname: Down, host: b}}
          expect: [{eval_time: 2m, incidents: [{rule: down}, {key: {host: a}}]}]
        """)
    )


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("input_series: [{series: 'metric{rule=\"slwo\"}', interval: 1m, values: '1'}]", '35:28: there is no metric rule "slwo" in this test\n  hint: did you mean "slow"?'),
        ("input_series: [{series: 'metric{rule=\"down\"}', interval: 1m, values: '1'}]", '35:28: there is no metric rule "down" in this test'),
        ("input_series: [{series: up, interval: 1m, values: '1'}]", "35:28: 'up' is not metric{"),
        ("input_series: [{series: 'metric{rule=slow}', interval: 1m, values: '1'}]", "35:41: at character 13: expected a quoted value after rule="),
        ("input_series: [{series: 'metric{rule=\"slow\"}', interval: 1m, values: 'l'}]", "35:73: 'l' is none of"),
        ("input_alerts: [{at: 1m, labels: {a: ''}}]", "35:36: an alert has at least one label"),
        ("input_alerts: [{at: 1m, source: job, labels: {a: b}}]", '35:36: there is no source "job"\n  hint: did you mean "jobs"?'),
        ("expect: [{eval_time: 1m, incidents: [{rul: down}]}]", '35:42: unknown field "rul"\n  hint: did you mean "rule"?'),
        ("expect: [{eval_time: 1m, incidents: [{state: opne}]}]", '35:49: "opne" is not known here\n  hint: did you mean "open"?'),
        ("expect: [{eval_time: 1m, incidents: [{rule: slwo}]}]", '35:48: "slwo" is not known here\n  hint: did you mean "slow"?'),
        ("expect: [{eval_time: 1m, incidents: [{response_state: late}]}]", '35:58: "late" is not known here\n  hint: one of: '),
        ("expect: [{eval_time: 1m, notifications: [{event: open}]}]", '35:53: "open" is not known here\n  hint: did you mean "opened"?'),
        ("expect: [{eval_time: 1m, problems: [{origin: many}]}]", '35:49: "many" is not known here'),
    ],
)  # fmt: skip
def test_a_mistake_of_a_test_is_told_with_its_place_by_check_too(run, part: str, said: str):
    more = "" if "expect" in part else "\n          expect: [{eval_time: 1m, incidents: []}]"
    result = run(f"""
        - name: a
          {part}{more}
        """)
    assert result.exit_code == 1
    assert f"responder.yml:{said}" in result.output, result.output
    checked = CliRunner().invoke(main, ["check"])
    assert (checked.exit_code, said in checked.output) == (1, True), checked.output


def test_two_tests_of_one_name_in_a_file_are_a_mistake(run):
    test = "- {name: a, expect: [{eval_time: 1m, incidents: []}]}"
    result = run(f"{test}\n{test}\n")
    assert (
        'responder.yml:34:11: test "a" is defined twice\n  hint: it stands at responder.yml:33:11 already'
        in result.output
    )


# The command


def test_only_tests_whose_name_matches_are_run(run):
    tests = """
        - {name: alpha one, expect: [{eval_time: 1m, incidents: []}]}
        - {name: beta, expect: [{eval_time: 1m, incidents: [{rule: down}]}]}
        """
    assert run(tests, "--run", "^alpha").output == "PASS  alpha one\n1 test: 1 passed, 0 failed\n"
    nothing = run(tests, "--run", "gamma")
    assert (nothing.exit_code, nothing.output) == (0, "responder.yml: no test of 2 matches gamma\n")
    assert run(tests, "--run", "(").exit_code == 2


def test_a_file_without_tests_says_so(run):
    result = run("[]")
    assert (result.exit_code, result.output) == (0, "responder.yml: no tests\n")


def test_tests_of_a_pack_are_run_with_the_pack_only(run):
    result = run("[]", rules='include: ["pack:default"]\n' + RULES)
    assert result.output == "responder.yml: no tests\n"


def test_a_file_with_mistakes_is_not_tested(run):
    result = run("- {name: a, expect: []}")
    assert result.exit_code == 1
    assert "responder.yml:33:" in result.output and "none of its tests was run" in result.output


def test_results_are_valid_junit_xml(run):
    run(
        """
        - {name: "good & <well>", expect: [{eval_time: 1m, incidents: []}]}
        - {name: "bad \\x01", rules: [down], input_alerts: [{at: 1s, labels: {alertname: Down, host: "\\x0b<&"}}], expect: [{eval_time: 1m, incidents: []}]}
        """,
        "--junit", "out.xml",
    )  # fmt: skip
    root = Xml.parse("out.xml").getroot()
    assert (root.tag, root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == (
        "testsuites",
        "2",
        "1",
        "0",
    )
    [suite] = root
    assert suite.attrib["name"] == "responder.yml"
    good, bad = suite
    assert (good.attrib["name"], [*good]) == ("good & <well>", [])
    [failure] = bad
    assert "exp: nothing" in (failure.text or "") and "<&" in (failure.text or "")


def test_a_report_that_can_not_be_written_is_told(run):
    result = run("- {name: a, expect: [{eval_time: 1m, incidents: []}]}", "--junit", "nowhere/out.xml")
    assert result.exit_code == 1
    assert "nowhere/out.xml can't be written" in result.output
