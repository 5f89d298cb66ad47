"""What rests on what: services, instances, hosts, and how near two of them are.

A node is a name, or a name inside a scope when the configuration says that nodes of equal
name differ by some labels (``scope: [cluster]``). Edges of the configuration hold in every
scope; edges learned from alerts hold in the scope of the alert that showed them. An edge
goes from what rests to what it rests on. Every walk is bounded, so rings, a service with
10,000 dependants and 50,000 edges cost what a small shop does.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from responder.core.signal import DAY, HOUR, Instant, Labels, Span

Node: TypeAlias = str
"""``name``, or ``name 0x1f scope``: see :func:`name_of` and :meth:`Topology.node`."""

_SEPARATOR: Final = "\x1f"
_HUB: Final = 64
"""A node with more neighbours relates those who name it, but no walk goes through it."""
_NEAR: Final = 64
"""The most nodes that count as near to one."""
_KEPT: Final = 4096
"""The surroundings of so many nodes are kept."""
_STEPS: Final = 256
"""The most nodes that one search downwards looks at."""
FORGOTTEN_AFTER: Final[Span] = 7 * DAY
"""A learned edge that no alert has shown for so long is dropped."""
_SEEN_EVERY: Final[Span] = HOUR

SUBJECT_LABELS: Final = ("instance", "pod", "host", "hostname", "node", "nodename", "device")
"""Labels that name what an alert speaks of, the most particular first."""
_PLACE_LABELS: Final = (
    "namespace", "container", "endpoint", "uid", "deployment", "statefulset", "daemonset", "replicaset", "prometheus",
)  # fmt: skip
"""Further labels that say where an alert comes from, as Kubernetes and its Prometheus write them."""


class Edge(Struct, frozen=True):
    """A learned edge, as stored."""

    from_node: Node
    to_node: Node
    last_seen: Instant
    origin: Literal["labels"] = "labels"


class Around(Struct, frozen=True):
    """What is around a node."""

    node: Node
    near: dict[Node, int]
    """The nodes at most two steps away with their distance, the node itself first. Two nodes with a near node in
    common are at most four steps apart."""
    next: tuple[tuple[Node, int], ...]
    """Of the near ones those at most one step away."""
    names: tuple[Node, ...]
    """The same without the steps."""
    farther: tuple[tuple[Node, int], ...]
    part: str
    """A name for the connected part that it lies in; alone, its own."""


def name_of(node: Node) -> str:
    """Return the node's name without its scope."""
    return node.split(_SEPARATOR, 1)[0]


