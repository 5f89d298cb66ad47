"""``responder import prometheus-rules``: rule files become rules that ``check`` accepts; what does not translate is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from responder.cli import main
from responder.config.templates import compile_template
from responder.core.conditions import step
from responder.core.conditions.state import Sampled, State
from responder.core.rule import MetricWhen, Rule
from responder.core.signal import MINUTE, SECOND
from responder.gotemplate import Untranslatable
from responder.gotemplate import translate as template
from responder.importer import RuleFileError, scalar, threshold_of, translate
from tests.config.kit import load

FILES = sorted((Path(__file__).parent / "rules").glob("*.rules.yml"))
SOURCES = '\nsources: {prometheus: {kind: prometheus, url: "http://x"}}\n'


def rules_of(text: str) -> dict[str, Rule]:
    loaded = load(text + SOURCES)
    assert loaded.settings is not None, loaded.errors
    assert loaded.warnings == []
    return {rule.id: rule for rule in loaded.settings.rules}


def imported(tmp_path: Path, rules: str, name: str = "a.yml") -> tuple[dict[str, Rule], list[str]]:
    """Return the rules of one group, and what is remarked with the file's name cut off."""
    (tmp_path / name).write_text("groups:\n- name: g\n  rules:\n" + rules)
    found = translate([tmp_path / name])
    return rules_of(found.text), [remark.removeprefix(f"{tmp_path}/") for remark in found.remarks]


def shown(rule: Rule, labels: Mapping[str, str], value: float) -> dict[str, str]:
    assert rule.incident is not None
    context: dict[str, Any] = {"key": {}, "labels": labels, "annotations": {}, "value": value}
    texts = {"title": rule.incident.title, "description": rule.incident.description, "service": rule.incident.service}
    return {
        name: render(context) for name, render in (texts | dict(rule.incident.labels)).items() if render is not None
    }


# Whole files


def test_realistic_files_become_rules_that_check_accepts():
    rules = rules_of(translate(FILES).text)
    assert len(rules) == 17
    down = rules["HostDown"]
    assert (down.by, down.incident and down.incident.priority.fixed) == (("instance", "job"), "P1")
    assert isinstance(down.when, MetricWhen)
    assert (down.when.query, down.when.every, down.when.open.op, down.when.open.hold) == (
        'up{job="node"}', 30 * SECOND, "equal", 5 * MINUTE,
    )  # fmt: skip
    assert shown(down, {"instance": "a:9100", "job": "node"}, 0.0) == {
        "title": "a:9100 of node is down",
        "description": "The exporter of a:9100 has not answered for more than 5 minutes.\n  VALUE = 0\n  LABELS = a:9100",
        "service": "node", "severity": "critical", "team": "platform",
    }  # fmt: skip
    assert set(rules) >= {"NodeFilesystemAlmostOutOfSpace", "NodeFilesystemAlmostOutOfSpace-critical"}
    assert rules["KubePodNotReady"].by == ("cluster", "namespace", "pod")


