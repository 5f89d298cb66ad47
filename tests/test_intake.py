"""The queue and the one writer: group commit, back-pressure, and whose fault stays whose."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from responder import intake, metrics
from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.event import Actor
from responder.core.signal import HOUR, Instant
from responder.handlers import handle, ticks
from responder.handlers.commands import Command
from responder.handlers.signals import Pushed
from responder.handlers.upkeep import Heartbeat
from responder.intake import Intake, Unavailable
from responder.store.transaction import DataRefused, Outcome, Writer
from tests.store.conftest import START, House, Place, alert

ANN = Actor("person", "ann")
LIMIT = 100


class Queue:
    """An intake over a real SQLite file; the test holds the clock and can hold the writer."""

    def __init__(self, place: Place) -> None:
        self.house = House(place)
        self.at = START
        self.commits = 0
        self.full = False
        self.overtaken = threading.Event()
        self.go = threading.Event()
        self.go.set()
        commit = self.house.writer.commit

        def counted(desk: Desk, now: Instant) -> Outcome:
            assert self.go.wait(10)
            self.commits += 1
            return commit(desk, now)

        self.house.writer.commit = counted  # type: ignore[method-assign]
        event.listen(self.house.engine, "connect", self._limit)
        self.intake = Intake(
            self.house.resident, self.house.writer, self._decide, self, committed=lambda desk, events: None,
            due_of=self.house.due_of, limit=LIMIT, fenced=self.overtaken.set,
        )  # fmt: skip

    def now(self) -> Instant:
        return self.at

    def _decide(self, item: Any, desk: Desk, now: Instant, careful: bool) -> Any:
        away = ticks.Away(START, START)
        return handle(item, desk, self.house.book, now, self.house.resident, away, careful)

    def _limit(self, connection: Any, _record: Any) -> None:
        if self.full:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

    def fill(self, full: bool) -> None:
        """Let the disk be full, for every connection from now on."""
        self.full = full
        self.house.writer.forget()

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run the work on a loop with the writer, and stop the writer after it."""

        async def main() -> Any:
            self.intake.start(asyncio.get_running_loop())
            try:
                return await work()
            finally:
                self.go.set()
                await self.intake.stop()

        return asyncio.run(main())

    def instances(self) -> list[str]:
        """Return what has an incident in the store."""
        return [i.key["instance"] for i in self.house.reader.incidents({}, None, 1000)][::-1]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    place = Place(f"sqlite:///{tmp_path}/responder.db", None)
    built = Queue(place)
    yield built
    built.house.writer.close()
    place.close()


def pushed(*instances: str, **labels: str) -> Pushed:
    return Pushed("am-api", [alert(instance, **labels) for instance in instances])


async def all_of(futures: Sequence["asyncio.Future[Any]"]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)


def test_what_arrives_during_a_commit_is_one_transaction(queue: Queue) -> None:
    async def work() -> list[Any]:
        queue.go.clear()
        futures = [queue.intake.submit(pushed(f"i{n}")) for n in range(LIMIT)]
        queue.go.set()
        return await all_of(futures)

    assert queue.run(work) == [["accepted"]] * LIMIT
    assert queue.commits <= 2
    assert len(queue.instances()) == LIMIT


def test_an_answer_comes_only_after_the_commit(queue: Queue) -> None:
    async def work() -> None:
        queue.go.clear()
        future = queue.intake.submit(pushed("a"))
        await asyncio.sleep(0.1)
        assert not future.done() and queue.instances() == []
        queue.go.set()
        assert await future == ["accepted"]
        assert queue.instances() == ["a"]

    queue.run(work)


