"""The environment of Prefect and Ray, which must be set before they are imported."""

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
    "RAY_worker_niceness": "0",  # with Ray's default of 15, workers get little CPU time next to other processes
}


def prepare_engines() -> None:
    """Switch telemetry and log messages off, bypass proxies on loopback, and choose a folder for Prefect.

    This holds for this process and its children. Variables that are set already are not changed.
    Errors: ValueError if PREFECT_HOME names a folder that cannot be written.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    bypass_proxy_for_loopback()
    choose_prefect_home()
