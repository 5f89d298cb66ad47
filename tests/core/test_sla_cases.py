"""Worked cases of SPEC 3.5; ``RESPONDER_SLA_CASES`` names another file of the same format."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from responder.core.calendar import Calendar, compile_calendar, parse_wall
from responder.core.instant import format_instant, parse_instant
from responder.core.signal import SECOND
from responder.core.sla import ClockEvent, ClockInputs, Sla, fold, reading

FILE = Path(os.environ.get("RESPONDER_SLA_CASES") or Path(__file__).parents[1] / "cases" / "sla_cases.json")
CASES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KINDS = {
    "open": "opened",
    "ack": "acknowledged",
    "pause": "paused",
    "resume": "resumed",
    "priority": "priority_changed",
    "resolve": "resolved",
    "reopen": "reopened",
}


def calendar_of(case: dict[str, Any]) -> Calendar:
    written = case["calendar"]

    def hours(intervals: list[list[str]]) -> list[tuple[int, int]]:
        return [(parse_wall(start), parse_wall(end)) for start, end in intervals]

    return compile_calendar(
        written["timezone"],
        {WEEKDAYS.index(day): hours(intervals) for day, intervals in written["weekly"].items()},
        {date.fromisoformat(day) for day in written.get("holidays", ())},
        {date.fromisoformat(day): hours(intervals) for day, intervals in written.get("overrides", {}).items()},
    )


def sla_of(case: dict[str, Any]) -> Sla:
    def span(seconds: float | None) -> int | None:
        return None if seconds is None else round(seconds * SECOND)

    return Sla(
        name="case",
        calendar="case",
        targets={
            priority: (span(target.get("response_s")), span(target.get("resolution_s")))
            for priority, target in case["targets"].items()
        },
    )


def state_of(inputs: ClockInputs) -> str:
    if inputs.resolved_at is not None:
        return "resolved"
    if inputs.paused_since is not None:
        return "paused"
    return "open" if inputs.acknowledged_at is None else "acknowledged"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_clocks_read_what_was_worked_out_by_hand(case: dict[str, Any]) -> None:
    calendar, as_of = calendar_of(case), parse_instant(case["as_of"])
    events = [
        ClockEvent(parse_instant(event["at"]), seq, KINDS[event["type"]], event.get("priority"))
        for seq, event in enumerate(case["events"])
    ]
    continuous = (case.get("policy") or {}).get("reopen") == "continuous"
    inputs = fold(events, as_of, continuous=continuous)
    assert inputs is not None
    sla = sla_of(case)
    got: dict[str, Any] = {"state": state_of(inputs), "priority": inputs.priority}
    for which in ("response", "resolution"):
        shown = reading(inputs, which, sla, calendar, as_of)
        got |= {
            f"{which}_elapsed_s": shown.elapsed / SECOND,
            f"{which}_due": None if shown.due_at is None else format_instant(shown.due_at),
            f"{which}_met": shown.met,
            f"{which}_breached_at": None if shown.breached_at is None else format_instant(shown.breached_at),
            f"{which}_remaining_s": None if shown.remaining is None else shown.remaining / SECOND,
        }
    assert got == case["expect"]
