"""Being told to stop, at a moment when stopping is clean."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def answered_later() -> Iterator[None]:
    """Signals to stop that arrive in the block are answered right after it, by whoever answers them now.

    A Python exception in the middle of Ray's native code would come out as a SystemError without a cause. Handlers that
    the block itself installs (ray.init() does, and they abort the process) are gone after it.
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
