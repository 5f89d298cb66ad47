"""What people do to problems while alerts go on: through the whole daemon but its rim, on a virtual clock."""

import random
from typing import Any

import pytest

from responder.core.book import UNKNOWN
from responder.core.desk import Desk, ProblemRow
from responder.core.event import Actor
from responder.core.incident import Incident
from responder.core.lifecycle import Invalid, Opening, Refused
from responder.core.problem import problem_of
from responder.core.problem_commands import command
from responder.core.signal import DAY, HOUR, MINUTE, SECOND
from responder.handlers.commands import OpenByHand, OpenProblem
from tests.test_correlating import SHOP, Shop, services

ANN = Actor("person", "ann")


def storm() -> Shop:
    """Return a shop with one problem of three incidents, INC-1 to INC-3."""
    shop = Shop(SHOP)
    for service in ("db", "api", "web"):
        shop.fire(SECOND, "CpuHigh", service=service)
    return shop


def test_an_incident_that_is_reopened_says_that_the_solution_of_its_problem_did_not_hold() -> None:
    for state in ("resolved", "closed"):
        shop = storm()
        shop.command("state", 1, state=state)
        shop.fire(SECOND, "CpuHigh", firing=False, service="db")
        for _ in range(2):
            shop.fire(MINUTE, "CpuHigh", service="db")
            shop.fire(MINUTE, "CpuHigh", firing=False, service="db")
        found = shop.rehearsal.reader.problem(1)
        assert found is not None
        words = [(review.words, review.effective, review.incident) for review in found.problem.reviews]
        assert words == [(f"INC-1 came again after it was {state}", False, 1)]
        assert found.problem.state == state


def test_an_incident_that_began_before_the_solution_says_nothing_against_it() -> None:
    shop = storm()
    shop.fire(SECOND, "DiskFull", service="elsewhere")
    shop.command("state", 1, state="resolved")
    assert shop.command("link", 1, incident=4).problem.reviews == ()


def test_a_problem_that_is_investigated_again_takes_what_comes() -> None:
    shop = storm()
    shop.command("state", 1, state="resolved")
    shop.fire(SECOND, "DiskFull", service="web")
    assert [len(group) for group in shop.grouping()] == [3]
    shop.command("state", 1, state="investigating")
    shop.fire(SECOND, "DiskFull", service="db")
    assert [len(group) for group in shop.grouping()] == [5], "with what stood alone beside it"


def by_hand(shop: Shop, *incidents: int) -> ProblemRow:
    row: ProblemRow = shop.rehearsal.take(OpenProblem({"title": "T", "incidents": incidents}, ANN))
    return row


def shown(shop: Shop) -> dict[int, int | None]:
    """Return which problem each incident shows."""
    return {row.id: row.problem for row in shop.rehearsal.resident.incidents.values()}


def correlated(shop: Shop) -> float:
    """Return what the counter of incidents that were linked to a problem says."""
    facts = shop.rehearsal.resident.facts
    return sum(value for (name, _), value in facts.items() if name == "incidents_correlated_total")


def test_an_incident_goes_on_showing_the_problem_that_a_person_put_it_in() -> None:
    shop = Shop(SHOP)
    shop.fire(SECOND, "CpuHigh", service="db")
    by_hand(shop, 1)
    shop.fire(SECOND, "CpuHigh", service="api")
    assert shop.grouping() == [{"db/CpuHigh"}, {"db/CpuHigh", "api/CpuHigh"}]
    assert shown(shop) == {1: 1, 2: 2}


def test_an_incident_that_is_linked_by_hand_leaves_the_problem_that_it_was_in() -> None:
    shop = storm()
    shop.fire(20 * MINUTE, "DiskFull", service="db")
    shop.fire(SECOND, "DiskFull", service="api")
    assert [row.incidents for row in shop.problems()] == [(1, 2, 3), (4, 5)]
    shop.command("link", 2, incident=3)
    assert [row.incidents for row in shop.problems()] == [(1, 2), (4, 5, 3)]
    assert shown(shop)[3] == 2
    shop.command("unlink", 2, incident=3)
    assert shown(shop)[3] is None


