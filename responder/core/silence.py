"""Silences by Alertmanager's rules: what a change does to them, and whom they silence.

History stays true: what a silence has silenced is never rewritten. A change that would is a
new silence, and the old one ends now. Source: Alertmanager silence/silence.go.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from responder.core.matcher import CompileRegex, Matcher, Op, matcher, quote
from responder.core.signal import HOUR, SECOND, Instant, Labels, Span

RETENTION: Final[Span] = 120 * HOUR
"""An expired silence can be read for so long."""
_REMEMBERED_VALUES: Final = 100_000

SilenceState: TypeAlias = Literal["active", "pending", "expired"]


class SilenceNotFound(Exception):
    """No silence has this id; it never had, or its retention is over."""

    expected = True

    def __init__(self) -> None:
        super().__init__("silence not found")


class Term(Struct, frozen=True, rename="camel"):
    """One condition of a silence, as it is posted, stored and answered."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    @property
    def op(self) -> Op:
        """Return the operator that people write."""
        if self.is_regex:
            return "=~" if self.is_equal else "!~"
        return "=" if self.is_equal else "!="


class Silence(Struct, frozen=True):
    """Alerts for which every matcher holds are silenced from ``starts_at`` until ``ends_at``."""

    id: str
    """A UUID; empty for one that is posted to be new."""
    matchers: tuple[Term, ...]
    starts_at: Instant
    ends_at: Instant
    created_by: str
    comment: str
    updated_at: Instant = 0

    def state(self, now: Instant) -> SilenceState:
        """Return what the silence does at *now*."""
        if now < self.starts_at:
            return "pending"
        return "active" if now < self.ends_at else "expired"


def check_silence(posted: Silence, now: Instant, compile_regex: CompileRegex) -> None:
    """Refuse a silence that could not be.

    Raises:
        ValueError: In Alertmanager's words.
    """
    if posted.starts_at >= posted.ends_at:
        raise ValueError("Failed to create silence: start time must be before end time")
    if posted.ends_at < now:
        raise ValueError("Failed to create silence: end time can't be in the past")
    if not posted.matchers:
        raise ValueError("silence invalid: at least one matcher required")
    only_empty = True
    for number, term in enumerate(posted.matchers):
        if not term.name:
            raise ValueError(f'silence invalid: invalid label matcher {number}: invalid label name ""')
        try:
            holds = matcher(term.name, term.op, term.value, compile_regex).holds
        except ValueError as error:
            raise ValueError(
                f"silence invalid: invalid label matcher {number}: invalid regular expression {quote(term.value)}: {error}"
            ) from None
        only_empty = only_empty and term.is_equal and holds("")
    if only_empty:
        raise ValueError("silence invalid: at least one matcher must not match the empty string")


def set_silence(known: Silence | None, posted: Silence, now: Instant, new_id: str) -> tuple[tuple[Silence, ...], str]:
    """Return the silences to write, and the id under which the posted one lives.

    Args:
        known: The silence of ``posted.id``.
        posted: Has passed :func:`check_silence`.
        new_id: A fresh UUID; used when the posted silence is new or replaces *known*.

    Raises:
        SilenceNotFound: If ``posted.id`` is set and nothing is known by it.
    """
    if posted.id and known is None:
        raise SilenceNotFound
    if known is not None and _same_history(known, posted, now):
        return (msgspec.structs.replace(posted, updated_at=now),), posted.id
    ended = () if known is None or known.state(now) == "expired" else (expire(known, now),)
    starts_at = max(posted.starts_at, now)
    return (*ended, msgspec.structs.replace(posted, id=new_id, starts_at=starts_at, updated_at=now)), new_id


def expire(known: Silence, now: Instant) -> Silence:
    """Return the silence ended at *now*; one that has expired is returned as it is."""
    state = known.state(now)
    if state == "expired":
        return known
    starts_at = now if state == "pending" else known.starts_at
    return msgspec.structs.replace(known, starts_at=starts_at, ends_at=now, updated_at=now)


def forgotten(known: Silence, now: Instant) -> bool:
    """Say whether the silence's retention is over."""
    return known.ends_at + RETENTION <= now


