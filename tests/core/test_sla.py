import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.core.calendar import Calendar, compile_calendar, parse_hours
from responder.core.clocks import WOUND_BY
from responder.core.event import KINDS as EVENTS
from responder.core.instant import parse_instant
from responder.core.signal import DAY, HOUR, MINUTE, Instant
from responder.core.sla import (
    WHICH,
    Alarm,
    ClockEvent,
    ClockInputs,
    Reading,
    Sla,
    Which,
    apply,
    fold,
    next_alarms,
    reading,
)

quick = settings(max_examples=80, deadline=None, database=None)
ALWAYS = compile_calendar("Europe/Berlin", {}, always=True)
OFFICE = compile_calendar("Asia/Shanghai", {day: [parse_hours("09:00-18:00")] for day in range(5)})
NIGHT = {day: [parse_hours("22:00-06:00")] for day in range(7)}
CHANGING: list[tuple[Calendar, Instant]] = [  # each with an instant shortly before its clock is changed
    (compile_calendar("America/New_York", {6: [parse_hours("01:30-05:00")]}), parse_instant("2026-03-07T12:00:00Z")),
    (compile_calendar("Europe/Berlin", NIGHT), parse_instant("2026-10-24T12:00:00Z")),
    (compile_calendar("Australia/Lord_Howe", NIGHT), parse_instant("2026-04-04T00:00:00Z")),
    (compile_calendar("America/Santiago", NIGHT), parse_instant("2026-09-05T12:00:00Z")),
    (compile_calendar("Asia/Beirut", NIGHT), parse_instant("2026-03-28T06:00:00Z")),
    (
        compile_calendar("Asia/Kathmandu", {day: [parse_hours("10:15-12:00")] for day in range(7)}),
        1_770_000_000_000_000,
    ),
    (OFFICE, parse_instant("2026-06-05T06:00:00Z")),
    (ALWAYS, parse_instant("2026-03-28T22:00:00Z")),
]
GOLD = Sla(
    name="gold",
    calendar="office",
    targets={"P1": (10 * MINUTE, HOUR), "P2": (30 * MINUTE, 4 * HOUR), "P3": (HOUR, 8 * HOUR), "P4": (None, 9 * HOUR)},
    warn_at=(50, 75, 90),
)
MONDAY = parse_instant("2026-06-01T02:00:00Z")  # 10:00 in Shanghai
KINDS = ("acknowledged", "paused", "resumed", "resolved", "reopened", "priority_changed", "noted")

moments = st.tuples(
    st.one_of(st.integers(0, 3 * 1440), st.integers(0, 72).map(lambda hour: hour * 60)),
    st.sampled_from(KINDS),
    st.sampled_from(("P1", "P2", "P3", "P4", "P9")),
)
logs = st.builds(
    lambda first, rest: [(0, "opened", first), *rest],
    st.sampled_from(("P1", "P2", "P3")),
    st.lists(moments, max_size=9),
)
places = st.sampled_from(CHANGING)
Log = list[tuple[int, str, str]]


def events_of(log: Log, start: Instant) -> list[ClockEvent]:
    return [ClockEvent(start + at * MINUTE, seq, kind, priority) for seq, (at, kind, priority) in enumerate(log)]


def folded(events: list[ClockEvent], as_of: Instant) -> ClockInputs:
    inputs = fold(events, as_of)
    assert inputs is not None
    return inputs


def both(inputs: ClockInputs, calendar: Calendar, as_of: Instant, sla: Sla = GOLD) -> tuple[Reading, Reading]:
    return reading(inputs, "response", sla, calendar, as_of), reading(inputs, "resolution", sla, calendar, as_of)


def after(inputs: ClockInputs | None, *steps: tuple[Any, ...], start: Instant = MONDAY, **more: Any) -> ClockInputs:
    """Apply (kind, minutes from the start, priority?) one after the other."""
    for kind, minute, *priority in steps:
        inputs = apply(inputs, kind, start + minute * MINUTE, *priority, **more)
    assert inputs is not None
    return inputs


class Watch:
    """One clock as somebody with paper and pencil keeps it, minute by minute."""

    def __init__(self) -> None:
        self.elapsed = 0
        self.target: int | None = None
        self.stopped = self.paused = False
        self.breached_at: Instant | None = None

    def look(self, at: Instant) -> None:
        if self.target is not None and self.elapsed > self.target and self.breached_at is None:
            self.breached_at = at

    def minute(self, at: Instant, is_open: bool) -> None:
        if is_open and not self.stopped and not self.paused:
            self.elapsed += MINUTE
            self.look(at)


