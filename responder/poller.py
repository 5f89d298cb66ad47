"""Asking the polled sources: evaluation instants are multiples of the interval, one ask per query."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from msgspec import Struct

from responder import metrics
from responder.clock import Clock
from responder.core.book import QueryKey
from responder.core.instant import to_datetime
from responder.core.signal import SECOND, Instant, Span
from responder.handlers.signals import AlertsPolled, MetricPolled, PollFailed
from responder.intake import Intake, Unavailable
from responder.ports import AlertSource, MetricSource, Permanent, Transient

log = logging.getLogger(__name__)
JITTER: Final = 0.1
"""Share of the interval over which the sending is spread; the instant stays."""


class Polled(Struct):
    """One thing that is asked every interval."""

    source: str
    adapter: MetricSource | AlertSource
    every: Span
    query: QueryKey | None = None
    """None: the list of alerts."""
    last_at: Instant | None = None
    """The evaluation before, as far as it went well."""
    failing: bool = False
    asking: bool = False


class Poller:
    """Runs the polls of one configuration; a source that hangs delays no other."""

    def __init__(self, intake: Intake, clock: Clock, polled: Sequence[Polled]) -> None:
        self._intake, self._clock, self.polled = intake, clock, polled
        self._scheduler: AsyncIOScheduler | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Schedule every poll; the first comes at the next multiple of its interval."""
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        now = self._clock.now()
        for polled in self.polled:
            first = (now // polled.every + 1) * polled.every + _jitter(polled)
            trigger = IntervalTrigger(seconds=polled.every / SECOND, start_date=to_datetime(first), timezone="UTC")
            self._scheduler.add_job(self._fire, trigger, args=(polled,), next_run_time=to_datetime(first))
        self._scheduler.start()

    def restart(self) -> None:
        """Schedule anew: the wall clock jumped, and intervals counted from before would wait for it."""
        self._stop_scheduler()
        self.start()

    async def stop(self) -> None:
        """Stop asking; answers that are under way are dropped."""
        self._stop_scheduler()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop_scheduler(self) -> None:
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None

    async def _fire(self, polled: Polled) -> None:
        if polled.asking:  # the one before still waits for its answer
            return
        polled.asking = True
        task = asyncio.get_running_loop().create_task(self.ask(polled))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, polled: Polled) -> None:
        """Ask once and hand the answer to the intake."""
        at = self._clock.now() // polled.every * polled.every
        try:
            await self._ask(polled, at)
        except (Transient, Permanent) as error:
            await self._failed(polled, at, error)
        except Unavailable as error:
            log.warning("a poll was not taken", extra={"source": polled.source, "reason": str(error)})
        finally:
            polled.asking = False

    async def _ask(self, polled: Polled, at: Instant) -> None:
        started = asyncio.get_running_loop().time()
        item: AlertsPolled | MetricPolled
        if polled.query is None:
            assert isinstance(polled.adapter, AlertSource)
            signals = await polled.adapter.alerts(at)
            item = AlertsPolled(polled.source, at, signals)
        else:
            assert isinstance(polled.adapter, MetricSource)
            query = polled.query
            samples = await polled.adapter.query(query.text, at, query.read, query.over)  # type: ignore[arg-type]
            item = MetricPolled(polled.source, query, at, samples, polled.last_at)
        metrics.POLL_DURATION.labels(polled.source).observe(asyncio.get_running_loop().time() - started)
        for result, number in Counter(await self._intake.submit(item) or ()).items():
            metrics.SIGNALS_RECEIVED.labels(polled.source, result).inc(number)
        polled.last_at = at
        now = self._clock.now() / SECOND
        metrics.POLL_LAST_SUCCESS.labels(polled.source).set(now)
        metrics.SOURCE_LAST_SIGNAL.labels(polled.source).set(now)
        if polled.failing:
            polled.failing = False
            log.info("a source answers again", extra={"source": polled.source})

    async def _failed(self, polled: Polled, at: Instant, error: Transient | Permanent) -> None:
        metrics.POLL_FAILURES.labels(polled.source).inc()
        if not polled.failing:
            polled.failing = True
            log.warning(
                "a poll failed; no rule's state changes by it, the next is in %d s",
                polled.every // SECOND,
                extra={"source": polled.source, "reason": error.reason, "error": str(error)},
            )
        try:
            await self._intake.submit(PollFailed(polled.source, at, str(error)))
        except Unavailable:
            pass  # counted above; the next failure says it again


def _jitter(polled: Polled) -> Span:
    """Return the delay of a poll: the same after every restart, another for every query."""
    share = crc32(f"{polled.source}\0{polled.query.text if polled.query else ''}".encode()) / 2**32
    return round(min(polled.every * JITTER, 10 * SECOND) * share)
