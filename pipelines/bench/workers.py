"""Independent pieces of work, in this process or spread over several of one thread or a few each."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import torch

MOST_WORKERS = 8
"""Each holds a copy of the networks."""


@dataclass(frozen=True)
class Work:
    """A call that can travel to another process."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """How far a list of work is."""

    label: str  # of what was finished last
    count: int
    total: int
    seconds: float  # since the list began


OnDone = Callable[[Done], None]


def default_workers(device: str) -> int:
    """One per core on CPU; one on an accelerator, which is busy with one."""
    return min(MOST_WORKERS, os.cpu_count() or 1) if device == "cpu" else 1


def run_all(work: Sequence[Work], workers: int, on_done: OnDone) -> list[Any]:
    """Every result, in the order of the work; the first error ends it."""
    started = time.monotonic()

    def tell(index: int, count: int) -> None:
        on_done(Done(work[index].label, count, len(work), time.monotonic() - started))

    if min(workers, len(work)) <= 1:
        results = []
        for index, piece in enumerate(work):
            results.append(piece.function(*piece.arguments))
            tell(index, index + 1)
        return results
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")  # forks of a process that ran torch can hang
    with ProcessPoolExecutor(workers, context, _begin, (threads,)) as pool:
        futures = {pool.submit(piece.function, *piece.arguments): index for index, piece in enumerate(work)}
        for count, future in enumerate(as_completed(futures), 1):
            if future.exception() is not None:
                pool.shutdown(cancel_futures=True)
            future.result()
            tell(futures[future], count)
        return [future.result() for future in futures]


def _begin(threads: int) -> None:
    """What a worker does first. A pool does not tell its workers when its process was killed, so each one watches."""
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker runs this"
    parent.join()
    os._exit(1)
