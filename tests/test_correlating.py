"""Problems through the whole daemon but its rim: configuration, rules, engine, store, on a virtual clock."""

import json
import random
import time
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from responder.core.desk import ProblemRow
from responder.core.event import Actor
from responder.core.instant import parse_instant
from responder.core.outbox import Part
from responder.core.problem import begun
from responder.core.problems import put_in_force
from responder.core.signal import HOUR, MINUTE, SECOND, Instant, Signal, identity
from responder.handlers.commands import Loaded, ProblemCommand
from responder.handlers.signals import Pushed
from responder.handlers.upkeep import Forget
from responder.house import book_of
from responder.rehearsal import Rehearsal
from responder.store.schema import board
from tests.config.kit import load

START = parse_instant("2026-01-05T00:00:00Z")
RULES = """
teams: {ops: {lead: ann}}
rules:
  - id: alerts
    by: [cluster, service, instance, alertname]
    when: {event: {match: {labels: {team: ops}}}}
    incident: {service: "{{ labels.service }}", title: "{{ labels.alertname }}"}
"""
DEPENDS = "problems: [{id: cause, depends: {within: 10m}, owner: ops}]\n"


def services(**depends_on: str) -> str:
    """Return a catalogue: ``web="api db"``."""
    lines = [f"  {n}: {{team: ops, depends_on: [{', '.join(on.split())}]}}" for n, on in depends_on.items()]
    return "services:\n" + "\n".join(lines) + "\n"


class Shop:
    """Fires alerts and says which problems came of it."""

    def __init__(self, text: str, file: Path | None = None, start: Instant = START, told: bool = False) -> None:
        rules = RULES.replace("lead: ann", "lead: ann, channels: [chat]") if told else RULES
        loaded = load(rules + text)
        assert loaded.settings is not None, loaded.errors
        self.rehearsal = Rehearsal(
            book_of(loaded.settings), start, file=file, deliver=(lambda _: None) if told else None
        )

    def reload(self, text: str) -> None:
        """Put another configuration in force."""
        loaded = load(RULES + text)
        assert loaded.settings is not None, loaded.errors
        book, resident = book_of(loaded.settings), self.rehearsal.resident
        put_in_force(book, resident.board, resident.edges.values())
        book.posted, self.rehearsal.book = resident.windows, book
        self.rehearsal.take(Loaded("", ()))

    def fire(self, after: int, alertname: str, firing: bool = True, **labels: str) -> None:
        """Send an alert *after* microseconds from now."""
        at = self.rehearsal.now + after
        known = {"alertname": alertname, "team": "ops", **labels}
        signal = Signal("am-api", identity(known), known, {}, firing, at, None if firing else at)
        self.rehearsal.at(at, Pushed("am-api", [signal]))

    def blink(self, after: int, alertname: str, **labels: str) -> None:
        """Send an alert and its end."""
        self.fire(after, alertname, **labels)
        self.fire(SECOND, alertname, firing=False, **labels)

    def wait(self, span: int) -> None:
        self.rehearsal.advance(self.rehearsal.now + span)

    def problems(self) -> list[ProblemRow]:
        return list(self.rehearsal.problems())

    def causes(self) -> list[list[str]]:
        """Return the ranked causes of each problem."""
        return [[cause.entity for cause in row.problem.causes] for row in self.problems()]

    def grouping(self) -> list[set[str]]:
        """Return what belongs together, as ``service/alertname``."""
        reader = self.rehearsal.reader
        found = []
        for row in self.problems():
            members = [reader.incident(id) for id in row.incidents]
            found.append({f"{m.service}/{m.title}" for m in members if m is not None})
        return found

    def command(self, name: str, problem: int, **args: Any) -> ProblemRow:
        row: ProblemRow = self.rehearsal.take(ProblemCommand(name, problem, args, Actor("person", "ann")))
        return row

    def forget(self) -> None:
        """Do what upkeep does every hour."""
        first = True
        while self.rehearsal.take(Forget(first)):
            first = False


