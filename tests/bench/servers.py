"""The servers under measurement: started in a folder of their own, watched and ended by their pid."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.table import Skip

_TICKS = os.sysconf("SC_CLK_TCK")
START, END = 60.0, 40.0
"""Seconds that a server may take to be ready, and to be gone."""


class Server:
    """A running server. CPU seconds and megabytes are the kernel's account of its process."""

    def __init__(self, name: str, port: int, pid: int) -> None:
        self.name, self.port, self.pid = name, port, pid

    def cpu(self) -> float:
        """Return the user and system seconds it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss(self) -> float:
        """Return the megabytes, of 10^6 bytes, that it holds in memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6

    def get(self, path: str) -> tuple[float, int]:
        """Return the seconds that a request took on a connection of its own, and the bytes of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        begun = time.perf_counter()
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            size = len(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, f"{self.name} answers {answer.status} to {path}"
        return time.perf_counter() - begun, size

    def settle(self, patience: float = 30.0) -> None:
        """Wait until it is idle: what it does after its answers must not fall into another's measurement."""
        until, before = time.monotonic() + patience, self.cpu()
        while time.monotonic() < until:
            time.sleep(0.3)
            now = self.cpu()
            if now - before <= 0.02:
                return
            before = now


@contextlib.contextmanager
def responder(folder: Path, config: str) -> Iterator[Server]:
    """Run the daemon with a configuration (``storage`` and ``listen`` are added) in a new folder."""
    folder.mkdir()
    port = free_port()
    head = f"storage: {{url: 'sqlite:///{folder}/responder.db'}}\nlisten: 127.0.0.1:{port}\n"
    (folder / "responder.yml").write_text(head + config)
    with _started("responder", port, [sys.executable, "-m", "responder", "run"], folder) as server:
        yield server


@contextlib.contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[Server]:
    """Run the real Alertmanager, alone, in a new folder.

    Raises:
        Skip: This machine has none.
    """
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        raise Skip("no prometheus-alertmanager on this machine")
    folder.mkdir()
    port = free_port()
    (folder / "alertmanager.yml").write_text(config)
    command = [
        binary, "--config.file=alertmanager.yml", "--storage.path=data", f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=", "--log.level=error",
    ]  # fmt: skip
    with _started("alertmanager", port, command, folder) as server:
        yield server


@contextlib.contextmanager
def _started(name: str, port: int, command: Sequence[str], folder: Path) -> Iterator[Server]:
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    server = Server(name, port, process.pid)
    try:
        if not _ready(server, process):
            raise RuntimeError(f"{name} did not start: {log.read_text()[-2000:]}")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(server: Server, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            server.get("/-/ready")
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