class Topology:
    """The graph. What is configured never changes; learned edges come by :meth:`remember`.

    Args:
        depends_on: Each catalogued service with the services it rests on.
        edges: Further ``(from, to)`` pairs by name: services, instances, hosts.
        from_labels: ``(from label, to label)`` pairs from which edges are learned.
        scope: Labels by which nodes of equal name differ.
    """

    def __init__(
        self,
        depends_on: Mapping[str, Collection[str]] | None = None,
        edges: Iterable[tuple[str, str]] = (),
        from_labels: tuple[tuple[str, str], ...] = (),
        scope: tuple[str, ...] = (),
    ) -> None:
        self.services = frozenset(depends_on or ())
        self.from_labels, self.scope = from_labels, scope
        first = tuple(name for name, _ in from_labels)
        self.subject_labels = tuple(dict.fromkeys((*first, *SUBJECT_LABELS)))
        learned = (name for pair in from_labels for name in pair)
        self.naming_labels = frozenset((*self.subject_labels, *_PLACE_LABELS, *scope, *learned))
        """Labels that say where something is and not what it is."""
        self._under: dict[Node, dict[Node, None]] = {}
        self._over: dict[Node, dict[Node, None]] = {}
        self._learned: dict[tuple[Node, Node], Instant] = {}
        self._part: dict[str, str] = {}
        self._around: dict[Node, Around] = {}
        for service, beneath in (depends_on or {}).items():
            for other in beneath:
                self._link(service, other)
        for from_name, to_name in edges:
            self._link(from_name, to_name)

    # Names

    def scope_of(self, labels: Labels) -> str:
        """Return the scope that labels put a name into; empty when none of the scope's labels is there."""
        return ",".join([f"{name}={value}" for name in self.scope if (value := labels.get(name))])

    def node(self, name: str, labels: Labels) -> Node:
        """Return the node that a name means beside these labels; ``host:port`` means ``host`` when only that is known."""
        if name not in self._under and name not in self._over and ":" in name:
            bare = name.rsplit(":", 1)[0]
            if bare in self._under or bare in self._over:
                name = bare
        scope = self.scope_of(labels) if self.scope else ""
        return f"{name}{_SEPARATOR}{scope}" if scope else name

    # Edges

    def under(self, node: Node) -> list[Node]:
        """Return what the node rests on directly."""
        return self._beside(self._under, node)

    def over(self, node: Node) -> list[Node]:
        """Return what rests on the node directly."""
        return self._beside(self._over, node)

    def knows(self, node: Node) -> bool:
        """Say whether any edge touches the node."""
        if node in self._under or node in self._over:
            return True
        return _SEPARATOR in node and self.knows(name_of(node))

    def shown_by(self, labels: Labels, at: Instant) -> tuple[Edge, ...]:
        """Return the edges that an alert's labels show and that are worth storing: new ones, and hourly a sighting."""
        found = []
        for from_label, to_label in self.from_labels:
            if labels.get(from_label) and labels.get(to_label):
                pair = self.node(labels[from_label], labels), self.node(labels[to_label], labels)
                if pair[0] != pair[1] and at - self._learned.get(pair, at - _SEEN_EVERY) >= _SEEN_EVERY:
                    found.append(Edge(*pair, last_seen=at))
        return tuple(found)

    def remember(self, edges: Iterable[Edge]) -> None:
        """Take in learned edges: after the commit that stored them, and at start."""
        for edge in edges:
            pair = edge.from_node, edge.to_node
            if pair not in self._learned:
                self._link(*pair)
            self._learned[pair] = max(edge.last_seen, self._learned.get(pair, edge.last_seen))

    def stale(self, now: Instant) -> tuple[Edge, ...]:
        """Return the learned edges that no alert has shown for a week; the daily sweep deletes them."""
        return tuple(Edge(*pair, last_seen=at) for pair, at in self._learned.items() if now - at > FORGOTTEN_AFTER)

    def forget(self, edges: Iterable[Edge]) -> None:
        """Drop learned edges; parts that fall apart are told apart from the next start on."""
        for edge in edges:
            pair = edge.from_node, edge.to_node
            if self._learned.pop(pair, None) is not None and pair[1] in self._under.get(pair[0], ()):
                del self._under[pair[0]][pair[1]]
                del self._over[pair[1]][pair[0]]
        self._around.clear()

    # Walks

    def around(self, node: Node) -> Around:
        """Return what is around a node. Bounded: hubs are reached and never walked through."""
        found = self._around.get(node)
        if found is None:
            near = {node: 0}
            ring = [node]
            for distance in (1, 2):
                ring = self._widen(ring, near, distance)
            nearest = tuple((other, steps) for other, steps in near.items() if steps <= 1)
            farther = tuple((other, steps) for other, steps in near.items() if steps > 1)
            names = tuple(other for other, _ in nearest)
            found = Around(node, near, nearest, names, farther, self._part_of(node))
            if len(self._around) >= _KEPT:
                self._around.clear()
            self._around[node] = found
        return found

    def _part_of(self, node: Node) -> str:
        name, _, scope = node.partition(_SEPARATOR)
        root = self._root(node) if node in self._part else self._root(name)
        return f"{name_of(root)}{_SEPARATOR}{scope}" if scope else root

    def beneath(self, node: Node, among: Collection[Node]) -> list[Node]:
        """Return the nearest of *among* that the node rests on, through others that are not among them."""
        found: dict[Node, None] = {}
        seen, queue = {node}, [node]
        for here in queue:
            for below in self.under(here):
                if below in seen:
                    continue
                seen.add(below)
                if below in among:
                    found[below] = None
                elif len(queue) < _STEPS:
                    queue.append(below)
            if len(seen) >= _STEPS:
                break
        return list(found)

    def owner(self, node: Node) -> str | None:
        """Return the service that an instance belongs to: the only node that rests on it, when that is a service."""
        above = self.over(node)
        if len(above) != 1 or name_of(node) in self.services:
            return None
        name = name_of(above[0])
        return name if name in self.services else None

    def carries(self, node: Node) -> bool:
        """Say whether the node is a host: it carries instances, or more than one service."""
        above = self.over(node)
        return len(above) > 1 or any(name_of(one) not in self.services for one in above)

    def _widen(self, ring: list[Node], known: dict[Node, int], distance: int) -> list[Node]:
        wider: list[Node] = []
        for here in ring:
            if self._degree(here) > _HUB:
                continue
            for side in (self._under, self._over):
                for other in self._beside(side, here):
                    if other not in known and len(known) < _NEAR:
                        known[other] = distance
                        wider.append(other)
        return wider

    def _degree(self, node: Node) -> int:
        keys = {node, name_of(node)}
        return sum(len(side.get(key, ())) for side in (self._under, self._over) for key in keys)

    def _beside(self, side: dict[Node, dict[Node, None]], node: Node) -> list[Node]:
        name, _, scope = node.partition(_SEPARATOR)
        if not scope:
            return list(side.get(node, ()))
        configured = [f"{other}{_SEPARATOR}{scope}" for other in side.get(name, ())]
        learned = side.get(node)
        return configured if learned is None else list(dict.fromkeys((*configured, *learned)))

    def _link(self, upper: Node, lower: Node) -> None:
        if upper == lower:
            return
        self._under.setdefault(upper, {})[lower] = None
        self._over.setdefault(lower, {})[upper] = None
        for node in (upper, lower):  # a scoped node belongs to the part of its name
            self._part.setdefault(node, self._part.get(name_of(node), node))
        self._part[self._root(upper)] = self._root(lower)
        self._around.clear()

    def _root(self, node: Node) -> Node:
        parents = self._part
        while (parent := parents.get(node, node)) != node:
            above = parents.get(parent, parent)
            if above == parent:
                return parent
            parents[node] = node = above
        return node
