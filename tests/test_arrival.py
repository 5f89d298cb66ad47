"""How a history is cut into requests, and how often a request is sent, changes nothing (all kinds of rules)."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.core.instant import parse_instant
from responder.core.signal import MINUTE, SECOND, Signal, identity
from responder.handlers.signals import Pushed
from responder.house import book_of
from responder.rehearsal import Rehearsal
from responder.web import views
from tests.config.kit import load

START = parse_instant("2026-01-05T00:00:00Z")
RULES = """
sources: {jobs: {kind: webhook, map: {labels: {type: type}}}}
teams: {ops: {lead: ann}}
services: {shop: {team: ops, depends_on: [db]}, db: {team: ops}}
rules:
  - {id: each, by: [host], reopen_within: 3m, when: {event: {match: {labels: {alertname: [A, B]}}}},
     incident: {service: shop, title: "{{ labels.alertname }}", labels: {zone: "{{ labels.zone }}"}, priority: {label: severity, map: {high: P1}, default: P3}}}
  - {id: zone, by: [zone], max_age: 4m, when: {event: {match: {labels: {alertname: {regex: "A|C"}}}}}, incident: {service: db, title: "{{ key.zone }}", priority: P2}}
  - {id: many, by: [zone], when: {count: {of: {event: {match: {labels: {alertname: A}}}}, at_least: 2, within: 3m}}, incident: {service: shop, title: "{{ count }}", priority: P2}}
  - {id: hosts, by: [], when: {count: {of: {event: {match: {labels: {alertname: {exists: true}}}}}, at_least: 2, within: 4m, distinct: host}}, incident: {service: shop, title: "{{ count }}", priority: P2}}
  - {id: both, by: [zone], when: {all: {of: [{event: {match: {labels: {alertname: A}}}}, {event: {match: {labels: {alertname: B}}}}, {rule: zone}], within: 4m}}, incident: {service: shop, title: both, priority: P2}}
  - {id: order, by: [zone], when: {sequence: {within: 4m, steps: [{name: a, event: {match: {labels: {alertname: A}}}}, {name: b, event: {match: {labels: {alertname: [A, B]}}}}]}}, absorbs: [each], incident: {service: shop, title: order, priority: P2}}
  - {id: unanswered, by: [host], when: {sequence: {within: 2m, steps: [{name: a, event: {match: {labels: {alertname: A}}}}, {name: done, event: {source: jobs, match: {labels: {type: done}}}, absent: true}]}}, incident: {service: shop, title: unanswered, priority: P2}}
  - {id: flaps, by: [host], when: {flapping: {of: {event: {match: {labels: {alertname: A}}}}, start: {changes: 3, within: 5m}, stop: {changes: 1, within: 5m}}}, incident: {service: shop, title: flaps, priority: P2}}
  - {id: silent, by: [host], when: {absence: {of: {event: {match: {labels: {alertname: B}}}}, every: 2m, grace: 1m, expect: [{host: h0}]}}, incident: {service: db, title: silent, priority: P2}}
  - {id: again, by: [], when: {count: {of: {rule: each}, at_least: 2, within: 5m}}, absorbs: [each], incident: {service: shop, title: again, priority: P1}}
  - {id: over, by: [zone], when: {event: {match: {status: resolved, labels: {alertname: C}}}}, incident: {service: db, title: over, priority: P4}}
  - {id: rest, by: [], unclaimed: true, when: {event: {}}, incident: {service: db, title: rest, priority: P5}}
problems:
  - {id: near, depends: {within: 3m}, owner: ops}
  - {id: same, group: {same: [zone], at_least: 3, within: 5m}, owner: ops}
  - {id: comes-back, recur: {same: [rule], at_least: 3, within: 1h}, owner: ops}
