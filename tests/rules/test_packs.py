"""The shipped packs: sound, tested, and understood by a real Prometheus."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from responder.cli import main
from responder.config.loader import packs
from responder.core.rule import MetricWhen
from responder.importer import translate
from tests.config.kit import load

PACKS = packs()
RULES = ("default", "linux-host", "kubernetes", "blackbox", "prometheus-itself")
"""Packs of rules only; the others are whole examples of an organisation."""
RULE_FILES = sorted(Path(__file__).parent.glob("*.rules.yml"))
SOURCE = 'sources: {prometheus: {kind: prometheus, url: "http://127.0.0.1:9090"}}\n'


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_packs_of_the_contract_are_there():
    assert set(PACKS) >= set(RULES)


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_passes_check_and_its_own_tests(name: str):
    run("check", str(PACKS[name]))
    assert " 0 failed" in run("test", str(PACKS[name]))


def test_packs_of_rules_go_together_without_a_warning(tmp_path: Path):
    file = tmp_path / "responder.yml"
    file.write_text(SOURCE + f"include: [{', '.join(f'pack:{name}' for name in RULES)}]")
    assert "0 warnings" in run("check", "--lint-fatal", str(file))


@pytest.mark.parametrize("name", RULES)
def test_incidents_of_a_pack_have_what_a_person_needs(name: str):
    loaded = load(PACKS[name].read_text())
    assert loaded.settings is not None
    for rule in loaded.settings.rules:
        assert rule.incident is not None and rule.incident.service_name is None, "a pack forces no catalogue on anybody"
        context = {"key": dict.fromkeys(rule.by, "k"), "labels": {}, "annotations": {}, "value": 0.5, "count": 7}
        assert rule.incident.service(context) and rule.incident.title(context)
        assert rule.incident.runbook is None or rule.id.startswith("default-")
        if isinstance(rule.when, MetricWhen) and rule.incident.priority.fixed is not None:
            assert rule.incident.priority.fixed in ("P1", "P2", "P3", "P4", "P5")


@pytest.mark.real
@pytest.mark.parametrize("name", PACKS)
def test_a_real_prometheus_understands_every_query_of_a_pack(prometheus: str, name: str):
    assert run("check", str(PACKS[name]), "--prometheus", prometheus).splitlines()[-1].startswith("good")


@pytest.mark.real
def test_a_real_prometheus_understands_what_import_makes(prometheus: str, tmp_path: Path):
    file = tmp_path / "rules.yml"
    file.write_text(SOURCE + translate(RULE_FILES).text)
    run("check", str(file), "--prometheus", prometheus)


BLOCKS = """\
  - id: literal
    by: []
    when:
      metric:
        query: |  # the words begin beneath
          sum(up) by (job)
            / on (job) and count(up)
        source: prometheus
        every: 30s
        open: {above: 1}
        no_data: close
  - id: folded
    by: []
    when: {metric: {source: prometheus, every: 30s, open: {above: 1}, no_data: close, query: "up{job='é'}
               and up{x~'y'}"}}
  - id: escaped
    by: []
    when:
      metric: {source: prometheus, every: 30s, open: {above: 1}, no_data: close,
        query: "up{a=\\"b\\"} and and up"}
"""


@pytest.mark.real
def test_queries_that_prometheus_refuses_are_told_with_the_place_where_it_stumbles(prometheus: str, tmp_path: Path):
    rule = "  - {{id: {0}, by: [], when: {{metric: {{source: {2}, query: '{1}', every: 30s, open: {{above: 1}}, no_data: close}}}}}}\n"
    file = tmp_path / "r.yml"
    file.write_text(
        SOURCE.replace("}}\n", '}, page: {kind: scrape, url: "http://127.0.0.1:1"}}\n')
        + "rules:\n"
        + rule.format("good", "up", "prometheus")
        + rule.format("bad", "sum by job (up)", "prometheus")
        + rule.format("range", "up[5m]", "prometheus")
        + rule.format("word", "no_such_function(up)", "prometheus")
        + rule.format("page", "up", "page")
        + BLOCKS
    )
    result = CliRunner().invoke(main, ["check", str(file), "--prometheus", prometheus])
    assert result.exit_code == 1
    *lines, total = [line.removeprefix(f"{file}:") for line in result.stderr.splitlines()]
    text = file.read_text().splitlines()
    stumbles = {}
    for said in lines:
        line, column, rule_, *_ = said.split(":")
        stumbles[rule_.split('"')[1]] = text[int(line) - 1][int(column) - 1 :][:12], int(line)
    assert stumbles == {
        "bad": ("job (up)', e", 4), "range": ("'up[5m]', ev", 5), "word": ("no_such_func", 6),
        "literal": ("count(up)", 14), "folded": ("~'y'}\"}}", 22), "escaped": ('"up{a=\\"b\\"}', 27),
    }, result.stderr  # fmt: skip
    assert "parse error" in lines[0] and total == "6 errors, 0 warnings"


def test_a_server_that_is_not_there_is_told(tmp_path: Path):
    result = CliRunner().invoke(main, ["check", str(PACKS["blackbox"]), "--prometheus", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: ")
