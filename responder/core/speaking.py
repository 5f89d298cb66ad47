"""Of which service, and of what instance or host, an alert speaks: read from its labels.

Mostly the label ``service`` and the first label that names an instance say it. But what watches
others for Prometheus puts its own name there: an alert of kube-state-metrics about a pod carries
``service="kube-state-metrics"`` and the address of kube-state-metrics as ``instance``, the
same for every pod of the cluster. Such a name is nobody's who suffers; the workload is, that
``deployment``, ``container`` or ``pod`` name, or the host.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from responder.core.signal import Labels
from responder.core.topology import Node, Topology

_WORKLOADS: Final = ("deployment", "statefulset", "daemonset", "container", "app")
"""Labels that name a workload, the most reliable first."""
_WATCHER: Final = re.compile(
    r"(?:.*[-_])?(?:kube[-_]state[-_]metrics|node[-_]exporter|windows[-_]exporter|kubelet|cadvisor|"
    r"blackbox[-_]exporter|snmp[-_]exporter)"
)
_RELAY: Final = "metrics"
"""The last word of a watcher whose ``instance`` is its own address; with the others it is what they watch."""
_POD: Final = re.compile(
    r"(.+?)(?:(?:-[bcdfghjklmnpqrstvwxz2456789]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}|-\d+)", re.ASCII
)
"""A pod's name: its workload's, then what Kubernetes makes up (letters without vowels), or its number."""


def speaks_of(labels: Labels, service: str, topology: Topology) -> tuple[str, Node]:
    """Return the service and the instance, host or other entity of an alert; either may be empty.

    What the configuration knows goes before what it does not: the label ``service``, the
    incident's *service*, the workload. When it knows none of them, a watcher's name gives way to the
    workload's, or to the host's alone.
    """
    named = labels.get("service") or service
    if named in topology.services:
        return named, _subject(topology.subject_labels, labels, topology)
    watcher = _watches(labels.get("service") or labels.get("job", ""))
    if not watcher:
        subject = _subject(topology.subject_labels, labels, topology)
    else:
        others = [name for name in topology.subject_labels if name != "instance"]
        names = others if watcher.endswith(_RELAY) else [*others, "instance"]
        subject = _subject(names, {n: v for n, v in labels.items() if not _watches(_workload_of(v))}, topology)
    workloads = list(_workloads(labels)) if named else []
    for name in (named, service, *workloads):
        if _known(name, labels, topology):
            return name, subject
    if _watches(named):
        named = workloads[0] if workloads else "" if subject else named
    return named, subject


def _subject(names: Iterable[str], labels: Labels, topology: Topology) -> Node:
    for name in names:
        if value := labels.get(name):
            return topology.node(value, labels)
    return ""


def _workloads(labels: Labels) -> Iterator[str]:
    for name in _WORKLOADS:
        if (value := labels.get(name)) and not _watches(value):
            yield value
    if (pod := labels.get("pod")) and not _watches(workload := _workload_of(pod)):
        yield workload


def _known(name: str, labels: Labels, topology: Topology) -> bool:
    return name in topology.services or (bool(name) and topology.knows(topology.node(name, labels)))


@lru_cache(4096)
def _watches(name: str) -> str:
    """Return the name when it is that of what watches others, else nothing."""
    return name if _WATCHER.fullmatch(name) else ""


@lru_cache(4096)
def _workload_of(pod: str) -> str:
    found = _POD.fullmatch(pod)
    return found[1] if found else pod
