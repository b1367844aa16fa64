"""Prefect and Ray, before they are imported."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pipelines.flow.home import choose_prefect_home
from pipelines.flow.proxies import bypass_proxy_for_loopback

SETTINGS: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # Ray's own 15 starves the workers as soon as anything else runs
}


def prepare_engines() -> None:
    """No telemetry and no chatter, no proxy on loopback, and a folder for Prefect, in this process and its children.

    What the environment says already stays. ValueError when it names a folder for Prefect that cannot be written.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    bypass_proxy_for_loopback()
    choose_prefect_home()
