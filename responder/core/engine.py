"""From signals to edges to incidents: what arrives is offered to every rule that can match.

    signal -> alert -> member edges -> condition of (rule, key) -> edge -> incident

Everything is decided on a desk; nothing here knows of a database, a network or a clock.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, Literal, TypeAlias, TypeVar, TypeVarTuple

import msgspec
from msgspec import Struct

from responder.core import keys, lifecycle, problems
from responder.core.alert import Alert, Ended, Joined, observe
from responder.core.book import UNKNOWN, Book
from responder.core.conditions import FORGET_AFTER, event, step
from responder.core.conditions.state import Closed, Due, Edge, Opened, Sampled, Seen, State, Told
from responder.core.desk import Desk, KeyState, StateKey
from responder.core.event import Actor
from responder.core.forms import plain_title, priority_of, text_of
from responder.core.incident import RESPONDER, UNRESOLVED, Evidence, Incident
from responder.core.match import Hit, canonical, key_for
from responder.core.rule import AbsenceWhen, CountWhen, EventWhen, FlappingWhen, IncidentForm, MetricWhen, Rule
from responder.core.signal import DAY, MINUTE, Instant, Sample, Signal, Span, fingerprint

Result: TypeAlias = Literal["accepted", "duplicate", "rejected"]
T = TypeVar("T")
Args = TypeVarTuple("Args")
BODY_DEDUP = 10 * MINUTE
"""A momentary occurrence without an id is known by its body for so long."""


class Cause(Struct, frozen=True):
    """What an edge came from; the templates of the incident read it."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    source: str = ""
    started_at: Instant | None = None
    alert: Alert | None = None
    accepted_at: Instant | None = None
    """When we learned of an evaluation: incidents open then, dated by us, not by the evaluation's instant."""


def take_signal(desk: Desk, book: Book, signal: Signal, now: Instant, *, polled: bool = False) -> Result:
    """Decide what one observation changes."""
    if signal.momentary:
        return _take_momentary(desk, book, signal, now)
    known = desk.alerts.get(signal.identity)
    if book.expires and known is not None and not polled:
        signal = _renewed(book, known, signal, now)
    outcome, alert = observe(known, signal, now, polled, desk.head.next_alert)
    if alert is None or outcome == "stale":
        return "duplicate"
    if outcome == "repeated":
        desk.alerts.put(signal.identity, alert)
        if book.absences and alert.joined:
            _tell_seen(desk, book, alert, now)
        return "duplicate"
    if outcome == "opened":
        _begin(desk, book, alert, signal, now)
    elif outcome == "restarted" and known is not None:
        _begin(desk, book, alert, signal, now)
        desk.occurrences[known.id] = _over(known, "resolved", min(signal.starts_at, now))
        _leave(desk, book, known, now, expired=False)
    elif outcome == "changed":
        store(desk, alert)
        if book.absences and alert.joined:
            _tell_seen(desk, book, alert, now)
    else:
        end_alert(desk, book, alert, now, expired=False)
        _tell_resolution(desk, book, signal, now)
    return "accepted"


def expiry(book: Book, alert: Alert) -> Span:
    """Return how long after it was last seen an alert without an end of its own lapses, by its rules; 0: never.

    The longest that a rule asks for; one that only looks on has no say beside others.
    """
    heard = [joined for joined in alert.joined if not _observes(book, joined)] or alert.joined
    return max((book.expires.get((joined.rule, joined.member), 0) for joined in heard), default=0)


def _observes(book: Book, joined: Joined) -> bool:
    rule = book.rules.get(joined.rule)
    return rule is not None and rule.mode == "observe"


def _renewed(book: Book, known: Alert, signal: Signal, now: Instant) -> Signal:
    """Return the signal with the end that ``expire`` gives it, counted from this sight of the alert."""
    own_end = signal.ends_at is not None and not signal.timeout
    if not signal.firing or own_end or known.ended or not (known.ends_at is None or known.timeout):
        return signal
    expire = expiry(book, known)
    return msgspec.structs.replace(signal, ends_at=now + expire, timeout=True) if expire else signal


