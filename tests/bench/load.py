"""A closed-loop sender: every request is built before the clock starts, one thread, raw sockets."""

import gc
import json
import re
import resource
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from responder.clock import SystemClock
from responder.core.instant import format_instant
from responder.core.signal import HOUR, SECOND
from tests.bench.servers import Server

SERVICES = 200
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PATIENCE = struct.pack("ll", 30, 0)


def alerts(run: str, numbers: range, services: int = SERVICES) -> list[dict[str, object]]:
    """Return alerts as Prometheus posts them, distinct by ``instance``; *run* tells those of two runs apart."""
    now = SystemClock().now()
    starts_at, ends_at = format_instant(now - 30 * SECOND), format_instant(now + HOUR)
    return [
        {
            "labels": {
                "alertname": f"DiskFull{n % 100}", "instance": f"{run}-host{n}.example.net:9100", "job": "node",
                "cluster": f"c{n % 20}", "namespace": f"ns{n % 50}", "service": f"svc{n % services}",
                "severity": ("info", "warning", "critical")[n % 3], "team": f"team{n % 10}",
            },
            "annotations": {
                "summary": f"The disk of host{n} will be full within four hours",
                "description": "The file system / has only 3.2 % of its space left and is filling up. " * 2,
                "runbook_url": f"https://wiki.example.net/runbooks/DiskFull{n % 100}",
            },
            "startsAt": starts_at,
            "endsAt": ends_at,
            "generatorURL": "http://prometheus.example.net/graph?g0.expr=disk_free+%3C+4&g0.tab=1",
        }
        for n in numbers
    ]  # fmt: skip


def posts(found: Sequence[dict[str, object]], batch: int) -> list[tuple[bytes, int]]:
    """Return whole requests with the number of their alerts."""
    built = []
    for at in range(0, len(found), batch):
        part = found[at : at + batch]
        body = json.dumps(part, separators=(",", ":")).encode()
        head = (
            "POST /api/v2/alerts HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        built.append((head.encode() + body, len(part)))
    return built


@dataclass(frozen=True)
class Sent:
    """What a run of the sender saw; *server_cpu* includes what the server did until it was idle again."""

    alerts: int
    seconds: float
    server_cpu: float
    own_cpu: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Alerts a second, by the wall."""
        return self.alerts / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of the server's CPU per alert."""
        return 1e6 * self.server_cpu / self.alerts

    @property
    def p99(self) -> float:
        """Seconds within which 99 of 100 requests were answered."""
        return sorted(self.latencies)[max(0, round(0.99 * len(self.latencies)) - 1)]


def send(server: Server, requests: Sequence[tuple[bytes, int]], connections: int, limit: float = 60.0) -> Sent:
    """Send the requests, each connection its next one when the last was answered; stop after *limit* seconds.

    Raises:
        RuntimeError: An answer was not 2xx, or none came.
    """
    waiting = iter(requests)
    cpu, own = server.cpu(), _own_cpu()
    with _connected(server.port, min(connections, len(requests))) as sockets, _no_gc():
        begun = time.perf_counter()
        sent, latencies = _exchange(sockets, waiting, begun + limit)
        seconds = time.perf_counter() - begun
    own = _own_cpu() - own
    server.settle()
    return Sent(sent, seconds, server.cpu() - cpu, own, latencies)


def _exchange(
    sockets: Sequence[socket.socket], waiting: Iterator[tuple[bytes, int]], until: float
) -> tuple[int, list[float]]:
    clock = time.perf_counter
    poll = select.epoll()
    under_way: dict[int, tuple[socket.socket, int, float]] = {}
    latencies: list[float] = []
    answered = 0

    def next_of(connection: socket.socket) -> None:
        request = next(waiting, None) if clock() < until else None
        if request is not None:
            under_way[connection.fileno()] = (connection, request[1], clock())
            connection.sendall(request[0])

    for connection in sockets:
        poll.register(connection, select.EPOLLIN)
        next_of(connection)
    while under_way:
        ready = poll.poll(30)
        if not ready:
            raise RuntimeError("no answer within 30 s")
        for number, _ in ready:
            connection, count, at = under_way.pop(number)
            _read_answer(connection)
            latencies.append(clock() - at)
            answered += count
            next_of(connection)
    poll.close()
    return answered, latencies


def _read_answer(connection: socket.socket) -> None:
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _announced(answer):
        more = connection.recv(65536)
        if not more:
            raise RuntimeError(f"the connection ended: {answer[:500]!r}")
        answer += more
    if not answer.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"refused: {answer[:500]!r}")


def _announced(answer: bytes) -> int:
    found = _LENGTH.search(answer)
    return int(found[1]) if found else 0


@contextmanager
def _connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    for connection in sockets:
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for direction in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, direction, _PATIENCE)
    try:
        yield sockets
    finally:
        for connection in sockets:
            connection.close()


@contextmanager
def _no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