def watched(events: list[ClockEvent], calendar: Calendar, as_of: Instant) -> tuple[Watch, Watch]:
    """Keep both clocks by stepping through the minutes; the slow way to what the fold gives."""
    response, resolution = Watch(), Watch()
    todo = sorted(events, key=lambda event: (event.at, event.seq))
    priority = ""
    responded = False
    for at in range(todo[0].at, as_of + 1, MINUTE):
        while todo and todo[0].at == at:
            event = todo.pop(0)
            match event.kind:
                case "acknowledged" if not resolution.stopped:
                    responded = True
                case "paused" if not resolution.stopped:
                    resolution.paused = True
                case "resumed":
                    resolution.paused = False
                case "resolved":
                    resolution.stopped, resolution.paused, responded = True, False, True
                case "reopened":
                    resolution.stopped = False
                case "opened" | "priority_changed":
                    priority = event.priority or ""
            response.stopped = responded
            for watch, target in zip((response, resolution), GOLD.targets.get(priority, (None, None)), strict=True):
                if not watch.stopped:
                    watch.target = target
                    watch.look(at)
        if at < as_of:
            is_open = calendar.is_open(at)
            response.minute(at, is_open)
            resolution.minute(at, is_open)
    return response, resolution


@given(places, logs, st.integers(0, 4 * 1440))
@quick
def test_the_clocks_read_what_somebody_keeps_with_pencil_and_paper(
    place: tuple[Calendar, Instant], log: Log, minute: int
) -> None:
    calendar, start = place
    events, as_of = events_of(log, start), start + minute * MINUTE
    for watch, shown in zip(
        watched(events, calendar, as_of), both(folded(events, as_of), calendar, as_of), strict=True
    ):
        assert (shown.elapsed, shown.target, shown.breached_at) == (watch.elapsed, watch.target, watch.breached_at)
        stopped_in_time = True if watch.stopped and watch.target is not None else None
        assert shown.met is (False if watch.breached_at is not None else stopped_in_time)


@given(places, logs, st.integers(0, 4 * 1440), st.randoms(use_true_random=False))
@quick
def test_a_permuted_or_doubled_log_gives_the_same_clocks(
    place: tuple[Calendar, Instant], log: Log, minute: int, chance: random.Random
) -> None:
    _, start = place
    events, as_of = events_of(log, start), start + minute * MINUTE
    mixed = [*events, *events]
    chance.shuffle(mixed)
    assert fold(mixed, as_of) == fold(events, as_of)


@given(places, logs)
@quick
def test_row_after_row_gives_what_the_fold_gives_and_survives_json(place: tuple[Calendar, Instant], log: Log) -> None:
    _, start = place
    row: ClockInputs | None = None
    for event in sorted(events_of(log, start), key=lambda event: (event.at, event.seq)):
        row = apply(row, event.kind, event.at, event.priority)
        row = msgspec.json.decode(msgspec.json.encode(row), type=ClockInputs)
    assert row == fold(events_of(log, start), start + 9 * DAY)


@given(places, logs)
@quick
def test_a_clock_never_goes_back_and_what_is_breached_stays_breached(place: tuple[Calendar, Instant], log: Log) -> None:
    calendar, start = place
    events = events_of(log, start)
    before: tuple[Reading, Reading] | None = None
    for at in sorted({event.at for event in events} | {start + n * 7 * HOUR + n for n in range(14)}):
        shown = both(folded(events, at), calendar, at)
        for earlier, later in zip(before or (), shown, strict=False):
            assert later.elapsed >= earlier.elapsed
            if earlier.breached_at is not None:
                assert (later.breached_at, later.met, later.state) == (earlier.breached_at, False, "breached")
        before = shown


@given(places, logs)
@quick
def test_due_is_the_inverse_of_elapsed(place: tuple[Calendar, Instant], log: Log) -> None:
    calendar, start = place
    events = events_of(log, start)
    last = max(event.at for event in events)
    inputs = folded(events, last)
    for which in WHICH:
        shown = reading(inputs, which, GOLD, calendar, last)
        if shown.state == "running" and shown.due_at is not None and shown.due_at > last:
            assert reading(inputs, which, GOLD, calendar, shown.due_at).remaining == 0
            assert reading(inputs, which, GOLD, calendar, shown.due_at - 1).remaining == 1
        if shown.due_at is None:
            assert shown.target is None or inputs.paused_since is not None


