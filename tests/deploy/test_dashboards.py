"""Every expression of every dashboard, answered by a real Prometheus that scrapes a daemon in its demo."""

import importlib.util
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.adapters.conftest import end, fetch, free_port, prometheus_on, wait_until
from tests.deploy.kit import DEPLOY, tool

DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
VARIABLES = {
    "$__range": "2m", "$__rate_interval": "10s", "$__interval": "10s", "$service": "order|logistics-api|hotline", "$org": ".*", "$team": ".*",
}  # fmt: skip
MAY_BE_EMPTY = {
    "service-levels: Burn of the availability budget",
    "service-levels: Stages overdue",
    "service-levels: Customers' scores",
    "on-call: Unresolved",
    "on-call: Due next",
    "on-call: Next due in",
    "on-call: Overdue, by service",
    "on-call: Services that are not well",
    "on-call: Calendars",  # none of the demo has holidays
    "problems: Cancelled per day",
    "daemon: Signals, by source",  # nothing is pushed in the demo
    "daemon: Occurrences that no rule matched",
    "daemon: From arrival to commit",
    "daemon: Failed polls, by source",
    "daemon: Rules that match most",
    "daemon: Rules that fail",
    "daemon: Messages, by channel",
    "daemon: Messages not sent, and why",
}
"""Panels that may have nothing to show after one act of the demo, and say so by their ``noValue``."""

PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [responder-rules.yml]
scrape_configs: [{{job_name: responder, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
"""


def panels(file: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            yield panel["title"], panel, expr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A Prometheus that scrapes the daemon of a demo, and that daemon: their URLs."""
    folder = tmp_path_factory.mktemp("stack")
    ours = free_port()
    shutil.copy(DEPLOY / "prometheus/responder-rules.yml", folder)
    with prometheus_on(folder, PROMETHEUS.format(port=ours)) as url:
        with (folder / "demo.log").open("wb") as log:
            demo = subprocess.Popen(
                [sys.executable, "-m", "responder", "demo", "--listen", f"127.0.0.1:{ours}"], stdout=log, stderr=log
            )
        try:
            yield url, f"http://127.0.0.1:{ours}"
        finally:
            end(demo)


def ask(url: str, expr: str) -> list[dict[str, Any]]:
    """Return the series of an expression; fails on an error."""
    try:
        answer = json.loads(fetch(f"{url}/api/v1/query?query={quote(expr)}"))
    except OSError as error:
        raise AssertionError(f"{expr}: {error}") from None
    return list(answer["data"]["result"])


def value(found: list[dict[str, Any]]) -> float:
    return float(found[0]["value"][1]) if found else -1.0


@pytest.mark.real
def test_every_expression_is_answered_idle_and_after_faults_without_nan(stack: tuple[str, str], tmp_path: Path) -> None:
    prometheus, responder = stack
    wait_until(lambda: value(ask(prometheus, "count(responder_service_info)")) == 3.0)
    idle = {(file.stem, title, expr): ask(prometheus, expr) for file in DASHBOARDS for title, _, expr in panels(file)}
    wait_until(lambda: value(ask(prometheus, "sum(responder_incidents_opened_total)")) >= 4, 60)
    busy = {(file.stem, title, expr): ask(prometheus, expr) for file in DASHBOARDS for title, _, expr in panels(file)}
    wait_until(lambda: value(ask(prometheus, 'sum(responder_sla_outcomes_total{outcome="breached"})')) >= 1, 60)
    wait_until(lambda: value(ask(prometheus, "sum(responder_incidents_unresolved)")) == 0, 60)
    time.sleep(3)  # two more scrapes: increase() needs them
    after = {(file.stem, title, expr): ask(prometheus, expr) for file in DASHBOARDS for title, _, expr in panels(file)}
    for state, answers in (("idle", idle), ("busy", busy), ("after", after)):
        nan = [key for key, found in answers.items() for series in found if math.isnan(float(series["value"][1]))]
        assert not nan, f"{state}: NaN in {nan}"
    empty = [
        (name, title, expr)
        for (name, title, expr), found in after.items()
        if not found and f"{name}: {title}" not in MAY_BE_EMPTY
    ]
    assert not empty, "\n".join(": ".join(key) for key in empty)
    for name in ("incidents_opened", "incidents_resolved"):  # the first of a series is counted too
        assert round(value(ask(prometheus, f"sum(increase(responder_{name}_total[2m]))"))) == 4
    recorded = ask(prometheus, '{__name__=~"responder:.+"}')
    assert not [series for series in recorded if math.isnan(float(series["value"][1]))]
    page = fetch(f"{responder}/metrics").decode()
    assert tool("promtool", "check", "metrics", cwd=tmp_path, home=tmp_path, feed=page) == ""


def test_the_committed_dashboards_are_those_that_the_code_makes() -> None:
    spec = importlib.util.spec_from_file_location("dashboards", DEPLOY / "grafana/dashboards.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.all_of_them()
    assert sorted(made) == DASHBOARDS
    for file, text in made.items():
        assert file.read_text() == text, f"run python deploy/grafana/dashboards.py: {file.name} is not what it makes"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_has_panels_that_do_not_overlap_and_say_what_nothing_means(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    assert dashboard["uid"].startswith("responder-") and dashboard["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells and place["x"] + place["w"] <= 24, panel["title"]
        cells |= own
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]
    assert len({panel["title"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_variables_are_service_team_and_organisation() -> None:
    for file in DASHBOARDS:
        names = [variable["name"] for variable in json.loads(file.read_text())["templating"]["list"]]
        assert names == (["datasource"] if file.stem == "daemon" else ["datasource", "org", "team", "service"])
