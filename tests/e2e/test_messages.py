"""Messages of the real daemon over real sockets: what a receiver does wrong is repaired and harms nobody else."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.adapters.conftest import Loopback, Request, free_port, reply, wait_until
from tests.e2e.kit import Daemon

KILLS = int(os.environ.get("RESPONDER_KILLS", "5"))
"""The whole measure is 100; each costs a start of the daemon."""


def config(bundle: str = "0s", rate: str = "10000/1m", **urls: str) -> str:
    channels = "\n".join(
        f"  {name}: {{kind: webhook, url_env: {name.upper()}_URL, bundle: {bundle}, rate: {rate}}}" for name in urls
    )
    return f"""
channels:
{channels}
teams: {{ops: {{lead: lead, channels: [{", ".join(urls)}]}}}}
services: {{shop: {{team: ops}}}}
rules:
  - id: down
    by: [host]
    when: {{event: {{match: {{labels: {{alertname: Down}}}}}}}}
    incident: {{service: shop, title: "{{{{ key.host }}}} is down", priority: P2}}
"""


@dataclass
class Receiver:
    """A server whose answers are decided by ``answer``; keeps what it took."""

    answer: Callable[[Request, int], bytes | None] = lambda request, attempts: reply()
    seen: list[tuple[float, Request]] = field(default_factory=list)

    def __call__(self, request: Request) -> bytes | None:
        self.seen.append((time.monotonic(), request))
        return self.answer(request, len(self.seen))

    @property
    def taken(self) -> list[dict[str, object]]:
        return [json.loads(request.body) for _, request in list(self.seen)]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], bytes | None]], Loopback]]:
    servers: list[Loopback] = []

    def start(script: Callable[[Request], bytes | None]) -> Loopback:
        servers.append(Loopback(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


Serve = Callable[[Callable[[Request], bytes | None]], Loopback]
Daemons = Callable[..., Daemon]


def fire(responder: Daemon, *hosts: str) -> None:
    responder.fire(*({"alertname": "Down", "host": host} for host in hosts))


def run(daemon: Daemons, **urls: str) -> Daemon:
    return daemon(config(**urls), **{f"{name.upper()}_URL": url for name, url in urls.items()})


def kinds(responder: Daemon, incident: str = "INC-1") -> list[str]:
    return [event["kind"] for event in responder.get(f"/api/v1/incidents/{incident}/timeline")["items"]]


def test_a_bad_receiver_is_tried_again_and_delays_no_other(daemon: Daemons, serve: Serve) -> None:
    good = Receiver()
    broken = Receiver(lambda request, n: reply(status="500 No") if n < 3 else reply())
    busy = Receiver(lambda request, n: reply(status="429 Slow", Retry_After="3") if n == 1 else reply())
    hung = Receiver(lambda request, n: None if n == 1 else reply())
    urls = {name: serve(to).url for name, to in (("broken", broken), ("busy", busy), ("hung", hung), ("good", good))}
    responder = run(daemon, gone=f"http://127.0.0.1:{free_port()}", **urls)
    began = time.monotonic()
    fire(responder, "a")
    wait_until(lambda: len(good.seen) == 1, 5)
    assert good.seen[0][0] - began < 2
    wait_until(lambda: (len(broken.seen), len(busy.seen), len(hung.seen)) == (3, 2, 2), 30)
    assert busy.seen[1][0] - busy.seen[0][0] >= 3
    assert 10 <= hung.seen[1][0] - hung.seen[0][0] < 14
    for receiver in (broken, busy, hung):
        ids = {request.headers["x-responder-notification-id"] for _, request in receiver.seen}
        assert len(ids) == len({request.body for _, request in receiver.seen}) == 1
        attempts = [request.headers["x-responder-attempt"] for _, request in receiver.seen]
        assert attempts == [str(n + 1) for n in range(len(attempts))]
    wait_until(lambda: kinds(responder).count("notified") == 4, 5)
    assert responder.metric("responder_notifications_failed_total", channel="broken", reason="http_500") == 2
    assert responder.metric("responder_notifications_failed_total", channel="busy", reason="http_429") == 1
    assert responder.metric("responder_notifications_failed_total", channel="hung", reason="timeout") == 1
    assert responder.metric("responder_notifications_failed_total", channel="gone", reason="unreachable") >= 3
    assert responder.metric("responder_notifications_total", channel="good") == 1
    assert responder.metric("responder_notification_delivery_seconds_count", channel="hung") == 1
    wait_until(lambda: responder.metric("responder_notifications_pending", channel="gone") == 1, 5)
    assert responder.terminate() == 0
    responder.verify()


def test_a_refused_message_goes_to_the_next_channel_and_is_on_the_timeline(daemon: Daemons, serve: Serve) -> None:
    refusing, backup = Receiver(lambda request, n: reply(status="404 Not here")), Receiver()
    urls = {"refusing": serve(refusing).url, "backup": serve(backup).url}
    text = config(**urls).replace("[refusing, backup]", "[refusing, {channel: backup, on: [resolved]}]")
    responder = daemon(text, **{f"{name.upper()}_URL": url for name, url in urls.items()})
    fire(responder, "a")
    wait_until(lambda: len(backup.seen) == 1, 10)
    wait_until(lambda: kinds(responder) == ["opened", "notification_failed", "notified"], 5)
    assert len(refusing.seen) == 1
    assert responder.metric("responder_notifications_failed_total", channel="refusing", reason="gave_up") == 1


def test_a_kill_between_sending_and_recording_repeats_that_attempt_and_loses_nothing(
    daemon: Daemons, serve: Serve
) -> None:
    lock, deadly = threading.Event(), Receiver()
    responder: Daemon | None = None

    def answer(request: Request, n: int) -> bytes | None:
        if lock.is_set():
            lock.clear()
            assert responder is not None
            os.kill(responder.pid, signal.SIGKILL)
            return None
        return reply()

    deadly.answer = answer
    url = serve(deadly).url
    responder = run(daemon, deadly=url)
    for round in range(KILLS):
        before = len(deadly.seen)
        lock.set()
        with contextlib.suppress(Exception):
            fire(responder, f"h{round}")
        wait_until(lambda: not lock.is_set(), 10)
        responder.kill()
        responder.start()
        wait_until(lambda expected=before + 2: len(deadly.seen) == expected, 10)  # type: ignore[misc]
    wait_until(lambda: responder.metric("responder_notifications_pending", channel="deadly") == 0, 5)
    by_id: dict[str, list[Request]] = {}
    for _, request in deadly.seen:
        by_id.setdefault(request.headers["x-responder-notification-id"], []).append(request)
    assert len(by_id) == KILLS
    for attempts in by_id.values():
        assert [request.headers["x-responder-attempt"] for request in attempts] == ["1", "2"]
        assert len({request.body for request in attempts}) == 1
    assert [kinds(responder, f"INC-{n + 1}") for n in range(KILLS)] == [["opened", "notified"]] * KILLS
    assert responder.terminate() == 0
    responder.verify()


def test_what_waits_for_its_bundle_survives_a_kill(daemon: Daemons, serve: Serve) -> None:
    receiver = Receiver()
    url = serve(receiver).url
    responder = daemon(config(bundle="4s", to=url), TO_URL=url)
    fire(responder, "a")
    wait_until(lambda: len(receiver.seen) == 1 and "notified" in kinds(responder), 5)
    fire(responder, "b", "c")
    responder.kill()
    responder.start()
    wait_until(lambda: len(receiver.seen) == 2, 10)
    assert receiver.seen[1][0] - receiver.seen[0][0] >= 3.9
    assert [message["more"] for message in receiver.taken] == [0, 1]


def test_messages_arrive_within_two_seconds_at_fifty_events_a_second(daemon: Daemons, serve: Serve) -> None:
    receiver = Receiver()
    url = serve(receiver).url
    responder = run(daemon, to=url)
    sent: dict[str, float] = {}
    began = time.monotonic()
    for n in range(150):
        time.sleep(max(0.0, began + n / 50 - time.monotonic()))
        sent[f"h{n} is down"] = time.monotonic()
        fire(responder, f"h{n}")
    wait_until(lambda: len(receiver.seen) == 150, 10)
    waits = sorted(at - sent[json.loads(request.body)["incident"]["title"]] for at, request in receiver.seen)
    assert waits[148] < 2, f"p99 {waits[148]:.3f} s"
