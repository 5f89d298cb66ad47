"""Which one broke first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from responder.core.causes import (
    Clue,
    Fact,
    Memory,
    Weights,
    fact,
    felt_in_calls,
    rank,
    rated,
    remembered,
    since,
    took_part,
)
from responder.core.signal import DAY, HOUR, SECOND
from responder.core.topology import Topology

SHOP = Topology({"web": ["api"], "api": ["db"], "db": []})
NEVER = Memory(1)


def clue(found: Fact, at: int, memory: Memory, problems: Memory) -> Clue:
    return rated(Clue(found, at, at), memory, problems)


def seen(labels: dict[str, str], at: int, topology: Topology = SHOP, memory: Memory = NEVER, problems: int = 0) -> Clue:
    known = Memory(0, slow=problems, fast=problems)
    return clue(fact(labels, labels.get("service", ""), topology), at * SECOND, memory, known)


def named(*clues: Clue, topology: Topology = SHOP) -> list[str]:
    return [cause.entity for cause in rank(clues, topology, Weights())]


def test_what_an_entity_says_about_itself_outweighs_what_is_felt_in_calls_though_it_comes_last():
    symptoms = [seen({"alertname": "HighLatency", "service": name}, n) for n, name in enumerate(("web", "api"))]
    root = seen({"alertname": "DiskFull", "service": "db"}, 90)
    assert named(*symptoms, root)[0] == "db"


def test_callers_hand_part_of_their_symptoms_down_also_through_silent_services():
    web = seen({"alertname": "Errors", "service": "web"}, 0)
    db = seen({"alertname": "Errors", "service": "db"}, 30)
    assert named(web, db) == ["db", "web"]
    assert named(web, seen({"alertname": "Errors", "service": "other"}, 30)) == ["web", "other"]


def test_what_says_nothing_itself_is_the_cause_when_all_that_rest_on_it_alert():
    topology = Topology({f"s{n}": ["db"] for n in range(5)}, [("s0", "h1"), ("s1", "h1"), ("other", "h1")])
    storm = [seen({"alertname": "Down", "service": f"s{n}"}, n, topology) for n in range(5)]
    first, *others = rank(storm, topology, Weights())
    assert (first.service, first.entity) == ("", "db")
    assert "says nothing itself; of 5 that rest on it 5 alert" in first.reason
    assert [cause.entity for cause in others][-1] == "h1", "of those that rest on it one is well"
    assert sum(cause.score for cause in (first, *others)) == pytest.approx(1.0, abs=0.001)


def test_what_says_nothing_itself_is_not_blamed_for_one_or_two_of_many_or_for_what_an_alert_explains():
    topology = Topology({**{f"s{n}": ["db"] for n in range(9)}, "db": []})
    one = seen({"alertname": "CpuHigh", "service": "s1"}, 0, topology)
    assert named(one, topology=topology) == ["s1"]
    assert named(one, seen({"alertname": "DiskFull", "service": "s2"}, 9, topology), topology=topology)[0] == "s1"
    web = [seen({"alertname": "Errors", "service": name}, 0) for name in ("web", "api", "db")]
    assert set(named(*web)) == {"web", "api", "db"}


def test_two_silent_things_that_explain_the_same_are_equally_likely():
    topology = Topology({f"s{n}": ["db", "queue"] for n in range(4)} | {"db": [], "queue": []})
    storm = [seen({"alertname": "Errors", "service": f"s{n}"}, 0, topology) for n in range(4)]
    first, second = rank(storm, topology, Weights())[:2]
    assert {first.service, second.service} == {"db", "queue"} and first.score == second.score


def test_services_in_a_ring_hand_nothing_to_each_other():
    ring = Topology({"a": ["b"], "b": ["a", "c"], "c": []})
    a = seen({"alertname": "SlowA", "service": "a"}, 0, ring)
    b = seen({"alertname": "SlowB", "service": "b"}, 0, ring)
    one, other = rank([a, b], ring, Weights())
    assert one.score == other.score == 0.5


def test_a_host_is_the_cause_when_it_speaks_of_itself():
    topology = Topology({"web": [], "api": []}, [("web", "web-0"), ("api", "api-0")], (("instance", "node"),))
    topology.remember(topology.shown_by({"instance": "web-0", "node": "h1"}, 0))
    topology.remember(topology.shown_by({"instance": "api-0", "node": "h1"}, 0))
    clues = [
        seen({"alertname": "HighLatency", "service": "web", "instance": "web-0", "node": "h1"}, 0, topology),
        seen({"alertname": "HighLatency", "service": "api", "instance": "api-0", "node": "h1"}, 1, topology),
        seen({"alertname": "HostOutOfMemory", "service": "infra", "instance": "h1:9100"}, 20, topology),
    ]
    first = rank(clues, topology, Weights())[0]
    assert (first.service, first.entity) == ("", "h1")


def test_instances_count_for_their_service_with_and_without_a_label_that_says_so():
    topology = Topology({"web": []}, [("web", "web-0")])
    assert fact({"alertname": "A", "instance": "web-0"}, "", topology).suspect == "web"
    assert fact({"alertname": "A", "instance": "new-7", "service": "web"}, "", topology).suspect == "web"
    assert fact({"alertname": "A", "instance": "lonely"}, "", topology).suspect == "lonely"


def test_the_fewer_show_the_same_kind_of_alert_the_more_it_says():
    everywhere = [seen({"alertname": "ThreadsUp", "service": f"s{n}"}, 0) for n in range(5)]
    assert named(*everywhere, seen({"alertname": "CpuUp", "service": "odd"}, 40))[0] == "odd"


@pytest.mark.parametrize(("kinds", "instances"), [(7, 4), (1, 40)])
def test_many_instances_of_those_that_rest_on_it_do_not_outweigh_the_one_alert_of_the_root(kinds, instances):
    topology = Topology({"db": [], **{f"s{n}": ["db"] for n in range(20)}})
    storm = [
        seen({"alertname": f"Bad{kind}", "service": f"s{n}", "instance": f"h{n}-{instance}"}, n % 30, topology)
        for n in range(20) for kind in range(kinds) for instance in range(instances)
    ]  # fmt: skip
    assert named(*storm, seen({"alertname": "DbDown", "service": "db"}, 2, topology), topology=topology)[0] == "db"


def test_a_lasting_alert_loses_weight_from_the_second_problem_on():
    weights, memory, problems, rarities = Weights(), None, None, []
    for n in range(4):
        at = n * HOUR
        memory, problems = remembered(memory, 1, at, weights), remembered(problems, 0, at, weights)
        fresh = clue(fact({"alertname": "Fresh", "service": "db"}, "", SHOP), at, NEVER, problems)
        lasting = clue(fact({"alertname": "Lasting", "service": "web"}, "", SHOP), at, memory, problems)
        rarities.append(lasting.rarity / fresh.rarity)
        memory, problems = took_part(memory), took_part(problems)
    assert rarities[0] == 1.0
    assert rarities == sorted(rarities, reverse=True) and rarities[1] < 0.5


def test_what_was_there_long_before_the_problem_is_neither_its_start_nor_its_cause():
    noise = seen({"alertname": "CertificateExpiresSoon", "service": "web"}, 0)
    storm = [
        seen({"alertname": "DiskFull", "service": "db"}, 3600),
        seen({"alertname": "Errors", "service": "api"}, 3590),
    ]
    assert named(noise, *storm)[0] == "web"
    first, second = rank(since([noise, *storm], 3000 * SECOND), SHOP, Weights())
    assert first.entity == "db" and "DiskFull 10s after the start" in first.reason and second.entity == "api"
    again = structs.replace(noise, last_at=3595 * SECOND)
    assert "CertificateExpiresSoon 5s after the start" in next(
        cause.reason for cause in rank(since([again, *storm], 3000 * SECOND), SHOP, Weights()) if cause.entity == "web"
    )
    assert since([noise], 3000 * SECOND) == [noise], "where nothing else is, it is the evidence"


def test_what_began_a_problem_by_chance_minutes_before_the_storm_is_not_its_cause():
    chance = [
        seen({"alertname": "ClockSkew", "service": "web"}, 0),
        seen({"alertname": "CertOld", "service": "api"}, 90),
    ]
    storm = [
        seen({"alertname": "Errors", "service": "web"}, 500),
        seen({"alertname": "Errors", "service": "api"}, 505),
        seen({"alertname": "CpuHigh", "service": "db"}, 520),
        seen({"alertname": "MemoryFull", "service": "db"}, 525),
        seen({"alertname": "DiskFull", "service": "db"}, 530),
    ]
    first, *_ = rank([*chance, *storm], SHOP, Weights())
    assert first.entity == "db" and "8m40s after the start" in first.reason
    assert named(*chance) == ["web", "api"], "where nothing else gathers, the first is the start"


def test_a_root_that_says_so_a_minute_before_the_storm_is_its_cause():
    root = seen({"alertname": "DiskFull", "service": "db"}, 0)
    storm = [seen({"alertname": "Errors", "service": name}, 60) for name in ("web", "api", "search", "mail")]
    assert named(root, *storm, seen({"alertname": "CpuHigh", "service": "web"}, 70))[0] == "db"


def test_an_alert_that_mostly_comes_without_a_problem_says_little():
    assert seen({"alertname": "A", "service": "db"}, 0, memory=Memory(1, alone=3)).rarity == pytest.approx(
        seen({"alertname": "A", "service": "db"}, 0).rarity / 16
    )


def test_the_memory_fades_slowly_and_fast():
    weights = Weights()
    later = remembered(took_part(Memory(1)), 1, weights.fast, weights)
    assert later.fast == pytest.approx(0.5) and later.slow > 0.99
    assert remembered(took_part(Memory(1)), 1, 30 * DAY, weights).slow == pytest.approx(0.5)


def test_the_reason_is_in_words_that_an_engineer_can_check():
    clues = [
        seen({"alertname": "CpuHigh", "service": "db"}, 71, memory=Memory(1, slow=1), problems=4),
        seen({"alertname": "HighLatency", "service": "web"}, 0, problems=4),
    ]
    cause = rank(clues, SHOP, Weights(), {"db": "release 1.4.2 of it 6 min before"})[0]
    assert cause.reason == (
        f"db ({cause.score * 100:.0f} % of the evidence; next web): CpuHigh 1m11s after the start, "
        "in 25 % of earlier problems; release 1.4.2 of it 6 min before"
    )


@pytest.mark.parametrize(
    ("labels", "words", "call"),
    [
        ({"caller": "web"}, "anything", True),
        ({"operation": "GET /"}, "", True),
        ({}, "HighLatency", True),
        ({}, "api_request_duration_seconds above 2", True),
        ({}, "HTTP5xx errors", True),
        ({}, "RpcErr", True),
        ({}, "NodeDiskFull", False),
        ({}, "disk latency of sda", False),
        ({}, "PodCrashLooping", False),
        ({}, "InstanceDown", False),
    ],
)
def test_what_is_felt_in_calls_is_told_by_its_labels_and_words(labels, words, call):
    assert felt_in_calls(labels, words) is call


def test_no_clues_no_causes():
    assert rank([], SHOP, Weights()) == ()


def test_weights_are_what_the_ranking_weighs_with():
    call = seen({"alertname": "HighLatency", "service": "web"}, 0)
    late = seen({"alertname": "DiskFull", "service": "db"}, 120)
    assert rank([call, late], SHOP, Weights())[0].entity == "db"
    assert rank([call, late], SHOP, Weights(call=1.0))[0].entity == "web"
    assert rank([call, late], SHOP, Weights(call=1.0, earliness=HOUR))[0].entity == "db"
    assert rank([call, late], SHOP, Weights(call=1.0, handed=1.0))[0].entity == "db"
    same = [seen({"alertname": "CpuHigh", "service": name}, 0) for name in ("web", "api")]
    own = seen({"alertname": "DiskFull", "service": "db"}, 60)
    assert rank([*same, own], SHOP, Weights())[0].entity == "db"
    assert rank([*same, own], SHOP, Weights(specificity=0.0))[0].entity != "db"


@given(
    st.builds(
        Weights, call=st.floats(0, 1), handed=st.floats(0, 1), specificity=st.floats(0, 10),
        earliness=st.integers(1, 400 * DAY), slow=st.integers(1, 400 * DAY), fast=st.integers(1, 400 * DAY),
        alone=st.integers(1, 400 * DAY),
    ),
    st.lists(st.tuples(st.sampled_from(["web", "api", "db"]), st.sampled_from(["CpuHigh", "Errors"]), st.integers(0, 9999))),
)  # fmt: skip
def test_under_any_weights_the_scores_are_parts_of_one(weights, alerts):
    clues, memory, problems = [], None, None
    for service, name, at in alerts:
        memory, problems = (remembered(one, 1, at * SECOND, weights) for one in (memory, problems))
        memory, problems = took_part(memory), took_part(problems)
        found = fact({"alertname": name, "service": service}, service, SHOP)
        clues.append(clue(found, at * SECOND, memory, problems))
    scores = [cause.score for cause in rank(clues, SHOP, weights)]
    assert all(0 <= score <= 1 for score in scores)
    assert sum(scores) < 1.001


def test_an_alert_of_which_more_is_remembered_than_of_problems_is_no_surprise():
    """The memories may have faded under other weights, before a reload."""
    known = Memory(1, slow=9.0, fast=9.0)
    assert clue(fact({"alertname": "A"}, "db", SHOP), 0, known, Memory(0)).rarity == 0.0


@given(st.permutations(range(6)))
def test_the_order_of_the_clues_changes_nothing(order):
    clues = [seen({"alertname": f"A{n % 3}", "service": ("web", "api", "db")[n % 3 - n // 3]}, n) for n in range(6)]
    assert rank([clues[n] for n in order], SHOP, Weights()) == rank(clues, SHOP, Weights())