def store(desk: Desk, alert: Alert) -> None:
    """Keep an occurrence in memory and in the store."""
    desk.alerts.put(alert.identity, alert)
    desk.occurrences[alert.id] = alert


def _begin(desk: Desk, book: Book, alert: Alert, signal: Signal, now: Instant) -> None:
    desk.head.next_alert += 1
    joined = []
    for hit in book.index.hits(signal):
        told = Opened(now, hit.member, False, _distinct(hit, signal))
        if desk.guard is None:  # the hot path: one call less
            joined.append(tell_hit(desk, book, hit, told, alert))
        elif (entry := guarded(desk, hit.rule, tell_hit, book, hit, told, alert)) is not None:
            joined.append(entry)
    if joined:
        alert = msgspec.structs.replace(alert, joined=tuple(joined))
    else:
        book.unmatched(signal.source)
    if book.expires and (alert.ends_at is None or alert.timeout) and (expire := expiry(book, alert)):
        alert = msgspec.structs.replace(alert, ends_at=now + expire, timeout=True)
    store(desk, alert)


def _take_momentary(desk: Desk, book: Book, signal: Signal, now: Instant) -> Result:
    before = desk.delivered_before(signal.source, signal.dedup)
    if before is not None and (not signal.dedup.startswith("body:") or now - before < BODY_DEDUP):
        return "duplicate"
    head = desk.head
    alert = Alert(
        id=head.next_alert, identity=signal.identity, source=signal.source, labels=signal.labels, annotations=signal.annotations,
        starts_at=signal.starts_at, ends_at=signal.starts_at, updated_at=now, url=signal.url, ended="resolved",
        newest_start=signal.starts_at, since=signal.starts_at, dedup=signal.dedup,
    )  # fmt: skip
    head.next_alert += 1
    desk.occurrences[alert.id] = alert
    desk.deduped[signal.source, signal.dedup] = now
    hits = book.index.hits(signal)
    for hit in hits:
        told = Opened(now, hit.member, True, _distinct(hit, signal))
        guarded(desk, hit.rule, tell_hit, book, hit, told, alert)
    if not hits:
        book.unmatched(signal.source)
    return "accepted"


def _tell_resolution(desk: Desk, book: Book, signal: Signal, now: Instant) -> None:
    """Rules that ask for `status: resolved` take each resolution as a momentary occurrence."""
    for hit in book.index.hits(signal):
        told = Opened(now, hit.member, True, _distinct(hit, signal))
        cause = Cause(signal.labels, signal.annotations, signal.source, signal.starts_at)
        guarded(desk, hit.rule, tell, book, hit.rule, hit.key, hit.key_hash, told, cause)


def _tell_seen(desk: Desk, book: Book, alert: Alert, now: Instant) -> None:
    for joined in alert.joined:
        rule = book.rules.get(joined.rule)
        if rule is not None and isinstance(rule.when, AbsenceWhen):
            row = desk.states.get((rule.id, joined.key_hash))
            if row is not None:
                cause = Cause(alert.labels, alert.annotations)
                guarded(desk, rule, _advance, book, rule, row, Seen(now, joined.member), cause)


def _distinct(hit: Hit, signal: Signal) -> str:
    return signal.labels.get(hit.distinct, "") if hit.distinct else ""


def guarded(desk: Desk, rule: Rule, work: Callable[[Desk, *Args], T], *args: *Args) -> T | None:
    """Do what concerns one rule. On the careful second look a failure harms only that rule, and gives none."""
    if desk.guard is None:
        return work(desk, *args)
    found: T | None = desk.guard(desk, rule.id, lambda own: work(own, *args))
    return found


