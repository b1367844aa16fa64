"""Callbacks that do nothing."""

from __future__ import annotations


def ignore(*arguments: object) -> None:
    """For callers that want no progress, pulses or log lines."""
