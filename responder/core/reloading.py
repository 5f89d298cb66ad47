"""What another configuration means for what is known: alerts that fire, keys that are open, incidents that lost their rule.

Nothing is told twice: a key that counts an alert, or fed another rule with its edge, does not do so again.
"""

from collections.abc import Container, Iterable

import msgspec

from responder.core import engine, lifecycle, problems
from responder.core.alert import Alert, Joined
from responder.core.book import Book
from responder.core.conditions.state import Edge, Expected, Opened
from responder.core.desk import Desk, KeyState, SourceState, StateKey
from responder.core.event import Actor
from responder.core.match import key_for
from responder.core.rule import AllWhen, CountWhen, EventWhen, FlappingWhen, MetricWhen, Rule, SequenceWhen
from responder.core.signal import Instant, Signal


def opens(rule: Rule | None) -> bool:
    """Say whether a rule opens incidents, or only feeds others or looks on."""
    return rule is not None and rule.incident is not None and rule.mode == "notify"


def gone(book: Book, rows: Iterable[KeyState]) -> tuple[str, ...]:
    """Return the rules whose condition states end under a rule book.

    They were removed, or have another ``by`` or kind; or they wait for the end of a key of such a rule,
    which nobody will tell them.
    """
    found = {row.rule for row in rows if (rule := book.rules.get(row.rule)) is None or rule.digest != row.digest}
    left = list(found)
    while left:
        for dependent, _ in book.dependents.get(left.pop(), ()):
            if isinstance(dependent.when, AllWhen | SequenceWhen) and dependent.id not in found:
                found.add(dependent.id)
                left.append(dependent.id)
    return tuple(sorted(found))


def heard_from_now_on(before: Book, book: Book) -> frozenset[str]:
    """Return the rules that open incidents now and did not, as they were before."""
    return frozenset(id for id, rule in book.rules.items() if opens(rule) and not opens(before.rules.get(id)))


def offer(desk: Desk, book: Book, alert: Alert, now: Instant, heard: Container[str] = ()) -> None:
    """Offer an alert that fires already to rules that came after it, or that open incidents only now.

    Args:
        heard: Rules that did not open incidents before; of others, a key opens one only if it never
            had any: a person may have ended it.
    """
    signal = Signal(alert.source, alert.identity, alert.labels, alert.annotations, True, alert.starts_at, alert.ends_at)
    known = {(joined.rule, joined.key_hash): joined for joined in alert.joined if _counts(desk, joined)}
    kept = [entry for entry in alert.joined if entry.incident is not None or (entry.rule, entry.key_hash) in known]
    joined = [_taken_up(desk, book, entry, alert, now, heard) for entry in kept]
    for hit in book.index.hits(signal):
        if isinstance(hit.rule.when, EventWhen) and (hit.rule.id, hit.key_hash) not in known:
            entry = engine.guarded(desk, hit.rule, engine.tell_hit, book, hit, Opened(now, hit.member), alert)
            if entry is not None:
                joined.append(entry)
    if tuple(joined) != alert.joined:
        engine.store(desk, msgspec.structs.replace(alert, joined=tuple(joined)))


def _counts(desk: Desk, joined: Joined) -> bool:
    """Say whether a key still counts an alert: one whose rule was gone in between does not."""
    incident = desk.incident(joined.incident) if joined.incident is not None else None
    if incident is not None:
        return "orphaned" not in incident.flags
    return desk.states.get((joined.rule, joined.key_hash)) is not None


def _taken_up(desk: Desk, book: Book, entry: Joined, alert: Alert, now: Instant, heard: Container[str]) -> Joined:
    rule, row = book.rules.get(entry.rule), desk.states.get((entry.rule, entry.key_hash))
    if rule is None or row is None or row.state.phase != "open":
        return entry
    if entry.incident is not None and entry.incident != row.former:
        return entry
    if not opens(rule) or not isinstance(rule.when, EventWhen):
        return entry
    return engine.guarded(desk, rule, _take_up, book, rule, row, entry, alert, now, heard) or entry


