"""The rows this process holds in memory: what can still change, and what is asked often.

``apply`` takes a committed desk over; ``rebuild`` reads everything from the store at start.
Readers in other threads may look at any time: rows are immutable and replaced, and each
dictionary is changed by the writer thread only.
"""

import gc
import heapq
from collections.abc import Callable, Container, Iterable, Sequence

import msgspec

from responder.core import engine
from responder.core.alert import Alert
from responder.core.availability import Meter
from responder.core.board import Board
from responder.core.conditions.state import State
from responder.core.desk import Asked, Change, Desk, FactKey, Head, KeyState, ProblemRow, SourceState, StateKey
from responder.core.incident import Incident
from responder.core.maintenance import Posted, Window, posted_window
from responder.core.matcher import CompileRegex
from responder.core.outbox import Lanes, Message
from responder.core.problem import WATCHED, KnownError, next_due
from responder.core.settling import Settling
from responder.core.signal import DAY, HOUR, MINUTE, Instant
from responder.core.silence import Silence, Silences
from responder.core.topology import Edge
from responder.store.changes import changes_by
from responder.store.reader import Reader

REMEMBERED = HOUR
"""An alert that ended is known for so long, so that old messages about it are told."""
CHANGE_WINDOW = 30 * MINUTE
SENT_REMEMBERED = 200
"""So many sent messages tell after a start when channels may be used again."""
YOUNG = 20_000
"""New objects worth a look of the garbage collector. A batch makes up to five times as many and drops them when it is
stored: to look through them in its midst costs 5 to 10 % of it, so that is left to the tick, see :func:`collect_young`."""

NEVER = 1 << 62

Subject = tuple[str, int] | tuple[str, str, int]
"""("alert", identity), ("incident", id), ("problem", id), ("key", rule, key hash)."""


def collect_young() -> None:
    """Find rings among the young objects, as answers of sources leave them; once a second, between two batches."""
    if gc.get_count()[0] > YOUNG:
        gc.collect(0)


