"""Whatever has happened, a start reads back what was in memory: histories of signals, people and time, at random."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from responder.core.event import Actor
from responder.core.incident import UNRESOLVED
from responder.core.incident_commands import COMMANDS
from responder.core.signal import HOUR, MINUTE, SECOND, Sample, Signal
from responder.core.silence import Silence, Term
from responder.dispatch import AT_ONCE, report
from responder.handlers import deliveries
from responder.handlers.commands import Command, ProblemCommand, RecordChange, SetSilence
from responder.handlers.signals import AlertsPolled, MetricPolled, PollFailed, Pushed
from responder.handlers.upkeep import Forget
from responder.ports import Permanent, Transient
from responder.resident import REMEMBERED, Resident
from tests.process import Process
from tests.story import alert

STEPS = 120
WITHIN = 10 * MINUTE
ANN = Actor("person", "ann")
RULES = """
channels: {chat: {kind: webhook, url: "http://x", bundle: 30s, repeat: 1h, rate: 5/1m}, mail: {kind: webhook, url: "http://y"}}
teams:
  ops: {lead: ann, channels: [chat], lead_channels: [mail]}
  desk: {lead: bob, channels: [mail]}
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: ["09:00-17:00"]}}, always: {timezone: UTC, hours: 24x7}}
slas:
  gold: {calendar: always, targets: {P1: {response: 10m, resolution: 1h}, P3: {response: 4h, resolution: 24h}}, warn_at: [50, 90]}
  silver: {calendar: office, targets: {P1: {response: 1h, resolution: 8h}}}
flows:
  loop:
    - {stage: register, owner: desk, within: 10m}
    - {stage: fix, owner: service.team, within: sla.resolution}
    - {stage: inform, owner: desk, within: 8h, collect: satisfaction}
services:
  shop: {team: ops, sla: gold, availability: 0.99, depends_on: [db]}
  db: {team: ops, sla: silver}
  web: {team: ops, sla: gold, flow: loop, depends_on: [shop]}
sources:
  prom: {kind: prometheus, url: "http://x", on_failure: {for: 2m, priority: P2, service: shop}}
  am: {kind: alertmanager, url: "http://y"}
rules:
  - {id: each, by: [alertname, service], when: {event: {match: {labels: {alertname: [A, B, C]}}}},
     incident: {service: "{{ labels.service }}", title: "{{ labels.alertname }}", priority: {label: severity, map: {critical: P1}, default: P3}}}
  - {id: slow, by: [k], when: {metric: {source: prom, query: q, every: 30s, open: {above: 1, for: 1m}, close: {below: 1, for: 1m}, no_data: close}}, incident: {service: shop, title: slow}}
  - {id: silent, by: [], when: {absence: {of: {event: {match: {labels: {alertname: D}}}}, every: 2m, grace: 1m}}, incident: {service: shop, title: silent, priority: P1}}
  - {id: many, by: [service], when: {count: {of: {event: {match: {labels: {alertname: [A, B]}}}}, at_least: 4, within: 10m}}, incident: {service: "{{ key.service }}", title: many}}
  - {id: flaps, by: [alertname], when: {flapping: {of: {event: {match: {labels: {alertname: A}}}}, start: {changes: 4, within: 30m}, stop: {changes: 1, within: 30m}}}, absorbs: [each], incident: {service: shop, title: flaps}}
  - {id: order, by: [service], when: {sequence: {within: 15m, steps: [{name: one, event: {match: {labels: {alertname: D}}}}, {name: two, rule: each}]}}, incident: {service: shop, title: order}}
problems:
  - {id: near, depends: {within: 10m, hold_notifications: 1m}, owner: ops}
  - {id: same, group: {same: [host], at_least: 3, within: 30m}, owner: ops}
  - {id: again, recur: {same: [rule, service], at_least: 3, within: 30d}, owner: ops, due: 10h}
maintenance:
  - {name: nightly, services: [db], recurring: {days: mon-sun, from: "02:00", to: "03:00", timezone: UTC}, reason: backup}
