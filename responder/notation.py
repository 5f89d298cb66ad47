"""Series of rule tests, written as promtool takes them: ``metric{rule="ID", region="eu"}`` and ``10x4 _x3 stale``.

Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from responder.config.regexes import compile_regex
from responder.core.matcher import parse_selector
from responder.core.signal import MINUTE, Sample, Span

LOOKBACK: Final[Span] = 5 * MINUTE
"""An evaluation takes the newest sample that is no older, as Prometheus does."""
MAX_SAMPLES: Final = 1_000_000
Point: TypeAlias = float | Literal["stale"] | None
"""A sample; ``stale``: the series ends here; None: no sample."""

_FINITE = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ITEM = re.compile(
    rf"(?P<first>[+-]?(?:{_FINITE}|[iI]nf|[nN]a[nN]))(?:(?P<step>[+-]{_FINITE})(?=x))?(?:x(?P<times>\d+))?"
)
_GAP = re.compile(r"_(?:x(?P<times>\d+))?")


class Series(Struct, frozen=True):
    """What the query of a rule returns, by time."""

    rule: str
    labels: dict[str, str]
    interval: Span
    points: tuple[Point, ...]

    def sample(self, passed: Span) -> Sample | None:
        """Return what an evaluation so long after the start sees."""
        newest = passed // self.interval
        for i in range(min(newest, len(self.points) - 1), -1, -1):
            if passed - i * self.interval > LOOKBACK:
                return None
            point = self.points[i]
            if point == "stale":
                return None
            if point is not None:
                return Sample(self.labels, point)
        return None


def parse_series(text: str, interval: Span, values: str) -> Series:
    """Return a series of a rule test.

    Raises:
        ValueError: It is not written so; says where.
    """
    rule, labels = parse_labels(text)
    return Series(rule, labels, interval, parse_values(values))


def parse_labels(text: str) -> tuple[str, dict[str, str]]:
    """Return whose series ``metric{rule="ID", ...}`` is, and its other labels.

    Raises:
        ValueError: It is not written so; a :class:`responder.core.matcher.Misread` says where.
    """
    name, brace, rest = text.partition("{")
    if name.strip() != "metric" or not brace:
        raise ValueError(f'{text!r} is not metric{{rule="ID", label="value", ...}}')
    labels = {}
    for matcher in parse_selector(" " * len(name) + brace + rest, compile_regex):
        if matcher.op != "=":
            raise ValueError(f"{matcher}: a series has labels with =")
        labels[matcher.name] = matcher.value
    rule = labels.pop("rule", "")
    if not rule:
        raise ValueError(f'{text!r} does not say whose it is: metric{{rule="ID", ...}}')
    return rule, {name: value for name, value in labels.items() if value}


def parse_values(text: str) -> tuple[Point, ...]:
    """Return the samples of ``1 2 3``, ``AxN`` (N+1 times A), ``A+BxN``, ``A-BxN``, ``_``, ``_xN`` and ``stale``.

    Raises:
        ValueError: It is not written so; names the word.
    """
    points: list[Point] = []
    for word in text.split():
        points += _expanded(word, MAX_SAMPLES - len(points))
    return tuple(points)


def _expanded(word: str, room: int) -> Iterator[Point]:
    gap, item = _GAP.fullmatch(word), _ITEM.fullmatch(word)
    match = gap or item
    if word == "stale":
        yield "stale"
        return
    if match is None:
        raise ValueError(f"{word!r} is none of 10, 10x4, 10+5x4, _, _x4, stale, NaN, Inf")
    times = match["times"]
    count = 1 if times is None else int(times) + (item is not None)
    if count > room:
        raise ValueError(f"{word!r} makes more than {MAX_SAMPLES} samples")
    if item is None:
        yield from [None] * count
        return
    value, step = float(item["first"]), float(item["step"] or 0)
    for _ in range(count):
        yield value
        value += step