def test_the_command_prints_rules_and_remarks_apart():
    result = CliRunner().invoke(main, ["import", "prometheus-rules", *map(str, FILES)])
    assert result.exit_code == 0
    assert rules_of(result.stdout).keys() == rules_of(translate(FILES).text).keys()
    remarks = [line.partition(".rules.yml:")[2] for line in result.stderr.splitlines()]
    assert "6:9: the recording rule instance:node_cpu:ratio is Prometheus's business; skipped" in remarks
    assert any("Watchdog fires always" in remark for remark in remarks)
    assert '8:7: "partial_response_strategy" of the group "kubernetes-apps" has no counterpart' in remarks
    assert "71:20: HostNetworkSaturated: annotation summary uses with, which has no counterpart; left out" in remarks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: []", "a.yml:1:1: no file of Prometheus rules: there is no list of groups"),
        ("groups: [{name: g, rules: [{alert: A}]}]", "a.yml:1:28: no file of Prometheus rules: a rule has an expr"),
        ("groups: [{name: g, rules: [{expr: up}]}]", "a rule is an alert: or a record:"),
        ("groups: [{name: g, rules: 3}]", "a group has a list of rules"),
        ("groups: [g]", "a group has a list of rules"),
        ("groups: [{name: g, interval: x, rules: [{alert: A, expr: up}]}]", "'x' is no interval"),
        ("groups: [{name: g, rules: [{alert: A, expr: up, for: soon}]}]", "'soon' is no duration"),
        ("groups: [", "a.yml:"),
        ("{{ template }}", "a.yml:"),
    ],
)
def test_what_is_no_rule_file_is_refused_with_its_place(tmp_path: Path, text: str, said: str):
    file = tmp_path / "a.yml"
    file.write_text(text)
    with pytest.raises(RuleFileError) as error:
        translate([file])
    assert said in str(error.value)
    result = CliRunner().invoke(main, ["import", "prometheus-rules", str(file)])
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_file_of_recording_rules_becomes_no_rule(tmp_path: Path):
    assert imported(tmp_path, "  - {record: a:b, expr: up}") == (
        {}, ["a.yml:4:5: the recording rule a:b is Prometheus's business; skipped"],
    )  # fmt: skip


# Conditions


@pytest.mark.parametrize(
    ("expr", "query", "opens", "closes"),
    [
        ("up == 0", "up", "equal: 0", "not_equal: 0"),
        ("up != 1", "up", "not_equal: 1", "equal: 1"),
        ("(a / b) * 100 > 80", "(a / b) * 100", "above: 80", "below: 80.00000000000001"),
        ("a >= 1", "a", "above: 0.9999999999999999", "below: 1"),
        ("a <= 0.5", "a", "below: 0.5000000000000001", "above: 0.5"),
        ("((a < -5))", "a", "below: -5", "above: -5.000000000000001"),
        ("a > 24 * 60*60", "a", "above: 86400", "below: 86400.00000000001"),
        ('a{b="x > 1"} > 1e3 # many', 'a{b="x > 1"}', "above: 1000", "below: 1000.0000000000001"),
        ("sum by (x) (a > 0) > 2", "sum by (x) (a > 0)", "above: 2", "below: 2.0000000000000004"),
    ],
)
def test_a_comparison_with_a_number_becomes_the_thresholds(expr: str, query: str, opens: str, closes: str):
    found = threshold_of(expr)
    assert found is not None
    assert (found.query, found.opens(), found.closes()) == (query, opens, closes)


@pytest.mark.parametrize(
    "expr",
    ["up", "a > b", "a > 1 and b", "a > 1 or b > 1", "a unless b > 1", "a > bool 1", "1 < a", "0 < a < 5", "(a > 1) + (b > 2)",
     "absent(a)", "a > -1 * b", "a > (1 + 2)", 'a{b!~"c"}', "a > 1e999", "(a > 1"],
)  # fmt: skip
def test_any_other_expression_is_asked_as_it_is(expr: str):
    assert threshold_of(expr) is None


@given(
    st.sampled_from([">", "<", ">=", "<=", "==", "!="]),
    st.floats(-1e6, 1e6),
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, float("inf")])),
    st.booleans(),
)
def test_a_threshold_holds_exactly_when_the_comparison_does(op: str, number: float, value: float, at_it: bool):
    value = number if at_it else value
    found = threshold_of(f"a {op} {number!r}")
    assert found is not None
    for bound, wanted in ((found.opens(), True), (found.closes(), False)):
        text = f"rules: [{{id: r, by: [], when: {{metric: {{source: prometheus, query: a, every: 1m, no_data: close, open: {{{bound}}}}}}}}}]"
        when = rules_of(text)["r"].when
        turn = step(when, State(), Sampled(0, ((0, value),)))
        holds = {">": value > number, "<": value < number, ">=": value >= number, "<=": value <= number,
                 "==": value == number, "!=": value != number}[op]  # fmt: skip
        assert (turn.state.phase == "open") is (holds is wanted)