"""
LOADED = load(RULES)
assert LOADED.settings is not None, LOADED.errors
SETTINGS = LOADED.settings
Batch = tuple[int, list[Signal]]
"""(instant, alerts of one request)"""


@st.composite
def histories(draw: st.DrawFn) -> list[Batch]:
    """Requests of several alerts: firing, repeated, resolved, begun again, momentary; at instants that may be equal."""
    batches: list[Batch] = []
    at, begun, deliveries = START, dict[int, int](), 0
    for _ in range(draw(st.integers(1, 12))):
        at += draw(st.sampled_from([0, SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 4 * MINUTE]))
        signals: list[Signal] = []
        said = set[int]()  # of one alert, a request says one thing
        for _ in range(draw(st.integers(1, 5))):
            host = draw(st.integers(0, 2))
            if draw(st.integers(0, 7)) == 0:
                deliveries += 1
                labels = {"type": "done", "host": f"h{host}"}
                signals.append(
                    Signal("jobs", identity(labels), labels, {}, True, at, momentary=True, dedup=f"d{deliveries}")
                )
                continue
            labels = {"alertname": draw(st.sampled_from("ABCD")), "host": f"h{host}", "zone": f"z{host % 2}"}
            if draw(st.booleans()):
                labels["severity"] = "high"
            fp = identity(labels)
            if fp in said:
                continue
            said.add(fp)
            kind = draw(st.sampled_from(["fire", "fire", "again", "end"]))
            starts_at = at if kind == "again" else begun.get(fp, at)
            ended = kind == "end" and starts_at < at  # nobody ends what has not begun
            ends_at = at if ended else draw(st.sampled_from([None, at + 5 * MINUTE]))
            begun[fp] = starts_at
            signals.append(Signal("am-api", fp, labels, {"n": kind}, not ended, starts_at, ends_at))
        batches.append((at, signals))
    return batches


def outcome(requests: Sequence[Batch]) -> Any:
    """Return all incidents and problems some time after the last request."""
    rehearsal = Rehearsal(book_of(SETTINGS), START)
    for at, signals in requests:
        rehearsal.at(at, Pushed(signals[0].source, signals))
    rehearsal.advance(requests[-1][0] + 20 * MINUTE)
    reader, book = rehearsal.reader, rehearsal.book
    incidents = []
    for row in rehearsal.incidents():
        alerts = reader.alerts_of(row.id, None)
        incidents.append(views.incident(row, alerts, len(alerts), book.terms(row.service), rehearsal.now))
    return msgspec.to_builtins(incidents), [views.problem(row) for row in rehearsal.problems()]


def by_source(history: Sequence[Batch]) -> list[Batch]:
    """Return the history with requests of one source each; what is split or resent is a request."""
    return [
        (at, [signal for signal in signals if signal.source == source])
        for at, signals in history
        for source in dict.fromkeys(signal.source for signal in signals)
    ]


@settings(deadline=None, max_examples=40)
@given(histories())
def test_splitting_requests_changes_nothing(history: list[Batch]):
    requests = by_source(history)
    assert outcome([(at, [signal]) for at, signals in requests for signal in signals]) == outcome(requests)


@settings(deadline=None, max_examples=40)
@given(histories(), st.data())
def test_resending_requests_changes_nothing(history: list[Batch], data: st.DataObject):
    requests = by_source(history)
    resent = [one for one in requests for _ in range(data.draw(st.integers(1, 3)))]
    assert outcome(resent) == outcome(requests)


@settings(deadline=None, max_examples=20)
@given(histories())
def test_resending_each_alert_at_once_changes_nothing(history: list[Batch]):
    requests = by_source(history)
    assert outcome([(at, [signal, signal]) for at, signals in requests for signal in signals]) == outcome(requests)


@settings(deadline=None, max_examples=20)
@given(histories(), st.integers(1, 7))
def test_looking_at_the_clock_more_often_changes_nothing(history: list[Batch], seconds: int):
    rehearsals = []
    for step in (None, seconds * 17 * SECOND):
        rehearsal = Rehearsal(book_of(SETTINGS), START)
        for at, signals in by_source(history):
            while step and rehearsal.now + step < at:
                rehearsal.advance(rehearsal.now + step)
            rehearsal.at(at, Pushed(signals[0].source, signals))
        rehearsal.advance(history[-1][0] + 20 * MINUTE)
        rehearsals.append([*rehearsal.incidents()])
    assert rehearsals[0] == rehearsals[1]