def tell_hit(desk: Desk, book: Book, hit: Hit, told: Opened, alert: Alert) -> Joined:
    """Tell a rule of an alert that begins; return the key, and the incident if there is one, that the alert joined."""
    return Joined(hit.rule.id, hit.key_hash, hit.member, _incident_for(desk, book, hit, told, alert))


def _incident_for(desk: Desk, book: Book, hit: Hit, told: Opened, alert: Alert) -> int | None:
    rule = hit.rule
    row = desk.states.get(hit.place)
    incident = desk.incidents.get(row.incident) if row is not None and row.incident is not None else None
    is_event = isinstance(rule.when, EventWhen)
    if is_event and row is not None and incident is not None and _only_counts(book, row, incident, told):
        state = event.one_more(row.state)
        desk.states.put(hit.place, msgspec.structs.replace(row, state=state, seen_at=max(row.seen_at, told.at)))
        join(desk, book, rule, incident, alert, momentary=False)
        return incident.id
    if is_event and incident is not None:  # what time did to it comes first
        incident = lifecycle.pass_time(desk, book, incident, told.at)
        row = desk.states.get(hit.place)
    cause = Cause(alert.labels, alert.annotations, alert.source, alert.starts_at, alert)
    joining = joining_of(book, rule, cause, told.at) if is_event else None
    if row is None:
        row = KeyState(rule.id, hit.key_hash, hit.key, State(), rule.digest, told.at)
    known, parted = incident is not None and incident.taking, False
    if incident is not None and _too_old(rule, incident, told.at):
        lifecycle.stop_taking(desk, book, incident, told.at)
        row, known = _hand_over(desk, book, rule, row, told.at, cause), False
    elif joining is not None and known and incident is not None:
        parted = problems.before_joining(desk, book, joining, incident)
        row = _hand_over(desk, book, rule, row, told.at, cause) if parted else row
    after = _advance(desk, book, rule, row, told, cause)
    if after is None or after.incident is None:
        return None
    incident = desk.incidents.get(after.incident)
    if incident is None or not incident.taking:
        return None
    if joining is not None and parted:
        problems.after_parting(desk, book, joining, incident)
    elif joining is not None and not known:
        problems.after_opening(desk, book, joining, incident)
    incident = desk.incidents.get(incident.id) or incident
    join(desk, book, rule, incident, alert, told.momentary)
    return incident.id


def _hand_over(desk: Desk, book: Book, rule: Rule, row: KeyState, at: Instant, cause: Cause) -> KeyState:
    """Let a key go on with another incident; rules that refer to this one hear of no end and no beginning."""
    row = msgspec.structs.replace(row, state=State(row.state.phase, row.state.since), incident=None, former=None)
    if row.state.phase == "open" and rule.incident is not None and rule.mode == "notify":
        book.matched(rule.id, at)
        incident = raise_incident(desk, book, rule, rule.incident, row, Edge(True, at), cause)
        row = msgspec.structs.replace(row, incident=incident.id)
    desk.states.put((rule.id, row.key_hash), row)
    return row


def _only_counts(book: Book, row: KeyState, incident: Incident, told: Opened) -> bool:
    """Say whether an alert is one more of an open ``event`` key: no edge, and no problem to look for."""
    return (
        not book.specs and not told.momentary and row.state.phase == "open"
        and incident.taking and incident.max_age is None
    )  # fmt: skip


def joining_of(book: Book, rule: Rule, cause: Cause, at: Instant) -> problems.Joining | None:
    """Return what correlation is told of, if there is anything to correlate."""
    if not book.specs or rule.incident is None or rule.mode == "observe":
        return None
    words = cause.annotations.get("summary", "") or cause.annotations.get("description", "")
    return problems.Joining(rule.id, cause.labels, rule.id, words[:200], at)


def _too_old(rule: Rule, incident: Incident, at: Instant) -> bool:
    return (
        incident.taking
        and incident.max_age is not None
        and isinstance(rule.when, EventWhen)
        and at >= incident.opened_at + incident.max_age
    )


