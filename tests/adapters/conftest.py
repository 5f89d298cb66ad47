"""What the tests of adapters share: a context, a scripted loopback server, and the real servers."""

import asyncio
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters._http import Pool
from responder.ports import Context, Secret

AT = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def reply(body: bytes | str = b"", status: str = "200 OK", **headers: str) -> bytes:
    """Return a whole answer; underscores in header names stand for dashes."""
    data = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(data)}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass
class Loopback:
    """A server that answers each request with the bytes its script gives; ``None`` hangs, ``b""`` hangs up."""

    script: Callable[[Request], bytes | None]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # shutdown first: closing alone does not wake a thread that waits in accept or recv
        for sock in (self._listener, *self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while line := stream.readline():
                    method, target, _ = line.decode().split(" ")
                    headers: dict[str, str] = {}
                    while (header := stream.readline().decode().strip()) != "":
                        name, _, value = header.partition(":")
                        headers[name.lower()] = value.strip()
                    body = stream.read(int(headers.get("content-length", 0)))
                    request = Request(method, target, headers, body)
                    self.requests.append(request)
                    answer = self.script(request)
                    if answer is None:
                        stream.read(1)  # until the other side gives up
                        return
                    connection.sendall(answer)
                    if not answer or b"Connection: close" in answer:
                        return
        except OSError:
            pass
        finally:
            connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], bytes | None]], Loopback]]:
    servers: list[Loopback] = []

    def start(script: Callable[[Request], bytes | None]) -> Loopback:
        servers.append(Loopback(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


async def blocking(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(function, *args)


def with_context(work: Callable[[Context], Awaitable[Any]], name: str = "test") -> Any:
    """Run *work* on a loop of its own with a context whose connections are closed afterwards."""

    async def main() -> Any:
        pool = Pool()
        try:
            return await work(Context(name, pool, blocking, lambda: AT))
        finally:
            await pool.aclose()

    return asyncio.run(main())


def secret(text: str) -> Secret:
    return Secret(text)


# Real servers.


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    for _ in range(int(seconds / 0.1)):
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {holds}")


def fetch(url: str, data: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return bytes(answer.read())


def real(binary: str, arguments: list[str], port: int, log: Path) -> subprocess.Popen[bytes]:
    path = shutil.which(binary)
    if path is None:
        pytest.skip(f"{binary} is not installed on this machine")
    with log.open("wb") as out:
        process = subprocess.Popen([path, *arguments], stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: fetch(f"http://127.0.0.1:{port}/-/ready") != b"")
    except AssertionError:
        process.kill()
        process.wait()
        raise AssertionError(log.read_text()[-2000:]) from None
    return process


@contextmanager
def prometheus_on(folder: Path, config: str = "", *options: str, port: int | None = None) -> Iterator[str]:
    """Run a real Prometheus whose data is in ``folder/data``; yields its URL."""
    port = port or free_port()
    (folder / "p.yml").write_text(config)
    arguments = [
        f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
        *options,
    ]  # fmt: skip
    process = real("prometheus", arguments, port, folder / "prometheus.log")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
