"""Which incidents belong to one problem."""

import time
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from responder.core.board import Board, Decision, Join, Merge, Onset, Part, Rows, Start
from responder.core.catalogue import Depends, Group, ProblemSpec, Recur
from responder.core.causes import Weights, fact, rank
from responder.core.correlation import consider
from responder.core.settling import Settling
from responder.core.signal import DAY, HOUR, MINUTE, SECOND
from responder.core.topology import Topology

DEPENDS = ProblemSpec("cause", "noc", Depends(5 * MINUTE))
SHOP = Topology({"web": ["api", "search"], "api": ["db"], "search": [], "db": [], "mail": ["smtp"], "smtp": []})


class House:
    """The plainest engine: one incident for each name told, problems as lists."""

    def __init__(self, *specs: ProblemSpec, topology: Topology = SHOP) -> None:
        self.specs, self.topology, self.board = specs or (DEPENDS,), topology, Board()
        self.problems: dict[int, list[int]] = {}
        self.closed: set[int] = set()
        self.incidents: dict[object, int] = {}
        self.decisions: list[Decision] = []

    def fires(
        self,
        alertname: str,
        service: str,
        at: float,
        incident: object = None,
        labels: dict[str, str] | None = None,
        **more: str,
    ) -> list[Decision]:
        name = incident if incident is not None else (alertname, service, *sorted(more.items()))
        opens = name not in self.incidents
        number = self.incidents.setdefault(name, len(self.incidents) + 1)
        alert = {"alertname": alertname, "service": service, **more}
        turn = consider(
            self.specs,
            Onset(
                incident=number, opens=opens, rule="r", service=service, labels=alert if labels is None else labels,
                fact=fact({n: v for n, v in alert.items() if v}, service, self.topology, "r"),
                at=round(at * SECOND), next_problem=len(self.problems) + 1,
                next_incident=0 if opens else len(self.incidents) + 1,
            ),
            self.board, self.topology, Weights(), lambda id: id not in self.closed,
        )  # fmt: skip
        self.board.apply(turn.rows)
        for one in turn.decisions:
            match one:
                case Start(problem=problem, incidents=incidents):
                    for others in self.problems.values():
                        others[:] = [i for i in others if i not in incidents]
                    self.problems[problem] = list(incidents)
                case Join(problem=problem, incident=joined):
                    self.problems[problem].append(joined)
                case Merge(problem=problem, into=into):
                    self.problems[into] += self.problems[problem]
                    self.problems[problem] = []
                case Part(new=new, problem=problem):
                    self.incidents[name] = new
                    self.incidents[name, "before", number] = number
                    self.problems[problem].append(new)
        self.decisions += turn.decisions
        return list(turn.decisions)

    def groups(self) -> list[set[object]]:
        names = {number: name for name, number in self.incidents.items()}
        return [{names[i][1] for i in incidents} for incidents in self.problems.values() if incidents]

    def first_cause(self, problem: int = 1) -> str:
        return rank(self.board.evidence(self.problems[problem]), self.topology, Weights())[0].entity


def test_incidents_of_connected_services_inside_the_window_are_one_problem():
    house = House()
    assert house.fires("Slow", "web", 0) == []
    [start] = house.fires("Slow", "api", 30)
    assert isinstance(start, Start) and start.incidents == (1, 2) and "api is 1 step from web" in start.reason
    [join] = house.fires("Full", "db", 60)
    assert isinstance(join, Join) and join.score == 0.5 and "api" in join.reason


def test_time_alone_never_joins():
    house = House()
    house.fires("Slow", "web", 0)
    assert house.fires("Slow", "mail", 0) == []


def test_connected_services_outside_of_the_window_are_not_joined():
    house = House()
    house.fires("Slow", "web", 0)
    assert house.fires("Slow", "api", 300) == []


def test_where_a_problem_began_more_joins_it_as_long_as_it_goes_on_elsewhere():
    chain = Topology({f"s{n}": [f"s{n + 1}"] for n in range(12)})
    house = House(topology=chain)
    for n in range(5):
        house.fires("A", f"s{2 * n}", 60 * n)
    assert len(house.groups()) == 1
    [join] = house.fires("B", "s0", 450)
    assert isinstance(join, Join)


def test_what_is_forgotten_now_and_then_does_not_change_what_joins():
    chain = Topology({f"s{n}": [f"s{n + 1}"] for n in range(12)})
    house = House(topology=chain)
    for n in range(5):
        house.fires("A", f"s{2 * n}", 60 * n)
    settling = Settling()
    settling.begin(house.board)
    settling.forget(house.board, [DEPENDS], Weights(), 400 * SECOND, lambda _: True, lambda _: ())
    [join] = house.fires("B", "s0", 450)
    assert isinstance(join, Join)