def join(desk: Desk, book: Book, rule: Rule, incident: Incident, alert: Alert, momentary: bool) -> None:
    """Have an alert join an incident: in its counts, in what all its alerts share, and perhaps in its priority."""
    desk.links.append((incident.id, alert.id))
    labels = alert.labels
    common = incident.common
    if incident.alerts_count == 0:
        common = {name: value for name, value in labels.items() if name not in incident.labels}
    elif not common.items() <= labels.items():
        common = {name: value for name, value in common.items() if labels.get(name) == value}
    if common is not incident.common or alert.starts_at < incident.started_at:
        desk.counted.discard(incident.id)
        incident = desk.amend(incident, common=common, started_at=min(incident.started_at, alert.starts_at))
    count, firing = incident.alerts_count + 1, incident.firing + (not momentary)
    incident = desk.recount(incident, alerts_count=count, firing=firing)
    if incident.alerts_count > 1:
        _rate(desk, book, rule, incident, alert)


def _rate(desk: Desk, book: Book, rule: Rule, incident: Incident, alert: Alert) -> None:
    """Have the priority of an incident follow a worse alert that joins it."""
    form = rule.incident
    if incident.priority != "P1" and form is not None and not form.priority.fixed:
        context = {"key": incident.key, "labels": alert.labels, "annotations": alert.annotations}
        priority, _, _ = priority_of(book, rule, form, context)
        if priority < incident.priority:  # what time did to it comes first
            incident = lifecycle.pass_time(desk, book, incident, alert.updated_at)
            lifecycle.raise_priority(desk, book, incident, priority, alert.updated_at, Actor("rule", rule.id))


def end_alert(desk: Desk, book: Book, alert: Alert, now: Instant, *, expired: bool) -> None:
    """End an occurrence and tell every key that counted it."""
    ends_at = now if alert.ends_at is None else alert.ends_at
    store(desk, _over(alert, "expired" if expired else "resolved", ends_at))
    _leave(desk, book, alert, now, expired=expired)


def _over(alert: Alert, ended: Ended, ends_at: Instant) -> Alert:
    return msgspec.structs.replace(alert, joined=(), ended=ended, ends_at=max(ends_at, alert.starts_at))


def _leave(desk: Desk, book: Book, alert: Alert, now: Instant, *, expired: bool) -> None:
    cause = Cause(alert.labels, alert.annotations, alert.source, alert.starts_at, alert)
    for entry in alert.joined:
        incident = desk.incidents.get(entry.incident) if entry.incident is not None else None
        if incident is not None and incident.firing > 0:
            desk.recount(incident, firing=incident.firing - 1)
        rule = book.rules.get(entry.rule)
        row = desk.states.get((entry.rule, entry.key_hash))
        if rule is None:
            continue
        told = Closed(now, entry.member, expired)
        if row is not None and (counts(row, entry) or _hears(rule, incident)):
            guarded(desk, rule, _advance, book, rule, row, told, cause)
        elif row is None and isinstance(rule.when, FlappingWhen):  # it counts ends too, as the first thing of a key
            identity = key_for(rule, alert.labels)
            if identity is not None and identity.hash == entry.key_hash:
                guarded(desk, rule, tell, book, rule, identity.values, identity.hash, told, cause)
        elif entry.incident is not None:
            _end_of_former(desk, book, rule, entry.incident, now, expired)


def counts(row: KeyState, joined: Joined) -> bool:
    """Say whether a key counts an alert that joined it among those that fire.

    Not one that stayed with an incident that takes no more while the key went on to another, or lost
    its rule. A key whose incident is closed has none, and its alerts fire all the same.
    """
    return joined.incident is None or joined.incident == (row.former if row.incident is None else row.incident)


