"""Back-test: a history through the daemon's handlers on a virtual clock (SPEC 8)."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Raw, Struct

from responder import plugins
from responder.config.settings import Settings
from responder.core.book import Book, QueryKey
from responder.core.instant import EARLIEST, LATEST, format_instant, parse_instant
from responder.core.signal import HOUR, SECOND, Instant, Sample
from responder.handlers.signals import MetricPolled, Pushed
from responder.house import book_of
from responder.ports import Context, Permanent, RangeSource, Transient
from responder.rehearsal import Rehearsal
from responder.web import views
from responder.web.decode import Decoder

LONGEST: Final = HOUR
"""So long after the last line a replay without an end runs on, at most."""
POINTS: Final = 10_000
"""Points of a series that Prometheus is asked for at once; it refuses more than 11,000."""
PAGE: Final = 100
"""Incidents of which the alerts are read at once."""
Progress = Callable[[Instant], None]


class ReplayError(Exception):
    """The history can't be read; the sentence says where and why."""


class Line(Struct):
    """One line of a file of alerts."""

    at: str | float
    alerts: Raw


_line = msgspec.json.Decoder(Line).decode


def replay_alerts(
    settings: Settings, path: Path, to: Instant | None, progress: Progress, complain: Callable[[str], None]
) -> Iterator[bytes]:
    """Replay a file of lines ``{"at", "alerts"}``; yields the JSON of SPEC 8 in pieces.

    Args:
        complain: Told ``file:line: why`` of each alert that is refused; its neighbours are kept, as the daemon does.

    Raises:
        ReplayError: A line is no such line, names it; or *to* is before the first.
    """
    decoder, signals, refused = Decoder(), 0, 0
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise ReplayError(f"{path}: there is no line in it")
    with TemporaryDirectory() as folder:
        _, start, _ = first
        if to is not None and to < start:
            raise ReplayError(f"{path}: the first line is of {format_instant(start)}, which is after --to")
        last = start
        rehearsal = Rehearsal(book_of(settings), start, file=Path(folder) / "replay.db", timeline=False)
        for place, at, body in chain([first], lines):
            if to is not None and at > to:
                break
            if at < last:
                raise ReplayError(f"{place}: {format_instant(at)} is before the line above it")
            decoded = decoder.decode(body, at)
            if decoded.refusal is not None and not decoded.rejected:
                raise ReplayError(f"{place}: {_message(decoded.refusal.body)}")
            for why in decoded.rejected:
                complain(f"{place}: {why}; left out")
            refused += len(decoded.rejected)
            rehearsal.at(at, Pushed("am-api", decoded.signals))
            signals += len(decoded.signals)
            last = at
            progress(at)
        if refused:
            complain(f"{path}: {refused} of {signals + refused} alerts were left out")
        end = to if to is not None else _run_out(rehearsal, last)
        rehearsal.advance(end)
        yield from result(rehearsal, start, end, signals)


def replay_metrics(settings: Settings, url: str, start: Instant, end: Instant, progress: Progress) -> Iterator[bytes]:
    """Replay what a Prometheus remembers: every metric rule is judged at its instants.

    Raises:
        ReplayError: The Prometheus does not answer, or refuses a query.
    """
    book = book_of(settings)
    signals = 0
    with TemporaryDirectory() as folder:
        rehearsal = Rehearsal(book, start, file=Path(folder) / "replay.db", timeline=False)
        for at, query, samples in asyncio.run(_history(book, url, start, end)):
            last_at = at - query.every if at - query.every >= start else None
            rehearsal.at(at, MetricPolled(query.source, query, at, samples, last_at))
            signals += len(samples)
            progress(at)
        rehearsal.advance(end)
        yield from result(rehearsal, start, end, signals)


def result(rehearsal: Rehearsal, start: Instant, end: Instant, signals: int) -> Iterator[bytes]:
    """Yield what a replay prints; incidents a few at a time, because each carries all its alerts."""
    book, reader, encode = rehearsal.book, rehearsal.reader, msgspec.json.encode
    yield b'{"from":%b,"to":%b,"incidents":[' % (encode(format_instant(start)), encode(format_instant(end)))
    alerts = incidents = 0
    rows = rehearsal.incidents()
    while page := list(islice(rows, PAGE)):
        joined = reader.alerts_between(page[0].id, page[-1].id)
        for row in page:
            occurrences = joined.pop(row.id, [])
            known = reader.problem(row.known_error) if row.known_error is not None else None
            terms = book.terms(row.service)
            shown = views.incident(row, occurrences, len(occurrences), terms, end, known.problem if known else None)
            yield (b"," if incidents else b"") + encode(shown)
            alerts, incidents = alerts + len(occurrences), incidents + 1
    yield b'],"problems":['
    problems = 0
    for found in rehearsal.problems():
        yield (b"," if problems else b"") + encode(views.problem(found))
        problems += 1
    counts = {"signals": signals, "alerts": alerts, "incidents": incidents, "problems": problems}
    yield b'],"counts":%b}\n' % encode(counts)


def _lines(path: Path) -> Iterator[tuple[str, Instant, bytes]]:
    """Yield the place, the instant and the alerts of each line."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                place = f"{path}:{number}"
                try:
                    line = _line(text)
                    at = parse_instant(line.at) if isinstance(line.at, str) else _epoch(line.at)
                except (msgspec.MsgspecError, ValueError, OverflowError) as error:
                    raise ReplayError(f"{place}: {error}") from None
                body = bytes(line.alerts)
                if not body.startswith((b"[", b"null")):
                    raise ReplayError(f"{place}: alerts is a list, found {body[:40].decode(errors='replace')}")
                yield place, at, body
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from None


def _epoch(seconds: float) -> Instant:
    at = round(seconds * SECOND)
    if not EARLIEST <= at <= LATEST:
        raise ValueError(f"{seconds} is no instant in seconds since 1970")
    return at


def _run_out(rehearsal: Rehearsal, last: Instant) -> Instant:
    """Let what is still armed come about, and return when the last of it did, or where that is cut off."""
    while (due := rehearsal.resident.next_due()) is not None and due <= last + LONGEST:
        rehearsal.advance(due)
    return max(rehearsal.now, last) if due is None else last + LONGEST


async def _history(
    book: Book, url: str, start: Instant, end: Instant
) -> Sequence[tuple[Instant, QueryKey, Sequence[Sample]]]:
    """Return all evaluations in the order of their instants."""
    pool = plugins.http_pool()
    settings = plugins.source_settings("prometheus")(kind="prometheus", url=url, timeout="120s")  # type: ignore[call-arg]
    source = plugins.build(settings, Context("prometheus", pool, plugins.inline))
    assert isinstance(source, RangeSource)
    found: list[tuple[Instant, QueryKey, Sequence[Sample]]] = []
    try:
        for query in book.queries:
            at = -(-start // query.every) * query.every
            while at <= end:
                until = min(end, at + (POINTS - 1) * query.every)
                found += [
                    (t, query, samples) for t, samples in await source.query_range(query.text, at, until, query.every)
                ]
                at += POINTS * query.every
    except (Transient, Permanent) as error:
        raise ReplayError(str(error)) from error
    finally:
        await pool.aclose()
    order = {query: number for number, query in enumerate(book.queries)}
    found.sort(key=lambda entry: (entry[0], order[entry[1]]))
    return found


def _message(body: object) -> str:
    """Return the words of a refusal of the API."""
    answer = msgspec.json.decode(body) if isinstance(body, bytes) else body
    return str(answer["message"] if isinstance(answer, dict) else answer)
