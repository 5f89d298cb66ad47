"""Of whom an alert speaks."""

import pytest

from responder.core.causes import fact
from responder.core.speaking import speaks_of
from responder.core.topology import Topology

SHOP = Topology({"cart": ["redis"], "redis": []})
NOTHING = Topology()
THROUGH_STATE_METRICS = {
    "job": "kube-state-metrics", "service": "monitoring-kube-state-metrics", "instance": "10.42.0.17:8080",
    "endpoint": "http", "namespace": "shop", "container": "kube-state-metrics",
    "pod": "monitoring-kube-state-metrics-7c9f4d6b8x-x2k9z",
}  # fmt: skip
NODE_EXPORTER = {
    "job": "node-exporter", "service": "monitoring-prometheus-node-exporter", "instance": "worker-1:9100",
    "container": "node-exporter", "pod": "monitoring-prometheus-node-exporter-x2k9z", "namespace": "monitoring",
}  # fmt: skip


@pytest.mark.parametrize("topology", [SHOP, NOTHING])
@pytest.mark.parametrize(
    ("labels", "service", "subject"),
    [
        ({"pod": "cart-6d4f8b7c9d-x2k9z", "container": "cart"}, "cart", "cart-6d4f8b7c9d-x2k9z"),
        ({"pod": "cart-6d4f8b7c9d-x2k9z", "container": ""}, "cart", "cart-6d4f8b7c9d-x2k9z"),
        ({"pod": "cart-0", "container": ""}, "cart", "cart-0"),
        ({"deployment": "cart"}, "cart", ""),
        ({"node": "worker-1"}, "", "worker-1"),
        ({}, "monitoring-kube-state-metrics", ""),
    ],
)
def test_what_watches_others_lends_its_name_and_address_to_nobody(topology, labels, service, subject):
    assert speaks_of({**THROUGH_STATE_METRICS, **labels}, "", topology) == (service, subject)


def test_what_a_node_exporter_says_is_said_of_the_host():
    assert speaks_of(NODE_EXPORTER, "", NOTHING) == ("", "worker-1:9100")
    assert speaks_of(NODE_EXPORTER, "", Topology(edges=[("cart", "worker-1")])) == ("", "worker-1")
    down = {name: NODE_EXPORTER[name] for name in ("job", "service", "namespace")}
    assert speaks_of(down, "", NOTHING) == ("monitoring-prometheus-node-exporter", "")


def test_what_the_kubelet_says_of_a_container_is_said_of_its_workload():
    labels = {"job": "kubelet", "service": "monitoring-kubelet", "instance": "10.0.0.5:10250", "node": "worker-1"}
    assert speaks_of({**labels, "pod": "cart-0"}, "", NOTHING) == ("cart", "cart-0")
    assert speaks_of(labels, "", NOTHING) == ("", "worker-1")


def test_a_service_that_is_configured_goes_before_names_that_are_not():
    assert speaks_of({"service": "cart-metrics", "container": "cart"}, "cart-metrics", SHOP)[0] == "cart"
    assert speaks_of({"service": "cart-metrics", "container": "proxy"}, "redis", SHOP)[0] == "redis"
    assert speaks_of({"service": "redis", "container": "cart"}, "cart", SHOP)[0] == "redis"
    assert speaks_of({"service": "cart-metrics", "container": "proxy"}, "other", SHOP)[0] == "cart-metrics"


def test_an_exporter_of_a_service_keeps_its_name():
    labels = {"job": "redis-exporter", "service": "redis-exporter", "instance": "10.1.2.3:9121"}
    assert speaks_of(labels, "", NOTHING) == ("redis-exporter", "10.1.2.3:9121")


def test_alerts_of_one_name_are_of_one_kind_in_whatever_workload_and_namespace():
    kinds = {
        fact({**THROUGH_STATE_METRICS, "alertname": "CrashLoop", "uid": name, "namespace": name, "container": name,
              "deployment": name}, "", NOTHING).kind
        for name in ("cart", "redis")
    }  # fmt: skip
    assert len(kinds) == 1


def test_what_the_alert_does_not_name_and_the_topology_does_not_know_is_no_suspect():
    """A rule may file everything under one service, the network."""
    layers = Topology({"network": [], "web": ["db"]}, [("app-1", "vm-1"), ("vm-1", "host-1")])
    assert fact({"alertname": "NoHeartbeat", "app": "x", "instance": "app-1"}, "network", layers).suspect == "app-1"
    assert fact({"alertname": "NoHeartbeat", "instance": "unknown"}, "network", layers).suspect == "network"
    assert fact({"alertname": "NoHeartbeat", "instance": "app-1"}, "web", layers).suspect == "web"
    named = {"alertname": "NoHeartbeat", "instance": "app-1", "job": "network"}
    assert fact(named, "network", layers).suspect == "network"