def test_what_is_closed_explains_nothing_that_begins_after_it():
    house = House()
    house.fires("Slow", "web", 0)
    house.closed = {1}
    assert house.fires("Slow", "api", 30) == []
    [start] = house.fires("Slow", "db", 40)
    assert isinstance(start, Start) and start.incidents == (2, 3)
    house.closed = {1, 2, 3}
    assert house.fires("Slow", "search", 60) == []


def test_a_problem_takes_more_by_those_of_its_incidents_that_are_not_closed():
    house = House()
    house.fires("Slow", "web", 0)
    house.fires("Slow", "api", 30)
    house.closed = {1}
    [join] = house.fires("Slow", "db", 40)
    assert isinstance(join, Join) and "api" in join.reason


def test_the_root_may_arrive_last_and_takes_over():
    house = House()
    for n, service in enumerate(("web", "search", "api")):
        house.fires("HighLatency", service, n)
    house.fires("DiskFull", "db", 100)
    assert house.groups() == [{"web", "search", "api", "db"}]
    assert house.first_cause() == "db"


def test_two_independent_causes_at_the_same_minute_are_two_problems():
    house = House()
    for alert, service in (("HighLatency", "web"), ("HighLatency", "mail"), ("CpuHigh", "api"), ("Crash", "smtp")):
        house.fires(alert, service, 0)
    assert house.groups() == [{"web", "api"}, {"mail", "smtp"}]
    assert [house.first_cause(1), house.first_cause(2)] == ["api", "smtp"]


def test_two_problems_that_turn_out_to_be_one_merge_into_the_older():
    chain = Topology({f"s{n}": [f"s{n + 1}"] for n in range(8)})
    house = House(topology=chain)
    for n in (0, 1, 7, 8):
        house.fires("A", f"s{n}", n)
    assert len(house.groups()) == 2
    decisions = house.fires("A", "s4", 20)
    assert [type(one) for one in decisions] == [Merge, Join]
    assert house.groups() == [{"s0", "s1", "s7", "s8", "s4"}]
    house.fires("A", "s6", 25)
    assert len(house.groups()) == 1


def test_what_lay_beyond_the_reach_of_a_problem_joins_with_what_connects_them():
    house = House(topology=Topology({f"s{n}": [f"s{n + 1}"] for n in range(8)}))
    for n in (8, 0, 1):
        house.fires("A", f"s{n}", 10 - n)
    assert house.groups() == [{"s0", "s1"}]
    house.fires("A", "s4", 20)
    assert house.groups() == [{"s0", "s1", "s4"}], "four steps away"
    decisions = house.fires("A", "s6", 25)
    assert [(type(one), one.score) for one in decisions if isinstance(one, Join)] == [(Join, 0.333), (Join, 0.333)]
    assert house.groups() == [{"s0", "s1", "s4", "s6", "s8"}]


def test_a_ring_of_dependencies_is_one_problem():
    house = House(topology=Topology({f"s{n}": [f"s{(n + 1) % 4}"] for n in range(4)}))
    for n in range(4):
        house.fires("Slow", f"s{n}", n)
    assert house.groups() == [{"s0", "s1", "s2", "s3"}]
    assert house.first_cause() in {"s0", "s1", "s2", "s3"}


def test_a_label_that_must_be_equal_and_is_absent_on_either_side_never_joins():
    house = House(ProblemSpec("cause", "noc", Depends(5 * MINUTE, same=("region",))))
    house.fires("A", "web", 0, region="eu")
    house.fires("A", "api", 1)
    house.fires("A", "db", 2)
    house.fires("A", "search", 3, region="us")
    assert house.groups() == []
    house.fires("B", "search", 4, region="eu")
    assert house.groups() == [{"web", "search"}]


def test_equal_labels_join_what_the_topology_does_not_know_and_not_what_it_knows_to_be_apart():
    house = House(ProblemSpec("cause", "noc", Depends(5 * MINUTE, same=("region",))))
    house.fires("A", "web", 0, region="eu")
    house.fires("A", "mail", 1, region="eu")
    assert house.groups() == []
    house.fires("A", "stranger", 2, region="eu")
    assert {"web", "stranger"} <= house.groups()[0]


def test_labels_missing_on_half_of_the_alerts_leave_the_others_grouped():
    house = House(ProblemSpec("cause", "noc", Depends(5 * MINUTE, same=("region",))))
    for n in range(40):
        service = ("web", "api", "db", "search")[n % 4]
        house.fires(f"A{n}", service, n, labels={"region": "eu"} if n % 8 < 4 else {})
    assert len(house.groups()) == 1 and len(house.problems[1]) == 20


