"""Sources that have a page of metrics instead of a query language: one selector picks from it."""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Final, TypeAlias

from msgspec import Struct

from responder.ports import SECOND, Instant, Labels, Permanent, Read, Sample, Span, Transient, identity

Page: TypeAlias = Mapping[str, Sequence[tuple[dict[str, str], float]]]
"""Metric name to its series: labels and value."""

_NAME: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
_MATCHER: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(,?)\s*')
_FRESH: Final = 60.0
"""Seconds, on the clock that is never set, for which a page serves instants before its own, too."""
_POINTS: Final = 100
"""A rate keeps about so many points of a series, however often it is asked."""


class Selector(Struct, frozen=True):
    """``name{label="value", ...}``; a missing label is the empty string."""

    name: str
    tests: tuple[tuple[str, Callable[[str], bool]], ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Say whether a series of that name is meant."""
        return all(holds(labels.get(label, "")) for label, holds in self.tests)


@lru_cache(maxsize=4096)
def parse_selector(text: str) -> Selector:
    """Return the selector of a query.

    Raises:
        ValueError: The text is more, or less, than one selector.
    """
    name = _NAME.match(text)
    if name is None:
        raise ValueError(f'{text!r} is not one selector such as queue_length{{queue="mail"}}')
    rest = text[name.end() :].strip()
    if not rest:
        return Selector(name[1])
    if not rest.startswith("{") or not rest.endswith("}"):
        raise ValueError(f"{rest!r} after {name[1]}: this source takes one selector, no functions and no arithmetic")
    inside, tests, comma = rest[1:-1].strip(), [], ","
    while inside:
        matcher = _MATCHER.match(inside)
        if matcher is None or not comma:
            raise ValueError(f'{inside!r} in the selector is not label="value" (or !=, =~, !~)')
        label, operator, quoted, comma = matcher.groups()
        tests.append((label, _test(operator, re.sub(r"\\(.)", _unescape, quoted))))
        inside = inside[matcher.end() :]
    return Selector(name[1], tuple(tests))


def _unescape(escape: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(escape[1], escape[1])


def _test(operator: str, wanted: str) -> Callable[[str], bool]:
    if operator == "=":
        return lambda value: value == wanted
    if operator == "!=":
        return lambda value: value != wanted
    pattern = compile_regex(wanted)
    if operator == "=~":
        return lambda value: pattern.fullmatch(value) is not None
    return lambda value: pattern.fullmatch(value) is None


def compile_regex(text: str) -> "re.Pattern[str]":
    """Return an RE2 pattern.

    Raises:
        ValueError: RE2 refuses it.
    """
    import re2  # only those who write a regex pay for it

    options = re2.Options()
    options.log_errors = False
    try:
        pattern: re.Pattern[str] = re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"{text!r} is no RE2 expression: {error}") from None
    return pattern


class PageSource:
    """A metric source over a page that is got at most once per slot of time, however many selectors ask."""

    def __init__(self, get: Callable[[], Awaitable[Page]], every: Span = 1) -> None:
        """*every*: the length of a slot; the default makes each instant its own."""
        self._get, self._every = get, every
        self._lock = asyncio.Lock()
        self._slot: int | None = None
        self._asked = 0.0
        self._page: Page = {}
        self._failure: Transient | Permanent | None = None
        self._rates: dict[tuple[str, Span], dict[int, _Counter]] = {}

    async def query(self, text: str, at: Instant, read: Read = "value", over: Span = 0) -> Sequence[Sample]:
        """Return the series that the selector *text* picks.

        ``age`` gives the seconds from the metric's value to *at*; ``rate`` the increase per
        second over the span *over*, of those series that were seen at least twice in it.
        """
        try:
            selector = parse_selector(text)
        except ValueError as error:
            raise Permanent(str(error), "bad_query") from None
        page = await self._at(at)
        found = [Sample(labels, v) for labels, v in page.get(selector.name, ()) if selector.matches(labels)]
        if read == "age":
            return [Sample(sample.labels, at / SECOND - sample.value) for sample in found]
        if read == "rate":
            return self._rate(self._rates.setdefault((text, over), {}), found, at, over)
        return found

    async def aclose(self) -> None:
        """Nothing to give back: connections belong to the daemon."""

    async def _at(self, at: Instant) -> Page:
        slot, now = at // self._every, asyncio.get_running_loop().time
        async with self._lock:
            late = now() - self._asked > max(_FRESH, self._every / SECOND)  # then the wall clock was set back
            if self._slot is None or slot > self._slot or (slot < self._slot and late):
                self._asked = now()
                try:
                    self._page, self._failure = await self._get(), None
                except (Transient, Permanent) as failure:
                    self._failure = failure
                self._slot = slot
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            return self._page

    def _rate(self, counters: "dict[int, _Counter]", found: Sequence[Sample], at: Instant, over: Span) -> list[Sample]:
        found = [sample for sample in found if isfinite(sample.value)]  # NaN would be in every sum that follows
        for sample in found:
            counters.setdefault(identity(sample.labels), _Counter()).see(at, sample.value, over)
        for series in [known_by for known_by, counter in counters.items() if counter.points[-1][0] < at - over]:
            del counters[series]
        rates = [(sample.labels, counters[identity(sample.labels)].rate()) for sample in found]
        return [Sample(labels, rate) for labels, rate in rates if rate is not None]


class _Counter:
    """The recent growth of one counter; a fall is a restart from zero, as in Prometheus."""

    __slots__ = ("_last", "_total", "points")

    def __init__(self) -> None:
        self.points: deque[tuple[Instant, float]] = deque()
        self._last = self._total = 0.0

    def see(self, at: Instant, value: float, over: Span) -> None:
        if self.points and at < self.points[-1][0] - over:
            self.points.clear()  # the clock was set back
        if self.points and at <= self.points[-1][0]:
            return  # asked twice for one instant
        if self.points:
            self._total += value - self._last if value >= self._last else value
        self._last = value
        if len(self.points) > 1 and at - self.points[-2][0] < over // _POINTS:
            self.points.pop()  # totals add up: a point between its neighbours tells nothing
        self.points.append((at, self._total))
        while self.points[0][0] < at - over:
            self.points.popleft()

    def rate(self) -> float | None:
        (first_at, first), (last_at, last) = self.points[0], self.points[-1]
        return (last - first) * SECOND / (last_at - first_at) if last_at > first_at else None