SHOP = services(web="api", api="db", db="") + DEPENDS


def test_a_root_whose_alert_arrives_last_is_named_first() -> None:
    shop = Shop(SHOP)
    shop.fire(0, "RequestLatencyHigh", service="web")
    shop.fire(20 * SECOND, "RequestErrors", service="api")
    assert len(shop.problems()) == 1
    shop.fire(60 * SECOND, "DiskFull", service="db")
    [row] = shop.problems()
    assert row.problem.causes[0].service == row.problem.service == "db"
    assert row.problem.title == "db: 3 incidents with one cause"
    assert "DiskFull ops 1m20s after the start, in no earlier problem" in row.problem.causes[0].reason


def test_each_incident_says_how_near_it_is_and_why_it_belongs_to_its_problem() -> None:
    shop = Shop(SHOP)
    for service in ("web", "api", "db"):
        shop.fire(SECOND, "CpuHigh", service=service)
    links = shop.rehearsal.reader.links_of(1, [1, 2, 3])
    assert [(event.data["score"], event.data["reason"]) for event in links] == [
        (0.5, "api is 1 step from web"), (0.5, "api is 1 step from web"), (0.5, "db is 1 step from api; 1s after its last news"),
    ]  # fmt: skip


def test_the_weights_of_the_configuration_rank_and_a_reload_counts_from_the_next_ranking_on() -> None:
    shop = Shop(SHOP + "causes: {earliness: 5s, call: 1, handed: 0}\n")
    shop.fire(0, "RequestLatencyHigh", service="web")
    shop.fire(20 * SECOND, "DiskFull", service="db")
    assert shop.causes() == [["web", "db"]]
    shop.reload(SHOP)
    assert shop.causes() == [["web", "db"]]
    shop.fire(SECOND, "RequestErrors", service="api")
    assert shop.causes() == [["db", "api", "web"]]


def test_a_ring_of_dependencies_is_one_problem_and_hangs_nothing() -> None:
    shop = Shop(services(a="b", b="c", c="a") + DEPENDS)
    for service in "abc":
        shop.fire(SECOND, "RequestLatencyHigh", service=service)
    shop.fire(SECOND, "MemoryFull", service="b")
    assert len(shop.grouping()) == 1
    assert shop.causes()[0][0] == "b"


def test_two_causes_at_the_same_minute_are_two_problems() -> None:
    shop = Shop(services(web="api", api="db", db="", mail="queue", queue="") + DEPENDS)
    for name, service in (
        ("DiskFull", "db"), ("OutOfMemory", "queue"), ("RequestErrors", "api"), ("RequestErrors", "mail"),
        ("RequestErrors", "web"),
    ):  # fmt: skip
        shop.fire(5 * SECOND, name, service=service)
    assert [causes[0] for causes in shop.causes()] == ["db", "queue"]
    assert shop.grouping() == [
        {"db/DiskFull", "api/RequestErrors", "web/RequestErrors"},
        {"queue/OutOfMemory", "mail/RequestErrors"},
    ]


def test_a_host_is_named_when_it_is_the_host() -> None:
    edges = ["web web-1", "api api-1", "web-1 node-5", "api-1 node-5", "db db-1", "db-1 node-6"]
    pairs = [dict(zip(("from", "to"), edge.split(), strict=True)) for edge in edges]
    topology = f"topology: {{edges: {json.dumps(pairs)}}}\n"
    shop = Shop(SHOP + topology)
    shop.fire(0, "RequestLatencyHigh", service="web", instance="web-1")
    shop.fire(10 * SECOND, "RequestLatencyHigh", service="api", instance="api-1")
    shop.fire(10 * SECOND, "CpuHigh", instance="node-5")
    [row] = shop.problems()
    assert (row.problem.causes[0].service, row.problem.causes[0].entity) == ("", "node-5")


