"""The rules and configurations of Prometheus and Alertmanager, judged by their own tools."""

import json
from pathlib import Path

import pytest
import yaml

from responder import metrics
from responder.core import gauges
from tests.deploy.kit import DEPLOY, metric_names, tool

RULES = DEPLOY / "prometheus/responder-rules.yml"


@pytest.mark.real
@pytest.mark.parametrize(
    "arguments",
    [
        ("promtool", "check", "rules", "responder-rules.yml"),
        ("promtool", "test", "rules", "responder-rules.test.yml"),
        ("promtool", "check", "config", "--syntax-only", "prometheus.yml"),
        ("amtool", "check-config", "../alertmanager/alertmanager.yml"),
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_a_file_is_accepted_by_its_own_tool(arguments: tuple[str, ...], tmp_path: Path) -> None:
    said = tool(*arguments, cwd=DEPLOY / "prometheus", home=tmp_path)
    assert "FAILED" not in said and "SUCCESS" in said


def test_every_alert_has_a_unit_test_a_summary_and_the_label_that_keeps_us_from_judging_ourselves() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    alerts = [rule for rule in rules if "alert" in rule]
    tested = (DEPLOY / "prometheus/responder-rules.test.yml").read_text()
    for rule in alerts:
        assert rule["alert"] in tested, rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["alert"] == "Watchdog" or rule["labels"]["watches"] == "responder"
    assert {rule["labels"].get("burn") for rule in alerts} >= {"14.4", "6", "3", "1"}


def known() -> set[str]:
    """Return the names of all metrics that there are."""
    plain = {*metrics.FACT_COUNTERS, *gauges.WORDS}
    histograms = {name + end for name in metrics.FACT_HISTOGRAMS for end in ("_bucket", "_sum", "_count")}
    process = {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples}
    types = {family.name: family.type for family in metrics.REGISTRY.collect()}
    for name, kind in types.items():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
        process |= {name + end for end in ends}
    return {metrics.P + name for name in plain | histograms} | process


def test_rules_and_dashboards_ask_only_for_metrics_that_there_are() -> None:
    exprs = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    for file in (DEPLOY / "grafana/dashboards").glob("*.json"):
        dashboard = json.loads(file.read_text())
        exprs += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        exprs += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    asked = {name for expr in exprs for name in metric_names(expr)}
    assert asked - known() == set()


def test_recorded_series_that_dashboards_read_are_recorded() -> None:
    recorded = {rule.get("record") for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    text = "".join(file.read_text() for file in (DEPLOY / "grafana/dashboards").glob("*.json"))
    read = {word for word in ("responder:availability_burn:1h", "responder:availability_burn:6h") if word in text}
    assert len(read) == 2 and read <= recorded
