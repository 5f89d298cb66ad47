"""Which rules an alert concerns, found without asking those that it can't concern.

Each ``event`` rule, and each alert that a compound rule waits for, is filed under the
rarest label value that it insists on; only what insists on none is asked every time. What
was found is remembered by those labels of the alert that any rule looks at at all, so that
the alerts of a thousand hosts are found once where no rule asks for the host, however many
rules there are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from responder.core.rule import CountWhen, EventOf, EventWhen, Match, Rule, key_of, members
from responder.core.signal import Labels, Signal, identity, shown_fingerprint

Term: TypeAlias = tuple[str, str]
_Seen: TypeAlias = tuple[tuple[str, str], ...]

MEMO: Final = 50_000
"""So many answers and keys are remembered together before the memory starts anew."""


class Key(Struct, frozen=True, gc=False):
    """The value of a rule's ``by`` for one label set."""

    values: dict[str, str]
    hash: int
    """See :func:`responder.core.signal.identity`."""


class Hit(Struct, frozen=True, gc=False):
    """A rule that an alert concerns, as which member (0 for ``event``), under which key."""

    rule: Rule
    member: int
    key: dict[str, str]
    key_hash: int
    place: tuple[str, int]
    """(rule id, key hash), under which the key's state is kept."""
    distinct: str = ""
    """The label of which a ``count`` rule counts the values, if any."""


def canonical(values: Mapping[str, str]) -> Key:
    """Return a key with its hash."""
    return Key(dict(values), identity(values))


def key_for(rule: Rule, labels: Labels, known_by: int | None = None) -> Key | None:
    """Return the key of a label set, or None if a label of ``by`` is missing and the rule skips such.

    With ``by_missing: separate`` the key gains ``fingerprint``, so that what can't be told
    apart by its labels never shares a key. *known_by* is the alert's identity.
    """
    values = key_of(rule.by, labels)
    if "" in values.values():
        if rule.by_missing == "skip":
            return None
        values["fingerprint"] = shown_fingerprint(labels, identity(labels) if known_by is None else known_by)
    return canonical(values)


def holds(match: Match, signal: Signal, firing: bool) -> bool:
    """Say whether an alert looks like *match*, taken as firing or as resolved."""
    if match.status is not None and (match.status == "firing") is not firing:
        return False
    labels, annotations = signal.labels, signal.annotations
    for test in match.labels:
        if not test.holds(labels.get(test.name, "")):
            return False
    for test in match.annotations:
        if not test.holds(annotations.get(test.name, "")):
            return False
    if match.any and not any(holds(m, signal, firing) for m in match.any):
        return False
    return not (match.none and any(holds(m, signal, firing) for m in match.none))


def opens(match: Match, signal: Signal) -> bool:
    """Say whether the signal is an open edge for *match*.

    A firing alert is one when it matches. A resolution is one only if *match* asks for
    resolutions, that is, if the same alert would not match while it fires; else it is the
    close edge of what its firing opened.
    """
    if signal.firing:
        return holds(match, signal, True)
    return holds(match, signal, False) and not holds(match, signal, True)


class _Entry:
    """One event condition of one rule, with the hits it gave, by the values of the key."""

    __slots__ = ("claims", "hits", "member", "of", "order", "rule", "statuses", "volatile")

    def __init__(self, rule: Rule, member: int, of: EventOf, order: int) -> None:
        self.rule, self.member, self.of, self.order = rule, member, of, order
        self.claims = isinstance(rule.when, EventWhen) and rule.mode != "observe" and not rule.unclaimed
        self.volatile = any(m.annotations for m in _parts(of.match))
        """It looks beyond the labels, so that what it said of a label set may not last."""
        self.statuses = any(m.status for m in _parts(of.match))
        """It may be about resolutions."""
        self.hits: dict[tuple[str, ...], Hit] = {}


