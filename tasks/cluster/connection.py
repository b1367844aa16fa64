"""The Ray cluster a run works on: the one that RAY_ADDRESS names, or one of its own on this machine."""

from __future__ import annotations

import logging
import os

import ray

from tasks.cluster.signals import answered_later


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