@given(places, logs, st.integers(0, 4 * 1440))
@quick
def test_alarms_ring_when_the_readings_say_so(place: tuple[Calendar, Instant], log: Log, minute: int) -> None:
    """A breach is found at the very microsecond it is looked for and not one before; a warning has its share."""
    calendar, start = place
    as_of = start + minute * MINUTE
    inputs = folded(events_of(log, start), as_of)
    alarms = next_alarms(inputs, GOLD, calendar, as_of)
    assert alarms == [alarm for alarm in next_alarms(inputs, GOLD, calendar, 0) if alarm.acts_at > as_of]
    assert [alarm.acts_at for alarm in alarms] == sorted(alarm.acts_at for alarm in alarms)
    for alarm in alarms:
        shown = reading(inputs, alarm.which, GOLD, calendar, alarm.acts_at)
        earlier = reading(inputs, alarm.which, GOLD, calendar, alarm.acts_at - 1)
        if alarm.percent is None:
            assert (shown.breached_at, earlier.breached_at) == (alarm.at, None)
        else:
            assert shown.target is not None
            assert shown.elapsed * 100 == shown.target * alarm.percent


def alarms_of(inputs: ClockInputs, since: Instant = 0) -> list[tuple[str, int | None, float]]:
    """Return (clock, percent, minutes from Monday 10:00) of the alarms."""
    found: list[Alarm] = next_alarms(inputs, GOLD, OFFICE, since)
    return [(alarm.which, alarm.percent, (alarm.at - MONDAY) / MINUTE) for alarm in found]


def test_the_alarms_of_a_new_incident_are_its_warnings_and_breaches() -> None:
    inputs = after(None, ("opened", 0, "P1"))
    assert alarms_of(inputs) == [
        ("response", 50, 5), ("response", 75, 7.5), ("response", 90, 9), ("response", None, 10),
        ("resolution", 50, 30), ("resolution", 75, 45), ("resolution", 90, 54), ("resolution", None, 60),
    ]  # fmt: skip
    assert alarms_of(inputs, MONDAY + 54 * MINUTE) == [("resolution", None, 60)]


def test_a_clock_that_is_stopped_or_paused_rings_no_more() -> None:
    inputs = after(None, ("opened", 0, "P1"), ("acknowledged", 6), ("paused", 40))
    assert alarms_of(inputs, MONDAY + 40 * MINUTE) == []
    assert alarms_of(inputs) == [("response", 50, 5), ("resolution", 50, 30)]


def test_a_breach_outside_hours_rings_when_the_clock_moves_again() -> None:
    """Due at closing time; what is resolved during the night is still met."""
    inputs = after(None, ("opened", 0, "P3"), ("acknowledged", 1))
    assert alarms_of(inputs, MONDAY + 460 * MINUTE) == [("resolution", None, 23 * 60)]
    assert reading(inputs, "resolution", GOLD, OFFICE, MONDAY + 12 * HOUR).state == "running"
    assert reading(inputs, "resolution", GOLD, OFFICE, MONDAY).due_at == MONDAY + 8 * HOUR


def test_a_raise_rings_at_once_for_what_the_new_target_has_passed() -> None:
    inputs = after(None, ("opened", 0, "P3"), ("acknowledged", 1), ("priority_changed", 50, "P1"))
    assert alarms_of(inputs, MONDAY + 50 * MINUTE - 1) == [
        ("resolution", 75, 50), ("resolution", 90, 54), ("resolution", None, 60)
    ]  # fmt: skip
    late = after(None, ("opened", 0, "P3"), ("acknowledged", 1), ("priority_changed", 70, "P1"))
    assert alarms_of(late, MONDAY + 70 * MINUTE - 1) == [("resolution", None, 70)]
    [alarm] = next_alarms(late, GOLD, OFFICE, MONDAY + 70 * MINUTE - 1)
    assert alarm.acts_at == alarm.at, "the readings show the breach at the very instant of the raise"


def test_what_is_breached_is_not_warned_of_again_under_a_lower_priority() -> None:
    inputs = after(None, ("opened", 0, "P1"), ("acknowledged", 1), ("priority_changed", 90, "P3"))
    assert alarms_of(inputs, MONDAY + 90 * MINUTE) == []
    assert alarms_of(inputs, MONDAY + MINUTE) == [("resolution", None, 60)]


