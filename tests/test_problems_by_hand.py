"""What people do to problems while alerts go on: through the whole daemon but its rim, on a virtual clock."""

from responder.core.signal import MINUTE, SECOND
from tests.test_correlating import SHOP, Shop


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
    assert [len(group) for group in shop.grouping()] == [4]