def test_a_lasting_alert_loses_weight_from_the_second_problem_on() -> None:
    shop = Shop(SHOP)
    scores = []
    for root in ("CpuHigh", "MemoryFull", "DiskFull"):
        shop.blink(0, "InodesFull", service="db")
        shop.blink(20 * SECOND, root, service="api")
        shop.blink(0, "RequestErrors", service="web")
        shop.wait(2 * HOUR)
        causes = shop.problems()[-1].problem.causes
        scores.append(next(cause.score for cause in causes if cause.service == "db"))
        first = causes[0].service
    assert len(shop.problems()) == 3
    assert scores[0] > 2 * scores[1] > 2 * scores[2]
    assert first == "api"


CHAIN = services(**{f"s{n}": f"s{n + 1}" if n < 8 else "" for n in range(9)}) + DEPENDS


def test_a_reason_says_in_which_part_of_the_problems_before_this_one_the_alert_took_part() -> None:
    shop = Shop(SHOP)
    for number, db in enumerate(("DiskFull", "CpuHigh", "DiskFull", "DiskFull"), 1):
        for name, service in (("RequestLatencyHigh", "web"), ("RequestErrors", "api"), (db, "db")):
            shop.blink(10 * SECOND, name, service=service)
        [row] = [row for row in shop.problems() if row.problem.id == number]
        shares = {cause.service: cause.reason.rpartition("in ")[2] for cause in row.problem.causes}
        seen = {1: (0, 0), 2: (100, 0), 3: (100, 50), 4: (100, 67)}[number]
        said = [f"{share} % of earlier problems" if share else "no earlier problem" for share in seen]
        expected = dict(zip(("web", "db"), said, strict=True))
        assert shares == expected | {"api": expected["web"]}
        shop.wait(HOUR)


def test_of_alerts_that_say_the_same_the_first_says_most_from_the_first_problem_on() -> None:
    shop = Shop(SHOP)
    for _ in range(2):
        for service in ("db", "api", "web"):
            shop.blink(2 * SECOND, "CpuHigh", service=service)
        shop.wait(HOUR)
    assert shop.causes() == [["db", "api", "web"]] * 2


def test_two_problems_that_turn_out_to_be_one_have_both_histories() -> None:
    shop = Shop(CHAIN)
    for service in ("s0", "s1", "s7", "s8"):
        shop.fire(SECOND, "CpuHigh", service=service)
    assert len(shop.problems()) == 2
    shop.command("note", 2, text="a switch?")
    shop.fire(SECOND, "CpuHigh", service="s4")
    [row] = shop.problems()
    assert (row.problem.id, row.problem.merged, row.count) == (1, (2,), 5)
    gone = shop.rehearsal.reader.problem(2)
    assert gone is not None and (gone.problem.state, gone.problem.merged_into) == ("closed", 1)
    kinds = [one.event.kind for one in shop.rehearsal.reader.timeline("problem", (1, 2), 0, 100)]
    assert kinds == ["opened", "opened", "noted", "merged", "merged"]
    shop.fire(SECOND, "DiskFull", service="s8")  # what follows goes to the one that is left
    assert shop.problems()[0].count == 6


def test_a_problem_that_was_split_by_hand_goes_on_as_two() -> None:
    shop = Shop(SHOP)
    for service in ("db", "api", "web"):
        shop.fire(SECOND, "CpuHigh", service=service)
    shop.command("split", 1, incidents=[3])
    assert shop.grouping() == [{"db/CpuHigh", "api/CpuHigh"}, {"web/CpuHigh"}]
    shop.fire(SECOND, "DiskFull", service="web")
    shop.fire(SECOND, "DiskFull", service="db")
    assert [len(group) for group in shop.grouping()] == [3, 2]
    assert {row.problem.id for row in shop.problems() if row.problem.merged_into is None} == {1, 2}