def test_an_incident_that_a_person_took_out_comes_back_by_hand_only() -> None:
    shop = storm()
    shop.command("unlink", 1, incident=2)
    for _ in range(2):
        shop.fire(2 * MINUTE, "CpuHigh", firing=False, service="api")
        shop.fire(2 * MINUTE, "CpuHigh", service="api")
        assert [row.incidents for row in shop.problems()] == [(1, 3)]
    shop.fire(SECOND, "DiskFull", service="db")
    assert [row.incidents for row in shop.problems()] == [(1, 3, 4)], "the problem takes others as before"
    shop.command("link", 1, incident=2)
    assert shown(shop) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_of_two_problems_of_different_origin_that_are_merged_the_one_takes_what_either_would_have_taken() -> None:
    for number, into in ((1, 2), (2, 1)):
        shop = Shop(SHOP.replace("db: {", "tape: {team: ops}\n  db: {"))
        shop.fire(0, "CpuHigh", service="tape")
        by_hand(shop, 1)
        for service in ("api", "web"):
            shop.fire(SECOND, "CpuHigh", service=service)
        shop.command("merge", number, into=into)
        shop.fire(SECOND, "DiskFull", service="db")
        shop.fire(SECOND, "CpuHigh", firing=False, service="tape")
        shop.fire(2 * MINUTE, "CpuHigh", service="tape")
        [row] = [row for row in shop.problems() if row.problem.merged_into is None]
        assert (row.problem.id, sorted(row.incidents)) == (into, [1, 2, 3, 4])
        assert set(shown(shop).values()) == {into}
        shop.command("unlink", into, incident=2)
        assert shown(shop)[2] is None


def test_what_is_moved_long_after_it_was_over_is_in_its_former_problem_no_more() -> None:
    for manual in (False, True):
        shop = storm()
        if manual:
            former, number = by_hand(shop, 1, 2).problem.id, by_hand(shop, 3).problem.id
        else:
            former, number = 1, shop.command("split", 1, incidents=[3]).problem.id
        for service in ("db", "api", "web"):
            shop.fire(SECOND, "CpuHigh", firing=False, service=service)
        shop.wait(3 * DAY)
        shop.forget()
        assert shop.command("link", number, incident=1).incidents == (3, 1)
        assert [row.incidents for row in shop.problems() if row.problem.id == former] == [(2,)]
        by_hand(shop, 1)
        assert [row.incidents for row in shop.problems() if row.problem.id == number] == [(3,) if manual else (3, 1)]


def test_a_problem_is_not_merged_into_one_that_was_closed_a_moment_ago() -> None:
    shop = storm()
    by_hand(shop, 1)
    desk, house = Desk(shop.rehearsal.resident), shop.rehearsal
    one, other = (desk.problems.get(number) for number in (1, 2))
    assert one is not None and other is not None
    command(desk, house.book, "state", other, {"state": "closed"}, house.now, ANN)
    with pytest.raises(Invalid, match="PRB-2 that is not closed"):
        command(desk, house.book, "merge", one, {"into": 2}, house.now, ANN)


def test_an_incident_counts_as_correlated_once_wherever_it_is_moved() -> None:
    shop = storm()
    shop.command("split", 1, incidents=[2, 3])
    shop.command("merge", 2, into=1)
    assert shown(shop) == {1: 1, 2: 1, 3: 1}
    assert correlated(shop) == 3


def offered(shop: Shop, alertname: str, service: str) -> int | None:
    """Return the known error that a new incident is offered."""
    shop.fire(MINUTE, alertname, service=service)
    return max(shop.rehearsal.resident.incidents.values(), key=lambda row: row.id).known_error


def test_a_known_error_is_known_after_its_problem_is_merged_split_and_linked() -> None:
    shop = storm()
    shop.fire(SECOND, "DiskFull", service="db")
    shop.command("split", 1, incidents=[2, 3])
    shop.command("workaround", 2, text="turn it off and on")
    shop.command("state", 2, state="known_error")
    assert offered(shop, "MemoryFull", "db") is None
    shop.command("split", 2, incidents=[3])
    shop.command("merge", 2, into=1)
    [row] = [row for row in shop.problems() if row.problem.id == 1]
    assert (row.problem.state, row.problem.workaround) == ("known_error", "turn it off and on")
    shop.command("unlink", 1, incident=2)
    shop.command("cause", 1, text="a fan", service="db")
    assert offered(shop, "SwapFull", "db") == 1


def test_a_known_error_is_offered_to_what_is_like_all_of_its_incidents_also_those_that_came_later() -> None:
    shop = storm()
    shop.command("cause", 1, text="a fan", service="db")
    shop.command("state", 1, state="known_error")
    assert offered(shop, "DiskFull", "db") is None
    shop.problems()  # it belongs to the problem, and is looked at as the causes are ranked again
    assert offered(shop, "MemoryFull", "db") == 1