def _hears(rule: Rule, joined: Incident | None) -> bool:
    """Say whether a rule is told of an end whatever became of the incident that the alert joined.

    Only alerts of ``event`` stay with an incident; other kinds count them for as long as they fire.
    """
    return not isinstance(rule.when, EventWhen) and (joined is None or "orphaned" not in joined.flags)


def _end_of_former(desk: Desk, book: Book, rule: Rule, id: int, now: Instant, expired: bool) -> None:
    """The last alert of an incident that was too old to take new ones resolves it."""
    incident = desk.incidents.get(id)
    if incident is not None and incident.firing == 0 and isinstance(rule.when, EventWhen):
        incident = lifecycle.pass_time(desk, book, incident, now)
        lifecycle.condition_cleared(desk, book, incident, now, Actor("rule", rule.id), expired)


def take_samples(
    desk: Desk, book: Book, rule: Rule, samples: Sequence[Sample], at: Instant, last_at: Instant | None, source: str,
    now: Instant, heard_since: Instant = 0,
) -> None:  # fmt: skip
    """Decide what one evaluation of a metric rule at *at* changes, learned *now*; NaN is no sample.

    Keys that were last seen before *heard_since* are not judged without data.
    """
    by = rule.by
    found: dict[int, tuple[dict[str, str], list[tuple[int, float]], dict[str, str]]] = {}
    for sample in samples:
        if sample.value != sample.value:
            continue
        labels = sample.labels
        of_rule = key_for(rule, labels)
        if of_rule is None:
            continue
        key_hash = of_rule.hash
        entry = found.get(key_hash)
        if entry is None:
            entry = found[key_hash] = (of_rule.values, [], labels)
        entry[1].append((0 if len(labels) == len(by) else fingerprint(labels), sample.value))
    for key_hash, (key, values, labels) in found.items():
        row = desk.states.get((rule.id, key_hash))
        if row is None or at - row.seen_at >= DAY:
            row = msgspec.structs.replace(row, seen_at=at) if row else KeyState(
                rule.id, key_hash, key, State(), rule.digest, at)  # fmt: skip
            desk.states.put((rule.id, key_hash), row)
        _advance(desk, book, rule, row, Sampled(at, tuple(values), last_at), Cause(labels, {}, source, at, None, now))
    missing = [key_hash for key_hash in desk.keys_of(rule.id) if key_hash not in found]
    if not by and not found and not missing:
        whole = canonical({})
        desk.states.put((rule.id, whole.hash), KeyState(rule.id, whole.hash, {}, State(), rule.digest, at))
        missing = [whole.hash]
    for key_hash in missing:
        row = desk.states.get((rule.id, key_hash))
        if row is None or row.seen_at < heard_since:
            continue
        if row.state.phase == "closed" and row.incident is None and at - row.seen_at >= FORGET_AFTER:
            desk.states.drop((rule.id, key_hash))
            continue
        _advance(desk, book, rule, row, Sampled(at, (), last_at), Cause(row.key, {}, source, at, None, now))


def key_due(desk: Desk, book: Book, rule_id: str, key_hash: int, now: Instant) -> None:
    """Apply what was due on a key until *now*."""
    rule, row = book.rules.get(rule_id), desk.states.get((rule_id, key_hash))
    while rule is not None and row is not None and row.state.due is not None and row.state.due <= now:
        _advance(desk, book, rule, row, Due(row.state.due), Cause(row.key))
        row = desk.states.get((rule_id, key_hash))


def tell(
    desk: Desk, book: Book, rule: Rule, key: dict[str, str], key_hash: int, told: Told, cause: Cause,
    fed_by: tuple[str, int] | None = None,
) -> None:  # fmt: skip
    """Tell one key of a rule what happened to a member."""
    row = desk.states.get((rule.id, key_hash))
    if row is None:
        row = KeyState(rule.id, key_hash, key, State(), rule.digest, told.at)
    if fed_by is not None and rule.absorbs and fed_by not in row.fed_by:
        row = msgspec.structs.replace(row, fed_by=(*row.fed_by, fed_by)[-100:])
        desk.states.put((rule.id, key_hash), row)
    after = _advance(desk, book, rule, row, told, cause)
    if fed_by is None or after is None or after.incident is None or not isinstance(told, Opened):
        return
    parent = desk.incidents.get(after.incident)
    if parent is not None and parent.state in UNRESOLVED:
        _absorb(desk, book, rule, fed_by, parent, told.at)


