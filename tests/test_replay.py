"""``responder replay``: a history gives what the daemon would have made of it."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from click.testing import CliRunner, Result

from responder import plugins
from responder.cli import main
from responder.clock import Clock
from responder.config.settings import Settings
from responder.core.instant import format_instant, parse_instant
from responder.core.signal import HOUR, MINUTE, SECOND, Instant
from responder.house import book_of, build_sources
from responder.poller import Poller
from responder.rehearsal import Rehearsal
from responder.replay import replay_metrics, result
from tests.adapters.conftest import blocking, prometheus_on
from tests.config.kit import load

START = parse_instant("2026-01-05T00:00:00Z")
DAY_STEPS = 24 * 60
KEYS = ("a", "b", "c", "d", "e", "f")
METRICS = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
sources: {prometheus: {kind: prometheus, url: "http://127.0.0.1:1"}}
rules:
  - {id: above, by: [key], when: {metric: {source: prometheus, query: gauge, every: 1m, open: {above: 80, for: 3m}, close: {below: 60, for: 2m}, no_data: close}},
     incident: {service: shop, title: "{{ key.key }} is at {{ value }}", priority: P2}, reopen_within: 5m}
  - {id: keeps, by: [key], when: {metric: {source: prometheus, query: gauge, every: 1m, open: {above: 90}, no_data: keep}},
     incident: {service: shop, title: keeps, priority: P3}}
  - {id: missing, by: [key], when: {metric: {source: prometheus, query: gauge, every: 2m, open: {below: -1, for: 4m}, no_data: open}},
     incident: {service: shop, title: "{{ value }}", priority: P1}}
  - {id: mean, by: [], when: {metric: {source: prometheus, query: avg(gauge), every: 1m, open: {outside: [35, 65], for: 1m}, no_data: close}},
     incident: {service: shop, title: mean, priority: P4}}
  - {id: rate, by: [key], when: {metric: {source: prometheus, query: "rate(steps_total[5m])", every: 1m, open: {above: 0.4}, close: {below: 0.2, for: 3m}, no_data: close}},
     incident: {service: shop, title: rate, priority: P5}}
  - {id: several, by: [], when: {count: {of: {rule: above}, at_least: 2, within: 20m}}, incident: {service: shop, title: several, priority: P1}}
problems: [{id: same, group: {same: [key], at_least: 2, within: 10m}, owner: ops}]
"""


def settings_of(text: str) -> Settings:
    from responder.cli.loading import kinds

    loaded = load(text) if "sources" not in text else _loaded(text, kinds())
    assert loaded.settings is not None, loaded.errors
    return loaded.settings


def _loaded(text: str, kinds: Any) -> Any:
    from responder.config import load_text

    return load_text(text, kinds=kinds)


def parsed(pieces: Iterator[bytes]) -> Any:
    return json.loads(b"".join(pieces))


# From a real Prometheus


