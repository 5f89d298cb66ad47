"""The bounded queue of two lanes and the one writer thread behind it.

While one transaction commits, the next gathers. Commands, delivery results and ticks go
before signals. What does not fit is refused at once (the web answers 503), and an answer
goes out only after the commit.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from responder import metrics
from responder.clock import Clock
from responder.core.desk import Desk
from responder.core.event import Event
from responder.core.signal import Instant
from responder.resident import Resident
from responder.store.engine import DatabaseError
from responder.store.transaction import DataRefused, Fenced, StorageDown, Writer

log = logging.getLogger(__name__)

SLICE = 1000
"""Signals of one transaction, at most; an item is never split. Five hundred together cost a tenth less each than two
hundred and fifty, so what arrives is handed over when the loop brings no more, or when it fills a transaction."""
QUIET = 2
"""Turns of the loop that bring nothing new: a request that was read becomes an item one turn later."""

PATIENCE = 10.0
"""Seconds of a transaction after which the store counts as one that takes no writes: senders have given up by then."""


class Item(Protocol):
    """Something that happened; see :mod:`responder.handlers`."""

    @property
    def weight(self) -> int:
        """How many signals it carries."""
        ...

    @property
    def urgent(self) -> bool:
        """Goes before signals, and may fail without its neighbours knowing."""
        ...


class Unavailable(Exception):
    """Not stored, try again: the queue is full, the store is down, or the daemon stops."""


Decide = Callable[[Item, Desk, Instant, bool], Any]
"""(item, desk, now, careful) -> result; careful: each part of the item on a desk of its own."""


Told = Callable[[Any, Exception | None], None]
"""What hears, in the event loop and once, of the result of an item after its commit, or of the error."""


class _Waiting:
    __slots__ = ("item", "told")

    def __init__(self, item: Item, told: Told) -> None:
        self.item, self.told = item, told


class Intake:
    """Takes items from the event loop, decides and commits them in its own thread."""

    def __init__(
        self,
        resident: Resident,
        writer: Writer,
        decide: Decide,
        clock: Clock,
        *,
        committed: Callable[[Desk, Sequence[Event]], None],
        due_of: Callable[[Any], Instant | None],
        limit: int = 100_000,
        fenced: Callable[[], None] | None = None,
    ) -> None:
        self._resident, self._writer, self._decide, self._clock = resident, writer, decide, clock
        self._committed, self._due_of, self._limit = committed, due_of, limit
        self._urgent: deque[_Waiting] = deque()
        self._signals: deque[_Waiting] = deque()
        self._queued = 0
        self._arrived: list[_Waiting] = []
        self._arriving = 0
        """The weight of what arrived and is not handed over."""
        self._wake = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._fenced = fenced
        self._failure: str | None = None
        self._committing_since: float | None = None
        metrics.STORAGE_UP.set_function(lambda: float(self.failure is None))

    @property
    def failure(self) -> str | None:
        """Why the last commit failed, or does not end; none when it went well."""
        since = self._committing_since
        if since is not None and time.monotonic() - since > PATIENCE:
            return f"the store has not answered for {PATIENCE:g} s"
        return self._failure

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the writer thread; answers go to *loop*."""
        self._loop = loop
        self._thread.start()

    def submit(self, item: Item) -> "asyncio.Future[Any]":
        """Queue an item; the future ends with its result after the commit.

        Raises:
            Unavailable: There is no room; nothing was taken.
        """
        assert self._loop is not None
        future: asyncio.Future[Any] = self._loop.create_future()
        self.take(item, partial(_settle, future))
        return future

    def take(self, item: Item, told: Told) -> None:
        """Queue an item; *told* hears of its result after the commit.

        Raises:
            Unavailable: There is no room, or the store does not answer; nothing was taken.
        """
        assert self._loop is not None
        if self._stopping:
            raise Unavailable("the daemon is stopping")
        if self._committing_since is not None and (why := self.failure) is not None:
            raise Unavailable(f"the store takes no writes: {why}")
        if not item.urgent and self.queued and self.queued + item.weight > self._limit:
            raise Unavailable("the queue is full")
        if not self._arrived:
            self._loop.call_soon(self._collect, 1, 0)
        self._arrived.append(_Waiting(item, told))
        if not item.urgent:
            self._arriving += item.weight

    def _collect(self, seen: int, quiet: int) -> None:
        """Hand over what arrived when the loop brings nothing more, or when it fills a transaction.

        To wake the writer for each request would have it commit each alone, and have two threads
        fight for the interpreter at every system call.
        """
        assert self._loop is not None
        count = len(self._arrived)
        quiet = quiet + 1 if count == seen else 0
        if quiet < QUIET and count + self._arriving < SLICE:
            self._loop.call_soon(self._collect, count, quiet)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        arrived, weight = self._arrived, self._arriving
        self._arrived, self._arriving = [], 0
        with self._wake:
            for waiting in arrived:
                (self._urgent if waiting.item.urgent else self._signals).append(waiting)
            self._queued += weight
            self._wake.notify()

    @property
    def queued(self) -> int:
        """How many signals wait."""
        return self._queued + self._arriving

    async def stop(self) -> None:
        """Decide what is queued, then end the thread."""
        self._hand_over()
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while True:
            batch = self._gather()
            if batch is None:
                return
            try:
                self._work(batch)
            except Fenced as error:
                log.critical("the database went on without this daemon, which stops", extra={"reason": str(error)})
                self._failure = str(error)
                if self._fenced is not None and self._loop is not None:
                    self._loop.call_soon_threadsafe(self._fenced)
                self._answer([(w, None, Unavailable(str(error))) for w in batch])
            except Exception as error:  # the last resort: without this thread nothing would be answered any more
                log.exception("a batch failed")
                self._give_back(batch)
                self._answer([(w, None, error) for w in batch])

    def _gather(self) -> list[_Waiting] | None:
        with self._wake:
            while not self._urgent and not self._signals:
                if self._stopping:
                    return None
                self._wake.wait()
            batch = list(self._urgent)
            self._urgent.clear()
            weight = 0
            while self._signals and weight < SLICE:
                waiting = self._signals.popleft()
                weight += waiting.item.weight
                batch.append(waiting)
            self._queued -= weight
        return batch

    def _work(self, batch: list[_Waiting]) -> None:
        """Decide and commit a batch; on trouble with data, item by item."""
        now = self._clock.now()
        desk = Desk(self._resident)
        try:
            answers = [(w, *self._one(w.item, desk, now, careful=False)) for w in batch]
        except _Unexpected:
            self._singly(batch, now)
            return
        except StorageDown as error:
            self._refuse(batch, error)
            return
        try:
            self._commit(desk, now)
        except DataRefused:
            self._singly(batch, now)
            return
        except StorageDown as error:
            self._refuse(batch, error)
            return
        self._answer(answers)

    def _singly(self, batch: list[_Waiting], now: Instant) -> None:
        """One bad item never fails its neighbours: each in a transaction of its own. Who was told leaves the batch."""
        while batch:
            self._alone(batch[0], now)
            del batch[0]

    def _alone(self, waiting: _Waiting, now: Instant) -> None:
        desk = Desk(self._resident)
        try:
            result, error = self._one(waiting.item, desk, now, careful=True)
            if error is None:
                self._commit(desk, now)
        except DataRefused as refused:
            log.error("an item was refused by the store", extra={"reason": str(refused)})
            result, error = None, refused
            self._give_back([waiting])
        except StorageDown as down:
            self._refuse([waiting], down)
            return
        self._answer([(waiting, result, error)])

    def _one(self, item: Item, desk: Desk, now: Instant, *, careful: bool) -> tuple[Any, Exception | None]:
        isolated = item.urgent or careful
        target = Desk(desk) if isolated else desk
        try:
            result = self._decide(item, target, now, careful)
        except DatabaseError as error:  # read while deciding: nothing is wrong with the item
            raise StorageDown(str(error.orig)) from error
        except Exception as error:
            if not isolated:
                raise _Unexpected from error
            if not getattr(error, "expected", False):
                log.exception("an item could not be decided")
            return None, error
        if isolated:
            desk.merge(target)
        return result, None

    def _commit(self, desk: Desk, now: Instant) -> None:
        desk.dues = {row.id: self._due_of(row) for row in desk.stored_incidents()}
        if not _changes_store(desk):
            self._resident.apply(desk)
            return
        self._committing_since = time.monotonic()
        try:
            with metrics.STORAGE_TRANSACTION_SECONDS.time():
                outcome = self._writer.commit(desk, now)
        finally:
            self._committing_since = None
        if self._failure is not None:
            log.warning("the store takes writes again")
            self._failure = None
        self._resident.apply(desk)
        self._committed(desk, outcome.events)
        self._writer.checkpoint()

    def _refuse(self, batch: list[_Waiting], error: StorageDown) -> None:
        if self._failure is None:
            log.error("the store takes no writes; answers are 503 until it does", extra={"reason": str(error)})
        self._failure = str(error)
        self._give_back(batch)
        self._answer([(w, None, Unavailable(f"the store takes no writes: {error}")) for w in batch])

    def _give_back(self, batch: Sequence[_Waiting]) -> None:
        """Nothing of the batch was stored: what it took from those who wait waits again."""
        for waiting in batch:
            give_back = getattr(waiting.item, "give_back", None)
            if give_back is not None:
                give_back(self._resident)

    def _answer(self, answers: Sequence[tuple[_Waiting, Any, Exception | None]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_tell, answers)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.warning("answers came after the end", extra={"answers": len(answers)})


class _Unexpected(Exception):
    """An item failed on the shared desk, which is spoiled by that."""


def _tell(answers: Sequence[tuple[_Waiting, Any, Exception | None]]) -> None:
    for waiting, result, error in answers:
        try:
            waiting.told(result, error)
        except Exception:
            log.exception("an answer could not be given")


def _settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
        future.exception()  # a waiter that went away must not make noise
    else:
        future.set_result(result)


def _changes_store(desk: Desk) -> bool:
    return bool(
        desk.occurrences or desk.events or desk.states.changed or desk.silences.changed or desk.facts
        or desk.outbox.changed or desk.changes.changed or desk.sources.changed or desk.problems.changed
        or desk.alive or desk.board_rows is not None or desk.edges or desk.stale or desk.meters.changed or desk.maintenance.changed or desk.asked
        or any(id not in desk.counted for id in desk.incidents.changed)
    )  # fmt: skip