def test_what_keeps_coming_without_a_problem_neither_starts_nor_prolongs_one_but_joins():
    house = House()
    for n in range(4):
        assert house.fires("Flaps", "api", n * 600, incident=("f", "api", n)) == []
    assert house.fires("Slow", "web", 2500) == []
    assert house.fires("Flaps", "api", 2510, incident=("f", "api", 9)) == []
    house.fires("Full", "db", 2520)
    assert house.groups() == [{"web", "db"}]
    [join] = house.fires("Flaps", "api", 2700, incident=("f", "api", 10))
    assert isinstance(join, Join)
    assert house.fires("New", "search", 2900) == [], "the usual alert did not prolong"


def test_what_flaps_inside_a_problem_does_not_prolong_it():
    house = House()
    house.fires("Slow", "web", 0)
    house.fires("Slow", "api", 1)
    for n in range(1, 20):
        house.fires("Slow", "api", n * 120)
    assert house.fires("Slow", "db", 20 * 120) == []


def test_a_symptom_that_flaps_because_cause_follows_cause_is_found_in_the_problem_of_each():
    house = House()
    for n in range(3):
        house.fires(f"Full{n}", "db", n * 1200)
        house.fires(f"Crash{n}", "api", n * 1200 + 10)
        for again in range(3):
            house.fires("Slow", "web", n * 1200 + 30 + again * 70, incident=("one", "web"))
    assert [len(incidents) for incidents in house.problems.values()] == [3, 3, 3]
    assert house.fires("Odd", "search", 2 * 1200 + 320) == [], "what flaps prolongs nothing"


def test_the_first_alert_of_a_problem_that_goes_on_did_not_come_alone():
    house = House()
    for n in range(6):
        for delay, (alert, service) in enumerate((("Full", "db"), ("Slow", "api"), ("Slow", "web"))):
            house.fires(alert, service, n * 3700 + 10 * delay)
    key = fact({"alertname": "Full", "service": "db"}, "db", SHOP, "r").key
    memory = house.board.memory(key)
    assert len(house.groups()) == 1 and memory is not None and memory.alone == 0.0


def test_a_trickle_that_most_minutes_have_nothing_of_chains_no_problems_and_hides_none():
    """Every alert of it is another one, so that none is usual by itself; one in two minutes, five in the window."""
    services = [f"s{n}" for n in range(6)]
    house = House(ProblemSpec("cause", "noc", Depends(10 * MINUTE)), topology=Topology({"hub": services}))
    for n in range(180):
        house.fires(f"Odd{n}", services[n % 6], n * 120)
    assert len([one for one in house.decisions[-20:] if isinstance(one, Start)]) == 0
    assert max(len(incidents) for incidents in house.problems.values()) < 90, "it was learned in the first hours"
    known = len(house.problems)
    for n, service in enumerate(services):
        house.fires("Down", service, 180 * 120 + 5 * n)
    assert len(house.problems) == known + 1 and len(house.problems[known + 1]) >= 6


def test_a_slow_storm_of_half_an_hour_is_not_yet_usual():
    chain = Topology({f"s{n}": [f"s{n + 1}"] for n in range(12)})
    house = House(ProblemSpec("cause", "noc", Depends(10 * MINUTE)), topology=chain)
    for n in range(12):
        house.fires("Late", f"s{n}", n * 150)
    assert len(house.groups()) == 1 and len(house.problems[1]) == 12


def test_a_second_wave_of_the_same_alerts_is_a_second_cause_and_parts_their_incidents():
    services = [f"s{n}" for n in range(5)]
    house = House(topology=Topology({"hub": services}))

    def strike(at: float) -> None:
        for n in range(15):
            house.fires(f"A{n // 5}", services[n % 5], at + n, incident=("i", services[n % 5]))

    strike(0)
    assert len(house.problems) == 1
    strike(200)
    assert any(isinstance(one, Part) for one in house.decisions)
    assert len(house.problems) == 2 and len(house.problems[1]) == 5 and len(house.problems[2]) >= 4


def test_a_few_alerts_that_begin_again_stay_in_their_problem():
    house = House()
    for at in (0, 100, 200):
        for service in ("web", "api", "db"):
            house.fires("Slow", service, at)
    assert house.groups() == [{"web", "api", "db"}] and len(house.decisions) == 2


