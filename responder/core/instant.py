"""Instants and spans as people write them: RFC 3339, ``1h30m``."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from responder.core.signal import DAY, HOUR, MINUTE, SECOND, Instant, Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1000}
_SPAN = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?", re.ASCII
)
EARLIEST: Instant = -62_135_596_800 * SECOND
LATEST: Instant = 253_402_300_799 * SECOND


def to_instant(moment: datetime) -> Instant:
    """Return an aware datetime as microseconds since the epoch.

    Raises:
        ValueError: If *moment* has no offset: a local time names no instant.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no offset")
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(at: Instant) -> datetime:
    """Return the instant as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=at)


def parse_instant(text: str) -> Instant:
    """Return the instant of an RFC 3339 text; finer digits than microseconds are cut.

    ISO 8601's ``+0100`` is taken too: PagerDuty's clients send it.

    Raises:
        ValueError: If the text is no RFC 3339 date-time or has no offset.
    """
    if not _INSTANT.fullmatch(text):
        raise ValueError(f"{text!r} is not an RFC 3339 instant")
    try:
        return to_instant(datetime.fromisoformat(text.upper()))
    except OverflowError:  # year 1 or 9999 moved past the end by its offset
        return EARLIEST if text.startswith("0001") else LATEST


@lru_cache(4096)  # one instant stands in many places of what is shown
def format_instant(at: Instant) -> str:
    """Return RFC 3339 in UTC with as many digits as needed: ``2026-01-05T00:00:00Z``."""
    text = to_datetime(min(max(at, EARLIEST), LATEST)).isoformat()
    return text.removesuffix("+00:00") + "Z"


def parse_span(text: str) -> Span:
    """Return the length of ``30s``, ``5m``, ``1h30m``, ``7d``; ``0`` needs no unit.

    Raises:
        ValueError: If the text is no duration.
    """
    match = _SPAN.fullmatch(text)
    if text == "0":
        return 0
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration such as 30s, 5m or 1h30m")
    return sum(int(n) * unit for n, unit in zip(match.groups(), _UNITS.values(), strict=True) if n)


def format_span(span: Span) -> str:
    """Return a span as people write it, rounded to the second: ``1h30m``."""
    spelt = _spelt(round(abs(span) / SECOND))
    return "-" + spelt if span < 0 else spelt


@lru_cache(4096)
def _spelt(seconds: int) -> str:
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