def test_a_raise_while_paused_breaches_when_the_target_comes_into_force() -> None:
    inputs = after(None, ("opened", 0, "P3"), ("acknowledged", 1), ("paused", 90), ("priority_changed", 120, "P1"))
    shown = reading(inputs, "resolution", GOLD, OFFICE, MONDAY + 3 * HOUR)
    assert (shown.breached_at, shown.met, shown.due_at) == (MONDAY + 2 * HOUR, False, None)


def test_a_target_that_is_already_exceeded_is_breached_though_it_is_in_force_for_no_time() -> None:
    inputs = after(None, ("opened", 0, "P3"), ("priority_changed", 61, "P1"), ("priority_changed", 61, "P3"))
    assert reading(inputs, "resolution", GOLD, OFFICE, MONDAY + 70 * MINUTE).breached_at == MONDAY + 61 * MINUTE


def test_a_priority_changed_while_resolved_counts_from_the_reopening() -> None:
    inputs = after(
        None, ("opened", 0, "P3"), ("resolved", 120), ("priority_changed", 130, "P1"), ("reopened", 140)
    )  # fmt: skip
    shown = reading(inputs, "resolution", GOLD, OFFICE, MONDAY + 141 * MINUTE)
    assert (shown.target, shown.breached_at) == (HOUR, MONDAY + 140 * MINUTE)
    assert reading(inputs, "response", GOLD, OFFICE, MONDAY + 141 * MINUTE).target == HOUR


def test_reopened_continuously_the_gap_counts() -> None:
    steps = (("opened", 0, "P1"), ("resolved", 30), ("reopened", 90))
    resumed, continuous = after(None, *steps), after(None, *steps, continuous=True)
    assert reading(resumed, "resolution", GOLD, OFFICE, MONDAY + 100 * MINUTE).elapsed == 40 * MINUTE
    shown = reading(continuous, "resolution", GOLD, OFFICE, MONDAY + 100 * MINUTE)
    assert (shown.elapsed, shown.breached_at) == (100 * MINUTE, MONDAY + HOUR)


def test_an_incident_without_target_is_measured_and_not_judged() -> None:
    inputs = after(None, ("opened", 0, "P9"), ("resolved", 30))
    for shown in both(inputs, OFFICE, MONDAY + HOUR):
        assert shown == Reading(None, 30 * MINUTE, None, None, None, None, "none")
    assert alarms_of(inputs) == []


def test_no_clock_runs_in_maintenance_and_both_start_at_its_end() -> None:
    planned = after(None, ("opened", 0, "P1"), planned=True)
    assert alarms_of(planned) == []
    for shown in both(planned, OFFICE, MONDAY + 3 * HOUR):
        assert (shown.elapsed, shown.due_at, shown.met, shown.state) == (0, None, None, "none")

    restarted = after(planned, ("restarted", 120), ("restarted", 120))
    assert restarted == after(None, ("opened", 120, "P1"))

    waiting = after(planned, ("acknowledged", 10), ("paused", 20), ("priority_changed", 30, "P2"), ("restarted", 120))
    response, resolution = both(waiting, OFFICE, MONDAY + 3 * HOUR)
    assert (response.elapsed, response.due_at, response.state) == (0, MONDAY + 130 * MINUTE, "met")
    assert (resolution.elapsed, resolution.state, resolution.target) == (0, "paused", 4 * HOUR)
    running = after(waiting, ("resumed", 130))
    assert reading(running, "resolution", GOLD, OFFICE, MONDAY + 3 * HOUR).elapsed == 50 * MINUTE


def test_what_is_resolved_inside_maintenance_is_exempt() -> None:
    inputs = after(after(None, ("opened", 0, "P1"), planned=True), ("resolved", 30), ("restarted", 120))
    assert [shown.state for shown in both(inputs, OFFICE, MONDAY + 3 * HOUR)] == ["exempt", "exempt"]


def test_an_exemption_takes_a_breach_out_and_keeps_its_instant() -> None:
    inputs = after(None, ("opened", 0, "P1"), ("resolved", 90), ("sla_exempted", 100), ("sla_exempted", 101))
    for shown in both(inputs, OFFICE, MONDAY + 2 * HOUR):
        assert (shown.state, shown.met) == ("exempt", None)
        assert shown.breached_at is not None
    assert alarms_of(inputs) == []