def test_of_several_known_errors_the_one_with_most_in_common_is_offered() -> None:
    shop = storm()
    shop.fire(SECOND, "DiskFull", service="db")
    for incidents in ([1, 4], [1], [1, 4]):  # anything of db, CpuHigh of db, anything again
        number = by_hand(shop, *incidents).problem.id
        shop.command("workaround", number, text="turn it off and on")
        shop.command("state", number, state="known_error")
    shop.fire(SECOND, "CpuHigh", firing=False, service="db")
    shop.wait(HOUR)
    assert offered(shop, "CpuHigh", "db") == 3
    assert offered(shop, "SwapFull", "db") == 4


SEVERAL = """
problems:
  - {id: cause, depends: {within: 10m}, owner: ops}
  - {id: host, group: {same: [instance], at_least: 2, within: 30m}, owner: ops}
  - {id: back, recur: {same: [rule, service], at_least: 3, within: 30d}, owner: ops}
"""


def something_happens(shop: Shop, chance: random.Random) -> None:
    """Send an alert or its end, let time pass, or do something to a problem by hand."""
    incidents, numbers = sorted(shop.rehearsal.resident.incidents), sorted(shop.rehearsal.resident.problems)
    service, instance = chance.choice(["web", "api", "db", "tape", "x"]), chance.choice("ab")
    what = chance.randrange(10)
    match what:
        case 0 | 1 | 2 | 3 | 4:
            wait, name = chance.choice([SECOND, MINUTE, 5 * MINUTE]), chance.choice(["CpuHigh", "DiskFull"])
            shop.fire(wait, name, firing=what != 4, service=service, instance=instance)
        case 5:
            shop.wait(chance.choice([MINUTE, HOUR, 3 * HOUR]))
            shop.forget()
        case 6 if incidents:
            by_hand(shop, *chance.sample(incidents, min(2, len(incidents))))
        case _ if numbers:
            number, incident = chance.choice(numbers), chance.choice(incidents or [1])
            known = shop.rehearsal.resident.problems[number].incidents
            commands: list[tuple[str, dict[str, Any]]] = [
                ("link", {"incident": incident}), ("unlink", {"incident": incident}), ("cause", {"text": "a fan"}),
                ("split", {"incidents": chance.sample(known, len(known) // 2 or len(known))}),
                ("merge", {"into": chance.choice(numbers)}),
                ("state", {"state": chance.choice(["investigating", "known_error", "resolved", "closed"])}),
            ]  # fmt: skip
            name, args = chance.choice(commands)
            shop.command(name, number, **args)


@pytest.mark.parametrize("seed", [0, 2, 15])
def test_whatever_happens_an_incident_shows_a_problem_that_lists_it_and_is_listed_once(seed: int) -> None:
    shop, chance = Shop(services(web="api", api="db", db="", tape="") + SEVERAL), random.Random(seed)
    for _ in range(60):
        try:
            something_happens(shop, chance)
        except (Invalid, Refused):
            continue
        rows = {row.problem.id: row for row in shop.problems()}
        assert [len(set(row.incidents)) for row in rows.values()] == [row.count for row in rows.values()]
        resident = shop.rehearsal.resident
        for id, incident in resident.incidents.items():
            listed = {number for number, row in rows.items() if id in row.incidents}
            assert incident.problem in listed or (incident.problem is None and not listed & resident.problems.keys())
            at_work = {problem_of(spec, id, resident.board) for spec in ("cause", "host", "back")}
            assert at_work & resident.problems.keys() <= listed


def report(shop: Shop, service: str, title: str = "Customers complain") -> int:
    opening = Opening(service, title, "P2", "manual", shop.rehearsal.now)
    row: Incident = shop.rehearsal.take(OpenByHand(opening, Actor("person", "ann")))
    return row.id


def test_what_a_person_reports_joins_the_problem_around_its_service() -> None:
    shop = storm()
    assert report(shop, "web") == 4
    assert [row.incidents for row in shop.problems()] == [(1, 2, 3, 4)]
    assert shown(shop)[4] == 1


def test_an_alert_beside_what_a_person_reported_makes_a_problem_of_both_in_the_persons_words() -> None:
    shop = Shop(SHOP)
    report(shop, "api", "Checkout hangs")
    shop.fire(MINUTE, "CpuHigh", service="db")
    assert [row.incidents for row in shop.problems()] == [(1, 2)]
    shop.rehearsal.advance(shop.rehearsal.now + MINUTE)
    reasons = [cause.reason for row in shop.problems() for cause in row.problem.causes]
    assert any("Checkout hangs" in reason for reason in reasons), reasons


def test_reports_of_services_that_have_nothing_to_do_with_each_other_stay_apart() -> None:
    shop = storm()
    report(shop, "elsewhere")
    report(shop, UNKNOWN)
    assert [row.incidents for row in shop.problems()] == [(1, 2, 3)]
