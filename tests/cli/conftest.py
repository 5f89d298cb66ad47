"""The command line against the real API on a loopback port."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result

from responder.cli.client import GROUPS
from responder.clock import SystemClock
from responder.core.signal import Signal, identity
from responder.handlers import signals
from responder.store import schema
from responder.store.engine import open_engine
from tests.web.conftest import DOOR, House, described

Run = Callable[..., Result]


class Running:
    """A house with its API on a port, in a thread of its own."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.at = SystemClock().now()
        DOOR.house = house
        self._loop = asyncio.new_event_loop()
        config = uvicorn.Config(described(), port=0, lifespan="off", log_config=None, access_log=False, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve)
        self._up = threading.Event()
        self._thread.start()
        assert self._up.wait(10)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def _serve(self) -> None:
        async def serve() -> None:
            await self.house.start()
            serving = asyncio.ensure_future(self._server.serve())
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.005)
            self._up.set()
            await serving
            await self.house.stop()

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serve())

    def fire(self, instance: str) -> None:
        labels = {"alertname": "HostDown", "instance": instance}
        signal = Signal("am-api", identity(labels), labels, {}, True, self.house.at)
        self.submit(signals.Pushed("am-api", [signal]))

    def submit(self, item: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self.house.submit(item), self._loop).result(10)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    path = tmp_path / "responder.db"
    engine = open_engine(f"sqlite:///{path}", fast=True)
    schema.metadata.create_all(engine)
    house = House(engine, path)
    running = Running(house)
    monkeypatch.setenv("RESPONDER_URL", running.url)
    yield running
    running.close()
    house.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``responder ARGS...`` as a script would: no terminal."""
    for name in ("RESPONDER_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def run_(*args: str, env: dict[str, str] | None = None) -> Result:
        group, *rest = args
        return CliRunner().invoke(GROUPS[group], rest, env=env, catch_exceptions=False)

    return run_


def lines(result: Result) -> Sequence[str]:
    """Return what a command that went well printed."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()
