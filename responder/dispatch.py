"""Outbox to channels: attempts are claimed, made and reported back to the intake.

Each channel has its own lane and its own slots, so one that is slow, refuses or hangs delays
no other. Everything here runs on the event loop; rows are changed by the writer only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from responder import metrics
from responder.clock import Clock
from responder.core.instant import format_span
from responder.core.outbox import Lanes, Message
from responder.core.signal import SECOND, Instant, Span
from responder.handlers.deliveries import Claim, Claimed, Delivered, Failed
from responder.intake import Item, Unavailable
from responder.ports import Channel, Delivery, Permanent, Transient

log = logging.getLogger(__name__)
AT_ONCE: Final = 4
"""Attempts under way on one channel."""
TIME_OUT: Final = 10.5
"""Seconds of one attempt; adapters give up after 10 and can say at what."""
DRAIN: Final = 5.0
"""Seconds that the end waits for attempts under way; what is cut off is made again."""
_SURE: Final = ("http_", "smtp_", "tls", "unreachable", "no_channel", "rejected")
"""Reasons after which a message has surely not arrived."""
_BREATH: Final[Span] = SECOND


class _Post:
    """What this process does for one channel."""

    def __init__(self, name: str, adapter: Channel | None) -> None:
        self.name, self.adapter = name, adapter
        self.flying: set[int] = set()
        self.claiming = False
        self.next_at: Instant | None = 0


class Dispatcher:
    """Sends what is due; ``look`` is called when something may be, and once a second."""

    def __init__(self, lanes: Lanes, submit: Callable[[Item], Awaitable[Any]], clock: Clock) -> None:
        self._lanes, self._submit, self._clock = lanes, submit, clock
        self._posts: dict[str, _Post] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def replace(self, channels: Mapping[str, Channel]) -> None:
        """Send through these channels from now on; what waits for another is given up, to the team's next."""
        for name, post in self._posts.items():
            post.adapter, post.next_at = channels.get(name), 0
        for name, adapter in channels.items():
            self._posts.setdefault(name, _Post(name, adapter))
            metrics.NOTIFICATIONS.labels(name)
            metrics.NOTIFICATIONS_PENDING.labels(name)

    def look(self) -> None:
        """Start the attempts that are due."""
        if self._stopping:
            return
        while self._lanes.stirred:
            name = self._lanes.stirred.popleft()
            self._posts.setdefault(name, _Post(name, None)).next_at = 0
        now = self._clock.now()
        for post in self._posts.values():
            due = post.next_at is not None and post.next_at <= now
            if due and not post.claiming and len(post.flying) < AT_ONCE:
                post.claiming, post.next_at = True, None
                self._spawn(self._claim(post))

    def clock_jumped(self) -> None:
        """Look at every channel: when there would be something to do was reckoned on another clock."""
        for post in self._posts.values():
            post.next_at = 0

    def count(self) -> None:
        """Say how many messages wait."""
        for name, number in self._lanes.pending().items():
            metrics.NOTIFICATIONS_PENDING.labels(name).set(number)

    async def stop(self) -> None:
        """Claim nothing more and wait a little for what is under way."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _claim(self, post: _Post) -> None:
        next_at: Instant | None = self._clock.now() + _BREATH
        try:
            claimed: Claimed = await self._submit(Claim(post.name, AT_ONCE - len(post.flying), frozenset(post.flying)))
            next_at = claimed.next_at
        except Unavailable:
            pass  # logged by the intake; the rows wait
        else:
            for reason in claimed.suppressed:
                metrics.NOTIFICATIONS_SUPPRESSED.labels(reason).inc()
            for message in claimed.messages:
                post.flying.add(message.id)
                self._spawn(self._send(post, message))
        finally:
            post.claiming = False
            if next_at is not None:
                post.next_at = next_at if post.next_at is None else min(post.next_at, next_at)
        self._look_soon(post)

    def _look_soon(self, post: _Post) -> None:
        """Be punctual to less than the second that the next look may be away."""
        if post.next_at is not None and len(post.flying) < AT_ONCE:
            wait = (post.next_at - self._clock.now()) / SECOND
            if wait < 1:
                asyncio.get_running_loop().call_later(max(0.0, wait), self.look)

    async def _send(self, post: _Post, message: Message) -> None:
        try:
            error = await attempt(post.adapter, message)
            await self._report(post, message, error)
        finally:
            post.flying.discard(message.id)
            post.next_at = 0
            self.look()

    async def _report(self, post: _Post, message: Message, error: Transient | Permanent | None) -> None:
        if error is not None:
            metrics.NOTIFICATIONS_FAILED.labels(post.name, error.reason).inc()
        item = report(message, error)
        while True:
            try:
                settled: Message | None = await self._submit(item)
                break
            except Unavailable:
                if self._stopping:
                    return  # the attempt is made again after the start
                await asyncio.sleep(1)
        now = self._clock.now()
        if error is None:
            metrics.NOTIFICATIONS.labels(post.name).inc()
            metrics.NOTIFICATION_DELIVERY.labels(post.name).observe(max(0, now - message.since) / SECOND)
        elif settled is not None:
            self._tell(settled, error, now)

    def _tell(self, message: Message, error: Transient | Permanent, now: Instant) -> None:
        words = f"delivery {message.id} to {message.channel} failed: {error}"
        if message.state == "failed":
            metrics.NOTIFICATIONS_FAILED.labels(message.channel, "gave_up").inc()
            log.error("%s; given up after attempt %d", words, message.attempt)
        else:
            wait = format_span(max(0, message.not_before - now))
            log.warning("%s; attempt %d in %s", words, message.attempt + 1, wait)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def attempt(channel: Channel | None, message: Message) -> Transient | Permanent | None:
    """Make one attempt; returns what went wrong."""
    if channel is None:
        return Permanent(f"no channel is called {message.channel} any more", "no_channel")
    try:
        async with asyncio.timeout(TIME_OUT):
            await channel.send(delivery(message))
    except (Transient, Permanent) as error:
        return error
    except TimeoutError:
        return Transient(f"{message.channel} did not answer within {TIME_OUT:g} s", "timeout")
    except Exception as error:
        log.exception("a channel failed in an unexpected way", extra={"channel": message.channel})
        return Transient(repr(error), "error")
    return None


def delivery(message: Message) -> Delivery:
    """Return a message as channels see it."""
    return Delivery(
        message.notification_id, message.attempt, message.part.event, message.body.encode(), message.title, message.text
    )


def report(message: Message, error: Transient | Permanent | None) -> Delivered | Failed:
    """Return what came of an attempt, for the intake."""
    if error is None:
        return Delivered(message.id)
    retry_after = error.retry_after if isinstance(error, Transient) else None
    perhaps = not error.reason.startswith(_SURE)
    return Failed(message.id, str(error), isinstance(error, Permanent), perhaps, retry_after)


def threads(name: str) -> Callable[..., Awaitable[Any]]:
    """Return ``run_blocking`` of one channel: threads of its own, so that none waits for another's."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=name)

    async def run_blocking(function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    return run_blocking
