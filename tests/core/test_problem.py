"""The life of a problem."""

import pytest
from msgspec.structs import replace

from responder.core.board import Board
from responder.core.catalogue import Depends, ProblemSpec, Recur
from responder.core.causes import Cause
from responder.core.problem import (
    ALLOWED,
    Unlawful,
    begun,
    ended,
    hold_until,
    known_error,
    link,
    matches,
    merge,
    move,
    rated,
    recurred,
    split,
    unlink,
)
from responder.core.signal import DAY, HOUR, MINUTE
from responder.core.topology import Topology

SPEC = ProblemSpec("shared", "noc", Depends(5 * MINUTE, hold_notifications=2 * MINUTE), due=80 * HOUR)


def test_a_problem_goes_its_way_and_is_due_after_its_entry_says():
    problem = begun(SPEC, 4, "", 0)
    assert (problem.origin, problem.owner, problem.due_at) == ("depends", "noc", 80 * HOUR)
    problem = replace(move(problem, "investigating", 1), workaround="restart it")
    problem = move(move(problem, "known_error", 2), "resolved", 3)
    assert problem.resolved_at == 3 and problem.closed_at is None
    assert move(problem, "resolved", 9) == problem
    back = move(problem, "investigating", 4)
    assert back.resolved_at is None
    closed = move(problem, "closed", 5)
    assert (closed.resolved_at, closed.closed_at) == (3, 5)


@pytest.mark.parametrize("state", ALLOWED)
def test_anything_else_is_refused_with_what_is_allowed_now(state):
    problem = replace(begun(None, 1, "ann", 0), state=state, workaround="x")
    for other in set(ALLOWED) - {state, *ALLOWED[state]}:
        with pytest.raises(Unlawful) as refusal:
            move(problem, other, 1)
        assert refusal.value.allowed == ALLOWED[state]


def test_a_known_error_needs_a_cause_or_a_workaround():
    with pytest.raises(Unlawful, match="workaround"):
        move(begun(None, 1, "ann", 0), "known_error", 1)


def test_a_known_error_is_offered_to_incidents_with_one_of_its_rules_and_all_of_its_equal_labels():
    problem = replace(begun(SPEC, 4, "", 0), workaround="restart it")
    incidents = [("slow", {"region": "eu", "pod": "a"}), ("errors", {"region": "eu", "pod": "b"})]
    assert known_error(problem, incidents) is None
    error = known_error(move(problem, "known_error", 1), incidents)
    assert error is not None and error.labels == {"region": "eu"}
    assert matches(error, "errors", {"region": "eu", "pod": "c"})
    assert not matches(error, "errors", {"region": "us"})
    assert not matches(error, "errors", {})
    assert not matches(error, "other", {"region": "eu"})


def test_a_known_error_is_known_again_when_it_is_worse():
    problem = move(replace(begun(SPEC, 4, "noc", 0), workaround="restart"), "known_error", 1)
    error = known_error(problem, [("slow", {"region": "eu", "severity": "warning"})])
    assert error is not None and matches(error, "slow", {"region": "eu", "severity": "critical"})


def test_the_likeliest_cause_names_the_problem_until_a_person_named_the_root():
    db, web = (Cause(name, name, 0.6, "") for name in ("db", "web"))
    problem = rated(begun(SPEC, 4, "", 0), (web, db), 2)
    assert (problem.service, problem.title) == ("web", "web: 2 incidents with one cause")
    problem = rated(problem, (db, web), 3)
    assert problem.service == "db"
    problem = rated(replace(problem, root_cause="full disk"), (web,), 3)
    assert problem.service == "db" and problem.causes == (web,)
    assert problem.title == "db: 3 incidents with one cause"


def test_the_title_counts_the_incidents_that_are_left_also_when_the_root_is_named():
    problem = rated(begun(SPEC, 4, "", 0), (Cause("db", "db", 0.6, ""),), 2)
    problem = rated(replace(problem, root_cause="full disk", service="san"), problem.causes, 3)
    assert problem.title == "san: 3 incidents with one cause"
    assert rated(problem, problem.causes, 1).title == "san: 1 incident"


def test_incidents_that_came_again_are_not_said_to_have_one_cause():
    recurring = begun(ProblemSpec("back", "noc", Recur(("rule",), 3, DAY)), 4, "", 0)
    assert rated(recurring, (Cause("db", "db", 1.0, ""),), 3).title == "db: 3 incidents that are alike"


def test_an_incident_after_the_resolution_says_that_it_did_not_hold():
    problem = recurred(move(begun(SPEC, 4, "", 0), "resolved", 1), 9, 2)
    assert [(review.at, review.effective) for review in problem.reviews] == [(2, False)]
    assert recurred(problem, 9, 3) == problem


def test_messages_wait_for_a_root_but_not_those_of_a_p1_or_of_the_lowest():
    shop = Topology({"web": ["db"], "db": []})
    assert hold_until(SPEC, "P2", ["web"], shop, 0) == 2 * MINUTE
    assert hold_until(SPEC, "P1", ["web"], shop, 0) is None
    assert hold_until(SPEC, "P2", ["db"], shop, 0) is None
    assert hold_until(ProblemSpec("x", "noc", Depends(MINUTE)), "P2", ["web"], shop, 0) is None


def test_by_hand_incidents_are_linked_split_off_and_merged_again():
    board = Board()
    for incident in (1, 2, 3):
        board.apply(link(10, "shared", incident, 5, board).rows)
    turn = split(10, "shared", [2, 3], 11, 6, board)
    board.apply(turn.rows)
    assert turn.decisions[0].incidents == (2, 3)
    assert [board.linked("shared", n).problem for n in (1, 2, 3)] == [10, 11, 11]
    board.apply(unlink(11, 3, ["shared"], board))
    assert board.linked("shared", 3) is None
    board.apply(split(11, "shared", [], 12, 7, board).rows)
    board.apply(merge(12, 11, [], 8, board).rows)
    assert board.held(12).id == 11
    with pytest.raises(Unlawful):
        merge(11, 12, [], 9, board)
    board.apply(ended(11, board))
    assert board.held(12).over
