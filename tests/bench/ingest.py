"""POST /api/v2/alerts, side by side with Alertmanager: same alerts, same machine, in turns."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench import configs
from tests.bench.load import SERVICES, Sent, alerts, posts, send
from tests.bench.servers import Server, alertmanager, responder
from tests.bench.table import SKIPPED, Row, Skip, at_least

RULES = 1000


def batches(folder: Path, quick: bool) -> Iterator[Row]:
    """Batch 64 over 8 connections; each alert joins one of 200 open incidents."""
    count, rounds = (6_400, 3) if quick else (19_200, 5)
    with _contenders(folder) as servers:
        first: dict[str, list[Sent]] = {name: [] for name in servers}
        again: dict[str, list[Sent]] = {name: [] for name in servers}
        for server in servers.values():  # opens the incidents, and has everything warm
            send(server, posts(alerts("warm", range(10 * SERVICES)), 64), 8)
        for turn in range(rounds):
            requests = posts(alerts(f"turn{turn}", range(count)), 64)
            for name, server in servers.items():
                first[name].append(send(server, requests, 8))
                again[name].append(send(server, requests, 8))
    yield from _compared("batch 64, 8 connections, first sight", first, 1.5)
    yield from _compared("batch 64, 8 connections, repeats", again, 2.0)


def singles(folder: Path, quick: bool) -> Iterator[Row]:
    """Batch 1 over 64 connections."""
    count, rounds = (3_000, 3) if quick else (10_000, 5)
    with _contenders(folder) as servers:
        seen: dict[str, list[Sent]] = {name: [] for name in servers}
        for server in servers.values():
            send(server, posts(alerts("warm", range(10 * SERVICES)), 64), 8)
        for turn in range(rounds):
            requests = posts(alerts(f"turn{turn}", range(count)), 1)
            for name, server in servers.items():
                seen[name].append(send(server, requests, 64))
    yield from _compared("batch 1, 64 connections, first sight", seen, 1.0)


def incidents(folder: Path, quick: bool) -> Iterator[Row]:
    """Alerts that each open an incident, batch 64."""
    count, rounds = (3_200, 3) if quick else (6_400, 5)
    with responder(folder / "responder", configs.event_rules(SERVICES, by="instance")) as server:
        send(server, posts(alerts("warm", range(640)), 64), 8)
        seen = [send(server, posts(alerts(f"turn{turn}", range(count)), 64), 8) for turn in range(rounds)]
    rate, cost = median(sent.rate for sent in seen), median(sent.cost for sent in seen)
    yield at_least(
        "alerts that each open an incident, batch 64", rate, 2_000, f"{rate:,.0f}/s, {cost:.0f} us CPU", "/s"
    )


@contextlib.contextmanager
def _contenders(folder: Path) -> Iterator[dict[str, Server]]:
    """Run ours, and Alertmanager with as many routes, with as many that are all asked, and with none; without it, only ours."""
    with contextlib.ExitStack() as stack:
        found = {"responder": stack.enter_context(responder(folder / "responder", configs.event_rules(RULES)))}
        with contextlib.suppress(Skip):
            kinds = (
                (f"alertmanager, {RULES} routes", configs.routes(RULES)),
                (f"alertmanager, {RULES} routes that are all asked", configs.routes(RULES, go_on=True)),
                ("alertmanager, no routes", configs.routes(0)),
            )
            for number, (name, config) in enumerate(kinds):
                found[name] = stack.enter_context(alertmanager(folder / f"am{number}", config))
        yield found


def _compared(work: str, seen: dict[str, list[Sent]], bar: float) -> Iterator[Row]:
    """Yield the ratio to each Alertmanager, turn by turn; the bar is for the first, whose search ends soonest."""
    ours = seen.pop("responder")
    if not seen:
        yield Row(work, f"{_words(ours)}; no prometheus-alertmanager to compare with", f">= {bar:g}x", SKIPPED)
        return
    judged = True
    for name, theirs in seen.items():
        ratio = median(o.rate / t.rate for o, t in zip(ours, theirs, strict=True))
        cheaper = median(t.cost / o.cost for o, t in zip(ours, theirs, strict=True))
        words = f"{ratio:.2f}x the alerts/s, {cheaper:.2f}x per CPU second"
        if judged:
            yield at_least(work, ratio, bar, f"{words}; {_words(ours)}")
        else:
            yield Row(f"  the same / {name}", words)
        yield Row(f"  {name}", _words(theirs))
        judged = False


def _words(seen: list[Sent]) -> str:
    rate, cost, p99 = (median(value) for value in zip(*((s.rate, s.cost, s.p99) for s in seen), strict=True))
    sender = median(sent.own_cpu / sent.seconds for sent in seen)
    return f"{rate:,.0f}/s, {cost:.1f} us CPU an alert, p99 {1000 * p99:.1f} ms (sender {sender:.0%} of a core)"
