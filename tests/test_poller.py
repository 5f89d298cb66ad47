"""The poller: everything once an interval, at its multiples, and nobody waits for whoever hangs."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from responder.clock import SystemClock
from responder.core.book import QueryKey
from responder.core.signal import SECOND, Instant, Sample
from responder.handlers.signals import MetricPolled, PollFailed
from responder.intake import Intake
from responder.poller import JITTER, TOGETHER, Polled, Poller, _turns
from responder.ports import Permanent, Transient

EVERY = SECOND // 5


class Source:
    """Answers at once; hangs, fails or refuses for the queries that it is told to."""

    def __init__(self, hangs: Sequence[str] = (), fails: Sequence[str] = (), refuses: Sequence[str] = ()) -> None:
        self.hangs, self.fails, self.refuses = hangs, fails, refuses
        self.asked: list[tuple[str, Instant]] = []

    async def query(self, text: str, at: Instant, read: str, over: int) -> list[Sample]:
        self.asked.append((text, at))
        if text in self.hangs:
            await asyncio.sleep(3600)
        if text in self.fails:
            raise Transient("it does not answer", "unreachable")
        if text in self.refuses:
            raise Permanent("parse error", "bad_query")
        return [Sample({}, 1.0)]

    async def aclose(self) -> None: ...


class Queue:
    """Takes everything, and says in how many hand-overs."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.moments: Counter[float] = Counter()

    def submit(self, item: Any) -> Awaitable[Any]:
        self.items.append(item)
        self.moments[round(asyncio.get_running_loop().time() / TOGETHER * 2)] += 1
        taken = asyncio.get_running_loop().create_future()
        taken.set_result(None)
        return taken


def poll(source: Source, queries: Sequence[str], until: Callable[[Queue], bool]) -> Queue:
    """Poll by schedule until that holds, at most 5 s."""

    async def work() -> Queue:
        queue = Queue()
        every = [Polled("prom", cast("Any", source), EVERY, QueryKey("prom", text, EVERY)) for text in queries]
        poller = Poller(cast("Intake", queue), SystemClock(), every)
        poller.start()
        for _ in range(500):
            if until(queue):
                break
            await asyncio.sleep(0.01)
        await poller.stop()
        assert until(queue)
        return queue

    return asyncio.run(work())


def test_every_query_is_asked_once_an_interval_at_its_multiples() -> None:
    source, queries = Source(), [f"q{n}" for n in range(40)]
    poll(source, queries, lambda queue: len(queue.items) >= 3 * 40)
    rounds = Counter(at for _, at in source.asked)
    assert all(at % EVERY == 0 for at in rounds)
    assert len(set(source.asked)) == len(source.asked)
    assert all({text for text, then in source.asked if then == at} == set(queries) for at in sorted(rounds)[:3])


def test_answers_of_one_moment_are_handed_over_together() -> None:
    queue = poll(Source(), [f"q{n}" for n in range(40)], lambda queue: len(queue.items) >= 2 * 40)
    assert max(queue.moments.values()) >= 20


def test_a_query_that_hangs_is_not_asked_again_meanwhile_and_holds_no_other() -> None:
    source = Source(hangs=["hangs"])
    queue = poll(source, ["hangs", "answers"], lambda queue: len(queue.items) >= 4)
    assert {item.query.text for item in queue.items} == {"answers"}
    assert [text for text, _ in source.asked].count("hangs") == 1


def test_a_failure_is_told_and_the_query_is_asked_again() -> None:
    source = Source(fails=["fails"])
    queue = poll(source, ["fails", "answers"], lambda queue: len(queue.items) >= 6)
    kinds = Counter(type(item) for item in queue.items)
    assert kinds[PollFailed] >= 2 and kinds[MetricPolled] >= 2


def test_a_source_that_is_away_is_said_once_and_so_that_it_is_back_and_a_query_at_fault_for_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hundred rules ask one Prometheus: that it is away is one line of the log, not a hundred."""
    caplog.set_level("INFO", "responder.poller")
    queries = [f"q{n}" for n in range(20)]
    source = Source(fails=queries, refuses=["typo"])

    def back_after_two_rounds(queue: Queue) -> bool:
        if len(queue.items) >= 42:
            source.fails = ()
        return sum(isinstance(item, MetricPolled) for item in queue.items) >= 40

    poll(source, [*queries, "typo"], back_after_two_rounds)
    told = [(record.levelname, getattr(record, "reason", "")) for record in caplog.records]
    assert sorted(told) == [("INFO", ""), ("WARNING", "bad_query"), ("WARNING", "unreachable")]


def test_a_failure_says_which_query_and_whether_that_is_at_fault() -> None:
    source = Source(fails=["fails"], refuses=["refused"])
    queue = poll(source, ["fails", "refused"], lambda queue: len(queue.items) >= 4)
    assert {(item.query.text, item.refused) for item in queue.items} == {("fails", False), ("refused", True)}


def test_an_answer_knows_the_evaluation_before_it() -> None:
    queue = poll(Source(), ["q"], lambda queue: len(queue.items) >= 3)
    before = [item.last_at for item in queue.items]
    assert before[0] is None and before[1:] == [item.at for item in queue.items][:-1]


def test_a_round_is_spread_over_a_tenth_of_the_interval_the_same_way_after_every_start() -> None:
    def turns() -> list[tuple[float, list[str]]]:
        every = [
            Polled("prom", cast("Any", None), 15 * SECOND, QueryKey("prom", f"q{n}", 15 * SECOND)) for n in range(1000)
        ]
        return [(turn.after, [one.query.text for one in turn.polled if one.query]) for turn in _turns(every)]

    found = turns()
    assert found == turns()
    assert sum(len(texts) for _, texts in found) == 1000
    assert all(0 <= after < 15 * JITTER for after, _ in found) and max(len(texts) for _, texts in found) < 70