def test_a_full_queue_refuses_signals_but_takes_commands(queue: Queue) -> None:
    async def work() -> None:
        await queue.intake.submit(pushed("first"))
        queue.go.clear()
        taken = [queue.intake.submit(pushed("blocked"))]
        await asyncio.sleep(0.1)  # the writer holds this one
        taken += [queue.intake.submit(pushed(*(f"i{n}-{m}" for m in range(10)))) for n in range(LIMIT // 10)]
        assert queue.intake.queued == LIMIT
        with pytest.raises(Unavailable, match="full"):
            queue.intake.submit(pushed("late"))
        acknowledged = queue.intake.submit(Command("acknowledge", 1, {}, ANN))
        queue.go.set()
        results = await all_of([*taken, acknowledged])
        assert not [r for r in results if isinstance(r, Exception)]
        assert results[-1].state == "acknowledged"
        assert await queue.intake.submit(pushed("late")) == ["accepted"]
        assert queue.intake.queued == 0

    queue.run(work)
    assert len(queue.instances()) == LIMIT + 3


def test_a_batch_larger_than_the_queue_is_taken_when_nothing_waits(queue: Queue) -> None:
    async def work() -> Any:
        return await queue.intake.submit(pushed(*(f"i{n}" for n in range(LIMIT + 50))))

    assert queue.run(work) == ["accepted"] * (LIMIT + 50)


def test_commands_go_before_signals(queue: Queue) -> None:
    async def work() -> None:
        await queue.intake.submit(pushed("a"))
        queue.go.clear()
        held = queue.intake.submit(pushed("held"))
        await asyncio.sleep(0.1)
        order: list[object] = []
        futures = [queue.intake.submit(pushed(f"i{n}")) for n in range(3)]
        futures.append(queue.intake.submit(Command("note", 1, {"text": "n"}, ANN)))
        for future in futures:
            future.add_done_callback(order.append)
        queue.go.set()
        await all_of([held, *futures])
        assert order[0] is futures[-1]

    queue.run(work)


def spoil(queue: Queue, instance: str) -> None:
    """Let the rule fail on one instance, as only a bug could."""
    [rule] = queue.house.book.rules.values()
    form = rule.incident
    assert form is not None

    def title(known: Any) -> str:
        if known["key"]["instance"] == instance:
            raise RuntimeError("a bug")
        return "t"

    queue.house.book = Book([msgspec.structs.replace(rule, incident=msgspec.structs.replace(form, title=title))])


def test_a_rule_that_fails_on_an_alert_takes_nothing_from_its_neighbours(queue: Queue) -> None:
    spoil(queue, "bad")

    async def work() -> list[Any]:
        queue.go.clear()
        held = queue.intake.submit(pushed("held"))
        await asyncio.sleep(0.1)
        futures = [queue.intake.submit(pushed(name)) for name in ("a", "bad", "b")]
        mixed = queue.intake.submit(pushed("c", "bad", "d"))
        unknown = queue.intake.submit(Command("note", 99, {"text": "n"}, ANN))
        queue.go.set()
        return await all_of([held, *futures, mixed, unknown])

    *results, unknown = queue.run(work)
    # The alert itself is kept, once: other rules may know what to do with it.
    assert results == [["accepted"], ["accepted"], ["accepted"], ["accepted"], ["accepted", "duplicate", "accepted"]]
    assert "INC-99" in str(unknown)
    assert queue.instances() == ["held", "a", "b", "c", "d"]
    assert list(queue.house.book.tally.failures.values()) == [1]  # the second time it is a repeat


def test_data_that_the_store_refuses_fail_alone(queue: Queue) -> None:
    async def work() -> list[Any]:
        await queue.intake.submit(pushed("first"))
        queue.go.clear()
        held = queue.intake.submit(pushed("held"))
        await asyncio.sleep(0.1)
        futures = [
            queue.intake.submit(pushed("a")),
            queue.intake.submit(Command("note", 1, {"text": "n"}, Actor("person", "\ud800"))),
            queue.intake.submit(pushed("b")),
        ]
        queue.go.set()
        return await all_of([held, *futures])

    _, a, refused, b = queue.run(work)
    assert (a, b) == (["accepted"], ["accepted"]) and isinstance(refused, DataRefused)
    assert queue.instances() == ["first", "held", "a", "b"]


def test_each_is_told_once_when_a_commit_fails_midway_by_a_fault_of_ours(queue: Queue) -> None:
    spoil(queue, "bad")
    told: list[tuple[str, Any, Exception | None]] = []
    commit = queue.house.writer.commit

    def faulty(desk: Desk, now: Instant) -> Outcome:
        if any(row.labels["instance"] == "b" for row in desk.occurrences.values()):
            raise RuntimeError("a fault")
        return commit(desk, now)

    queue.house.writer.commit = faulty  # type: ignore[method-assign]

    async def work() -> None:
        for name in ("a", "bad", "b", "c"):
            queue.intake.take(pushed(name), lambda result, error, name=name: told.append((name, result, error)))  # type: ignore[misc]
        await asyncio.sleep(0.2)

    queue.run(work)
    assert [(name, result) for name, result, _ in told] == [
        ("a", ["accepted"]), ("bad", ["accepted"]), ("b", None), ("c", None)
    ]  # fmt: skip
    assert queue.instances() == ["a"]


def test_what_was_due_is_not_forgotten_when_a_neighbour_fails(queue: Queue) -> None:
    """The batch is decided twice then; the first time took the subjects from those who wait."""
    spoil(queue, "bad")

    async def work() -> None:
        await queue.intake.submit(pushed("a"))
        await queue.intake.submit(Command("resolve", 1, {}, ANN))
        await queue.intake.submit(Pushed("am-api", [alert("a", False)]))
        queue.at += HOUR
        queue.go.clear()
        held = queue.intake.submit(pushed("held"))
        await asyncio.sleep(0.1)
        tick, bad = queue.intake.submit(ticks.Tick(queue.at)), queue.intake.submit(pushed("bad"))
        queue.go.set()
        await all_of([held, tick, bad])

    queue.run(work)
    incident = queue.house.reader.incident(1)
    assert incident is not None and incident.state == "closed"


def test_a_full_disk_is_503_and_recovers_without_hands(queue: Queue) -> None:
    many = [f"i{n}" for n in range(LIMIT)]

    async def work() -> None:
        await queue.intake.submit(pushed("a"))
        await queue.intake.submit(Command("resolve", 1, {}, ANN))
        await queue.intake.submit(Pushed("am-api", [alert("a", False)]))
        queue.at += HOUR
        queue.fill(True)
        for _ in range(3):
            results = await all_of([queue.intake.submit(pushed(*many)), queue.intake.submit(ticks.Tick(queue.at))])
            assert all(isinstance(r, Unavailable) and "full" in str(r) for r in results)
        assert "full" in str(queue.intake.failure)
        assert metrics.REGISTRY.get_sample_value("responder_storage_up") == 0.0
        assert queue.house.resident.alerts.keys() <= {alert("a").identity}, (
            "memory knows nothing that the store does not"
        )
        queue.fill(False)
        assert await queue.intake.submit(pushed(*many)) == ["accepted"] * LIMIT
        assert queue.intake.failure is None
        assert metrics.REGISTRY.get_sample_value("responder_storage_up") == 1.0
        await queue.intake.submit(ticks.Tick(queue.at))

    queue.run(work)
    assert len(queue.instances()) == LIMIT + 1
    incident = queue.house.reader.incident(1)
    assert incident is not None and incident.state == "closed", "what was due while the disk was full is made up for"


def test_who_was_overtaken_answers_nothing_with_success(queue: Queue, tmp_path: Path) -> None:
    async def work() -> None:
        await queue.intake.submit(pushed("a"))
        place = Place(f"sqlite:///{tmp_path}/responder.db", None)
        other = House(place)
        other.take(pushed("b"))
        for name in ("c", "d"):
            with pytest.raises(Unavailable, match="taken over"):
                await queue.intake.submit(pushed(name))
        other.writer.close()
        place.close()

    queue.run(work)
    assert queue.instances() == ["a", "b"]


def test_the_end_stores_what_is_queued_and_takes_nothing_more(queue: Queue) -> None:
    async def main() -> list[Any]:
        queue.intake.start(asyncio.get_running_loop())
        queue.go.clear()
        futures = [queue.intake.submit(pushed(f"i{n}")) for n in range(20)]
        stopping = asyncio.ensure_future(queue.intake.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(Unavailable, match="stopping"):
            queue.intake.submit(pushed("late"))
        queue.go.set()
        await stopping
        return await all_of(futures)

    assert asyncio.run(main()) == [["accepted"]] * 20
    assert len(queue.instances()) == 20


def test_sixteen_first_alerts_at_once_open_one_incident(queue: Queue) -> None:
    async def work() -> list[Any]:
        return await all_of([queue.intake.submit(pushed("a", n=str(n))) for n in range(16)])

    assert queue.run(work) == [["accepted"]] * 16
    assert queue.instances() == ["a"]
    assert queue.house.resident.incidents[1].alerts_count == 16


@pytest.mark.parametrize("item", [pushed("late"), Heartbeat()])
def test_a_daemon_that_was_overtaken_stores_nothing_more_and_is_told_to_end(queue: Queue, item: Any) -> None:
    async def work() -> list[Any]:
        Writer(queue.house.engine, "another").lead(START)
        answers = await all_of([queue.intake.submit(item)])
        await asyncio.sleep(0)
        return answers

    [answer] = queue.run(work)
    assert isinstance(answer, Unavailable) and "another daemon" in str(answer)
    assert queue.overtaken.is_set() and queue.instances() == []


def test_a_store_that_does_not_answer_takes_no_writes(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PATIENCE", 0.05)

    async def work() -> None:
        queue.go.clear()
        held = queue.intake.submit(Pushed("am-api", [alert("a")]))
        assert queue.intake.failure is None
        await asyncio.sleep(0.3)
        assert "has not answered" in str(queue.intake.failure)
        assert metrics.REGISTRY.get_sample_value("responder_storage_up") == 0.0
        with pytest.raises(Unavailable, match="takes no writes"):
            queue.intake.submit(Pushed("am-api", [alert("b")]))
        queue.go.set()
        await held
        assert queue.intake.failure is None
        assert metrics.REGISTRY.get_sample_value("responder_storage_up") == 1.0
        await queue.intake.submit(Pushed("am-api", [alert("b")]))

    queue.run(work)
    assert queue.instances() == ["a", "b"]


@pytest.mark.parametrize("alone", [False, True])
def test_what_can_not_be_decided_without_the_store_is_to_be_sent_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    decide = queue.intake._decide
    broken = True

    def reads(item: Any, desk: Desk, now: Instant, careful: bool) -> Any:
        if broken and alone and not (careful or item.urgent):
            raise ValueError("a fault that sends each item on its own")
        if broken:
            raise OperationalError("SELECT", {}, ConnectionError("server closed the connection"))
        return decide(item, desk, now, careful)

    monkeypatch.setattr(queue.intake, "_decide", reads)

    async def work() -> None:
        nonlocal broken
        for item in (Pushed("am-api", [alert("a")]), Command("note", 1, {"text": "n"}, ANN)):
            with pytest.raises(Unavailable, match="server closed"):
                await queue.intake.submit(item)
        broken = False
        assert await queue.intake.submit(Pushed("am-api", [alert("a")])) == ["accepted"]
        assert queue.intake.failure is None

    queue.run(work)
    assert queue.instances() == ["a"]
