"""Whatever happens, every counter equals what a fold over the timeline gives, also after kills."""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.config.regexes import compile_regex
from responder.core import satisfaction
from responder.core.event import Event
from responder.core.facts import BUCKETS
from responder.core.incident import UNRESOLVED, Incident, apply
from responder.core.incident_commands import COMMANDS
from responder.core.lifecycle import Invalid, Refused
from responder.core.maintenance import Posted, posted_window, united
from responder.core.signal import HOUR, MINUTE, SECOND, Instant
from responder.handlers.commands import Announce, Rate, RecordChange, Spent
from responder.store.reader import recorded
from tests.shop import ANN, START, Shop

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
SERVICES = ("shop", "hotline", "nobody")
ARGS: dict[str, dict[str, Any]] = {
    "assign": {"to": "fred"}, "pause": {"reason": "customer"}, "reopen": {"reason": "again"}, "note": {"text": "x", "review": True},
    "cancel": {"reason": "duplicate"}, "exempt": {"reason": "theirs"}, "major": {"lead": "lea", "every": HOUR},
    "merge": {"into": 1}, "snooze": {"until": START + 400 * HOUR},
}  # fmt: skip
DOWN = frozenset({"P1", "P2"})


def fold(events: Iterable[Event], windows: dict[str, list[tuple[Instant, Instant]]], now: Instant) -> Series:
    """Count everything again, from the timeline alone; all calendars are 24x7."""
    found: Series = defaultdict(float)
    rows: dict[int, Incident] = {}
    weights: dict[str, list[tuple[Instant, int, int]]] = defaultdict(list)

    def count(name: str, by: float = 1, **labels: str) -> None:
        found[name, tuple(labels.items())] += by

    def observe(name: str, seconds: float, **labels: str) -> None:
        for bound in BUCKETS:
            if seconds <= bound:
                count(name + "_bucket", **labels, le=str(float(bound)))
        count(name + "_bucket", **labels, le="+Inf")
        count(name + "_sum", seconds, **labels)
        count(name + "_count", **labels)

    for event in events:
        if event.subject_kind != "incident":
            continue
        before = rows.get(event.subject)
        row = rows[event.subject] = apply(before, event)
        service = row.service if row.service != "nobody" else "uncatalogued"
        both, data = {"service": service, "priority": row.priority}, event.data
        running = (
            before.stages[-1] if before is not None and before.stages and before.stages[-1].ended_at is None else None
        )
        if running is not None and event.kind in ("handed_over", "resolved", "closed", "cancelled"):
            observe("incident_stage_seconds", (event.at - running.started_at) / SECOND, stage=running.name)
        match event.kind:
            case "opened":
                count("incidents_opened_total", **both, source=row.source)
            case "resolved":
                count("incidents_resolved_total", **both, resolution=row.resolution)
            case "reopened":
                count("incidents_reopened_total", **both)
            case "stage_overdue":
                count("incident_stages_overdue_total", service=service, stage=data["stage"])
            case "sla_breached":
                count("sla_breaches_total", **both, target=data["target"])
            case "satisfaction_rated":
                count("satisfaction_responses_total", service=service, score=str(data["score"]))
            case "change_linked" if len(row.changes) == 1:
                count("incidents_change_related_total", service=service)
            case "cancelled":
                count("incidents_cancelled_total", service=service, reason=data["reason"])
        if event.kind in ("closed", "cancelled"):
            exempt = event.kind == "cancelled" or {"exempt", "planned"} & set(row.flags)
            for which, verdict in zip(("response", "resolution"), data["verdict"], strict=True):
                if verdict["target"] is not None:
                    outcome = "exempt" if exempt else "breached" if verdict["met"] is False else "met"
                    count("sla_outcomes_total", **both, target=which, outcome=outcome)
            if event.kind == "closed" and "planned" not in row.flags:
                observe("incident_resolution_seconds", data["verdict"][1]["elapsed"] / SECOND, **both)
                assert row.resolved_at is not None
                observe("incident_restore_seconds", (row.resolved_at - row.started_at) / SECOND, service=service)
        clock, was = row.clock, before.clock if before is not None else None
        if (
            was is not None
            and was.responded_at is None
            and clock.responded_at is not None
            and event.kind != "cancelled"
            and "planned" not in row.flags
        ):
            observe("incident_response_seconds", (clock.responded_at - clock.opened_at) / SECOND, **both)
        pair = _weight(row)
        if pair != _weight(before):
            down, excused = pair
            was_down, was_excused = _weight(before)
            last = weights[service][-1] if weights[service] else (START, 0, 0)
            now_down, now_excused = last[1] + down - was_down, last[2] + excused - was_excused
            if last[1] == last[2] and now_down > now_excused:
                count("service_failures_total", service=service)
            weights[service].append((max(event.at, last[0]), now_down, now_excused))
    for service in {*weights, "shop", "hotline"}:
        _time(found, service, weights[service], windows.get(service, []), now)
    return dict(found)


