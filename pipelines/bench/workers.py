"""Executes independent works, in this process or in several processes with a few threads each."""

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
"""Largest default number of processes; each holds a copy of the networks."""


@dataclass(frozen=True)
class Work:
    """A function call that another process can execute."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """Progress of a list of works."""

    label: str  # of the last finished work
    count: int
    total: int
    seconds: float  # since the first work began


OnDone = Callable[[Done], None]


def default_workers(device: str) -> int:
    """One per core on CPU; one on an accelerator, which one process fully uses."""
    return min(MOST_WORKERS, os.cpu_count() or 1) if device == "cpu" else 1


def run_all(work: Sequence[Work], workers: int, on_done: OnDone) -> list[Any]:
    """All results, in the order of the works. The first error is raised, and no further work is begun."""
    started = time.monotonic()

    def report_done(index: int, count: int) -> None:
        on_done(Done(work[index].label, count, len(work), time.monotonic() - started))

    if min(workers, len(work)) <= 1:
        results = []
        for index, piece in enumerate(work):
            results.append(piece.function(*piece.arguments))
            report_done(index, index + 1)
        return results
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")  # a fork of a process that has run torch can hang
    with ProcessPoolExecutor(workers, context, _begin, (threads,)) as pool:
        futures = {pool.submit(piece.function, *piece.arguments): index for index, piece in enumerate(work)}
        for count, future in enumerate(as_completed(futures), 1):
            if future.exception() is not None:
                pool.shutdown(cancel_futures=True)
            future.result()
            report_done(futures[future], count)
        return [future.result() for future in futures]


def _begin(threads: int) -> None:
    """Initialise a worker process. It ends itself when its parent is killed, because the pool does not end it."""
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker runs this"
    parent.join()
    os._exit(1)
