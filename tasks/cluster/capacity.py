"""How many workers find what they need on the nodes of the Ray cluster."""

from __future__ import annotations

import math
from collections.abc import Collection

import ray

from tasks.spec.resources import Resources

ROUNDING = 1e-6
"""Ten actors of 0.1 fit on a node of 0.7 + 0.3."""


def max_actors(resources: Resources, avoid: Collection[str] = (), *, can_grow: bool = False) -> int:
    """How many actors to have on the nodes that are there, without those in `avoid` (ids).

    A cluster that can grow is believed to find a node for the number of actors that the job names.

    Errors: ValueError when no node of the cluster, avoided or not, could hold one actor.
    """
    needs = resources.needs()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    fits = {node["NodeID"]: _fits(node["Resources"], needs) for node in nodes}
    if sum(fits.values()) == 0:
        if can_grow and resources.actors is not None:
            return resources.actors
        largest = {name: max((node["Resources"].get(name, 0.0) for node in nodes), default=0.0) for name in needs}
        raise ValueError(
            f"resources: each actor asks for {needs}, and the most any of {len(nodes)} nodes has is {largest}; "
            "ask for less in the job, or connect to a larger cluster with RAY_ADDRESS; for a cluster that starts its "
            "nodes on demand, give the number of actors in the job"
        )
    there = sum(count for node, count in fits.items() if node not in avoid)
    if resources.actors is None or not there:
        return there
    return min(resources.actors, there) if avoid else resources.actors


def _fits(there: dict[str, float], needs: dict[str, float]) -> int:
    return min(capacity(name, there.get(name, 0.0), amount) for name, amount in needs.items())


def capacity(name: str, there: float, amount: float) -> int:
    """How many actors that need so much find it on a node. A share of a GPU lies on one device, as Ray has it."""
    if name == "GPU" and amount < 1:
        return math.floor(there) * math.floor(1 / amount + ROUNDING)
    return math.floor(there / amount + ROUNDING)