def _weight(row: Incident | None) -> tuple[int, int]:
    if row is None or row.state not in UNRESOLVED or row.priority not in DOWN:
        return 0, 0
    return 1, int("planned" in row.flags)


def _time(
    found: Series, service: str, changes: list[tuple[Instant, int, int]], windows: list[tuple[Instant, Instant]], now: Instant
) -> None:  # fmt: skip
    """Measure every stretch between two instants at which anything changed."""
    marks = sorted(
        {START, now, *(at for at, _, _ in changes), *(at for window in windows for at in window if START < at < now)}
    )
    spans = {"agreed": 0, "unplanned": 0, "planned": 0}
    for start, end in pairwise(marks):
        inside = any(a <= start and end <= b for a, b in windows)
        _, down, excused = next((c for c in reversed(changes) if c[0] <= start), (0, 0, 0))
        spans["agreed"] += 0 if inside else end - start
        if down:
            spans["unplanned" if down > excused and not inside else "planned"] += end - start
    if service != "uncatalogued":
        found["service_time_seconds_total", (("service", service),)] = spans["agreed"] / SECOND
    for kind in ("unplanned", "planned"):
        found["service_downtime_seconds_total", (("service", service), ("kind", kind))] = spans[kind] / SECOND


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_after_whatever_happens_the_counters_equal_the_fold_of_the_timeline(data: st.DataObject) -> None:
    shop = Shop()
    shop.book.secret = secrets.token_bytes(8)
    windows: dict[str, list[tuple[Instant, Instant]]] = defaultdict(list)
    for step in range(data.draw(st.integers(1, 25), "steps")):
        act = data.draw(
            st.sampled_from(
                ["fire", "end", "open", "command", "command", "command", "time", "kill", "works", "change", "rate"]
            )
        )
        service = data.draw(st.sampled_from(SERVICES))
        if act in ("fire", "end"):
            severity = data.draw(st.sampled_from(["critical", "warning"]))
            shop.fire(
                data.draw(st.sampled_from("AB")) + service, firing=act == "fire", service=service, severity=severity
            )
        elif act == "open":
            priority = data.draw(st.sampled_from(["P1", "P2", "P3"]))
            shop.open(service, priority, major=data.draw(st.booleans()))
        elif act == "time":
            shop.advance(shop.now + data.draw(st.integers(1, 300)) * MINUTE)
        elif act == "kill":
            shop.restart()
            shop.now += data.draw(st.integers(0, 120)) * MINUTE
            shop.advance(shop.now)
        elif act == "works":
            end = shop.now + data.draw(st.integers(1, 90)) * MINUTE
            row = Posted(f"w{step}", "r", shop.now, end, (service,))
            shop.take(Announce(row, posted_window(row, compile_regex), ANN))
            windows[service].append((shop.now, end))
        elif act == "change":
            shop.take(RecordChange(service, "release", "1", None, "", ANN))
        else:
            _act(shop, act, data)
    shop.advance(shop.now)
    _check(shop, windows)
    shop.restart()
    _check(shop, windows)
    shop.advance(shop.now + 30 * HOUR)
    _check(shop, windows)


def _act(shop: Shop, act: str, data: st.DataObject) -> None:
    count = shop.resident.head.next_incident - 1
    if not count:
        return
    row = shop.see(data.draw(st.integers(1, count)))
    try:
        if act == "rate":
            token = satisfaction.token_of(shop.book, row)
            if token is not None:
                shop.take(Rate(satisfaction.digest(token), data.draw(st.integers(1, 5)), "fine"))
        else:
            name = data.draw(st.sampled_from(sorted(COMMANDS)))
            args = ARGS.get(
                name,
                {"priority": data.draw(st.sampled_from(["P1", "P3"])), "reason": "r"} if name == "priority" else {},
            )
            shop.do(name, row.id, **args)
    except (Refused, Invalid, Spent):
        pass


def _check(shop: Shop, windows: dict[str, list[tuple[Instant, Instant]]]) -> None:
    with shop.reader.connect() as connection:
        events = [recorded(row).event for row in shop.reader.events(connection)]
    merged = {service: list(united(stretches)) for service, stretches in windows.items()}
    expected = {series: value for series, value in fold(events, merged, shop.now).items() if value}
    known = {
        series: value for series, value in shop.facts().items() if value and dict(series[1]).get("service") != "bureau"
    }
    assert known.keys() == expected.keys()
    for series, value in expected.items():
        assert known[series] == pytest.approx(value, abs=1e-5), series
