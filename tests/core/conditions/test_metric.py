import math
from typing import Any

import pytest

from responder.core.conditions import at_rest, step
from responder.core.conditions.state import Sampled, State
from responder.core.rule import Bound
from responder.core.signal import MINUTE, SECOND

from .helpers import Series, at, fires, passes

LOW = Bound("below", 540.0, hold=5 * MINUTE)


def test_opens_at_the_first_evaluation_at_which_for_has_been_met() -> None:
    series = Series(hold=2)
    assert series.run(10, 700, 700, 700, 700) == []  # first met at 0.5
    assert series.key.state.phase == "pending"
    assert series.run(700) == [("opens", 2.5)]


def test_without_for_it_opens_and_closes_at_once() -> None:
    assert Series().run(10, 700, 700, 10, 700) == [("opens", 0.5), ("closes", 1.5), ("opens", 2)]


def test_one_value_below_starts_pending_anew() -> None:
    assert Series(hold=1).run(700, 700, 10, 700, 700, 700) == [("opens", 2.5)]


def test_a_for_between_two_evaluations_is_judged_at_the_later_one() -> None:
    assert Series(hold=0.75).run(700, 700, 700) == [("opens", 1)]


def test_stays_open_inside_the_band_and_closes_after_its_own_for() -> None:
    series = Series(hold=2, close=LOW)
    assert series.run(*[700] * 5) == [("opens", 2)]
    assert series.run(*[570] * 20, *[100] * 10) == []
    assert series.key.state.phase == "closing"
    assert series.run(100) == [("closes", 17.5)]


def test_closing_starts_anew_when_the_band_is_entered() -> None:
    series = Series(close=LOW)
    assert series.run(700, *[100] * 10, 570) == [("opens", 0)]
    assert series.key.state.phase == "open"
    assert series.run(*[100] * 10) == []
    assert series.run(100) == [("closes", 11)]


@pytest.mark.parametrize(
    ("bound", "meeting", "other"),
    [
        ({"op": "above", "a": 1.0}, [1.1, math.inf], [1.0, -math.inf]),
        ({"op": "below", "a": 1.0}, [0.9, -math.inf], [1.0, math.inf]),
        ({"op": "outside", "a": 1.0, "b": 2.0}, [0.9, 2.1, math.inf, -math.inf], [1.0, 1.5, 2.0]),
        ({"op": "equal", "a": 1.0}, [1.0], [0.9, math.inf]),
        ({"op": "equal", "a": math.inf}, [math.inf], [-math.inf, 0]),
        ({"op": "not_equal", "a": 1.0}, [0.9, math.inf], [1.0]),
    ],
)
def test_thresholds_are_strict_and_infinities_compare(
    bound: dict[str, Any], meeting: list[float], other: list[float]
) -> None:
    for value in meeting:
        assert Series(**bound).run(value) == [("opens", 0)]
    for value in other:
        assert Series(**bound).run(value) == []


def test_each_series_waits_for_itself() -> None:
    series = Series(hold=1)
    assert [series.sample(*values) for values in [(700, 10), (10, 700), (700, 700)]] == [[], [], []]
    assert series.sample(10, 700) == [("opens", 1.5)]  # series 1 since 0.5


def test_closes_when_all_series_have_met_close_for_its_for() -> None:
    series = Series(close=Bound("below", 540.0, hold=1 * MINUTE))
    assert [series.sample(*values) for values in [(700, 10), (700, 10), (10, 10), (10, 10)]][1:] == [[]] * 3
    assert series.sample(10, 10) == [("closes", 2)]


def test_a_new_series_has_its_own_for_before_all_can_close() -> None:
    series = Series(close=Bound("below", 540.0, hold=1 * MINUTE))
    series.run(700, 10)
    assert series.sample(10, 10) == []  # series 1 is new at 1.0
    assert series.sample(10, 10) == []
    assert series.sample(10, 10) == [("closes", 2)]


def test_a_vanished_series_neither_opens_nor_keeps_open() -> None:
    pending = Series(hold=1)
    assert [pending.sample(10, s1=700), pending.sample(10), pending.sample(10, s1=700)] == [[]] * 3
    assert pending.sample(10, s1=700) == [] and pending.sample(10, s1=700) == [("opens", 2)]
    kept = Series(close=Bound("below", 540.0, hold=1 * MINUTE))
    assert kept.sample(10, s1=700) == [("opens", 0)]
    assert [kept.sample(10, s1=700), kept.sample(10)] == [[], [("closes", 1)]]  # series 0 was fine all along


def test_keep_changes_nothing_without_data() -> None:
    open_ = Series(close=LOW)
    assert open_.run(700, *[None] * 100) == [("opens", 0)]
    assert Series().run(10, *[None] * 100) == []
    assert Series(hold=2).run(700, None, None, None, 700) == [("opens", 2)]


def test_keep_restarts_pending_when_data_was_away_for_long() -> None:
    series = Series(hold=2)
    assert series.run(700, 700, *[None] * 12, 700, 700, 700, 700) == []
    assert series.run(700) == [("opens", 9)]