def openmetrics() -> Iterator[str]:
    """Yield a day of samples a minute; numbers that look random and are the same each time; series with holes."""
    yield "# TYPE gauge gauge"
    for number, key in enumerate(KEYS):
        value = 50.0
        for step in range(DAY_STEPS):
            noise = crc32(f"{key}{step}".encode()) / 2**32
            value += (noise - 0.5) * 30 - (value - 50) * 0.05
            if (step // 40 + number) % 9:  # away for 40 minutes now and then
                yield f'gauge{{key="{key}"}} {value:.3f} {START // SECOND + 60 * step}'
    yield "# TYPE steps counter"
    for number, key in enumerate(KEYS):
        total = 0
        for step in range(DAY_STEPS):
            total += 30 if (step // 25 * 31 + number * 17) % 11 == 0 else 1
            yield f'steps_total{{key="{key}"}} {total} {START // SECOND + 60 * step}'
    yield "# EOF\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed on this machine")
    folder = tmp_path_factory.mktemp("history")
    (folder / "metrics.om").write_text("\n".join(openmetrics()))
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics", "metrics.om", "data"],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with prometheus_on(folder, "", "--storage.tsdb.retention.time=100y") as url:
        yield url


class Hands(Clock):
    """A clock that stands where the test puts it."""

    at: Instant = START

    def now(self) -> Instant:
        return self.at


class Desk:
    """Takes what the poller submits to the rehearsal, at the time of the clock."""

    def __init__(self, rehearsal: Rehearsal, clock: Hands) -> None:
        self._rehearsal, self._clock, self.taken = rehearsal, clock, 0

    async def submit(self, item: Any) -> Any:
        self.taken += len(item.samples)
        return self._rehearsal.at(self._clock.now(), item)


async def polled(settings: Settings, url: str, until: Instant) -> Any:
    """Drive the daemon's poller, adapter and handlers through a history, evaluation by evaluation."""
    book, clock, pool = book_of(settings), Hands(), plugins.http_pool()
    source = plugins.source_settings("prometheus")(kind="prometheus", url=url)
    rehearsal = Rehearsal(book, START)
    desk = Desk(rehearsal, clock)
    [built] = build_sources(Settings(**{f: getattr(settings, f) for f in settings.__struct_fields__} | {"sources": {"prometheus": source}}), pool, blocking).values()  # fmt: skip
    everything = list(built.polled(book))
    poller = Poller(desk, clock, everything)
    try:
        for at in range(START, until + 1, MINUTE):
            for one in everything:
                if at % one.every == 0:
                    clock.at = at  # a poll that is answered late opens late (SPEC 3.3)
                    await poller.ask(one)
                    assert not one.failing
    finally:
        await pool.aclose()
    rehearsal.advance(until)
    return parsed(result(rehearsal, START, until, desk.taken))


@pytest.mark.real
def test_a_replay_gives_what_the_daemons_own_poller_gives_evaluation_by_evaluation(prometheus: str):
    settings, until = settings_of(METRICS), START + 4 * HOUR
    replayed = parsed(replay_metrics(settings, prometheus, START, until, lambda at: None))
    assert replayed == asyncio.run(polled(settings, prometheus, until))
    assert {incident["rule"] for incident in replayed["incidents"]} == {
        "above",
        "keeps",
        "missing",
        "mean",
        "rate",
        "several",
    }
    assert replayed["problems"] and any(incident["reopened"] for incident in replayed["incidents"])


@pytest.mark.real
def test_a_day_of_a_sample_a_minute_with_five_rules_takes_less_than_ten_seconds(prometheus: str):
    settings = settings_of(METRICS)
    began = time.perf_counter()
    found = parsed(replay_metrics(settings, prometheus, START, START + 24 * HOUR, lambda at: None))
    assert time.perf_counter() - began < 10
    assert found["counts"]["incidents"] == len(found["incidents"]) > 50


@pytest.mark.real
def test_the_command_asks_the_prometheus_that_it_is_given(prometheus: str, tmp_path: Path):
    result = run(
        tmp_path, METRICS, "--prometheus", prometheus, "--from", "2026-01-05T00:00:00Z", "--to", "2026-01-05T01:00:00Z"
    )
    assert json.loads(result.stdout)["to"] == "2026-01-05T01:00:00Z"
    refused = run(tmp_path, METRICS.replace("avg(gauge)", "avgg(gauge)"), "--prometheus", prometheus,
                  "--from", "2026-01-05T00:00:00Z", "--to", "2026-01-05T01:00:00Z")  # fmt: skip
    assert (refused.exit_code, "parse error" in refused.stderr, refused.stdout) == (1, True, "")


# From a file of alerts

EVENTS = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
rules:
  - {id: down, by: [host], when: {event: {match: {labels: {alertname: Down}}, expire: 20m}}, reopen_within: 10m,
     incident: {service: shop, title: "{{ key.host }} is down", priority: P1}}
"""


def run(folder: Path, config: str, *options: str) -> Result:
    (folder / "responder.yml").write_text(config)
    return CliRunner().invoke(main, ["replay", "--config", str(folder / "responder.yml"), *options])


def replay(folder: Path, lines: list[Any], *options: str, config: str = EVENTS) -> Result:
    (folder / "alerts.jsonl").write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return run(folder, config, "--alerts", str(folder / "alerts.jsonl"), *options)


def alert(host: str, **more: Any) -> dict[str, Any]:
    return {"labels": {"alertname": "Down", "host": host}, **more}


def at(minutes: float) -> str:
    return format_instant(START + round(minutes * MINUTE))


def test_lines_arrive_at_their_instants_and_are_kept_verbatim(tmp_path: Path):
    said = {"summary": "gone\n{{ x }}", "replay_id": "7"}
    result = replay(tmp_path, [
        {"at": at(1), "alerts": [alert("a", annotations=said, startsAt=at(1), endsAt=at(9)), alert("b", startsAt=at(1), endsAt=at(3))]},
        "",
        {"at": START / SECOND + 120, "alerts": [alert("a", annotations=said, startsAt=at(1), endsAt=at(2))]},
    ], "--to", at(30))  # fmt: skip
    found = json.loads(result.stdout)
    assert (found["from"], found["to"], found["counts"]) == (
        at(1),
        at(30),
        {"signals": 3, "alerts": 2, "incidents": 2, "problems": 0},
    )
    a, b = found["incidents"]
    assert (a["opened_at"], a["resolved_at"], a["closed_at"], a["state"]) == (at(1), at(2), at(12), "closed")
    assert (b["opened_at"], b["resolved_at"], b["alerts"][0]["status"]) == (at(1), at(3), "expired")
    assert a["alerts"][0]["annotations"] == said and a["alerts"][0]["labels"] == {"alertname": "Down", "host": "a"}
    assert result.stderr == "", "a progress bar is for terminals"


def test_without_an_end_the_longest_timer_runs_out_within_an_hour(tmp_path: Path):
    assert json.loads(replay(tmp_path, [{"at": at(0), "alerts": [alert("a", startsAt=at(0), endsAt=at(7))]}]).stdout)[
        "to"
    ] == at(17)
    long = EVENTS.replace("reopen_within: 10m", "reopen_within: 3h")
    assert json.loads(
        replay(tmp_path, [{"at": at(0), "alerts": [alert("a", startsAt=at(0), endsAt=at(7))]}], config=long).stdout
    )["to"] == at(60)


def test_an_end_cuts_the_file(tmp_path: Path):
    lines = [{"at": at(minute), "alerts": [alert(f"h{minute}")]} for minute in range(10)]
    found = json.loads(replay(tmp_path, lines, "--to", at(4)).stdout)
    assert (found["counts"]["signals"], found["to"]) == (5, at(4))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "there is no line in it"),
        (["nonsense"], ":1: "),
        ([{"at": at(1), "alerts": []}, {"at": "soon", "alerts": []}], ":2: "),
        ([{"alerts": []}], ":1: "),
        ([{"at": at(2), "alerts": []}, {"at": at(1), "alerts": []}], ":2: 2026-01-05T00:01:00Z is before the line above it"),
        (["", {"at": at(1), "alerts": [{"annotations": {}}]}], ":2: 0.labels in body is required\n"),
        ([{"at": at(1), "alerts": {"labels": {"a": "b"}}}], ':1: alerts is a list, found {"labels"'),
        ([{"at": 1e300, "alerts": []}], ":1: "),
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_told_with_its_number(tmp_path: Path, lines: list[Any], said: str):
    result = replay(tmp_path, lines)
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr


def test_a_bad_alert_is_told_and_its_neighbours_are_kept(tmp_path: Path):
    lines = [{"at": at(0), "alerts": [alert("a")]}, "", {"at": at(1), "alerts": [{"labels": {}}, alert("b")]}]
    result = replay(tmp_path, lines)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["counts"] == {"signals": 2, "alerts": 2, "incidents": 2, "problems": 0}
    file = tmp_path / "alerts.jsonl"
    assert result.stderr.splitlines() == [
        f"{file}:3: at least one label pair required (alert 0); left out",
        f"{file}: 1 of 3 alerts were left out",
    ]


def test_options_that_do_not_go_together_are_refused(tmp_path: Path):
    for options, said in (
        ([], "give --prometheus or --alerts\n"),
        (["--alerts", "x", "--prometheus", "y"], "give --prometheus or --alerts, not both"),
        (["--prometheus", "y"], "--prometheus needs --from and --to"),
        (["--alerts", "x", "--to", "soon"], "soon"),
        (["--prometheus", "y", "--from", at(2), "--to", at(1)], "--to is before --from"),
    ):
        result = run(tmp_path, EVENTS, *options)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    result = replay(tmp_path, [{"at": at(1), "alerts": []}], "--to", at(0))
    assert result.exit_code == 1 and "which is after --to" in result.stderr
    assert "nowhere.jsonl: No such file" in run(tmp_path, EVENTS, "--alerts", "nowhere.jsonl").stderr