def test_a_group_opens_with_its_at_least_and_takes_more_inside_the_window():
    house = House(ProblemSpec("same-host", "noc", Group(("instance",), 3, 30 * MINUTE)))
    for n in range(2):
        assert house.fires(f"A{n}", "web", n, instance="h1") == []
    house.fires("B", "web", 3, instance="h2")
    house.fires("B", "web", 3)
    [start] = house.fires("A2", "mail", 4, instance="h1")
    assert isinstance(start, Start) and start.incidents == (1, 2, 5) and "instance=h1: 3 in 30m" in start.reason
    assert isinstance(house.fires("A3", "mail", 1000, instance="h1")[0], Join)
    assert house.fires("A4", "mail", 1000 + 1800, instance="h1") == []


def test_what_comes_back_three_times_in_a_month_is_a_problem_though_each_was_short():
    house = House(ProblemSpec("comes-back", "noc", Recur(("rule", "service"), 3, 30 * DAY)))
    day = DAY // SECOND
    for n in range(2):
        assert house.fires("A", "web", n * 9 * day, incident=("x", "web", n)) == []
        assert house.fires("A", "web", n * 9 * day + 60, incident=("x", "web", n)) == [], "a reopening is no recurrence"
    assert isinstance(house.fires("A", "web", 20 * day, incident=("x", "web", 2))[0], Start)
    assert house.fires("A", "api", 20 * day) == []


def test_what_comes_back_is_counted_though_it_was_closed_each_time():
    house = House(ProblemSpec("again", "noc", Recur(("service",), 3, 30 * DAY)))
    for n in range(3):
        decisions = house.fires("Slow", "web", n * HOUR / SECOND, incident=n)
        house.closed.add(n + 1)
    assert [type(one) for one in decisions] == [Start]


def test_after_it_is_closed_a_recurring_problem_counts_anew():
    house = House(ProblemSpec("comes-back", "noc", Recur(("service",), 2, DAY)))
    for n in range(2):
        house.fires("A", "web", n, incident=("x", "web", n))
    house.board.apply(Rows(held={1: None}))
    assert house.fires("A", "web", 2, incident=("x", "web", 2)) == []
    assert isinstance(house.fires("A", "web", 3, incident=("x", "web", 3))[0], Start)


def test_one_incident_may_be_in_problems_of_several_entries():
    house = House(DEPENDS, ProblemSpec("same-host", "noc", Group(("instance",), 2, HOUR)))
    house.fires("A", "web", 0, instance="h1")
    decisions = house.fires("A", "api", 1, instance="h1")
    assert [(one.problem, one.spec) for one in decisions if isinstance(one, Start)] == [(1, "cause"), (2, "same-host")]


def test_a_layer_that_is_dropped_leaves_the_board_as_it_was():
    board = Board()
    layer = Board(board)
    onset = Onset(1, True, "r", "web", {}, fact({"alertname": "A"}, "web", SHOP), 0, 1)
    layer.apply(consider([DEPENDS], onset, layer, SHOP, Weights()).rows)
    assert layer.clues(1) and not board.clues(1)
    board.apply(layer.rows)
    assert board.clues(1) == layer.clues(1)


def test_ten_thousand_dependants_of_a_silent_and_of_a_speaking_hub_are_one_problem():
    house = House(topology=Topology({f"s{n}": ["hub"] for n in range(10_000)}))
    for n in range(50):
        house.fires("Slow", f"s{n * 17}", n / 10)
    house.fires("Down", "hub", 20)
    assert len(house.groups()) == 1 and len(house.problems[1]) == 51
    assert house.first_cause() == "hub"


def test_the_cost_of_an_incident_is_small_and_does_not_grow_with_those_before_it():
    topology = Topology({f"s{n}": [f"s{(n * k + 1) % 1000}" for k in (3, 7, 11, 13, 17)] for n in range(1000)})
    house = House(topology=topology)

    def cost(first: int) -> float:
        begun = time.process_time()
        for n in range(first, first + 1000):
            house.fires(f"A{n}", f"s{n * 37 % 1000}", n)
        return time.process_time() - begun

    cost(0)
    early = cost(1000)
    for n in range(3):
        cost(2000 + n * 1000)
    assert cost(5000) < 2.5 * early + 0.2
    assert early < 1.0, "1 ms each, many times what it takes"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["web", "api", "db", "search", "mail", "smtp", "x"]), st.integers(0, 5)), max_size=60
    )
)
def test_an_incident_is_in_one_problem_at_most_and_what_is_unconnected_in_none(steps: Iterable[tuple[str, int]]):
    house = House()
    for n, (service, kind) in enumerate(steps):
        house.fires(f"A{kind}", service, n * 11)
    members = [incident for incidents in house.problems.values() for incident in incidents]
    assert len(members) == len(set(members))
    for group in house.groups():
        assert group <= {"web", "api", "db", "search"} or group <= {"mail", "smtp"} or group == {"x"}