def test_a_recorded_breach_stays_whatever_the_sla_becomes() -> None:
    inputs = after(None, ("opened", 0, "P1"))
    inputs = after(inputs, ("sla_breached", 60), ("sla_breached", 61), breach="resolution")
    assert inputs == after(
        after(None, ("opened", 0, "P1")), ("sla_breached", 61), ("sla_breached", 60), breach="resolution"
    )
    generous = msgspec.structs.replace(GOLD, targets={"P1": (DAY, DAY)}, version=2, since=MONDAY + 70 * MINUTE)
    shown = reading(inputs, "resolution", generous, OFFICE, MONDAY + 2 * HOUR)
    assert (shown.breached_at, shown.target, shown.state) == (MONDAY + HOUR, DAY, "breached")


def test_an_open_incident_follows_the_newest_version_and_no_breach_is_dated_before_it() -> None:
    strict = msgspec.structs.replace(
        GOLD, targets={"P3": (MINUTE, 2 * HOUR)}, version=2, since=MONDAY + 3 * HOUR
    )  # fmt: skip
    inputs = after(None, ("opened", 0, "P3"), ("acknowledged", 30))
    response, resolution = both(inputs, OFFICE, MONDAY + 4 * HOUR, strict)
    assert (resolution.breached_at, resolution.due_at) == (MONDAY + 3 * HOUR, MONDAY + 2 * HOUR)
    assert (response.breached_at, response.met) == (None, True)  # it had stopped before


def test_a_version_does_not_judge_priorities_that_were_left_before_it() -> None:
    strict = msgspec.structs.replace(GOLD, targets={"P2": (0, 0), "P3": (DAY, DAY)}, since=MONDAY + 3 * HOUR)
    inputs = after(None, ("opened", 0, "P2"), ("priority_changed", 60, "P3"))
    assert [shown.met for shown in both(inputs, OFFICE, MONDAY + 4 * HOUR, strict)] == [None, None]


def test_a_closed_incident_keeps_its_verdict() -> None:
    inputs = after(None, ("opened", 0, "P1"), ("acknowledged", 5), ("resolved", 50))
    at = MONDAY + 60 * MINUTE
    verdict = both(inputs, OFFICE, at)
    closed = apply(inputs, "closed", at, verdict=verdict)
    closed = msgspec.json.decode(msgspec.json.encode(closed), type=ClockInputs)
    strict = msgspec.structs.replace(GOLD, targets={"P1": (0, 0)}, version=2)
    for step in ("closed", "reopened", "acknowledged", "paused", "resolved", "sla_breached", "cancelled", "noted"):
        assert apply(closed, step, at + MINUTE, "P1", breach="response") == closed
    assert both(closed, ALWAYS, at + DAY, strict) == verdict
    exempt = apply(closed, "sla_exempted", at + DAY)
    assert [shown.state for shown in both(exempt, ALWAYS, at + DAY, strict)] == ["exempt", "exempt"]


def test_a_cancelled_incident_is_exempt_and_its_clocks_stand_still() -> None:
    inputs = after(None, ("opened", 0, "P1"), ("cancelled", 20))
    for shown in both(inputs, OFFICE, MONDAY + DAY):
        assert (shown.state, shown.elapsed) == ("exempt", 20 * MINUTE)


@pytest.mark.parametrize(("which", "state"), [("response", "met"), ("resolution", "paused")])
def test_the_states_of_a_paused_incident(which: Which, state: str) -> None:
    inputs = after(None, ("opened", 0, "P1"), ("acknowledged", 5), ("paused", 10))
    assert reading(inputs, which, GOLD, OFFICE, MONDAY + DAY).state == state


def test_clocks_begin_with_an_opening() -> None:
    with pytest.raises(ValueError, match="begin with an opening"):
        apply(None, "acknowledged", MONDAY)
    with pytest.raises(ValueError, match="names no priority"):
        after(None, ("opened", 0, "P1"), ("priority_changed", 1))
    assert fold([ClockEvent(MONDAY, 0, "acknowledged")], MONDAY) is None
    assert fold([ClockEvent(MONDAY, 0, "opened", "P1")], MONDAY - 1) is None


def test_the_clocks_are_wound_by_each_kind_of_event_that_changes_one() -> None:
    running = apply(None, "opened", 0, "P1")
    paused = apply(running, "paused", 1)
    resolved = apply(running, "resolved", 1)
    planned = apply(None, "opened", 0, "P1", planned=True)
    changing = {
        kind
        for kind in (*EVENTS, "restarted")
        for inputs in (running, paused, resolved, planned)
        if apply(inputs, kind, 2, "P2", breach="response") != inputs
    }
    assert (changing - {"restarted"}) | {"opened", "flagged"} == WOUND_BY
