"""The Ray cluster a run works on: the one that RAY_ADDRESS names, or one of its own on this machine."""

from __future__ import annotations

import logging
import math
import os

import ray

from tasks.cluster.signals import answered_later
from tasks.spec.resources import Resources

ROUNDING = 1e-6
"""Ten actors of 0.1 fit on a node of 0.7 + 0.3."""


def connect() -> bool:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine; whether it is ours to leave.

    Errors: ValueError for Ray Client; ConnectionError when nobody answers there.
    """
    if ray.is_initialized():
        return False
    address = os.environ.get("RAY_ADDRESS", "local")
    if address.startswith("ray://"):
        raise ValueError(
            f"RAY_ADDRESS={address}: Ray Client loses a run with its connection; run on a node of the cluster "
            "(ray start --address=HEAD:6379 --num-cpus=0) and give HEAD:6379 or auto"
        )
    logging.getLogger("ray").setLevel(logging.ERROR)
    local = {"include_dashboard": False, "object_store_memory": 2**27} if address == "local" else {}
    with answered_later():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **local)
    return True


def disconnect() -> None:
    """Leave the cluster; a local one ends."""
    ray.shutdown()


def max_actors(resources: Resources) -> int:
    """How many actors to have. ValueError when not even one fits on any node of the cluster."""
    needs = resources.needs()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = [min(capacity(name, node.get(name, 0.0), amount) for name, amount in needs.items()) for node in nodes]
    if sum(fits) == 0:
        largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in needs}
        raise ValueError(
            f"resources: each actor asks for {needs}, and the most any of {len(nodes)} nodes has is {largest}; "
            "ask for less in the job, or connect to a larger cluster with RAY_ADDRESS"
        )
    return sum(fits) if resources.actors is None else resources.actors


def capacity(name: str, there: float, amount: float) -> int:
    """How many actors that need so much find it on a node. A share of a GPU lies on one device, as Ray has it."""
    if name == "GPU" and amount < 1:
        return math.floor(there) * math.floor(1 / amount + ROUNDING)
    return math.floor(there / amount + ROUNDING)
