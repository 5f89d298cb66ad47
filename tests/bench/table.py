"""What a measurement says, and the table it is printed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

GOOD, SHORT, SKIPPED, SHOWN = "good", "short", "skipped", ""


class Skip(Exception):
    """This can't be measured here; the sentence says what is missing."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, and what it must reach."""

    work: str
    measured: str
    bar: str = ""
    verdict: str = SHOWN
    """Empty: shown beside another, no bar of its own."""


def at_least(work: str, value: float, bar: float, measured: str, unit: str = "x") -> Row:
    """Return the row of something that must not be lower."""
    return Row(work, measured, f">= {bar:,g}{unit}", GOOD if value >= bar else SHORT)


def at_most(work: str, value: float, bar: float, measured: str, unit: str = "x") -> Row:
    """Return the row of something that must not be higher."""
    return Row(work, measured, f"<= {bar:,g}{unit}", GOOD if value <= bar else SHORT)


def middle(rounds: int, measure: Callable[[int], float]) -> float:
    """Return the median of so many measurements."""
    return median(measure(number) for number in range(rounds))


def show(rows: Sequence[Row]) -> str:
    """Return rows as lines of a table."""
    return "\n".join(f"{row.verdict:<8}{row.work:<66}{row.bar:<14}{row.measured}" for row in rows)
