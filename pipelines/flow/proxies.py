"""HTTP proxies, which must not be used for Prefect's and Ray's servers on this machine."""

from __future__ import annotations

import os

LOOPBACK = ("127.0.0.1", "localhost", "::1")
NAMES = ("no_proxy", "NO_PROXY")
"""Most libraries read the first, and the second only if the first is not set."""


def bypass_proxy_for_loopback() -> None:
    """Add the loopback addresses to the hosts that are reached without a proxy; hosts listed already are kept."""
    listed = [host.strip() for name in NAMES for host in os.environ.get(name, "").split(",")]
    hosts = ",".join(dict.fromkeys([*filter(None, listed), *LOOPBACK]))
    for name in NAMES:
        os.environ[name] = hosts
