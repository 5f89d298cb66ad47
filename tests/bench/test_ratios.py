"""Ratios that hold on any machine and under any load, because both sides are CPU time of one process."""

from tests.bench.growth import book_with, index_cost, join_costs, repeat_cost


def test_the_alert_that_joins_last_costs_what_the_first_did():
    ratio, _, _ = join_costs(count=2_560, rounds=3)

    assert ratio < 3


def test_a_thousand_rules_cost_a_known_alert_what_ten_do():
    few, many = book_with(10), book_with(1_000)

    assert min(index_cost(many, 1_000) for _ in range(3)) < 4 * min(index_cost(few, 1_000) for _ in range(3))
    assert min(repeat_cost(many, 1_000) for _ in range(3)) < 4 * min(repeat_cost(few, 1_000) for _ in range(3))
