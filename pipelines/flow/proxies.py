"""Proxies of HTTP, which Prefect's and Ray's servers on this machine are not reached by."""

from __future__ import annotations

import os

LOOPBACK = ("127.0.0.1", "localhost", "::1")
NAMES = ("no_proxy", "NO_PROXY")
"""Both are read: by most libraries the first, and the second only where the first is not set."""


def bypass_proxy_for_loopback() -> None:
    """Add the loopback addresses to the hosts that are reached without proxy; those that are there stay."""
    given = [host.strip() for name in NAMES for host in os.environ.get(name, "").split(",")]
    hosts = ",".join(dict.fromkeys([*filter(None, given), *LOOPBACK]))
    for name in NAMES:
        os.environ[name] = hosts
