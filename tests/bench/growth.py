"""What must not grow: the cost of an alert with what is open, with what joined, with how many rules there are."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import process_time

from responder.clock import SystemClock
from responder.config.loader import load_text
from responder.config.settings import Kinds
from responder.core.book import Book
from responder.core.signal import Signal
from responder.handlers.signals import Pushed
from responder.house import book_of
from responder.plugins import channel_settings, kinds, source_settings
from responder.rehearsal import Rehearsal
from responder.web.decode import Decoder
from tests.bench import configs
from tests.bench.load import SERVICES, alerts, posts, send
from tests.bench.servers import alertmanager, responder
from tests.bench.table import Row, Skip, at_most

OPEN = 100_000
BATCH = 64


def open_alerts(folder: Path, quick: bool) -> Iterator[Row]:
    """With 100,000 open alerts: the cost of another, a filtered list, and memory."""
    count, rounds = (6_400, 3) if quick else (19_200, 5)
    config = configs.event_rules(1000)
    with responder(folder / "full", config) as full:
        idle = full.rss()
        send(full, posts(alerts("open", range(OPEN)), 500), 8)
        ratios, costs = [], []
        for turn in range(rounds):
            requests = posts(alerts(f"turn{turn}", range(count)), BATCH)
            with responder(folder / f"empty{turn}", config) as empty:
                send(empty, posts(alerts("warm", range(10 * SERVICES)), BATCH), 8)
                costs.append((send(full, requests, 8).cost, send(empty, requests, 8).cost))
            ratios.append(costs[-1][0] / costs[-1][1])
        words = " against ".join(f"{median(cost):.1f}" for cost in zip(*costs, strict=True)) + " us CPU an alert"
        yield at_most("cost of an alert, 100,000 open / none", median(ratios), 1.2, f"{median(ratios):.2f}x, {words}")
    with responder(folder / "listed", config) as server:
        send(server, posts(alerts("open", range(OPEN)), 500), 8)
        full_rss = server.rss()
        path = "/api/v2/alerts?filter=" + "service%3D%22svc7%22"
        answers = [server.get(path) for _ in range(9)]
        seconds = median(took for took, _ in answers)
        size = answers[0][1]
    theirs, their_rss = _alertmanager(folder, path)
    words = f"{1000 * seconds:.0f} ms for {size:,} bytes{theirs}"
    yield at_most("filtered GET /api/v2/alerts, 100,000 active", 1000 * seconds, 100, words, " ms")
    yield at_most("memory idle, 1000 rules", idle, 100, f"{idle:.0f} MB", " MB")
    yield at_most("memory with 100,000 active alerts", full_rss, 600, f"{full_rss:.0f} MB{their_rss}", " MB")


def _alertmanager(folder: Path, path: str) -> tuple[str, str]:
    try:
        with alertmanager(folder / "am", configs.routes(0)) as server:
            send(server, posts(alerts("open", range(OPEN)), 500), 8)
            seconds = median(server.get(path)[0] for _ in range(9))
            return f"; alertmanager {1000 * seconds:.0f} ms", f"; alertmanager {server.rss():.0f} MB"
    except Skip as missing:
        return f"; {missing}", ""


def joins(folder: Path, quick: bool) -> Iterator[Row]:
    """The 10,000th alert that joins one incident, against the first."""
    rounds = 3 if quick else 5
    ratio, first, last = join_costs(10_000, rounds)
    words = f"{ratio:.2f}x, {first:.1f} us -> {last:.1f} us, in this process: decide and store"
    yield at_most("the 10,000th alert that joins one incident / the first", ratio, 1.2, words)


def join_costs(count: int, rounds: int, block: int = 640) -> tuple[float, float, float]:
    """Return (ratio, first, last): microseconds of CPU for each of the first and of the last alerts of one incident."""
    seen = []
    for turn in range(rounds):
        world = Rehearsal(book_with(SERVICES), SystemClock().now())
        signals = signals_of(alerts(f"turn{turn}", range(count + block), services=1))
        push(world, signals[:64])
        costs = [push(world, signals[at : at + block]) / block for at in range(64, count, block)]
        seen.append((costs[-1] / costs[0], 1e6 * costs[0], 1e6 * costs[-1]))
    ratio, first, last = (median(value) for value in zip(*seen, strict=True))
    return ratio, first, last


def matching(folder: Path, quick: bool) -> Iterator[Row]:
    """10,000 rules of all kinds against 10, label sets seen before."""
    rounds = 3 if quick else 5
    for where, measure in (("index", index_cost), ("whole engine", repeat_cost)):
        few, many = book_with(10, configs.mixed_rules), book_with(10_000, configs.mixed_rules)
        costs = [(measure(few), measure(many)) for _ in range(rounds)]
        ratio = median(b / a for a, b in costs)
        small, large = (median(cost) for cost in zip(*costs, strict=True))
        words = f"{ratio:.2f}x, {small:.2f} us -> {large:.2f} us an alert"
        yield at_most(f"matching with 10,000 rules / with 10, {where}", ratio, 2.0, words)


def index_cost(book: Book, count: int = 5_000) -> float:
    """Return the microseconds of CPU in which the index finds the rules of a known label set."""
    signals = signals_of(alerts("known", range(count), services=10))
    for signal in signals:
        book.index.hits(signal)
    begun = process_time()
    for _ in range(5):
        for signal in signals:
            book.index.hits(signal)
    return 1e6 * (process_time() - begun) / (5 * count)


def repeat_cost(book: Book, count: int = 5_000) -> float:
    """Return the microseconds of CPU of an alert that comes again."""
    world = Rehearsal(book, SystemClock().now())
    signals = signals_of(alerts("known", range(count), services=10))
    push(world, signals)
    return 1e6 * sum(push(world, signals) for _ in range(3)) / (3 * count)


def push(world: Rehearsal, signals: Sequence[Signal]) -> float:
    """Take signals in batches and store what came of them; return the CPU seconds that it took."""
    begun = process_time()
    for at in range(0, len(signals), BATCH):
        world.take(Pushed("am-api", signals[at : at + BATCH]))
    world.flush()
    return process_time() - begun


def signals_of(found: Sequence[dict[str, object]]) -> list[Signal]:
    """Return alerts as the daemon reads them from a body."""
    decoder, now = Decoder(), SystemClock().now()
    bodies = (request.partition(b"\r\n\r\n")[2] for request, _ in posts(found, 500))
    return [signal for body in bodies for signal in decoder.decode(body, now).signals]


def book_with(rules: int, write: Callable[[int], str] = configs.event_rules) -> Book:
    """Return a rule book with so many rules."""
    found = Kinds(
        {name: source_settings(name) for name in kinds("sources")},
        {name: channel_settings(name) for name in kinds("channels")},
    )
    loaded = load_text(write(rules), kinds=found)
    assert loaded.settings is not None, loaded.errors
    return book_of(loaded.settings)