def _advance(desk: Desk, book: Book, rule: Rule, row: KeyState, told: Told, cause: Cause) -> KeyState | None:
    """Step a condition, act on its edges and return the row after it.

    Touching a key first applies what was due on it.
    """
    turn = step(rule.when, row.state, told)
    if turn.state is not row.state:
        seen = row.seen_at if isinstance(told, Due) or (isinstance(told, Sampled) and not told.values) else told.at
        row = msgspec.structs.replace(row, state=turn.state, seen_at=max(row.seen_at, seen))
        desk.states.put((rule.id, row.key_hash), row)
    for edge in turn.edges:
        true_at = edge.at
        if cause.accepted_at is not None and cause.accepted_at > edge.at:
            edge = msgspec.structs.replace(edge, at=cause.accepted_at)
        _act(desk, book, rule, desk.states.get((rule.id, row.key_hash)) or row, edge, cause, true_at)
    if not turn.edges and not isinstance(told, Due):
        return row
    keys.rest(desk, rule, row.key_hash)
    return desk.states.get((rule.id, row.key_hash))


def _act(desk: Desk, book: Book, rule: Rule, row: KeyState, edge: Edge, cause: Cause, true_at: Instant) -> None:
    """Act on an edge, which counts from when we accepted it; *true_at*: when it came about."""
    actor = Actor("rule", rule.id)
    incident = desk.incidents.get(row.incident) if row.incident is not None else None
    if incident is not None:  # what time did to it comes first
        incident = lifecycle.pass_time(desk, book, incident, edge.at)
    if edge.opens:
        book.matched(rule.id, edge.at)
        if rule.incident is not None and rule.mode == "notify":
            incident = raise_incident(desk, book, rule, rule.incident, row, edge, cause)
        elif rule.incident is not None:
            book.would_open(rule.id, edge.at)
    elif incident is not None:
        if isinstance(rule.when, EventWhen) and cause.alert is not None and cause.alert.ends_at is not None:
            true_at = min(true_at, cause.alert.ends_at)
        incident = lifecycle.condition_cleared(desk, book, incident, edge.at, actor, edge.expired, true_at)
    _feed(desk, book, rule, row, incident, edge)


def raise_incident(
    desk: Desk, book: Book, rule: Rule, form: IncidentForm, row: KeyState, edge: Edge, cause: Cause
) -> Incident:
    """Open the incident of a key whose condition holds, or have the one that takes go on."""
    actor = Actor("rule", rule.id)
    incident = desk.incidents.get(row.incident) if row.incident is not None else None
    fresh = incident is None or not incident.taking
    if incident is not None and incident.taking:
        incident = lifecycle.condition_returned(desk, book, incident, edge.at, actor)
        if edge.momentary and cause.alert is not None:  # before it is resolved again
            _rate(desk, book, rule, incident, cause.alert)
    else:
        incident = _open(desk, book, rule, form, row, edge, cause, actor)
        incident = problems.recognise(desk, incident, cause.labels, edge.at)
        row = msgspec.structs.replace(row, incident=incident.id)
        desk.states.put((rule.id, row.key_hash), row)
    for fed in row.fed_by:
        _absorb(desk, book, rule, fed, incident, edge.at)
    _correlate(desk, book, rule, incident, fresh, cause, edge.at)
    return incident


