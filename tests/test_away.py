"""A machine that slept, or whose clock was set, could not hear its senders: their silence is no news."""

import asyncio
import time
from pathlib import Path

import pytest

from responder.cli.loading import kinds
from responder.config import load_text
from responder.core.signal import MINUTE, SECOND, Signal, identity
from responder.daemon import Daemon
from responder.handlers.signals import Pushed
from tests.adapters.conftest import free_port

LABELS = {"alertname": "A"}


class Clock:
    """The machine's clock, set by the test."""

    def __init__(self) -> None:
        self.ahead = 0

    def now(self) -> int:
        return time.time_ns() // 1000 + self.ahead


async def lapses(folder: Path, *jumps: int) -> bool:
    """Say whether an alert whose end is in a minute has lapsed after the clock moved by so many seconds each."""
    text = f'storage: {{url: "sqlite:///{folder}/r.db"}}\nlisten: 127.0.0.1:{free_port()}\nstartup_grace: 1m\n'
    loaded = load_text(text, kinds=kinds())
    assert loaded.settings is not None, loaded.errors
    clock = Clock()
    daemon = Daemon(loaded.settings, lambda: loaded, clock)
    running = asyncio.create_task(daemon.run())
    while not daemon.ready:
        await asyncio.sleep(0.05)
    now, fp = clock.now(), identity(LABELS)
    await daemon.submit(Pushed("am-api", [Signal("am-api", fp, LABELS, {}, True, now, now + MINUTE)]))
    for seconds in jumps:
        clock.ahead += seconds * SECOND
        await asyncio.sleep(1.3)
    known = daemon.resident.alerts.get(fp)
    daemon.stop()
    await running
    return known is None or bool(known.ended)


@pytest.mark.parametrize(
    ("jumps", "lapsed"),
    [((1800,), False), ((7200, -7200), False), ((1800, 45, 45), True), ((7200, -7200, 55, 55), True)],
    ids=["asleep", "ahead and back", "asleep, then silent", "ahead and back, then silent"],
)
def test_an_alert_lapses_by_a_silence_that_was_heard(tmp_path: Path, jumps: tuple[int, ...], lapsed: bool) -> None:
    assert asyncio.run(lapses(tmp_path, *jumps)) is lapsed
