"""The real daemon as a process of its own, on a free loopback port, in a folder of the test."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.adapters.conftest import free_port, wait_until

COMMAND = (sys.executable, "-m", "responder")


class Daemon:
    """``responder run``; start, kill and start again on the same folder and port."""

    def __init__(self, folder: Path, config: str | None = None, **env: str) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / "log"
        self._env = os.environ | env
        self._process: subprocess.Popen[bytes] | None = None
        self._http = self._client()
        if config is not None:
            self.configure(config)

    def configure(self, text: str) -> None:
        (self.folder / "responder.yml").write_text(text)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def start(self) -> "Daemon":
        """Start it and wait until it is ready."""
        with self.log_file.open("ab") as out:
            self._process = subprocess.Popen(
                [*COMMAND, "run", "--listen", f"127.0.0.1:{self.port}", "--log", "json"],
                cwd=self.folder, env=self._env, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait_until(self._ready, 30)
        except BaseException:
            self.kill()
            raise
        return self

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the daemon ended by itself:\n{self.log[-3000:]}")
        try:
            return self._http.get("/-/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that is ours."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end and return the exit status."""
        assert self._process is not None
        status = self._process.wait(timeout=seconds)
        self._process = None
        self._http.close()
        self._http = self._client()
        return status

    def kill(self) -> None:
        """End it as a power cut would; does nothing when it has ended."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def terminate(self) -> int:
        """End it as a service manager does; returns the exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    # HTTP.

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20, trust_env=False)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._http.request(method, path, **options)

    def get(self, path: str, **options: Any) -> Any:
        """Return the JSON of an answer that is 200."""
        answer = self.ask("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """Post JSON and return that of the answer, which is 2xx."""
        answer = self.ask("POST", path, json=body, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def fire(self, *alerts: dict[str, str], ends_at: str | None = None) -> None:
        """Post alerts by their labels, as Prometheus does."""
        ends = {} if ends_at is None else {"endsAt": ends_at}
        self.post("/api/v2/alerts", [{"labels": labels} | ends for labels in alerts])

    def incidents(self, **where: str) -> list[dict[str, Any]]:
        """Return all incidents, oldest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get("/api/v1/incidents", params={"limit": "1000", "cursor": cursor, **where})
            found, cursor = found + page["items"], page["next"]
        return found[::-1]

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the series of a name that have these labels; 0 without any."""
        total = 0.0
        for line in self.ask("GET", "/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                total += float(value)
        return total

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another command of responder in the daemon's folder."""
        return subprocess.run(
            [*COMMAND, *arguments], cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=60
        )

    def verify(self) -> None:
        """``responder db verify`` finds nothing."""
        done = self.run("db", "verify")
        assert done.returncode == 0, done.stderr + done.stdout


def tool(name: str, *arguments: str, home: Path, feed: str | None = None) -> str:
    """Run a tool of the machine's packages and return what it prints; skips when it is not there."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed on this machine")
    done = subprocess.run(
        [path, *arguments], input=feed, env=os.environ | {"HOME": str(home)}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def records(log: str) -> list[dict[str, Any]]:
    """Return the structured records of a log."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]
