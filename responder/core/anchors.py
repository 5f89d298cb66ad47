"""By what incidents find each other: the values of labels, or the nodes near to them.

An incident is filed by some *anchors*, and looks for others under some; two that meet at one
inside the window belong together.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Final

from msgspec import Struct

from responder.core.board import EQUAL, Onset
from responder.core.catalogue import Depends, How, ProblemSpec
from responder.core.signal import Labels
from responder.core.topology import Around, Node, Topology

_ANY: Final = "\xffany"
_KNOWN: Final = "\xffknown"
"""Anchors of what the topology does not know, and of what it knows, where labels have to be equal, too."""
_BY_LABELS: Final = ((_ANY, 1),)
_BY_LABELS_UNKNOWN: Final = ((_ANY, 1), (_KNOWN, 1))


class Place(Struct, frozen=True):
    """Where an incident stands for one spec: what must be equal, and its nodes in the topology."""

    base: str
    values: tuple[str, ...]
    """Of the labels that must be equal."""
    how: How
    nodes: tuple[Around, ...]
    known: bool

    @property
    def alike(self) -> str:
        """Return the equal labels in words."""
        return ", ".join(f"{name}={value}" for name, value in zip(self.how.same, self.values, strict=True))

    def filed(self) -> list[str]:
        """Return the anchors that lead to the incident: itself and one step from it."""
        if not isinstance(self.how, Depends):
            return [EQUAL]
        anchors = [_KNOWN if self.known else _ANY] if self.how.same else []
        if self.known or not self.how.same:
            for node in self.nodes:
                anchors += node.names
        return anchors

    def sought(self) -> Iterable[tuple[str, int]]:
        """Return the anchors that lead to its like with the steps to them, the nearest first.

        What is filed reaches one step and what is sought two, so three steps relate. With
        ``same``, an incident that the topology does not know is related by the equal labels
        alone; what the topology knows to be apart stays apart.
        """
        if not isinstance(self.how, Depends):
            return ((EQUAL, 0),)
        nodes = self.nodes if self.known or not self.how.same else ()
        equal = () if not self.how.same else _BY_LABELS if self.known else _BY_LABELS_UNKNOWN
        return chain(*[node.next for node in nodes], equal, *[node.farther for node in nodes])


def place(spec: ProblemSpec, onset: Onset, topology: Topology) -> Place | None:
    """Return where an incident stands; None when a label that must be equal is absent."""
    how = spec.how
    values = _same_values(how.same, onset.rule, onset.service, onset.labels)
    if values is None:
        return None
    return placed("\xff".join((spec.id, *values)), values, how, onset.fact.nodes, topology)


def placed(base: str, values: tuple[str, ...], how: How, nodes: tuple[Node, ...], topology: Topology) -> Place:
    """Return the place of what stands at these nodes; what the topology knows of them goes before what it does not."""
    known = tuple([topology.around(node) for node in nodes if topology.knows(node)])
    return Place(base, values, how, known or tuple([topology.around(node) for node in nodes]), bool(known))


def _same_values(same: tuple[str, ...], rule: str, service: str, labels: Labels) -> tuple[str, ...] | None:
    """Return the incident's values of the labels that must be equal; None when one is absent."""
    if not same:
        return ()
    own = {"rule": rule, "service": service}
    values = tuple(labels.get(name) or own.get(name, "") for name in same)
    return values if all(values) else None