class Index:
    """The event conditions of a rule book, filed for look-up. Built once, asked from one thread."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        entries = [_Entry(*found, order) for order, found in enumerate(_conditions(rules))]
        choices = [_choices(entry.of.match) for entry in entries]
        users = Counter(term for terms in choices for choice in terms for term in choice)
        self._entries = entries
        self._about_ends = any(entry.statuses for entry in entries)
        self._filed: dict[str, dict[str, list[_Entry]]] = {}
        self._always: list[_Entry] = []
        self._looked_at = {name for entry in entries for name in _names(entry)}
        for entry, terms in zip(entries, choices, strict=True):
            if not terms:
                self._always.append(entry)
                continue
            for name, value in min(terms, key=lambda choice: sum(users[term] for term in choice)):
                self._filed.setdefault(name, {}).setdefault(value, []).append(entry)
        self._firing: dict[str, dict[_Seen, tuple[Hit, ...]]] = {}
        self._resolved: dict[str, dict[_Seen, tuple[Hit, ...]]] = {}
        self._remembered = 0

    def hits(self, signal: Signal) -> tuple[Hit, ...]:
        """Return what the signal is an open edge for (see :func:`opens`), in the order of the rules.

        Of one rule the later member stands first: an alert that is two steps of a sequence
        must not be its own predecessor. A hit on a resolution is a momentary edge.
        """
        if not signal.firing and not self._about_ends:
            return ()
        looked_at = self._looked_at
        seen = tuple([label for label in signal.labels.items() if label[0] in looked_at])
        memo = self._firing if signal.firing else self._resolved
        of_source = memo.get(signal.source)
        if of_source is not None:
            known = of_source.get(seen)
            if known is not None:
                return known
        hits, lasting = self._find(signal)
        if lasting:
            self._make_room()
            memo.setdefault(signal.source, {})[seen] = hits
        return hits

    def explain(self, rule: Rule, signal: Signal) -> str | None:
        """Return :func:`explain` of the rule, and of ``unclaimed`` which rule claims the alert."""
        reason = explain(rule, signal)
        if reason is None and rule.unclaimed:
            for entry in self._opened(signal)[0]:
                if entry.claims and self._hit(entry, signal) is not None:
                    return f'unclaimed: rule "{entry.rule.id}" matches it'
        return reason

    def _find(self, signal: Signal) -> tuple[tuple[Hit, ...], bool]:
        """Return the hits, and whether they are the same whenever these labels come."""
        opened, lasting = self._opened(signal)
        found = [(entry, hit) for entry in opened if (hit := self._hit(entry, signal)) is not None]
        lasting = lasting and not any("fingerprint" in hit.key for _, hit in found)
        if len(found) > 1 and any(entry.claims for entry, _ in found):
            found = [(entry, hit) for entry, hit in found if not entry.rule.unclaimed]
        return tuple([hit for _, hit in found]), lasting

    def _opened(self, signal: Signal) -> tuple[list[_Entry], bool]:
        lasting, opened = True, list[_Entry]()
        for entry in self._candidates(signal.labels):
            of = entry.of
            if (of.source is not None and of.source != signal.source) or not (signal.firing or entry.statuses):
                continue
            if entry.volatile and lasting:
                lasting = not all(test.holds(signal.labels.get(test.name, "")) for test in of.match.labels)
            if opens(of.match, signal) and entry not in opened:
                opened.append(entry)
        if len(opened) > 1:
            opened.sort(key=lambda entry: entry.order)
        return opened, lasting

    def _candidates(self, labels: Labels) -> list[_Entry]:
        found = self._always.copy()
        for name, filed in self._filed.items():
            found += filed.get(labels.get(name, ""), ())
        return found

    def _hit(self, entry: _Entry, signal: Signal) -> Hit | None:
        """Return the hit of an entry that matches; alerts of one key share it."""
        labels = signal.labels
        values = tuple([labels.get(name, "") for name in entry.rule.by])
        hit = entry.hits.get(values)
        if hit is None:
            key = key_for(entry.rule, labels, signal.identity)
            if key is None:
                return None
            place = (entry.rule.id, key.hash)
            hit = Hit(entry.rule, entry.member, key.values, key.hash, place, _distinct(entry.rule) or "")
            if "" not in values:
                self._make_room()
                entry.hits[values] = hit
        return hit

    def _make_room(self) -> None:
        self._remembered += 1
        if self._remembered > MEMO:
            self._remembered = 1
            self._firing.clear()
            self._resolved.clear()
            for entry in self._entries:
                entry.hits.clear()


def _conditions(rules: Iterable[Rule]) -> Iterator[tuple[Rule, int, EventOf]]:
    for rule in rules:
        if isinstance(rule.when, EventWhen):
            yield rule, 0, rule.when.of
        for number, member in reversed([*enumerate(members(rule))]):
            if member.event is not None:
                yield rule, number, member.event


def _distinct(rule: Rule) -> str | None:
    return rule.when.distinct if isinstance(rule.when, CountWhen) else None


def _names(entry: _Entry) -> Iterator[str]:
    """Yield the labels that an entry and its key look at."""
    yield from entry.rule.by
    distinct = _distinct(entry.rule)
    if distinct:
        yield distinct
    for match in _parts(entry.of.match):
        yield from (test.name for test in match.labels)


def _parts(match: Match) -> Iterator[Match]:
    yield match
    for part in (*match.any, *match.none):
        yield from _parts(part)


def _choices(match: Match) -> list[frozenset[Term]]:
    """Return the sets of label values of which a matching alert must carry one.

    A test that the empty value passes can't be one: the label need not be there.
    """
    choices = [frozenset((t.name, v) for v in t.equals) for t in match.labels if t.equals and "" not in t.equals]
    alternatives = [_choices(m) for m in match.any]
    if alternatives and all(alternatives):
        choices.append(frozenset[Term]().union(*(min(choices, key=len) for choices in alternatives)))
    return choices


def explain(rule: Rule, signal: Signal) -> str | None:
    """Return in words the first condition of the rule that the signal does not meet; None: it matches.

    A compound rule matches when one of its members does. What only other rules' alerts can
    tell (``unclaimed``) takes :meth:`Index.explain`.
    """
    if isinstance(rule.when, EventWhen):
        reasons = [_first_failure(rule.when.of, signal)]
    else:
        failures = [(m.name, _first_failure(m.event, signal)) for m in members(rule) if m.event is not None]
        reasons = [failure and f"{name}: {failure}" for name, failure in failures]
    if not reasons:
        return f"a rule of kind {rule.kind} looks at no alerts itself"
    if None not in reasons:
        return "; ".join(filter(None, reasons))
    if rule.by_missing == "skip":
        missing = [name for name in rule.by if not signal.labels.get(name)]
        return f"by: label {missing[0]} is missing, and by_missing is skip" if missing else None
    return None


def _first_failure(of: EventOf, signal: Signal) -> str | None:
    if of.source is not None and of.source != signal.source:
        return f"source is {signal.source}, not {of.source}"
    return _unlike(of.match, signal)


def _unlike(match: Match, signal: Signal) -> str | None:
    status = "firing" if signal.firing else "resolved"
    if match.status is not None and match.status != status:
        return f"status is {status}, not {match.status}"
    for kind, tests, values in (
        ("label", match.labels, signal.labels),
        ("annotation", match.annotations, signal.annotations),
    ):
        for test in tests:
            value = values.get(test.name, "")
            if not test.holds(value):
                return f"{kind} {test.name} is {_shown(value)}: {test.words} does not hold"
    if match.any and not any(holds(m, signal, signal.firing) for m in match.any):
        return "none of any holds: " + "; ".join(_unlike(m, signal) or "" for m in match.any)
    excluded = next((m for m in match.none if holds(m, signal, signal.firing)), None)
    return f"excluded by none: {excluded.words} holds" if excluded else None


def _shown(value: str) -> str:
    if not value:
        return "missing"
    return f'"{value}"' if len(value) <= 100 else f'"{value[:100]}..."'
