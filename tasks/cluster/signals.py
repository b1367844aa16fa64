"""Signals to stop the process, handled at a moment when stopping is safe."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGINT)
LAST_WORK = threading.Lock()
"""Held while a process that was told to stop does its last work."""


@contextmanager
def end_postponed() -> Iterator[None]:
    """Last work of a process that ends: whoever ends it may wait for the block, but not for long."""
    with LAST_WORK:
        yield


@contextmanager
def deferred_signals() -> Iterator[None]:
    """SIGTERM and SIGINT that arrive in the block are raised right after it, for the handlers installed before it.

    A Python exception raised inside Ray's native code would become a SystemError without a cause. Handlers that the
    block itself installs (ray.init() does, and they abort the process) are removed at its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.signal(number, lambda caught, frame: arrived.append(caught)) for number in STOPPING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in arrived:
        signal.raise_signal(number)