def test_alerts_without_half_of_their_labels_join_what_they_can() -> None:
    shop = Shop(SHOP + "topology: {edges: [{from: web, to: web-1}]}\n")
    for name in ("CpuHigh", "DiskFull", "RequestErrors", "MemoryFull"):
        shop.fire(SECOND, name, service="db")
        shop.fire(SECOND, name)
        shop.fire(SECOND, name, instance="web-1")
    [row] = shop.problems()
    assert row.count == 8  # those that name nothing stay alone
    assert {cause.entity for cause in row.problem.causes} == {"db", "web"}


def test_equal_labels_are_asked_for_and_an_absent_one_never_joins() -> None:
    shop = Shop(
        services(web="api", api="") + "problems: [{id: cause, depends: {within: 10m, same: [cluster]}, owner: ops}]\n"
    )
    for cluster in ("a", "b"):
        for service in ("api", "web"):
            shop.fire(SECOND, "CpuHigh", service=service, cluster=cluster)
            shop.fire(SECOND, "CpuHigh", service=service)
    assert [len(group) for group in shop.grouping()] == [2, 2]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6])
def test_a_restart_in_the_middle_of_a_storm_changes_nothing(tmp_path: Path, cut: int) -> None:
    storm = [
        ("RequestErrors", "web"), ("InodesFull", "queue"), ("RequestErrors", "api"), ("DiskFull", "db"), ("OutOfMemory", "mail"),
        ("CpuHigh", "web"), ("RequestErrors", "mail"),
    ]  # fmt: skip
    text = services(web="api", api="db", db="", mail="queue", queue="") + DEPENDS
    whole, parts = Shop(text), Shop(text, tmp_path / "storm.db")
    for number, (name, service) in enumerate(storm):
        if number == cut:
            parts.rehearsal.flush()
            parts = Shop(text, tmp_path / "storm.db", parts.rehearsal.now)
        for shop in (whole, parts):
            shop.fire(7 * SECOND, name, service=service)
    assert parts.grouping() == whole.grouping()
    assert parts.causes() == whole.causes()
    assert len(whole.grouping()) == 2


MONTHLY = (
    services(db="")
    + "problems: [{id: again, recur: {same: [rule, service], at_least: 3, within: 30d}, owner: ops, due: 80h}]\n"
)


def test_what_comes_three_times_in_a_month_is_a_problem_across_restarts(tmp_path: Path) -> None:
    now = START
    for _ in range(3):
        shop = Shop(MONTHLY, tmp_path / "month.db", now)
        shop.blink(0, "DiskFull", service="db")
        shop.wait(24 * HOUR)
        shop.forget()
        shop.rehearsal.flush()
        now = shop.rehearsal.now
    [row] = shop.problems()
    assert (row.problem.origin, row.count, row.problem.due_at) == ("recur", 3, row.problem.opened_at + 80 * HOUR)


@pytest.mark.parametrize("first", ["again", "cause"], ids=["written first", "written last"])
def test_what_belongs_to_one_problem_came_once_however_many_alike_incidents_it_has(tmp_path: Path, first: str) -> None:
    both = MONTHLY.splitlines()[-1].removeprefix("problems: [")[:-1], DEPENDS.strip().removeprefix("problems: [")[:-1]
    text = services(web="db", db="") + f"problems: [{', '.join(both if first == 'again' else reversed(both))}]\n"
    now, seen = START, []
    for _ in range(3):
        shop = Shop(text, tmp_path / "storms.db", now)
        for name in ("DiskFull", "DiskSlow", "ReadOnly", "Lag"):
            shop.blink(SECOND, name, service="db")
            shop.blink(SECOND, name, service="web")
        seen.append(sorted(row.problem.origin for row in shop.problems()))
        shop.wait(24 * HOUR)
        shop.forget()
        shop.rehearsal.flush()
        now = shop.rehearsal.now
    assert [origins.count("recur") for origins in seen] == [0, 0, 2], "of the database and of the web: the third time"
    assert [origins.count("depends") > 0 for origins in seen] == [True] * 3


