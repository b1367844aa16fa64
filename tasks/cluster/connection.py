"""The Ray cluster a run works on: the one that RAY_ADDRESS names, or one of its own on this machine."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import services  # only Ray itself knows which address "auto" is
from ray.exceptions import RayError

from tasks.cluster.local_ray import provide_token, ray_folder
from tasks.cluster.signals import answered_later
from tasks.spec.resources import Resources

LOCAL = "local"
"""Ray's word for a cluster of the process's own."""
ANSWER_SECONDS = 10.0  # that the head of a cluster has to take a connection
ATTEMPTS = "RAY_gcs_server_port_wait_time_s"
"""Ray's setting for how often a head is asked, about once a second; a head that does not answer takes 40 seconds."""
MOST_WORDS = 300  # characters of an error of Ray, which may quote whole logs
ROUNDING = 1e-6
"""Ten actors of 0.1 fit on a node of 0.7 + 0.3."""


def connect() -> bool:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine; whether it is ours to leave.

    Errors, in one line each: ValueError for an address that cannot be used; ConnectionError when nobody answers there,
    or Ray does not start.
    """
    if ray.is_initialized():
        return False
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS", "").strip() or LOCAL
    if address == LOCAL:
        _start()
    else:
        _join(address)
    return True


def _start() -> None:
    provide_token()
    try:
        _init(LOCAL, include_dashboard=False, object_store_memory=2**27, _temp_dir=ray_folder())
    except (RuntimeError, RayError, OSError) as error:
        raise ConnectionError(f"Ray does not start on this machine: {_one_line(error)}") from error


def _join(address: str) -> None:
    if address.startswith("ray://"):
        raise ValueError(
            f"RAY_ADDRESS={address}: Ray Client loses a run with its connection; run on a node of the cluster "
            "(ray start --address=HEAD:6379 --num-cpus=0) and give HEAD:6379 or auto"
        )
    try:
        place = _reached(address)
        with _one_attempt():
            _init(place)
    except (RuntimeError, RayError, OSError) as error:
        raise ConnectionError(
            f"RAY_ADDRESS={address}: no Ray cluster can be joined there ({_one_line(error)}); start it, give its "
            "HEAD:6379, or unset RAY_ADDRESS to run on this machine"
        ) from error


def _reached(address: str) -> str:
    """host:port of the cluster's head, as Ray understands the address, once it takes connections. OSError if not."""
    try:
        place = services.canonicalize_bootstrap_address(address) or ""
        host, port = services.extract_ip_port(place)
    except ValueError as error:
        raise ValueError(f"RAY_ADDRESS={address} is no cluster's address ({error}); give HEAD:6379 or auto") from None
    with socket.create_connection((host.strip("[]"), port), timeout=ANSWER_SECONDS):
        return place


@contextmanager
def _one_attempt() -> Iterator[None]:
    """Ray asks a head that takes connections once, for less than a minute, and not twenty times."""
    if ATTEMPTS in os.environ:
        yield
        return
    os.environ[ATTEMPTS] = "1"
    try:
        yield
    finally:
        del os.environ[ATTEMPTS]


def _init(address: str, **options: Any) -> None:
    with answered_later():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)


def _one_line(error: Exception) -> str:
    """What an error says, without its line breaks, and the end of it where that is long."""
    words = " ".join(str(error).split())
    return words if len(words) <= MOST_WORDS else f"... {words[-MOST_WORDS:]}"


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
