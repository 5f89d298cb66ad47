"""What correlation costs: CPU of an incident that opens, with and without ``problems:``, decided and stored.

    python -m tests.bench.correlating [--services 2000] [--edges 5000] [--closed 0] [--open 1000] [--new 2000]

The catalogue is random; *closed* incidents are a day old, *open* ones are there before *new*
ones open, in batches of 64, one in three of them next to another. Prints the median of five, in microseconds an incident.
"""

import argparse
import gc
import random
import statistics
import tempfile
import time
from pathlib import Path

from responder.core.book import Book
from responder.core.catalogue import Depends, ProblemSpec, Service, Team, TopologySpec
from responder.core.rule import EventOf, EventWhen, IncidentForm, Match, Priority, Rule
from responder.core.signal import DAY, MINUTE, SECOND, Signal, identity
from responder.handlers.signals import Pushed
from responder.handlers.upkeep import Forget
from responder.rehearsal import Rehearsal

RULE = Rule(
    id="alerts",
    by=("service", "instance", "alertname"),
    when=EventWhen(EventOf(Match())),
    incident=IncidentForm(
        service=lambda known: known["labels"]["service"], title=lambda known: known["labels"]["alertname"],
        priority=Priority(fixed="P2"),
    ),
    digest="1",
)  # fmt: skip
START = 1_767_571_200 * SECOND


def book_of(services: int, edges: int, correlate: bool) -> Book:
    chance = random.Random(1)
    names = [f"service-{n}" for n in range(services)]
    pairs = [(names[a], names[b]) for a, b in (sorted(chance.sample(range(services), 2)) for _ in range(edges))]
    problems = [ProblemSpec("cause", "ops", Depends(10 * MINUTE))] if correlate else []
    catalogue = {name: Service(name, "ops") for name in names}
    return Book(
        [RULE],
        services=catalogue,
        teams={"ops": Team("ops", "ann")},
        problems=problems,
        topology=TopologySpec(tuple(pairs)),
    )


def measured(correlate: bool, given: argparse.Namespace, seed: int) -> float:
    chance = random.Random(seed)
    fresh = iter(range(10**9))

    def signal(at: int, lasts: int | None = None) -> Signal:
        labels = {
            "alertname": f"Alert{chance.randrange(40)}", "service": f"service-{chance.randrange(given.services)}",
            "instance": f"instance-{next(fresh)}",
        }  # fmt: skip
        return Signal("am-api", identity(labels), labels, {}, True, at, None if lasts is None else at + lasts)

    with tempfile.TemporaryDirectory() as folder:
        stage = Rehearsal(book_of(given.services, given.edges, correlate), START, file=Path(folder) / "bench.db")
        for n in range(given.closed // 50):
            at = START + n * 30 * SECOND
            stage.at(at, Pushed("am-api", [signal(at, MINUTE) for _ in range(50)]))
        begin = max(stage.now, START) + (DAY if given.closed else 0)
        if given.closed:  # what the daemon does each hour
            stage.advance(begin)
            more = stage.take(Forget(first=True))
            while more:
                more = stage.take(Forget(first=False))
        for n in range(given.open // 50):
            at = begin + n * 30 * SECOND
            stage.at(at, Pushed("am-api", [signal(at) for _ in range(50)]))
        for n in range(given.services):
            stage.book.topology.around(f"service-{n}")  # a daemon that has run for an hour knows them all
        stage.flush()  # what came before is not of the new ones
        gc.collect()
        began = time.process_time()
        for _ in range(given.new // 64):
            at = stage.now + SECOND
            stage.take(Pushed("am-api", [signal(at) for _ in range(64)]))
            stage.now = at
        stage.flush()
        took = time.process_time() - began
        assert correlate is bool(stage.resident.problems)
    return took / (given.new // 64 * 64) * 1e6


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("services", 2000), ("edges", 5000), ("closed", 0), ("open", 1000), ("new", 2000)):
        args.add_argument(f"--{name}", type=int, default=default)
    given = args.parse_args()
    took: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(5):  # in turns: the machine drifts
        for correlate in took:
            took[correlate].append(measured(correlate, given, seed))
    without, with_ = statistics.median(took[False]), statistics.median(took[True])
    print(f"an incident opens in {without:.0f} us, correlated in {with_:.0f} us: {with_ - without:.0f} us more")


if __name__ == "__main__":
    main()
