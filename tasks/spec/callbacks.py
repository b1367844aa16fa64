"""Callbacks that do nothing."""

from __future__ import annotations


def ignore(*told: object) -> None:
    """For callers that want no progress, pulses or log lines."""