class Resident:
    """Memory of the one who decides."""

    def __init__(
        self, reader: Reader, due_of: Callable[[Incident], Instant | None], compile_regex: CompileRegex
    ) -> None:
        self._reader = reader
        self._due_of = due_of
        self._compile_regex = compile_regex
        self.alerts: dict[int, Alert] = {}
        self.states: dict[StateKey, KeyState] = {}
        self.incidents: dict[int, Incident] = {}
        self.silences: dict[str, Silence] = {}
        self.sources: dict[str, SourceState] = {}
        self.changes: dict[int, Change] = {}
        self.outbox: dict[int, Message] = {}
        self.facts: dict[FactKey, float] = {}
        self.problems: dict[int, ProblemRow] = {}
        self._errors: dict[tuple[str, str], dict[int, KnownError]] = {}
        self._watched: dict[int, KnownError] = {}
        self.meters: dict[str, Meter] = {}
        self.maintenance: dict[str, Posted] = {}
        self.windows: dict[str, Window] = {}
        """Announced maintenance as the rule book asks for it; the book holds on to this mapping."""
        self.board = Board()
        self.settling = Settling()
        self.edges: dict[tuple[str, str], Edge] = {}
        """Edges that labels showed: every new rule book is told of them."""
        self.lanes = Lanes()
        self.head = Head()
        self.silencing = Silences((), compile_regex)
        self._keys: dict[str, set[int]] = {}
        self._polled: dict[str, set[int]] = {}
        self._rests: dict[int, Instant] = {}
        self._waiting: list[tuple[Instant, Subject]] = []
        self._forget: list[tuple[Instant, int]] = []

    def rebuild(self, now: Instant) -> None:
        """Read the state of the store; afterwards it is as if the process had never ended."""
        reader = self._reader
        self.head = reader.head()
        self.states = {(row.rule, row.key_hash): row for row in reader.states()}
        self.incidents = {row.id: row for row in reader.living_incidents()}
        counts = reader.alerts_counts()
        firing: dict[int, int] = {}
        keys_firing: dict[StateKey, int] = {}
        for alert in reader.known_alerts(now - REMEMBERED):
            self.alerts[alert.identity] = alert
        for alert in self.alerts.values():
            for joined in alert.joined:
                key = (joined.rule, joined.key_hash)
                row = self.states.get(key)
                stateful = row is not None and row.state.phase == "open" and row.state.data is None
                if stateful and row is not None and engine.counts(row, joined):
                    keys_firing[key] = keys_firing.get(key, 0) + 1
                if joined.incident is not None:
                    firing[joined.incident] = firing.get(joined.incident, 0) + 1
        for key, number in keys_firing.items():
            row = self.states[key]
            state: State = msgspec.structs.replace(row.state, firing=number)
            self.states[key] = msgspec.structs.replace(row, state=state)
        for id, row_ in self.incidents.items():
            self.incidents[id] = msgspec.structs.replace(row_, alerts_count=counts.get(id, 0), firing=firing.get(id, 0))
        self.silences = {row.id: row for row in reader.silences()}
        self.sources = {row.name: row for row in reader.sources()}
        self.changes = {row.id: row for row in reader.recent_changes(now - CHANGE_WINDOW)}
        self.outbox = {row.id: row for row in reader.waiting_messages()}
        self.lanes.rebuild(self.outbox.values(), reader.sent_messages(SENT_REMEMBERED))
        self.facts = reader.facts()
        self.problems = {row.problem.id: row for row in reader.living_problems()}
        self._errors, self._watched = {}, {}
        for error in (*(row.error for row in self.problems.values()), *reader.watched_errors(now - WATCHED)):
            self._watch(error)
        self.meters = {row.service: row for row in reader.meters()}
        for posted in reader.maintenance():
            self._announce(posted)
        remembered, edges = reader.board()
        self.board = Board()
        self.edges = {(edge.from_node, edge.to_node): edge for edge in edges}
        self.board.apply(remembered)
        self.silencing = Silences(self.silences.values(), self._compile_regex)
        self.reindex()
        gc.collect()
        gc.freeze()
        gc.set_threshold(5 * YOUNG, 20, 50)

    def reindex(self) -> None:
        """Build what is derived from the rows: key sets and waiting instants."""
        self._keys = {}
        for rule, key_hash in self.states:
            self._keys.setdefault(rule, set()).add(key_hash)
        self._waiting, self._forget, self._polled, self._rests = [], [], {}, {}
        for alert in self.alerts.values():
            self._await_alert(alert)
        for row in self.states.values():
            if row.state.due is not None:
                self._waiting.append((row.state.due, ("key", row.rule, row.key_hash)))
        for incident in self.incidents.values():
            due = self._due_of(incident)
            if due is not None:
                self._waiting.append((due, ("incident", incident.id)))
        for number, problem in self.problems.items():
            for due in (problem.due, next_due(problem.problem)):
                if due is not None:
                    self._waiting.append((due, ("problem", number)))
        self._waiting += [(due, ("problem", number)) for number, due in self._reader.dues_of_closed_problems()]
        heapq.heapify(self._waiting)

    def postpone(self, rules: Container[str], until: Instant) -> None:
        """Let the keys of rules that await something go on waiting until then; once, at the start."""
        for key, row in self.states.items():
            if row.rule in rules and row.state.phase != "open" and row.state.due is not None and row.state.due < until:
                state: State = msgspec.structs.replace(row.state, due=until)
                self.states[key] = msgspec.structs.replace(row, state=state)
        self.reindex()

    def apply(self, desk: Desk) -> None:
        """Take over a batch; called only after its commit is known."""
        for identity, alert in desk.alerts.changed.items():
            if alert is None:
                self.alerts.pop(identity, None)
                continue
            before = self.alerts.get(identity)
            self.alerts[identity] = alert
            if before is not None and before.polled:
                self._polled[before.source].discard(identity)
            if before is None or before.ends_at != alert.ends_at or alert.polled or before.polled or alert.ended:
                self._await_alert(alert)
        for key, row in desk.states.changed.items():
            if row is None:
                self.states.pop(key, None)
                self._keys.get(key[0], set()).discard(key[1])
                continue
            self.states[key] = row
            self._keys.setdefault(key[0], set()).add(key[1])
            if row.state.due is not None:
                heapq.heappush(self._waiting, (row.state.due, ("key", row.rule, row.key_hash)))
        for id, incident in desk.incidents.changed.items():
            if incident is None or (incident.closed_at is not None and not incident.taking and incident.firing == 0):
                self.incidents.pop(id, None)
                self._rests.pop(id, None)
                continue
            self.incidents[id] = incident
            if id not in desk.counted:
                self.await_incident(id, desk.dues.get(id))
        if desk.board_rows is not None:
            self.board.apply(desk.board_rows)
        for edge in desk.edges:
            self.edges[edge.from_node, edge.to_node] = edge
        for edge in desk.stale:
            self.edges.pop((edge.from_node, edge.to_node), None)
        for number, problem in desk.problems.changed.items():
            self._unwatch(number)
            self._watch(problem.error if problem is not None else None)
            known = self.problems.get(number)
            due = next_due(problem.problem) if problem is not None else None
            if due is not None and (known is None or next_due(known.problem) != due):
                heapq.heappush(self._waiting, (due, ("problem", number)))
            if problem is None or problem.problem.closed_at is not None:
                self.problems.pop(number, None)
                continue
            self.problems[number] = problem
            if problem.due is not None:
                self._await_ranking(number, problem.due)
        for service, meter in desk.meters.changed.items():
            if meter is not None:
                self.meters[service] = meter
        for posted in desk.maintenance.changed.values():
            if posted is not None:
                self._announce(posted)
        for name, source in desk.sources.changed.items():
            if source is not None:
                self.sources[name] = source
        for number, change in desk.changes.changed.items():
            if change is not None:
                self.changes[number] = change
        for number, message in desk.outbox.changed.items():
            if message is None:
                continue
            if message.state == "waiting":
                self.outbox[number] = message
            else:
                self.outbox.pop(number, None)
            self.lanes.put(message)
        self.lanes.incidents_changed(desk.incidents.changed.keys())
        if desk.silences.changed:
            for name, silence in desk.silences.changed.items():
                if silence is None:
                    self.silences.pop(name, None)
                else:
                    self.silences[name] = silence
            self.silencing = Silences(self.silences.values(), self._compile_regex)
            self.lanes.silences_changed()
        for fact, by in desk.facts.items():
            self.facts[fact] = self.facts.get(fact, 0.0) + by
        self.head = desk.head

    def await_incident(self, id: int, due: Instant | None) -> None:
        """Know when time changes an incident next."""
        self._rests[id] = due if due is not None else NEVER
        if due is not None:
            heapq.heappush(self._waiting, (due, ("incident", id)))

    def forget_rests(self) -> None:
        """Another rule book is in force: when time changes an incident has to be worked out again."""
        self._rests = {}

    def next_due(self) -> Instant | None:
        """Return when somebody has to look again; perhaps too early, never too late."""
        return self._waiting[0][0] if self._waiting else None

    def take_due(self, now: Instant, limit: int) -> list[Subject]:
        """Take the subjects that wait until *now*, at most *limit*, each once.

        An entry only says that somebody has to look: the row itself knows its true instant.
        """
        found: dict[Subject, None] = {}
        self.drop_outdated()
        while self._waiting and self._waiting[0][0] <= now and len(found) < limit:
            found[heapq.heappop(self._waiting)[1]] = None
            self.drop_outdated()
        return list(found)

    def drop_outdated(self) -> None:
        """Drop the first entries of incidents that have changed since and wait for another instant; by the writer."""
        while self._waiting:
            due, subject = self._waiting[0]
            if subject[0] != "incident" or self._rests.get(int(subject[1]), 0) <= due:
                break
            heapq.heappop(self._waiting)

    def look_again(self, subject: Subject, at: Instant) -> None:
        """Have somebody look at the subject at *at*."""
        heapq.heappush(self._waiting, (at, subject))

    def forget_ended(self, now: Instant) -> None:
        """Drop alerts that ended long enough ago."""
        while self._forget and self._forget[0][0] <= now:
            _, identity = heapq.heappop(self._forget)
            alert = self.alerts.get(identity)
            if alert is not None and alert.ended and (alert.ends_at or 0) + REMEMBERED <= now:
                del self.alerts[identity]
        for number in [n for n, change in self.changes.items() if change.at + CHANGE_WINDOW < now]:
            del self.changes[number]

    def keys_of(self, rule: str) -> Iterable[int]:
        """Return the key hashes of which the rule has a state."""
        return self._keys.get(rule, ())

    def polled_of(self, source: str) -> Iterable[int]:
        """Return the alerts that a polled source reported last."""
        return self._polled.get(source, ())

    def changes_of(self, service: str, since: Instant, until: Instant) -> list[Change]:
        """Return the changes to a service in a stretch of time that is not long past."""
        return [row for row in self.changes.values() if row.service == service and since <= row.at <= until]

    def changes_by(self, ids: Sequence[int]) -> list[Change]:
        """Return changes by their ids, also those that are long past."""
        former = changes_by(self._reader, [id for id in ids if id not in self.changes])
        return [found for id in ids if (found := self.changes.get(id) or former.get(id)) is not None]

    def former_incident(self, id: int) -> Incident | None:
        """Return an incident that is no longer in memory."""
        return self._reader.incident(id)

    def firing_of(self, incident: int) -> list[Alert]:
        """Return the occurrences of an incident that fire."""
        return self._reader.firing_of(incident)

    def newest_of(self, incident: int, limit: int) -> list[Alert]:
        """Return the newest occurrences of an incident, newest first."""
        return self._reader.alerts_of(incident, limit)

    def rests_until(self, incident: int) -> Instant | None:
        """Return until when time can't change an incident; none if that is not known."""
        return self._rests.get(incident)

    def former_problem(self, id: int) -> ProblemRow | None:
        """Return a problem that is no longer in memory."""
        return self._reader.problem(id)

    def errors_like(self, rule: str, service: str) -> list[KnownError]:
        """Return what a new incident of this rule and service may be a recurrence of."""
        found: dict[int, KnownError] = {}
        for place in ((rule, service), (rule, "")):
            found |= self._errors.get(place, {})
        return [*found.values()]

    def forget_errors(self, now: Instant) -> None:
        """Drop what closed problems looked like, when they were watched for long enough."""
        for error in [error for error in self._watched.values() if error.until is not None and error.until < now]:
            self._unwatch(error.problem)

    def forget_windows(self, now: Instant) -> None:
        """Drop announced maintenance that has passed and whose time is counted; the store has it still."""
        counted = min((meter.since for meter in self.meters.values()), default=now)
        before = min(counted, now - DAY)
        for row in [row for row in self.maintenance.values() if row.recurring is None and row.end < before]:
            self._announce(msgspec.structs.replace(row, ended_at=row.end))

    def _watch(self, error: KnownError | None) -> None:
        if error is not None:
            self._watched[error.problem] = error
            for rule in error.rules:
                self._errors.setdefault((rule, error.labels.get("service", "")), {})[error.problem] = error

    def _unwatch(self, problem: int) -> None:
        error = self._watched.pop(problem, None)
        if error is None:
            return
        for rule in error.rules:
            place = (rule, error.labels.get("service", ""))
            del self._errors[place][problem]
            if not self._errors[place]:
                del self._errors[place]

    def last_incident(self, rule: str, key_hash: int) -> int | None:
        """Return the newest incident that the key ever had."""
        return self._reader.last_incident(rule, key_hash)

    def delivered_before(self, source: str, dedup: str) -> Instant | None:
        """Return when a momentary occurrence of this id was taken last."""
        return self._reader.delivered_before(source, dedup)

    def all_meters(self) -> Iterable[Meter]:
        """Return the meters of all services."""
        return list(self.meters.values())

    def all_maintenance(self) -> Iterable[Posted]:
        """Return the windows that were announced and have not been ended."""
        return list(self.maintenance.values())

    def living_incidents(self) -> Iterable[Incident]:
        """Return the incidents in memory."""
        return list(self.incidents.values())

    def asked_of(self, token_hash: str) -> Asked | None:
        """Return whom a token was given to."""
        return self._reader.asked_of(token_hash)

    def _announce(self, row: Posted) -> None:
        if row.ended_at is None:
            self.maintenance[row.name] = row
            self.windows[row.name] = posted_window(row, self._compile_regex)
        else:
            self.maintenance.pop(row.name, None)
            self.windows.pop(row.name, None)

    def _await_ranking(self, problem: int, due: Instant) -> None:
        heapq.heappush(self._waiting, (due, ("problem", problem)))

    def _await_alert(self, alert: Alert) -> None:
        if alert.ended:
            heapq.heappush(self._forget, ((alert.ends_at or alert.updated_at) + REMEMBERED, alert.identity))
        elif alert.polled:
            self._polled.setdefault(alert.source, set()).add(alert.identity)
        elif alert.ends_at is not None:
            heapq.heappush(self._waiting, (alert.ends_at, ("alert", alert.identity)))
