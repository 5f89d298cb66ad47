"""Alerts as the Alertmanager API lists them: selected, grouped, and encoded a page at a time.

Pure and slow for many alerts, therefore called in a thread; a page is short enough not to
hold up the event loop.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from responder.core.alert import Alert
from responder.core.instant import EARLIEST, LATEST
from responder.core.matcher import Matcher
from responder.core.rule import Holds
from responder.core.signal import Instant, fingerprint_text
from responder.core.silence import Silences
from responder.web.decode import RESOLVE_TIMEOUT

PAGE: Final = 256
"""Alerts that are encoded in one go."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC: half the cost of an aware one
_BEGINNING = re.compile(r"[\w -]+(?![\w -]|[*?{])")
"""What a regex without alternatives insists on at the beginning."""
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class Query(Struct, frozen=True):
    """What ``GET /api/v2/alerts`` and ``/alerts/groups`` are asked for."""

    matchers: Sequence[Matcher] = ()
    receiver: Holds | None = None
    active: bool = True
    silenced: bool = True


Found: TypeAlias = tuple[int, Alert]
"""An alert behind its fingerprint, a number without a sign."""


class Snapshot(Struct, frozen=True):
    """What is known at one instant."""

    now: Instant
    alerts: Sequence[Alert]
    silences: Silences
    receivers_of: Callable[[Alert], Sequence[str]]
    group_by: Callable[[str], Sequence[str]]
    shown: Callable[[Sequence[Alert]], Sequence[int]]
    """Their fingerprints."""


class Receiver(Struct):
    name: str


class _Status(Struct, rename="camel"):
    state: str
    silenced_by: list[str]
    inhibited_by: Sequence[str] = ()
    muted_by: Sequence[str] = ()


class _Gettable(Struct, rename="camel"):
    annotations: dict[str, str]
    ends_at: str
    fingerprint: str
    receivers: Sequence[Receiver]
    starts_at: str
    status: _Status
    updated_at: str
    labels: dict[str, str]
    generator_url: str | UnsetType = msgspec.field(name="generatorURL")


class Group(Struct):
    """The alerts of one receiver that share the values of its labels."""

    receiver: Receiver
    labels: dict[str, str]
    alerts: list[Found]


class _Verdicts(dict[str, bool]):
    """What a condition said about each value so far."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds

    def __missing__(self, value: str) -> bool:
        verdict = self[value] = self._holds(value)
        return verdict


@lru_cache(maxsize=4096)
def instant_text(at: Instant) -> str:
    """Return RFC 3339 in UTC with milliseconds: ``2026-01-05T00:00:00.000Z``."""
    moment = _EPOCH + timedelta(microseconds=min(max(at, EARLIEST), LATEST))
    return moment.isoformat(timespec="milliseconds") + "Z"


def select(snapshot: Snapshot, query: Query) -> list[Found]:
    """Return the alerts that fire and are asked for, in the order of their fingerprints."""
    now = snapshot.now
    found = [a for a in snapshot.alerts if not a.ended and (a.ends_at is None or a.ends_at >= now)]
    for matcher in sorted(query.matchers, key=lambda m: m.op != "="):
        name, verdicts = matcher.name, _Verdicts(_quick(matcher))
        found = [a for a in found if verdicts[a.labels.get(name, "")]]
    if query.receiver is not None:
        verdicts = _Verdicts(query.receiver)
        found = [a for a in found if any(verdicts[name] for name in snapshot.receivers_of(a))]
    if not (query.active and query.silenced):
        silencing = snapshot.silences.silencing
        found = [a for a in found if (query.silenced if silencing(a.labels, now) else query.active)]
    return sorted(zip(snapshot.shown(found), found, strict=True), key=itemgetter(0))


def _quick(matcher: Matcher) -> Holds:
    """Return the matcher's condition; values without the regex's literal beginning don't get as far as the regex.

    A label such as ``instance`` has as many values as there are alerts, and the regex costs
    ten times the comparison.
    """
    beginning = _BEGINNING.match(matcher.value) if matcher.op == "=~" and "|" not in matcher.value else None
    if beginning is None:
        return matcher.holds
    prefix, holds = beginning[0], matcher.holds
    return lambda value: value.startswith(prefix) and holds(value)


def group(snapshot: Snapshot, query: Query, alerts: Iterable[Found]) -> list[Group]:
    """Return the alerts by receiver and group labels."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], Group] = {}
    for found in alerts:
        _, alert = found
        for name in receivers(snapshot, query, alert):
            labels = {label: alert.labels[label] for label in snapshot.group_by(name) if label in alert.labels}
            key = name, tuple(labels.items())
            if key not in groups:
                groups[key] = Group(Receiver(name), labels, [])
            groups[key].alerts.append(found)
    return sorted(groups.values(), key=_rank)


def _rank(of: Group) -> str:
    """Return what orders groups: by the number of their labels, these, and the receiver.

    As one text: to compare tuples of tuples takes ten times as long, in one go that lets nobody else run.
    """
    return "\0".join((f"{len(of.labels):04}", *chain.from_iterable(sorted(of.labels.items())), of.receiver.name))


def receivers(snapshot: Snapshot, query: Query, alert: Alert) -> Sequence[str]:
    """Return the receivers of an alert that a list of groups speaks of."""
    names = snapshot.receivers_of(alert)
    return names if query.receiver is None else [name for name in names if query.receiver(name)]


def encode_alerts(snapshot: Snapshot, alerts: Sequence[Found]) -> Iterator[bytes]:
    """Yield the JSON array of the alerts, a page at a time."""
    return _array(alerts, lambda found: _gettable(snapshot, *found, snapshot.receivers_of(found[1])))


def encode_groups(snapshot: Snapshot, query: Query, groups: Sequence[Group]) -> Iterator[bytes]:
    """Yield the JSON array of the groups, a page of alerts at a time."""
    lead = b"["
    for one in groups:
        yield lead + b'{"receiver":' + _encode(one.receiver) + b',"labels":' + _encode(one.labels) + b',"alerts":'
        yield from _array(one.alerts, lambda found: _gettable(snapshot, *found, receivers(snapshot, query, found[1])))
        lead = b"},"
    yield b"}]" if groups else b"[]"


def _array(items: Sequence[T], show: Callable[[T], object]) -> Iterator[bytes]:
    lead = b"["
    for start in range(0, len(items), PAGE):
        yield lead + _encode([show(item) for item in items[start : start + PAGE]])[1:-1]
        lead = b","
    yield b"]" if items else b"[]"


def _gettable(snapshot: Snapshot, fingerprint: int, alert: Alert, names: Sequence[str]) -> _Gettable:
    silenced_by = snapshot.silences.silencing(alert.labels, snapshot.now)
    ends_at = alert.ends_at if alert.ends_at is not None else snapshot.now + RESOLVE_TIMEOUT
    return _Gettable(
        alert.annotations,
        instant_text(ends_at),
        fingerprint_text(fingerprint),
        [Receiver(name) for name in names],
        instant_text(alert.since),
        _Status("suppressed" if silenced_by else "active", silenced_by),
        instant_text(alert.updated_at),
        alert.labels,
        alert.url or UNSET,
    )
