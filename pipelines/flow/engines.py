"""Prefect and Ray, before they are imported."""

from __future__ import annotations

import os
from collections.abc import Mapping

SETTINGS: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # Ray's own 15 starves the workers as soon as anything else runs
}


def quiet_engines() -> None:
    """No telemetry and no chatter, in this process and its children. What the environment says already stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