def test_keep_restarts_pending_after_a_gap_in_evaluations_that_ends_without_data() -> None:
    series = Series(hold=2)
    assert series.run(700) == []
    series.skip(8)
    assert series.run(None, 700, 700) == []


def test_close_acts_at_once_without_data() -> None:
    assert Series("close", close=LOW).run(700, 700, None, 700) == [("opens", 0), ("closes", 1), ("opens", 1.5)]
    assert Series("close", hold=1).run(700, 700, None, 700, 700, 700) == [("opens", 2.5)]


def test_open_passes_through_for_without_data() -> None:
    series = Series("open", hold=1)
    assert series.run(10, None, None) == []
    assert series.key.state.phase == "pending"
    assert series.run(None, None) == [("opens", 1.5)]
    assert series.key.edges[-1].value is None
    assert series.run(10) == [("closes", 2.5)]


def test_open_without_data_keeps_open_and_does_not_close() -> None:
    assert Series("open", close=LOW).run(700, *[100] * 5, *[None] * 20, *[100] * 10) == [("opens", 0)]


def test_data_that_returns_ends_the_pending_of_no_data() -> None:
    assert Series("open", hold=1).run(10, None, None, 10, None, None) == []


def test_a_gap_in_evaluations_over_five_minutes_restarts_pending() -> None:
    series = Series(hold=8)
    series.run(700)
    series.skip(4.5)
    assert series.run(700) == []  # at 5: exactly 5m is no gap
    series.skip(4.6)
    assert series.run(*[700] * 16) == []  # at 10.1: pending anew
    assert series.run(700) == [("opens", 18.1)]


def test_a_gap_restarts_closing_too() -> None:
    series = Series(close=LOW)
    series.run(700, 100)
    series.skip(30)
    assert series.run(*[100] * 10) == []
    assert series.run(100) == [("closes", 36)]


def test_after_a_start_that_knows_no_evaluation_the_record_itself_is_the_measure() -> None:
    series = Series(hold=3)
    series.run(700)
    near = step(series.when, series.key.state, Sampled(at(4), ((0, 700.0),)))
    assert [e.at for e in near.edges] == [at(4)]
    far = step(series.when, series.key.state, Sampled(at(40), ((0, 700.0),)))
    assert (far.edges, far.state.phase, far.state.since) == ((), "pending", at(40))


def test_a_clock_10_min_behind_stands_still() -> None:
    series = Series(hold=1)
    series.skip(20)
    series.run(700)
    series.skip(-10.5)
    assert series.run(*[700] * 20) == []
    assert [m for _, m in series.run(*[700] * 3)] == [21]


def test_a_clock_30_min_ahead_opens_nothing_that_was_not_watched() -> None:
    series = Series(hold=2)
    series.run(700)
    series.skip(30)
    assert series.run(700, 700) == []


def test_the_same_evaluation_twice_is_once() -> None:
    series = Series(hold=1)
    series.run(700, 700)
    series.skip(-0.5)
    assert series.run(700, 700) == [("opens", 1)]


def test_the_edge_tells_the_value_farthest_from_the_threshold() -> None:
    series = Series()
    series.sample(10, 700, 900)
    assert (series.key.edges[-1].value, series.key.state.value) == (900, 900)
    series.sample(10, 500)
    assert series.key.edges[-1].value == 500  # nearest to opening again
    outside = Series(op="outside", a=10.0, b=20.0)
    outside.sample(4, 21)
    assert outside.key.edges[-1].value == 4


@pytest.mark.parametrize("no_data", ["keep", "close", "open"])
def test_values_alone_change_no_state(no_data: str) -> None:
    when = Series(no_data, hold=1, close=LOW).when
    for state in (State(), State("closed", at(0)), State("open", at(0), 700.0)):
        quiet = 10.0 if state.phase == "closed" else 650.0
        for value in (quiet, quiet + 1):
            assert step(when, state, Sampled(at(1), ((0, value), (1, value)), at(0.5))).state is state
    for state in (State(), State("open", at(0), 700.0)):
        if no_data == "keep" or (no_data == "open" and state.phase == "open"):
            assert step(when, state, Sampled(at(1), (), at(0.5))).state is state


def test_pending_changes_its_state_only_when_a_series_comes_or_goes() -> None:
    when = Series(hold=5).when
    first = step(when, State(), Sampled(at(1), ((0, 700.0),), at(0.5))).state
    assert step(when, first, Sampled(at(1.5), ((0, 800.0),), at(1))).state is first
    assert step(when, first, Sampled(at(1.5), ((0, 800.0), (1, 700.0)), at(1))).state != first


def test_is_at_rest_after_pending_and_after_closing() -> None:
    series = Series(hold=1)
    series.run(700, 10)
    assert at_rest(series.key.state)
    series.run(700, 700, 700, 10)
    assert at_rest(series.key.state)


def test_alerts_and_time_do_not_concern_it() -> None:
    state = State("open", at(0), 700.0)
    for told in (fires(1), passes(SECOND)):
        assert step(Series().when, state, told).state is state