def test_keep_firing_for_holds_the_close(tmp_path: Path):
    rules, remarks = imported(
        tmp_path,
        """
        - {alert: A, expr: sum by (x) (a) > 0, for: 1d, keep_firing_for: 10m}
        - {alert: B, expr: sum by (x) (a > 0 and b), keep_firing_for: 10m}
        """,
    )
    when = rules["A"].when
    assert isinstance(when, MetricWhen) and when.close is not None
    assert (when.open.hold, when.close.hold, when.close.b) == (24 * 60 * MINUTE, 10 * MINUTE, 0)
    assert (when.no_data, remarks) == (
        "keep",
        [
            "a.yml:5:74: A: a series that vanishes stays open until it is back (no_data: keep); Prometheus resolves it after 10m",
            "a.yml:6:71: B: keep_firing_for needs a threshold beside the query; left out",
        ],
    )


@pytest.mark.parametrize(
    ("expr", "no_data"),
    [
        ("sum by (x) (a) / (sum by (x) (b) > 5) > 2", "close"),
        ("sum by (x) (a unless b) > 2", "close"),
        ("sum by (x) (a > bool 5) > 2", "keep"),
        ("sum by (x) (a{b!='c'}) > 2", "keep"),
    ],
)
def test_a_query_that_drops_what_is_well_closes_when_that_is_gone(tmp_path: Path, expr: str, no_data: str):
    rules, [remark] = imported(tmp_path, f'        - {{alert: A, expr: "{expr}", keep_firing_for: 5m}}\n')
    when = rules["A"].when
    assert isinstance(when, MetricWhen) and when.no_data == no_data
    assert f"(no_data: {no_data}); Prometheus resolves it after 5m" in remark


def test_a_name_that_no_id_can_be_gets_dashes(tmp_path: Path):
    rules, _ = imported(tmp_path, "        - {alert: Disk / is full, expr: sum by (x) (a) > 0}\n")
    assert list(rules) == ["Disk-is-full"]


# Keys


@pytest.mark.parametrize(
    ("expr", "text", "by"),
    [
        ("sum by (b, a) (x) > 1", "{{ $labels.a }}", ("a", "b")),
        ("sum(x) > 1", "", ()),
        ("absent(up)", "{{ $labels.job }}", ()),
        ("x > 1", "{{ $labels.pod }} {{ .Labels.node }} {{ index $labels \"zone\" }} {{ $labels.pod }}", ("pod", "node", "zone")),
        ("x > 1", "", ("job", "instance")),
    ],
)  # fmt: skip
def test_the_key_is_what_the_query_keeps_or_the_texts_name(tmp_path: Path, expr: str, text: str, by: tuple[str, ...]):
    rules, remarks = imported(tmp_path, f"  - {{alert: A, expr: '{expr}', annotations: {{summary: '{text}'}}}}")
    assert rules["A"].by == by
    assert any("share an incident" in remark for remark in remarks) is expr.startswith("x")


def test_equal_names_get_ids_of_their_own(tmp_path: Path):
    alert = "  - {alert: A, expr: sum(x) > 1, labels: {severity: warning}}\n"
    assert list(imported(tmp_path, alert * 4)[0]) == ["A", "A-warning", "A-2", "A-3"]


