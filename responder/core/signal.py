"""What arrives from outside: observations of alerts, and samples of metrics.

Instants are whole microseconds since the epoch, UTC (``Instant``); lengths are whole
microseconds (``Span``). The hot path compares and stores millions of them, so they are
plain integers inside and become RFC 3339 text only at the rim (see :mod:`responder.core.instant`).
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

Instant: TypeAlias = int
Span: TypeAlias = int
Labels: TypeAlias = Mapping[str, str]

SECOND: Final[Span] = 1_000_000
MINUTE: Final[Span] = 60 * SECOND
HOUR: Final[Span] = 60 * MINUTE
DAY: Final[Span] = 24 * HOUR

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


def identity(labels: Mapping[str, str]) -> int:
    """Return what a label set is known by in here: a signed 64-bit number, as databases store it.

    BLAKE2b over its canonical text, JSON with sorted names and no blanks. Not the fingerprint that
    others know it by: that is a chain of steps for each byte, which here costs seventeen times as much.
    """
    return int.from_bytes(blake2b(_canonical(labels), digest_size=8).digest(), "big", signed=True)


def fingerprint(labels: Labels) -> int:
    """Return what others know a label set by, as a signed 64-bit number.

    FNV-1a 64 over ``name 0xff value 0xff`` of each label, names in byte order, as
    Prometheus and Alertmanager compute it. :func:`fingerprint_text` gives the 16 hex digits
    that people and other systems see.
    """
    h = _OFFSET
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            h = ((h ^ byte) * _PRIME) & _MASK
    return h - (1 << 64) if h >> 63 else h


def fingerprint_text(fp: int) -> str:
    """Return a fingerprint as 16 hex digits."""
    return f"{fp & _MASK:016x}"


def shown_fingerprint(labels: Labels, known_by: int) -> str:
    """Return the 16 hex digits under which others know an alert of this identity.

    What its source knows by another name than its labels is shown by that name.
    """
    return fingerprint_text(fingerprint(labels) if known_by == identity(labels) else known_by)


class Signal(Struct, frozen=True, gc=False):
    """One observation of an alert, in the words of its source."""

    source: str
    identity: int
    """Of its labels (:func:`identity`), unless its source has another name for what fires."""
    labels: dict[str, str]
    """Without empty values: a label without a value is a label that is not there."""
    annotations: dict[str, str]
    firing: bool
    starts_at: Instant
    ends_at: Instant | None = None
    """Firing: when it lapses unless seen again (none: never by itself). Resolved: when it ended."""
    url: str = ""
    timeout: bool = False
    """``ends_at`` is our own time-out, because the sender gave none (Alertmanager's rule)."""
    momentary: bool = False
    """Opens and closes at once, deduplicated by :attr:`dedup` and never by identity."""
    dedup: str = ""
    implied: bool = False
    """``starts_at`` is our own, because the sender gave none."""


class Sample(Struct, frozen=True, gc=False):
    """One series of a metric query at one evaluation instant."""

    labels: dict[str, str]
    value: float
