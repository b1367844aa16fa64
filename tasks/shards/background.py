"""Background threads: one reads ahead, one writes results, several do small tasks in parallel. A PixelBudget limits
the memory that threads use together: one acquires a part of it, and another may release it.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _End:
    """The source is exhausted, or raised."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def read_ahead(source: Iterable[Item], depth: int = 2) -> Iterator[Iterator[Item]]:
    """The items of `source`, up to `depth` of them computed in advance by a thread that ends with the block.

    An exception of the source is raised at the position of the item.
    """
    ready: queue.Queue[Item | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Item | _End) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                break

    def fill() -> None:
        try:
            for item in source:
                put(item)
                if stopped.is_set():
                    return
            put(_End(None))
        except BaseException as error:
            put(_End(error))

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _drain(ready)
    finally:
        stopped.set()
        thread.join()


def _drain(ready: queue.Queue[Item | _End]) -> Iterator[Item]:
    while not isinstance(item := ready.get(), _End):
        yield item
    if item.error is not None:
        raise item.error


def in_flight(work: Callable[[Item], Result], items: Iterable[Item], width: int) -> Iterator[Result]:
    """work(item) of every item, in their order, in threads; at most `width` results are in progress or waiting."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(width) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == width:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class PixelBudget:
    """A number of pixels that threads share: a thread that needs more than is free waits until others release theirs.

    A thread that needs more than the whole budget waits until all of it is free.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._left = size
        self._closed = False
        self._changed = threading.Condition()

    def wait(self, size: int) -> None:
        """Wait until `size` is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._left >= min(size, self.size))

    def acquire(self, size: int) -> None:
        """Wait until `size` is free, and take it."""
        with self._changed:
            self.wait(size)
            self._left -= size

    def release(self, size: int) -> None:
        """Return `size` that was acquired."""
        with self._changed:
            self._left += size
            self._changed.notify_all()

    def close(self) -> None:
        """End all waiting, now and later, because no thread releases anything any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class BackgroundWriter:
    """Runs calls in order on one thread, with at most `depth` of them waiting. The end of the block waits for all.

    After the first exception later calls are not run; it is raised by the next submit() or at the end of the block.
    """

    def __init__(self, depth: int = 4) -> None:
        self._calls: queue.Queue[tuple[Callable[[], object], bool] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)

    def __enter__(self) -> BackgroundWriter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._error = self._error or error
        self._calls.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def submit(self, work: Callable[[], object]) -> None:
        """Run `work` after the earlier calls, if all of them succeed."""
        if self._error is not None:
            raise self._error
        self._calls.put((work, False))

    def submit_always(self, work: Callable[[], object]) -> None:
        """Run `work` after the earlier calls, also if one fails, because other threads may wait for it."""
        self._calls.put((work, True))

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            work, anyway = call
            if anyway or self._error is None:
                try:
                    work()
                except BaseException as error:
                    self._error = self._error or error
