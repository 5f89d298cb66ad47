"""The daemon as a whole: polled rules, a request during a flood, loading, and what an install takes."""

import asyncio
import contextlib
import json
import multiprocessing
import resource
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs

from responder.clock import SystemClock
from responder.core.signal import SECOND
from tests.bench import configs
from tests.bench.load import SERVICES, alerts, posts, send
from tests.bench.servers import Server, free_port, responder
from tests.bench.table import SKIPPED, Row, at_most

ROOT = Path(__file__).resolve().parents[2]


def polls(folder: Path, quick: bool) -> Iterator[Row]:
    """1000 PromQL rules, each asked every 15 s of a stub that answers at once; two rounds pass before it is measured."""
    rounds = 1 if quick else 4
    with (
        _prometheus() as (url, asked),
        responder(folder / "responder", configs.metric_rules(1000, url, "15s")) as server,
    ):
        start = server.cpu()
        time.sleep(
            35 - SystemClock().now() / SECOND % 15
        )  # until 5 s into an interval: a round takes 1.5 s, the first one sees every key first
        first = server.cpu() - start
        count, begun, cpu = asked.value, time.monotonic(), server.cpu()
        time.sleep(15 * rounds)
        seconds = time.monotonic() - begun
        share = 100 * (server.cpu() - cpu) / seconds
        rate = (asked.value - count) / seconds
    words = f"{share:.1f} % of a core, {rate:.0f} queries/s; the rounds before took {first:.2f} s CPU"
    yield at_most("1000 polled PromQL rules each 15 s", share, 8, words, " %")


@contextlib.contextmanager
def _prometheus() -> Iterator[tuple[str, Any]]:
    """Run the stub in a process of its own; yields its URL, and how often it was asked."""
    spawn, port = multiprocessing.get_context("spawn"), free_port()
    asked = spawn.Value("i", 0)
    process = spawn.Process(target=_answer, args=(port, asked), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        process.terminate()
        process.join()


def _answer(port: int, asked: Any) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Answer(asked), "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


class _Answer(asyncio.Protocol):
    """Answers every instant query with two series; a request arrives in one piece or not at all."""

    def __init__(self, asked: Any) -> None:
        self._asked = asked

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked.value += 1
        at = parse_qs(data.rpartition(b"\r\n\r\n")[2].decode())["time"][0]
        result = [{"metric": {"region": region}, "value": [float(at), "17.5"]} for region in ("eu", "us")]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def flood(folder: Path, quick: bool) -> Iterator[Row]:
    """Another request while alerts flood in, batch 64 over 8 connections; the sender is a process of its own."""
    seconds = 5.0 if quick else 15.0
    with responder(folder / "responder", configs.event_rules(1000)) as server:
        send(server, posts(alerts("warm", range(10 * SERVICES)), 64), 8)
        sender = multiprocessing.get_context("spawn").Process(target=_flood, args=(server, seconds))
        sender.start()
        took = []
        time.sleep(3)  # it builds its requests
        until = time.monotonic() + seconds
        while time.monotonic() < until and sender.is_alive():
            took.append(server.get("/api/v1/incidents/INC-1")[0])
            time.sleep(0.005)
        sender.join(60)
    took.sort()
    p99 = 1000 * took[round(0.99 * len(took)) - 1]
    words = f"p99 {p99:.0f} ms, median {1000 * median(took):.0f} ms of {len(took)}"
    yield at_most("an unrelated request during a batch-64 flood, p99", p99, 50, words, " ms")


def _flood(server: Server, seconds: float) -> None:
    requests = posts(alerts("flood", range(20_000)), 64)
    until = time.monotonic() + seconds + 3
    for turn in range(1000):
        if time.monotonic() > until:
            return
        send(server, requests if turn % 2 else posts(alerts(f"flood{turn}", range(6_400)), 64), 8, 5)


def loading(folder: Path, quick: bool) -> Iterator[Row]:
    """``responder check`` of 1000 rules; what the same command takes for one rule is shown beside."""
    costs: dict[int, list[float]] = {1: [], 1000: []}
    for _ in range(3 if quick else 5):
        for count, seen in costs.items():
            (folder / "responder.yml").write_text(configs.event_rules(count))
            seen.append(_child_cpu([sys.executable, "-m", "responder", "check"], folder))
    start, whole = (median(seen) for seen in costs.values())
    words = f"{whole - start:.2f} s CPU, beside {start:.2f} s that the command takes for one rule"
    yield at_most("load and check of 1000 rules", whole - start, 0.5, words, " s")


def _child_cpu(command: list[str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def install(folder: Path, quick: bool) -> Iterator[Row]:
    """A fresh environment from the lock file: what the core needs, without what only builds it."""
    if quick:
        yield Row("install of the core", "left out by --quick", "<= 60 MB", SKIPPED)
        return
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    lock = ROOT / "deploy/requirements.lock"
    subprocess.run(
        [*pip, "--require-hashes", "--no-compile", "-r", str(lock)], check=True, capture_output=True, timeout=600
    )
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--no-compile", str(ROOT)],
        check=True,
        capture_output=True,
        timeout=600,
    )
    count, size = json.loads(subprocess.run([python, "-c", _COUNT], check=True, capture_output=True).stdout)
    yield at_most("install of the core, distributions", count - 1, 30, f"{count - 1}, and our own", "")
    yield at_most("install of the core, size", size, 60, f"{size:.1f} MB", " MB")


_COUNT = """
import json, re
from importlib.metadata import distribution
from packaging.requirements import Requirement
found, left = {}, ["incident-responder"]
while left:
    name = re.sub("[-_.]+", "-", left.pop()).lower()
    if name not in found:
        found[name] = distribution(name)
        needs = map(Requirement, found[name].requires or ())
        left += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
files = {file.locate() for dist in found.values() for file in dist.files or ()}
print(json.dumps([len(found), sum(file.stat().st_size for file in files if file.is_file()) / 1e6]))
"""
"""Follows what the distribution requires, itself included; sums the files that were installed."""
