"""What an observation does to the alert it speaks of: Alertmanager's merge rules, recorded from 0.25."""

from typing import Any

import pytest

from responder.core.alert import Alert, observe
from responder.core.signal import MINUTE, Instant, Signal, identity

NOW: Instant = 1_767_571_200_000_000
LABELS = {"alertname": "A"}


def signal(at: Instant, starts: int | None, ends: int | None) -> Signal:
    """Return what ``POST /api/v2/alerts`` makes of it; starts and ends are minutes from NOW, None is left out."""
    ends_at = at + 5 * MINUTE if ends is None else NOW + ends * MINUTE
    starts_at = NOW + starts * MINUTE if starts is not None else at if ends is None else ends_at
    return Signal(
        "am-api", identity(LABELS), LABELS, {}, ends_at > at, starts_at, ends_at, timeout=ends is None,
        implied=starts is None,
    )  # fmt: skip


def after(*said: tuple[int | None, int | None]) -> Alert:
    """Return the alert after observations a second apart."""
    known: Alert | None = None
    for n, (starts, ends) in enumerate(said):
        at = NOW + n * 1_000_000
        _, known = observe(known, signal(at, starts, ends), at)
    assert known is not None
    return known


FIRING: list[tuple[Any, ...]] = [
    # of two ends that senders gave, the later one holds, also when the start moves
    ([(-10, 15), (-10, 1)], 15), ([(-10, 15), (-9, 1)], 15), ([(-10, 1), (-9, 15)], 15), ([(-9, 15), (-10, 1)], 15),
    # a time-out of ours yields to an end that was given, and does not outlast it
    ([(-10, None), (-10, 1)], 1), ([(-10, None), (-9, 1)], 1), ([(-10, 15), (-9, None)], 15),
]  # fmt: skip


@pytest.mark.parametrize(("said", "ends"), FIRING)
def test_of_two_ends_the_later_one_holds(said: list[tuple[int | None, int | None]], ends: int) -> None:
    known = after(*said)
    assert (known.ended, known.ends_at) == ("", NOW + ends * MINUTE)


@pytest.mark.parametrize(
    "said",
    [
        [(-10, None), (-10, -1)],
        [(-10, 15), (-5, -1)],
        [(None, None), (None, -1)],  # the sender's clock is behind ours: that it began now was our word, not its own
        [(None, None), (-10, -1)],
        [(-10, None), (None, -1)],
    ],
)
def test_an_end_resolves_what_its_sender_reported(said: list[tuple[int | None, int | None]]) -> None:
    assert after(*said).ended == "resolved"


def test_an_end_of_an_earlier_firing_does_not_end_the_one_that_its_sender_began_later() -> None:
    """Unlike Alertmanager: there, an old message that comes late hides an alert until it is sent again."""
    assert after((-2, 15), (-10, -5)).ended == ""


def test_a_later_start_begins_another_occurrence_of_the_same_alert() -> None:
    known = after((-10, 15), (-5, 20))
    assert (known.since, known.starts_at, known.newest_start) == (NOW - 10 * MINUTE, NOW - 5 * MINUTE, NOW - 5 * MINUTE)
