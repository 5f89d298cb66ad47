"""What rests on what, and how near."""

import time

from responder.core.signal import DAY, HOUR
from responder.core.topology import FORGOTTEN_AFTER, Topology, name_of

SHOP = {"order": ["order-db", "logistics-api"], "logistics": ["logistics-api"], "order-db": [], "logistics-api": []}


def test_nodes_three_steps_apart_have_a_near_node_in_common():
    shop = Topology(SHOP)
    assert shop.around("order").near["logistics-api"] == 1
    assert shop.around("order").near["logistics"] == 2
    assert list(shop.around("hotline").near) == ["hotline"]


def test_a_ring_of_dependencies_hangs_nothing():
    ring = Topology({f"s{n}": [f"s{(n + 1) % 5}"] for n in range(5)})
    assert set(ring.around("s0").near) == {f"s{n}" for n in range(5)}
    assert ring.beneath("s0", {"s3"}) == ["s3"]
    assert ring.around("s0").part == ring.around("s3").part


def test_a_search_downwards_stops_at_the_nearest_of_those_sought():
    chain = Topology({"a": ["b"], "b": ["c"], "c": ["d"]})
    assert chain.beneath("a", {"c", "d"}) == ["c"]


def test_nodes_of_equal_name_differ_when_the_labels_of_the_scope_do():
    shop = Topology(SHOP, scope=("cluster",))
    eu, us = (shop.node("order", {"cluster": name}) for name in ("eu", "us"))
    assert eu != us and name_of(eu) == name_of(us) == "order"
    assert [name_of(node) for node in shop.under(eu)] == ["order-db", "logistics-api"]
    assert not set(shop.around(eu).near) & set(shop.around(us).near)
    assert shop.around(eu).part != shop.around(us).part
    assert shop.node("order", {}) == "order"


def test_edges_are_learned_from_alerts_that_carry_both_labels_and_forgotten_after_a_week():
    shop = Topology(SHOP, from_labels=(("instance", "node"),), scope=("cluster",))
    assert shop.shown_by({"instance": "order-0"}, 0) == ()
    found = shop.shown_by({"instance": "order-0", "node": "host-1", "cluster": "eu"}, 0)
    shop.remember(found)
    host = shop.node("host-1", {"cluster": "eu"})
    assert shop.over(host) == [shop.node("order-0", {"cluster": "eu"})]
    assert shop.over(shop.node("host-1", {"cluster": "us"})) == []
    again = {"instance": "order-0", "node": "host-1", "cluster": "eu"}
    assert shop.shown_by(again, HOUR - 1) == ()
    assert len(shop.shown_by(again, HOUR)) == 1
    assert shop.stale(DAY) == ()
    shop.forget(shop.stale(FORGOTTEN_AFTER + 1))
    assert shop.over(host) == []


def test_instances_belong_to_their_service_and_hosts_carry_instances():
    shop = Topology(SHOP, [("order", "order-0"), ("order-0", "host-1"), ("logistics", "host-2"), ("order", "host-2")])
    assert shop.owner("order-0") == "order"
    assert shop.owner("host-1") is None and shop.carries("host-1")
    assert shop.owner("host-2") is None and shop.carries("host-2")
    assert shop.node("host-1:9100", {}) == "host-1"


def test_a_service_with_ten_thousand_dependants_and_fifty_thousand_edges_stay_cheap():
    depends = {f"s{n}": ["hub", *(f"s{(n * k) % 10_000}" for k in (7, 11, 13, 17))] for n in range(10_000)}
    big = Topology(depends)
    begun = time.process_time()
    for n in range(200):
        assert "hub" in big.around(f"s{n}").near and len(big.around(f"s{n}").near) <= 64
        big.beneath(f"s{n}", {"nowhere"})
    assert list(big.around("hub").near) == ["hub"]
    assert time.process_time() - begun < 1.0