def _correlate(desk: Desk, book: Book, rule: Rule, incident: Incident, fresh: bool, cause: Cause, at: Instant) -> None:
    """Consider the open edge of a rule that is not ``event``; alerts are considered one by one as they join."""
    joining = None if isinstance(rule.when, EventWhen) else joining_of(book, rule, cause, at)
    if joining is None:
        return
    if fresh:
        problems.after_opening(desk, book, joining, incident)
    else:
        problems.before_joining(desk, book, joining, incident, part=False)


def _feed(desk: Desk, book: Book, rule: Rule, row: KeyState, incident: Incident | None, edge: Edge) -> None:
    """Pass the edge on to the rules that refer to this one; a DAG, so this ends."""
    dependents = book.dependents.get(rule.id)
    if not dependents or (edge.momentary and not edge.opens):
        return
    labels = dict(row.key)
    if incident is not None:
        labels["service"] = incident.service
    elif rule.incident is not None and rule.incident.service_name:
        labels["service"] = rule.incident.service_name
    fed_by = (rule.id, row.key_hash)
    for dependent, member in dependents:
        identity = key_for(dependent, labels)
        if identity is None:
            continue
        distinct = dependent.when.distinct if isinstance(dependent.when, CountWhen) else None
        told: Told = (
            Opened(edge.at, member, edge.momentary, labels.get(distinct, "") if distinct else "")
            if edge.opens
            else Closed(edge.at, member, edge.expired)
        )
        guarded(desk, dependent, tell, book, dependent, identity.values, identity.hash, told, Cause(labels), fed_by)


def _absorb(desk: Desk, book: Book, rule: Rule, fed: StateKey, parent: Incident, at: Instant) -> None:
    """Make the incident of a key that fed the parent's key a part of it, when the rule says so."""
    if fed[0] not in rule.absorbs or parent.closed_at is not None:
        return
    state = desk.states.get(fed)
    child = desk.incidents.get(state.incident) if state is not None and state.incident is not None else None
    if child is not None and child.parent is None and child.id != parent.id and child.closed_at is None:
        lifecycle.merge(desk, book, child, {"into": parent.id}, at, Actor("rule", rule.id))


def _open(
    desk: Desk, book: Book, rule: Rule, form: IncidentForm, row: KeyState, edge: Edge, cause: Cause, actor: Actor
) -> Incident:
    context: dict[str, Any] = {
        "key": row.key, "labels": cause.labels, "annotations": cause.annotations, "value": edge.value,
        "count": edge.count, "steps": dict(edge.steps),
    }  # fmt: skip
    book.unfilled(rule.id, None)
    priority, impact, urgency = priority_of(book, rule, form, context)
    labels = {name: value for name, value in row.key.items() if value}
    for name, render in form.labels.items():
        labels[name] = text_of(book, rule, render, context, "")
    service = text_of(book, rule, form.service, context, "") or cause.labels.get("service") or UNKNOWN
    runbook = text_of(book, rule, form.runbook, context, "") if form.runbook else ""
    evidence = None
    if isinstance(rule.when, MetricWhen):
        value = edge.value if edge.value is not None and isfinite(edge.value) else None
        evidence = Evidence(rule.when.source, rule.when.query, value, cause.started_at or edge.at)
    opening = lifecycle.Opening(
        service=service,
        title=text_of(book, rule, form.title, context, "") or plain_title(rule, row),
        priority=priority,
        impact=impact,
        urgency=urgency,
        source=cause.source or RESPONDER,
        started_at=cause.started_at if cause.started_at is not None else edge.at,
        rule=rule.id,
        key=row.key,
        key_hash=row.key_hash,
        labels=labels,
        description=text_of(book, rule, form.description, context, "") if form.description else "",
        runbook=runbook or book.service(service).runbook,
        reopen_within=rule.reopen_within,
        max_age=rule.max_age,
        major=form.major,
        evidence=evidence,
        about=cause.labels,
    )
    return lifecycle.open_incident(desk, book, opening, edge.at, actor)
