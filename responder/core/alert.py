"""One alert as it is known now: its newest occurrence, and how an observation changes it.

An occurrence is one firing of an alert, known by (identity, startsAt). A resolution of
an instant ends every occurrence that started at or before it, whatever source says so; a
firing that started no later than what was resolved is an old message and changes nothing.
"""

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from responder.core.signal import Instant, Signal

Ended: TypeAlias = Literal["", "resolved", "expired"]


class Joined(Struct, frozen=True, gc=False, array_like=True):
    """One key that counts an alert as firing."""

    rule: str
    key_hash: int
    member: int
    incident: int | None


class Alert(Struct, frozen=True, gc=False):
    """Resident and stored; replaced, never changed."""

    id: int
    """Of the occurrence; grows with time."""
    identity: int
    source: str
    """Who reported it last; of two that push it, who gave the later startsAt."""
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: Instant
    ends_at: Instant | None
    """While firing: when it lapses (none: never by itself); afterwards: when it ended."""
    updated_at: Instant
    """When it was last seen."""
    since: Instant = 0
    """When the alert began to fire, over occurrences that followed each other without a break."""
    url: str = ""
    timeout: bool = False
    """``ends_at`` is our own time-out."""
    ended: Ended = ""
    """Empty while it fires."""
    newest_start: Instant = 0
    """The latest startsAt that any source gave to this occurrence."""
    joined: tuple[Joined, ...] = ()
    """The keys that count it as firing."""
    dedup: str = ""
    polled: bool = False
    """Seen last by a poll: it lapses only when a successful poll misses it."""


Outcome: TypeAlias = Literal["opened", "restarted", "repeated", "changed", "ended", "stale"]


def observe(
    known: Alert | None, signal: Signal, now: Instant, polled: bool = False, next_id: int = 0
) -> tuple[Outcome, Alert | None]:
    """Say what a signal does to the alert it speaks of, and the alert afterwards.

    opened: a new occurrence begins, under *next_id*. restarted: the same, and the one before,
    which still fires, is over by that. repeated: nothing but ``updated_at`` differs. changed: something worth storing differs. ended: the
    occurrence is over. stale: an old message, or an end of what never fired here.

    Source: the merge rules of Alertmanager's memory provider, with occurrences told apart.
    """
    if not signal.firing or (signal.ends_at is not None and signal.ends_at <= now and not signal.momentary):
        return _end(known, signal, now)
    if known is None or known.ended:
        if known is not None and known.ended == "resolved" and signal.starts_at <= known.newest_start:
            return "stale", known
        return "opened", _begun(signal, now, polled, signal.starts_at, signal.ends_at, next_id)
    ends_at, timeout = signal.ends_at, signal.timeout
    if ends_at is not None and known.ends_at is not None and not known.timeout and not polled:
        ends_at = max(ends_at, known.ends_at)  # of two ends that senders gave, the later one holds
    if signal.starts_at > known.newest_start > 0 and not signal.implied and signal.source == known.source:
        return "restarted", _begun(signal, now, polled, known.since, ends_at, next_id)
    if ends_at is None:
        ends_at, timeout = known.ends_at, known.timeout
    latest = polled or signal.implied or signal.starts_at >= known.newest_start
    source = signal.source if latest else known.source
    same = (
        ends_at == known.ends_at
        and signal.annotations == known.annotations
        and (signal.implied or known.since <= signal.starts_at <= known.newest_start)
        and polled == known.polled
        and signal.url == known.url
        and source == known.source
    )
    if same:
        return "repeated", msgspec.structs.replace(known, updated_at=now)
    return "changed", msgspec.structs.replace(
        known,
        source=source, annotations=signal.annotations, url=signal.url, ends_at=ends_at, timeout=timeout,
        since=min(known.since, signal.starts_at), updated_at=now, polled=polled,
        newest_start=known.newest_start if signal.implied else max(known.newest_start, signal.starts_at),
    )  # fmt: skip


def _begun(signal: Signal, now: Instant, polled: bool, since: Instant, ends_at: Instant | None, id: int) -> Alert:
    return Alert(
        id=id, identity=signal.identity, source=signal.source, labels=signal.labels, annotations=signal.annotations,
        starts_at=signal.starts_at, ends_at=ends_at, updated_at=now, since=since, url=signal.url,
        timeout=signal.timeout, newest_start=0 if signal.implied else signal.starts_at, dedup=signal.dedup,
        polled=polled,
    )  # fmt: skip


def _end(known: Alert | None, signal: Signal, now: Instant) -> tuple[Outcome, Alert | None]:
    if known is None or known.ended or _speaks_of_another(known, signal):
        return "stale", known
    ends_at = min(signal.ends_at if signal.ends_at is not None else now, now)
    return "ended", msgspec.structs.replace(
        known, source=signal.source, ends_at=max(ends_at, known.starts_at), updated_at=now, ended="resolved",
        annotations=signal.annotations or known.annotations, url=signal.url or known.url,
        newest_start=max(known.newest_start, signal.starts_at),
    )  # fmt: skip


def _speaks_of_another(known: Alert, signal: Signal) -> bool:
    """Say whether an end is about another firing than the one that goes on.

    Of the same source: one that was over before this one began by its sender's clock; without a
    start from the sender there is nothing to compare. Of another source: one that began before
    what the other reported last. An end without a start speaks of what fires.
    """
    if signal.implied:
        return False
    if signal.source == known.source:
        return signal.ends_at is not None and signal.ends_at < known.newest_start
    return signal.starts_at < known.newest_start
