"""Asking the polled sources: evaluation instants are multiples of the interval, one ask per query."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, cast
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
REFUSED: Final = frozenset({"bad_query", "execution"})
"""Reasons for which a server that could be asked gives no answer: the query is at fault."""
TOGETHER: Final = 0.05
"""Seconds: what is sent, and what is answered, within so short a time goes together. Each waking of a thread and each
commit costs as much as several answers."""


class Polled(Struct):
    """One thing that is asked every interval."""

    source: str
    adapter: MetricSource | AlertSource
    every: Span
    query: QueryKey | None = None
    """None: the list of alerts."""
    last_at: Instant | None = None
    """The evaluation before, as far as it went well."""
    failing: Literal["", "source", "query"] = ""
    """What is at fault since it is not answered."""
    asking: bool = False


class Poller:
    """Runs the polls of one configuration; a source that hangs delays no other."""

    def __init__(self, intake: Intake, clock: Clock, polled: Sequence[Polled]) -> None:
        self._intake, self._clock, self.polled = intake, clock, polled
        self._scheduler: AsyncIOScheduler | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unanswered: Counter[str] = Counter()
        """How many polls of a source fail that are not at fault themselves: what is away is said once, not for each."""
        self._gathering: asyncio.Event | None = None

    def start(self) -> None:
        """Schedule a round for each source and interval; the first comes at the next multiple of the interval."""
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        rounds: dict[tuple[str, Span], list[Polled]] = {}
        for polled in self.polled:
            rounds.setdefault((polled.source, polled.every), []).append(polled)
        now = self._clock.now()
        for (_, every), several in rounds.items():
            first = to_datetime((now // every + 1) * every)
            trigger = IntervalTrigger(seconds=every / SECOND, start_date=first, timezone="UTC")
            self._scheduler.add_job(self._round, trigger, args=(_turns(several),), next_run_time=first)
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

    async def _round(self, turns: "Sequence[_Turn]") -> None:
        """Ask everything of one source and interval once, spread over the beginning of the interval."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for turn in turns:
            await asyncio.sleep(began + turn.after - loop.time())
            for polled in turn.polled:
                self._fire(polled)

    def _fire(self, polled: Polled) -> None:
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
            signals = await cast("AlertSource", polled.adapter).alerts(at)
            item = AlertsPolled(polled.source, at, signals)
        else:
            query = polled.query
            samples = await cast("MetricSource", polled.adapter).query(query.text, at, query.read, query.over)  # type: ignore[arg-type]
            item = MetricPolled(polled.source, query, at, samples, polled.last_at)
        metrics.POLL_DURATION.labels(polled.source).observe(asyncio.get_running_loop().time() - started)
        await self._together()
        for result, number in Counter(await self._intake.submit(item) or ()).items():
            metrics.SIGNALS_RECEIVED.labels(polled.source, result).inc(number)
        polled.last_at = at
        now = self._clock.now() / SECOND
        metrics.POLL_LAST_SUCCESS.labels(polled.source).set(now)
        metrics.SOURCE_LAST_SIGNAL.labels(polled.source).set(now)
        self._now_failing(polled, "")

    async def _together(self) -> None:
        """Wait for what else is answered in this moment."""
        if self._scheduler is None:
            return  # asked by hand, one by one
        if self._gathering is None:
            self._gathering = asyncio.Event()
            asyncio.get_running_loop().call_later(TOGETHER, self._hand_over)
        await self._gathering.wait()

    def _hand_over(self) -> None:
        if self._gathering is not None:
            self._gathering.set()
            self._gathering = None

    async def _failed(self, polled: Polled, at: Instant, error: Transient | Permanent) -> None:
        metrics.POLL_FAILURES.labels(polled.source).inc()
        refused = error.reason in REFUSED
        if self._now_failing(polled, "query" if refused else "source"):
            log.warning(
                "a poll failed; no rule's state changes by it, the next is in %d s",
                polled.every // SECOND,
                extra={"source": polled.source, "reason": error.reason, "error": str(error)},
            )
        await self._together()
        try:
            await self._intake.submit(PollFailed(polled.source, at, str(error), polled.query, refused))
        except Unavailable:
            pass  # counted above; the next failure says it again

    def _now_failing(self, polled: Polled, fault: Literal["", "source", "query"]) -> bool:
        """Note how a poll went; log that a source is back, and return whether it is news that it fails."""
        before, polled.failing = polled.failing, fault
        if before == fault:
            return False
        away = self._unanswered[polled.source]
        self._unanswered[polled.source] += (fault == "source") - (before == "source")
        if (before == "source" and away == 1) or (before == "query" and not fault):
            log.info("a source answers again", extra={"source": polled.source})
        return fault == "query" or (fault == "source" and away == 0)


class _Turn(Struct):
    """What is asked at one moment of a round."""

    after: float
    """Seconds since the round began."""
    polled: list[Polled]


def _turns(several: Sequence[Polled]) -> list[_Turn]:
    turns: dict[int, list[Polled]] = {}
    for polled in several:
        turns.setdefault(int(_jitter(polled) / TOGETHER), []).append(polled)
    return [_Turn(number * TOGETHER, turns[number]) for number in sorted(turns)]


def _jitter(polled: Polled) -> float:
    """Return the delay of a poll in seconds: the same after every restart, another for every query."""
    share = crc32(f"{polled.source}\0{polled.query.text if polled.query else ''}".encode()) / 2**32
    return min(polled.every / SECOND * JITTER, 10.0) * share