def _take_up(
    desk: Desk, book: Book, rule: Rule, row: KeyState, entry: Joined, alert: Alert, now: Instant, heard: Container[str]
) -> Joined:
    """Have an alert that its key only counted join the key's incident, which opens with the first one."""
    cause = engine.Cause(alert.labels, alert.annotations, alert.source, alert.starts_at, alert)
    joining = engine.joining_of(book, rule, cause, now)
    incident = desk.incidents.get(row.incident) if row.incident is not None else None
    if incident is None:
        if not _unheard(desk, row, heard) or rule.incident is None:
            return entry
        incident = engine.raise_incident(desk, book, rule, rule.incident, row, Edge(True, now), cause)
        if joining is not None:
            problems.after_opening(desk, book, joining, incident)
    elif not incident.taking:
        return entry
    elif joining is not None:
        problems.before_joining(desk, book, joining, incident, part=False)
    incident = desk.incidents.get(incident.id) or incident
    if entry.incident is not None and (over := desk.incidents.get(entry.incident)) is not None and over.firing > 0:
        desk.recount(over, firing=over.firing - 1)
    engine.join(desk, book, rule, incident, alert, momentary=False)
    return msgspec.structs.replace(entry, incident=incident.id)


def take_up(desk: Desk, book: Book, key: StateKey, now: Instant, heard: Container[str] = ()) -> None:
    """Open the incident of a key that holds already, of a rule that hears no alerts itself; *heard* as :func:`offer`."""
    rule, row = book.rules.get(key[0]), desk.states.get(key)
    if rule is None or rule.incident is None or row is None or not waits(rule, row) or not _unheard(desk, row, heard):
        return
    value, when = row.state.value, rule.when
    counted = isinstance(when, CountWhen | FlappingWhen) and value is not None
    edge = Edge(True, now, None, round(value)) if counted and value is not None else Edge(True, now, value)
    source = when.source if isinstance(when, MetricWhen) else ""
    cause = engine.Cause(row.key, {}, source, row.state.since)
    engine.guarded(desk, rule, engine.raise_incident, book, rule, rule.incident, row, edge, cause)


def waits(rule: Rule | None, row: KeyState) -> bool:
    """Say whether a key holds and has no incident although its rule opens some; alerts speak for those of ``event``."""
    if rule is None or not opens(rule) or isinstance(rule.when, EventWhen):
        return False
    return row.incident is None and row.digest == rule.digest and row.state.phase in ("open", "closing")


def _unheard(desk: Desk, row: KeyState, heard: Container[str]) -> bool:
    return row.rule in heard or desk.last_incident(row.rule, row.key_hash) is None


def expect(desk: Desk, book: Book, rule: Rule, key: dict[str, str], at: Instant) -> None:
    """Start the clock of a key that an ``absence`` rule expects, when the rule is loaded."""
    identity = key_for(rule, key)
    if identity is not None and desk.states.get((rule.id, identity.hash)) is None:
        engine.tell(desk, book, rule, identity.values, identity.hash, Expected(at), engine.Cause(key))


def orphan(desk: Desk, book: Book, rule_id: str, hashes: Iterable[int], now: Instant) -> None:
    """End the condition state of a rule that is gone or asks for another key."""
    actor = Actor("rule", rule_id)
    for key_hash in list(hashes):
        row = desk.states.get((rule_id, key_hash))
        if row is None:
            continue
        _lose(desk, book, row.incident, now, actor)
        desk.states.drop((rule_id, key_hash))


def _lose(desk: Desk, book: Book, id: int | None, now: Instant, actor: Actor) -> None:
    """Leave an incident to a person; one that was cancelled waits no more for the end of what fires."""
    incident = desk.incidents.get(id) if id is not None else None
    if incident is None or "orphaned" in incident.flags:
        return
    if incident.closed_at is None:
        lifecycle.orphan(desk, book, incident, now, actor)
    elif incident.taking:
        lifecycle.stop_taking(desk, book, incident, now)


def unpromised(book: Book, sources: Iterable[SourceState]) -> tuple[str, ...]:
    """Return the sources that have an incident which no ``on_failure`` promises any more."""
    return tuple(row.name for row in sources if row.incident is not None and row.name not in book.on_failure)


def orphan_source(desk: Desk, book: Book, name: str, now: Instant) -> None:
    """Flag the incident of a source that is gone, or opens none now; if it is still asked, its answer resolves it."""
    row = desk.sources.get(name)
    if row is None:
        return
    _lose(desk, book, row.incident, now, Actor("source", name))
    if name not in book.polled:
        desk.sources.put(name, SourceState(name, None, row.last_success))