def test_what_opens_inside_a_maintenance_is_no_trend() -> None:
    shop = Shop(
        MONTHLY
        + "maintenance: [{name: move, services: [db], from: 2026-01-05T00:00:00Z, to: 2026-01-06T00:00:00Z, reason: x}]\n"
    )
    for _ in range(4):
        shop.blink(HOUR, "DiskFull", service="db")
        shop.wait(HOUR)
    assert shop.problems() == []
    shop.wait(24 * HOUR)
    for _ in range(3):
        assert shop.problems() == []
        shop.blink(0, "DiskFull", service="db")
        shop.wait(24 * HOUR)
    assert [row.count for row in shop.problems()] == [3]


def test_after_its_problem_is_closed_what_recurs_is_counted_anew_also_when_upkeep_has_looked_at_it() -> None:
    shop = Shop(MONTHLY)
    problems = []
    for _ in range(6):
        shop.blink(0, "DiskFull", service="db")
        shop.wait(24 * HOUR)
        problems.append(len(shop.problems()))
        if problems == [0, 0, 1]:
            shop.command("state", 1, state="closed")
        shop.forget()
    assert problems == [0, 0, 1, 1, 1, 2]


def test_what_is_over_is_forgotten_and_its_causes_are_kept() -> None:
    shop = Shop(SHOP)
    for _ in range(3):
        for service in ("db", "api", "web"):
            shop.blink(SECOND, "CpuHigh", service=service)
        shop.wait(3 * HOUR)
    rows = shop.rehearsal.resident.board.rows
    assert rows.clues and rows.held and rows.linked and rows.sighted
    before = shop.causes()
    shop.wait(400 * 24 * HOUR)
    shop.forget()
    rows = shop.rehearsal.resident.board.rows
    assert not (rows.clues or rows.held or rows.linked or rows.sighted or rows.pulse or rows.memory)
    with shop.rehearsal.reader.connect() as connection:
        assert connection.execute(board.select()).all() == []
    assert shop.causes() == before
    assert {row.problem.state for row in shop.problems()} == {"open"}


def test_what_goes_on_is_not_forgotten() -> None:
    shop = Shop(SHOP)
    for service in ("db", "api"):
        shop.fire(SECOND, "CpuHigh", service=service)
    shop.wait(9 * HOUR)
    shop.forget()
    shop.fire(0, "DiskFull", service="db")
    shop.fire(0, "DiskFull", service="api")
    assert len(shop.rehearsal.resident.board.rows.clues) == 4


# Messages wait for a root.

HELD = (
    services(web="api", api="db", db="")
    + """
problems: [{id: cause, depends: {within: 10m, hold_notifications: 2m}, owner: ops}]
channels: {chat: {kind: webhook, url: "http://127.0.0.1:1/", bundle: 30s}}
"""
)


def told(shop: Shop) -> list[tuple[int, list[str]]]:
    """Return what has left: seconds after the start, and what each message speaks of: an incident, or a problem."""
    sent = shop.rehearsal.reader.sent_messages(100)
    return sorted(((m.claimed_at or 0) - START, [_named(part) for part in m.parts]) for m in sent)


def _named(part: Part) -> str:
    return str(part.incident) if part.problem is None else f"PRB-{part.problem} {part.event}"


def holding() -> Shop:
    return Shop(HELD, told=True)


def test_messages_of_symptoms_wait_for_a_root_and_leave_in_its_wake() -> None:
    shop = holding()
    shop.fire(0, "RequestErrors", service="web", severity="error")
    shop.fire(20 * SECOND, "RequestErrors", service="api", severity="error")
    shop.wait(30 * SECOND)
    assert told(shop) == []
    assert {row.clock.response is not None for row in shop.rehearsal.resident.incidents.values()} == {True}
    shop.fire(0, "DiskFull", service="db", severity="error")
    assert told(shop) == [(50 * SECOND, ["3"])]
    shop.wait(10 * MINUTE)
    about_problem = (80 * SECOND, ["PRB-1 opened"])
    assert told(shop)[1:] == [about_problem, (120 * SECOND, ["1"]), (150 * SECOND, ["2"])]


