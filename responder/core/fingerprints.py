"""What alerts are shown as: fingerprints of many label sets at once, at a quarter of the cost of one after another.

FNV-1a is a chain of ``h = (h ^ byte) * prime``, one byte after another, and in Python each
step costs what an addition of two large integers costs. So the chains of many label sets run
side by side in the lanes of one large integer: 128 bits a lane, of which a product of a
64-bit state and the 41-bit prime needs 105.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from responder.core.alert import Alert
from responder.core.signal import Labels, fingerprint, identity

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF
_LANE: Final = 128
_LANES: Final = 256
_FEWEST: Final = 4
"""Below this many, lanes do not pay."""
_LONGEST: Final = 512
"""Bytes; longer rows would make all the others wait."""
REMEMBERED: Final = 262_144
"""Fingerprints that are kept at most."""
_ONES = sum(1 << _LANE * lane for lane in range(_LANES))
_STATES, _BYTES, _START = _ONES * _MASK, _ONES * 0xFF, _ONES * _OFFSET


class Shown:
    """Under which fingerprints alerts are shown, remembered: dashboards ask for the same ones every minute."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, alerts: Sequence[Alert]) -> list[int]:
        """Return :func:`responder.core.signal.shown_fingerprint` of each alert, as a number without a sign."""
        known = self._known
        unknown = {alert.identity: alert.labels for alert in alerts if alert.identity not in known}
        if len(known) + len(unknown) > REMEMBERED:
            known = {}
            unknown = {alert.identity: alert.labels for alert in alerts}
        rest = iter(unknown.items())
        while page := list(islice(rest, _LANES)):  # more at once would let nobody else run meanwhile
            for (known_by, labels), fp in zip(page, fingerprints([labels for _, labels in page]), strict=True):
                known[known_by] = (fp if known_by == identity(labels) else known_by) & _MASK
        if len(known) <= REMEMBERED:
            self._known = known
        return [known[alert.identity] for alert in alerts]


def fingerprints(label_sets: Sequence[Labels]) -> list[int]:
    """Return :func:`responder.core.signal.fingerprint` of each label set."""
    if len(label_sets) < _FEWEST:
        return [fingerprint(labels) for labels in label_sets]
    found = [0] * len(label_sets)
    rows = []
    for index, labels in enumerate(label_sets):
        row = _row(labels)
        if row is None:
            found[index] = fingerprint(labels)
        else:
            rows.append((len(row), row, index))
    rows.sort()
    for start in range(0, len(rows), _LANES):
        lanes = rows[start : start + _LANES]
        for (_, _, index), state in zip(lanes, _states([row for _, row, _ in lanes]), strict=True):
            found[index] = state - (1 << 64) if state >> 63 else state
    return found


def _row(labels: Labels) -> bytes | None:
    """Return ``name 0xff value 0xff`` of each label; none if it is too long, or has a NUL in it."""
    parts: list[str] = []
    for name in sorted(labels):
        parts += (name, labels[name])
    text = "\0".join(parts)
    if len(text) > _LONGEST or text.count("\0") != len(parts) - 1:
        return None
    return text.encode().replace(b"\0", b"\xff") + b"\xff"


def _states(rows: list[bytes]) -> list[int]:
    """Return the hash of each row; rows come in order of length, the shortest in the lowest lane."""
    count = len(rows)
    words = -(-len(rows[-1]) // 8)
    matrix = memoryview(b"".join([row.ljust(8 * words, b"\0") for row in rows])).cast("Q")
    spread = memoryview(bytearray(count * _LANE // 8)).cast("Q")
    states = _START & ((1 << _LANE * count) - 1)
    found: list[int] = []
    for word in range(words):
        spread[::2] = matrix[word::words]
        ahead = int.from_bytes(spread, "little") >> _LANE * len(found)
        for at in range(8 * word, 8 * word + 8):
            while len(rows[len(found)]) == at:
                found.append(states & _MASK)
                states >>= _LANE
                ahead >>= _LANE
                if len(found) == count:
                    return found
            states = ((states ^ (ahead & _BYTES)) * _PRIME) & _STATES
            ahead >>= 8
    return found + [states >> _LANE * lane & _MASK for lane in range(count - len(found))]