"""
LOADS = (
    RULES,
    RULES.replace("by: [alertname, service]", "by: [alertname, service, host]"),
    RULES.replace("{id: each, ", "{id: each, mode: observe, "),
    RULES.replace("  - {id: near, depends: {within: 10m, hold_notifications: 1m}, owner: ops}\n", ""),
)
KEPT = ("silences", "sources", "outbox", "problems", "meters", "maintenance", "edges", "_watched")


@pytest.mark.parametrize("seed", range(6))
def test_a_start_reads_back_what_was_in_memory(seed: int, tmp_path: Path) -> None:
    chance, process, at = random.Random(seed), Process(tmp_path, RULES, grace=0), 0
    for step in range(STEPS):
        happen(chance, process, at)
        if chance.random() < 0.5:
            at += chance.choice([SECOND, 20 * SECOND, MINUTE, 2 * MINUTE, 2 * MINUTE, 15 * MINUTE, 2 * HOUR])
            process.until(at)
        if step % 10 == 9:
            read, _ = process.rebuilt()
            assert known(read, process.now) == known(process.resident, process.now)
            assert waits_too_long(process.resident, read) == []
        if step % 40 == 39:
            process.restart(away=0)
        if step % 25 == 24:
            process.reload(chance.choice(LOADS))
    assert waits_for_nobody(process, at) == []
    process.stop()


def waits_for_nobody(process: Process, at: int) -> list[Any]:
    """Return the incidents of alerts that go on when everything is over and no person has to end them."""
    over = [alert for alert in process.resident.alerts.values() if not alert.ended]
    for one in over:
        end = Signal(one.source, one.identity, one.labels, {}, False, one.starts_at, process.now)
        process.take(Pushed("am-api", [end]))
    process.until(at + 20 * HOUR)
    rows = process.reader.incidents({}, None, 500)
    ours = [row for row in rows if row.rule in ("each", "many", "flaps", "order") and "orphaned" not in row.flags]
    return [row for row in ours if row.state in UNRESOLVED and row.holds]


def known(resident: Resident, now: int) -> dict[str, Any]:
    """Return what a process knows, but for what it may forget: when something was last seen, and what is long over."""
    found: dict[str, Any] = {name: dict(getattr(resident, name)) for name in KEPT}
    found["errors"] = {key: of for key, of in resident._errors.items() if of}
    found["facts"] = {fact: round(value, 6) for fact, value in resident.facts.items()}
    found["states"] = {key: msgspec.structs.replace(row, seen_at=0) for key, row in resident.states.items()}
    found["alerts"] = {
        identity: msgspec.structs.replace(row, updated_at=0)
        for identity, row in resident.alerts.items()
        if not row.ended or (row.ends_at or 0) + REMEMBERED > now
    }
    # of an incident that is over an alert may still fire
    found["incidents"] = {id: row for id, row in resident.incidents.items() if row.closed_at is None or row.taking}
    rows = resident.board.rows
    for name in ("memory", "pulse", "held", "linked", "clues"):
        found[name] = {key: row for key, row in getattr(rows, name).items() if row is not None}
    found["sighted"] = {
        (base, anchor, incident): since
        for base, of in rows.sighted.items()
        for anchor, row in of.items()
        for incident, since in (row.recent if row is not None else ())
        if now - since < WITHIN
    }
    return found


def waits_too_long(resident: Resident, read: Resident) -> list[Any]:
    """Return the subjects at which somebody would have to look earlier than the resident state does."""
    first: dict[Any, int] = {}
    for due, subject in sorted(resident._waiting):
        first.setdefault(subject, due)
    return [(due, subject) for due, subject in read._waiting if first.get(subject, due + 1) > due]


def happen(chance: random.Random, process: Process, at: int) -> None:
    """Let one thing happen; what is refused changes nothing."""
    incidents = [row.id for row in process.reader.incidents({}, None, 60)]
    problems = list(process.resident.problems)
    kind = chance.choice(["push"] * 8 + ["poll", "fail", "command", "command", "command", "problem", "other", "send"])
    if kind == "push":
        process.take(Pushed("am-api", [pushed(chance, at) for _ in range(chance.choice([1, 1, 3]))]))
    elif kind == "poll":
        hosts = chance.sample(["p1", "p2"], chance.randrange(3))
        process.take(
            AlertsPolled("am", process.now, [alert("A", at - MINUTE, host=host, source="am") for host in hosts])
        )
        samples = [Sample({"k": k}, chance.choice([0.0, 5.0])) for k in chance.sample("abc", chance.randrange(3))]
        for query in process.book.queries:
            process.take(MetricPolled(query.source, query, process.now, samples))
    elif kind == "fail":
        process.take(PollFailed(chance.choice(["prom", "am"]), process.now, "refused"))
    elif kind == "command" and incidents:
        name, id = chance.choice(list(COMMANDS)), chance.choice(incidents)
        attempt(process, Command(name, id, arguments(chance, name, process.now, incidents), ANN))
    elif kind == "problem" and problems:
        name, args = chance.choice(problem_commands(chance, process.now, incidents, problems))
        attempt(process, ProblemCommand(name, chance.choice(problems), args, ANN))
    elif kind == "send":
        send(chance, process)
    elif kind == "other":
        until = process.now + chance.choice([5 * MINUTE, HOUR])
        silence = Silence("", (Term("host", "h1"),), process.now, until, "ann", "move")
        process.take(SetSilence(silence, f"s{process.now}", ANN), RecordChange("shop", "release", "2", None, "", ANN))
        first = True
        while process.take(Forget(first)):
            first = False


def pushed(chance: random.Random, at: int) -> Any:
    labels: dict[str, Any] = {"service": chance.choice(["shop", "db", "web"]), "host": chance.choice(["h1", "h2"])}
    labels |= chance.choice([{}, {"n": chance.choice("123")}, {"severity": "critical"}])
    firing = chance.random() < 0.7
    ends = at + chance.choice([2 * MINUTE, 10 * MINUTE]) if firing and chance.random() < 0.5 else None
    return alert(chance.choice("ABCD"), at, firing=firing, ends=ends, **labels)


def arguments(chance: random.Random, name: str, now: int, incidents: list[int]) -> dict[str, Any]:
    given: dict[str, dict[str, Any]] = {
        "assign": {"to": "bob"}, "handover": {"to": "desk"}, "pause": {"reason": "supplier"}, "reopen": {"reason": "r"},
        "cancel": {"reason": "duplicate"}, "note": {"text": "n"}, "exempt": {"reason": "r"},
        "priority": {"priority": chance.choice(["P1", "P2", "P3"]), "reason": "r"},
        "snooze": {"until": now + chance.choice([MINUTE, HOUR])}, "merge": {"into": chance.choice(incidents)},
        "major": {"lead": "ann", "every": 30 * MINUTE},
    }  # fmt: skip
    return given.get(name, {})


def problem_commands(
    chance: random.Random, now: int, incidents: list[int], problems: list[int]
) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("state", {"state": chance.choice(["known_error", "resolved", "closed"])}), ("due", {"due": now + HOUR}),
        ("link", {"incident": chance.choice(incidents)}), ("unlink", {"incident": chance.choice(incidents)}),
        ("split", {"incidents": [chance.choice(incidents)]}), ("merge", {"into": chance.choice(problems)}),
        ("workaround", {"text": "restart it"}), ("action", {"text": "mend", "owner": "ann", "due": now + HOUR}),
        ("done", {"action": 1}),
    ]  # fmt: skip


def attempt(process: Process, item: object) -> None:
    try:
        process.take(item)
    except Exception as error:
        if not getattr(error, "expected", False):
            raise


def send(chance: random.Random, process: Process) -> None:
    """Let what is due leave, with luck."""
    while (channel := process.resident.lanes.next_channel(process.book, process.now)) is not None:
        for message in process.take(deliveries.Claim(channel, AT_ONCE)).messages:
            wrong = chance.choice([None, None, None, Transient("busy"), Permanent("unknown", "rejected")])
            process.take(report(message, wrong))