def _same_history(known: Silence, posted: Silence, now: Instant) -> bool:
    if known.matchers != posted.matchers:
        return False
    match known.state(now):
        case "active":  # clients send back the start in seconds or milliseconds
            return posted.starts_at // SECOND == known.starts_at // SECOND
        case "pending":
            return posted.starts_at >= now
        case "expired":
            return False


class _Candidate:
    """A silence that is looked at only for alerts that one of its matchers, the anchor, has let through."""

    __slots__ = ("anchor", "others", "silence")

    def __init__(self, silence: Silence, anchor: Matcher, others: list[Matcher]) -> None:
        self.silence, self.anchor, self.others = silence, anchor, others

    def silences(self, labels: Labels, now: Instant) -> bool:
        if not self.silence.starts_at <= now < self.silence.ends_at:
            return False
        return not self.others or all(other.holds(labels.get(other.name, "")) for other in self.others)


class _Name:
    """The candidates whose anchor asks for one label; remembers which its values let through."""

    def __init__(self) -> None:
        self.equal: dict[str, list[_Candidate]] = {}
        self.other: list[_Candidate] = []
        self._memo: dict[str, tuple[_Candidate, ...]] = {}

    def candidates(self, value: str) -> tuple[_Candidate, ...]:
        found = self._memo.get(value)
        if found is None:
            if len(self._memo) >= _REMEMBERED_VALUES:
                self._memo.clear()
            found = (*self.equal.get(value, ()), *(c for c in self.other if c.anchor.holds(value)))
            self._memo[value] = found
        return found


class Silences:
    """The silences of one moment; when one changes, there is a new collection.

    Each is filed under its rarest equality matcher, so that an alert costs a look-up for
    each label name that anchors one. Threads may ask at the same time.
    """

    def __init__(self, silences: Iterable[Silence], compile_regex: CompileRegex) -> None:
        self._silences = {silence.id: silence for silence in silences}
        self._compile_regex = compile_regex
        self._names: dict[str, _Name] | None = None

    def __iter__(self) -> Iterator[Silence]:
        return iter(self._silences.values())

    def __len__(self) -> int:
        return len(self._silences)

    def get(self, id: str) -> Silence | None:
        """Return a silence by its id, in any state."""
        return self._silences.get(id)

    def any_active(self, now: Instant) -> bool:
        """Say whether one is in force."""
        return any(silence.starts_at <= now < silence.ends_at for silence in self._silences.values())

    def silencing(self, labels: Labels, now: Instant) -> list[str]:
        """Return the ids of the active silences that match, sorted.

        The first call leaves out what has expired by then: *now* does not go far back.
        """
        return sorted([silence.id for silence in self._matching(labels, now)])

    def silenced_until(self, labels: Labels, now: Instant) -> Instant | None:
        """Return when the last of the active silences ends that match now; None: none does."""
        found = self._matching(labels, now)
        return max([silence.ends_at for silence in found]) if found else None

    def _matching(self, labels: Labels, now: Instant) -> list[Silence]:
        names = self._names
        if names is None:
            names = self._names = self._index(now)
        found = []
        for name, of_name in names.items():
            for candidate in of_name.candidates(labels.get(name, "")):
                if candidate.silences(labels, now):
                    found.append(candidate.silence)  # noqa: PERF401 - asked for every alert: no generator
        return found

    def _index(self, now: Instant) -> dict[str, _Name]:
        names: dict[str, _Name] = {}
        for silence in self._silences.values():
            if silence.ends_at > now:
                matchers = [matcher(t.name, t.op, t.value, self._compile_regex) for t in silence.matchers]
                anchor = min(matchers, key=lambda m: _commonness(m, names))
                candidate = _Candidate(silence, anchor, [m for m in matchers if m is not anchor])
                of_name = names.setdefault(anchor.name, _Name())
                if anchor.op == "=":
                    of_name.equal.setdefault(anchor.value, []).append(candidate)
                else:
                    of_name.other.append(candidate)
        return names


def _commonness(m: Matcher, names: dict[str, _Name]) -> tuple[int, int]:
    """Order the matchers of a silence by how few others would have to be looked at with it."""
    if m.op == "=":
        return 0, len(names[m.name].equal.get(m.value, ())) if m.name in names else 0
    return (1, 0) if m.op == "=~" else (2, 0)
