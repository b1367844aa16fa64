"""The Ray cluster a run works on: the one that RAY_ADDRESS names, or one of its own on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import services  # only Ray itself knows which address "auto" is
from ray.exceptions import RayError

from tasks.cluster.local_ray import provide_token, ray_folder
from tasks.cluster.signals import deferred_signals

LOCAL = "local"
"""Ray's word for a cluster of the process's own."""
ANSWER_SECONDS = 10.0  # that the head of a cluster has to take a connection
ATTEMPTS = "RAY_gcs_server_port_wait_time_s"
"""Ray's setting for how often a head is asked, about once a second; a head that does not answer takes 40 seconds."""
MOST_WORDS = 300  # characters of an error of Ray, which may quote whole logs


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
    with deferred_signals():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)


def _one_line(error: Exception) -> str:
    """What an error says, without its line breaks, and the end of it where that is long."""
    words = " ".join(str(error).split())
    return words if len(words) <= MOST_WORDS else f"... {words[-MOST_WORDS:]}"


def disconnect() -> None:
    """Leave the cluster; a local one ends."""
    ray.shutdown()