def test_no_root_comes_and_the_symptom_is_told_after_all() -> None:
    shop = holding()
    shop.fire(0, "RequestErrors", service="web", severity="error")
    shop.wait(10 * MINUTE)
    assert told(shop) == [(120 * SECOND, ["1"])]


def test_a_symptom_that_is_over_before_it_was_told_is_not_told() -> None:
    shop = holding()
    shop.blink(0, "RequestErrors", service="web", severity="error")
    shop.wait(10 * MINUTE)
    assert told(shop) == []


def test_a_p1_never_waits_nor_what_becomes_one() -> None:
    shop = holding()
    shop.fire(0, "RequestErrors", service="web", severity="critical")
    assert told(shop) == [(0, ["1"])]
    where = {"service": "api", "cluster": "eu", "instance": "api-1"}
    shop.fire(60 * SECOND, "RequestErrors", **where, severity="error")
    shop.fire(10 * SECOND, "RequestErrors", **where, severity="critical")
    assert told(shop)[1:] == [(70 * SECOND, ["2"])]
    shop.wait(10 * MINUTE)
    assert told(shop)[2:] == [(120 * SECOND, ["PRB-1 opened"])]


# A small system of its own, with noise and beside another one.


def system(prefix: str = "") -> dict[str, str]:
    """Return three tiers of services: who rests on whom."""
    fronts, middles, stores = (range(3), range(5), range(4))
    found = {f"{prefix}front{n}": " ".join(f"{prefix}mid{(n + k) % 5}" for k in (0, 1, 3)) for n in fronts}
    found |= {f"{prefix}mid{n}": f"{prefix}store{n % 4} {prefix}store{(n + 1) % 4}" for n in middles}
    return found | {f"{prefix}store{n}": "" for n in stores}


Fire = tuple[Instant, str, str, int]
"""(after the start, alertname, service, fault)."""


def faults(prefix: str, seed: int, count: int = 8) -> Iterator[Fire]:
    """Yield storms: a root says what it has, and in no order those above it feel it."""
    chance, names = random.Random(seed), system(prefix)
    over = {name: [other for other, on in names.items() if name in on.split()] for name in names}
    for fault in range(count):
        begin = fault * HOUR + chance.randrange(10 * 60) * SECOND
        root = chance.choice([name for name in names if over[name]])
        yield begin + chance.randrange(60) * SECOND, chance.choice(["CpuHigh", "MemoryFull", "DiskFull"]), root, fault
        for name in (*over[root], *{above for one in over[root] for above in over[one]}):
            yield begin + chance.randrange(90) * SECOND, "RequestLatencyHigh", name, fault
            yield begin + chance.randrange(90) * SECOND, "RequestErrors", name, fault


def noise(names: Iterable[str], until: Instant, seed: int) -> Iterator[Fire]:
    """Yield three flapping alerts a minute, of thirty kinds."""
    chance, pool = random.Random(seed), [(f"Odd{n % 7}", name) for n, name in enumerate([*names] * 3)][:30]
    at = 0
    while at < until:
        at += round(chance.expovariate(3) * MINUTE)
        yield (at, *chance.choice(pool), -1)


def pair_f1(shop: Shop, truth: dict[tuple[str, str, Instant], int]) -> float:
    """Return how well pairs of incidents of one fault are pairs of one problem."""
    group = {id: row.problem.id for row in shop.problems() for id in row.incidents}
    of = [
        (fault, group.get(one.id, -one.id))
        for one in shop.rehearsal.incidents()
        if (fault := truth.get((one.service, one.title, one.opened_at), -1)) >= 0
    ]
    both = sum(a[0] == b[0] and a[1] == b[1] for a, b in combinations(of, 2))
    said = sum(a[1] == b[1] for a, b in combinations(of, 2))
    true = sum(a[0] == b[0] for a, b in combinations(of, 2))
    return 2 * both / (said + true)