# Texts


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain", "plain"),
        ("{{ $labels.instance }}/{{.Labels.job}}", "a:1/shop"),
        ("{{ $value }} {{ .Value }}", "0.4567 0.4567"),
        ("{{ $value | humanize }} {{ humanize $value }}", "0.4567 0.4567"),
        ("{{ $value | humanizePercentage }}", "45.67%"),
        ("{{ humanizeDuration $value }}", "457ms"),
        ("{{ $value | humanize1024 }}B/s", "0.4567 B/s"),
        ("{{ printf \"%.2f\" $value }}%", "0.46%"),
        ("{{ $value | printf \"%.1f%%\" }}", "0.5%"),
        ("{{ printf \"%s of %s: %.0f\" $labels.instance $labels.job $value }}", "a:1 of shop: 0"),
        ("{{ printf `%v` $value }}", "0.4567"),
        ("{{ index $labels \"job\" | toUpper }}", "SHOP"),
        ("{{ if eq $labels.job \"shop\" }}yes{{ else }}no{{ end }}", "yes"),
        ("{{ if and (gt $value 0.4) (not (eq .Labels.job \"x\")) }}yes{{ end }}", "yes"),
        ("{{ if eq $labels.job \"x\" }}a{{ else if $labels.none }}b{{ else }}c{{ end }}", "c"),
        ("a  {{- /* remark */ -}}  b", "ab"),
        ("{{ $labels := .Labels }}{{ $labels.job }}", "shop"),
        ("{% raw %} {# no #} {{ $labels.job }}", "{% raw %} {# no #} shop"),
        ("{{ \"{{\" }}", "{{"),
        ("{{ $labels.none }}", ""),
    ],
)  # fmt: skip
def test_templates_print_the_same(text: str, printed: str):
    context = {"labels": {"instance": "a:1", "job": "shop"}, "value": 0.4567, "key": {}, "annotations": {}}
    assert compile_template(template(text))(context) == printed


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{ range query \"up\" }}{{ end }}", "range"), ("{{ with $labels }}{{ end }}", "with"), ("{{ $externalLabels.x }}", "$externalLabels.x"),
        ("{{ query \"up\" | first | value }}", "query"), ("{{ reReplaceAll \"a\" \"b\" $labels.x }}", "reReplaceAll"),
        ("{{ $value | humanizeTimestamp }}", "humanizeTimestamp"), ("{{ if $value }}", "an if without its end"),
        ("{{ printf \"%x\" $value }}", "printf %x"), ("{{ printf \"%s\" }}", "printf"), ("{{ $value", "an action without its end"),
        ("{{ }}", "an empty action"), ("{{ $x := 3 }}", ":="), ("{{ (eq 1 2 }}", "a bracket that does not close"), ("{{ . }}", "."),
        ("{{ $value $value }}", "$value"), ("{{ template \"x\" }}", "template"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_named(text: str, named: str):
    with pytest.raises(Untranslatable) as error:
        template(text)
    assert str(error.value) == named


@given(st.text('{}%#$ .|-()labels"`\\', max_size=40) | st.text(max_size=60))
def test_no_text_makes_a_template_that_can_not_be_compiled(text: str):
    try:
        compile_template(template(text))
    except Untranslatable:
        pass
    except ValueError:
        assert "{{" in text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_text_can_stand_in_the_yaml(text: str):
    loaded = load(f"teams: {{a: {{lead: {scalar(text)}}}}}")
    if len(text) <= 200:
        assert loaded.settings is not None, loaded.errors
        assert loaded.settings.teams["a"].lead == text


def test_labels_and_annotations_find_their_places(tmp_path: Path):
    rules, remarks = imported(
        tmp_path,
        """
        - alert: A
          expr: sum by (x) (y) > 1
          labels: {severity: page, service: shop, empty: '', tmpl: '{{ $labels.x }}!', bad: '{{ range . }}'}
          annotations: {message: "what {{ $labels.x }}", summary: short, runbook_url: 'https://wiki/{{ $labels.x }}', grafana: x, impact: '{{ with . }}'}
        """,
    )
    rule = rules["A"]
    assert shown(rule, {"x": "1"}, 2) == {
        "title": "short", "description": "what 1", "service": "shop", "severity": "page", "tmpl": "1!",
    }  # fmt: skip
    assert rule.incident is not None and rule.incident.runbook is not None
    assert rule.incident.runbook({"labels": {"x": "1"}}) == "https://wiki/1"
    assert [remark.split(": A: ")[1] for remark in remarks] == [
        "annotation impact uses with, which has no counterpart; left out",
        'the annotation "grafana" has no place in an incident; left out',
        "label bad uses range, which has no counterpart; left out",
        'the severity "page" stands for no priority; without one it is P4',
    ]
    assert all(remark.startswith("a.yml:") for remark in remarks)
