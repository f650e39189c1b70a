"""Whether the nodes know yet: a revision compared with what each node class reported.

A class is ready when every enrolled node of it reported that revision or a later one. A node that is switched
off therefore holds its class back; the numbers beside the answer say so, and an administrator revokes what is
gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from idmap.application.ports import RegistryReader


@dataclass(frozen=True, slots=True)
class ClassReadiness:
    """One node class: how many nodes it has, and how many have the revision."""

    nodes: int
    current: int

    @property
    def ready(self) -> bool:
        """Whether all have it; a class without nodes is never ready (law 4)."""
        return 0 < self.nodes == self.current


def readiness(reader: RegistryReader, revision: int) -> dict[str, ClassReadiness]:
    """By node class, how far `revision` has come."""
    found: dict[str, ClassReadiness] = {}
    for node in reader.nodes():
        before = found.get(node.node_class, ClassReadiness(0, 0))
        has_it = node.reported is not None and node.revision >= revision
        found[node.node_class] = ClassReadiness(before.nodes + 1, before.current + has_it)
    return found