def played(shop: Shop, fires: list[Fire]) -> float:
    """Play what fires, each for twenty seconds, and return the pair F1."""
    edges = [(at, True, name, service, fault) for at, name, service, fault in fires]
    edges += [(at + 20 * SECOND, False, name, service, fault) for at, name, service, fault in fires]
    truth = {}
    for at, firing, name, service, fault in sorted(edges):
        shop.fire(START + at - shop.rehearsal.now, name, firing, service=service)
        if firing and fault >= 0:
            truth[service, name, START + at] = fault
    return pair_f1(shop, truth)


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_does_not_break_the_grouping(seed: int) -> None:
    text = services(**system()) + DEPENDS
    assert played(Shop(text), [*faults("", seed)]) >= 0.95
    loud = [*faults("", seed), *noise(system(), 8 * HOUR, seed)]
    assert played(Shop(text), loud) >= 0.8


def test_two_systems_that_fail_at_the_same_time_are_told_apart_without_a_label() -> None:
    text = services(**system("a"), **system("b")) + DEPENDS
    shop = Shop(text)
    fires = [*faults("a", 1), *((at, name, service, fault + 100) for at, name, service, fault in faults("b", 1))]
    assert played(shop, fires) >= 0.95
    assert all(len({name[0] for name in group}) == 1 for group in shop.grouping())


def test_a_giant_problem_knows_its_first_and_newest_incidents_and_counts_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("responder.core.desk.KEPT", 4)
    shop = Shop(SHOP)
    for n in range(7):
        shop.fire(SECOND, f"CpuHigh{n}", service="db")
    [row] = shop.problems()
    assert (row.incidents, row.count) == ((1, 2, 6, 7), 7)
    assert shop.rehearsal.resident.incidents[5].problem == row.problem.id
    assert shop.command("link", 1, incident=5).count == 7  # it is there already
    shop.command("unlink", 1, incident=5)
    shop.command("unlink", 1, incident=1)
    [row] = shop.problems()
    assert (row.incidents, row.count) == ((2, 6, 7), 5)


def test_what_a_giant_problem_lists_is_copied_now_and_then_and_always_right() -> None:
    row, copied = ProblemRow(begun(None, 1, "ann", 0)), 0
    for n in range(5000):
        after = row.taking(n)
        copied += after.listed is not row.listed
        row = after
        assert row.incidents == (*range(n + 1),)[:500] + (*range(500, n + 1),)[-500:]
    assert (copied, row.count) == (5000 // 32, 5000)


def test_a_root_that_comes_last_of_more_than_a_problem_knows_is_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.core.desk.KEPT", 10)
    monkeypatch.setattr("responder.core.board.CLUES_AT_MOST", 8)
    shop = Shop(services(db="", **{f"web{n}": "db" for n in range(30)}) + DEPENDS)
    for n in range(30):
        shop.fire(SECOND, "RequestErrors", service=f"web{n}")
    shop.fire(SECOND, "DiskFull", service="db")
    [row] = shop.problems()
    assert (row.count, row.problem.causes[0].service) == (31, "db")


def test_a_service_with_ten_thousand_dependants_and_fifty_thousand_edges_cost_little() -> None:
    edges = [{"from": f"app-{n}", "to": "hub"} for n in range(10_000)]
    edges += [{"from": f"app-{n}", "to": f"host-{n % 5000 + k}"} for n in range(10_000) for k in range(4)]
    shop = Shop(services(hub="") + f"topology: {{edges: {json.dumps(edges)}}}\n" + DEPENDS)
    began = time.process_time()
    for n in range(200):
        shop.fire(SECOND, "CpuHigh", service=f"app-{n * 37 % 5000}")
    shop.fire(SECOND, "DiskFull", service="hub")
    assert time.process_time() - began < 5
