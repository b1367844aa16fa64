"""Ray actors as workers of the pool, on a real local Ray, with small actors that fail in every way."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from ray.exceptions import ActorUnavailableError, RayActorError

from tasks.cluster.backlog import Outcome
from tasks.cluster.connection import connect, disconnect
from tasks.cluster.pool import Pool
from tasks.cluster.pooled_worker import Work
from tasks.cluster.ray_workers import RayWorkers
from tasks.cluster.workers import WorkerInfo
from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines

ERRORS: dict[str, Callable[[], Exception]] = {
    "machine": lambda: OSError("disk full"),
    "caller": lambda: ValueError("no such edit\nat all"),
    "device": lambda: torch.AcceleratorError("an illegal memory access was encountered"),
    "driver": lambda: RuntimeError("Found no NVIDIA driver on your system"),
    "memory": lambda: MemoryError("no room for 8 GiB"),
    "device memory": lambda: torch.OutOfMemoryError("CUDA out of memory"),
}
FATAL = {
    "device": "AcceleratorError: an illegal memory access was encountered",
    "driver": "RuntimeError: Found no NVIDIA driver on your system",
    "memory": "MemoryError: no room for 8 GiB",
    "device memory": "OutOfMemoryError: CUDA out of memory",
}
"""Errors after which the worker is replaced, and their texts."""


class Doer:
    """Has a method for every way to succeed and to fail; `start` says how it begins."""

    def __init__(self, folder: Path, start: str = "") -> None:
        self.folder, self.start, self.done, self.transfers = folder, start, 0, False
        if start == "broken":
            raise ValueError("no such store")

    def where(self) -> WorkerInfo:
        context = ray.get_runtime_context()
        return WorkerInfo("here", context.get_node_id(), (), os.getpid())

    def ready(self) -> None:
        if self.start == "refuse":
            raise ValueError("on host here: no bundle 'nowhere'")
        if self.start == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.start == "hang":
            time.sleep(3600)
        if self.start in ERRORS:
            raise ERRORS[self.start]()

    def self_test(self) -> None:
        """It can compute."""

    @ray.method(concurrency_group="pulse")
    def pulse(self) -> SimpleNamespace:
        return SimpleNamespace(done=self.done, transfers=self.transfers)

    @ray.method(concurrency_group="life")
    def live(self) -> None:
        threading.Event().wait()

    def double(self, number: int) -> int:
        return 2 * number

    def slow(self, seconds: float, steps: int = 1) -> str:
        """Works for a while, and says so `steps` times."""
        for _ in range(steps):
            time.sleep(seconds / steps)
            self.done += 1
        return "done"

    def transfer(self, seconds: float) -> str:
        """Shows no progress, because a transfer takes a while."""
        self.transfers = True
        time.sleep(seconds)
        return "done"

    def stick(self, name: str, times: int) -> str:
        """Stalls the first `times` times."""
        if self._count(name) <= times:
            time.sleep(3600)
        return name

    def die(self, name: str, times: int) -> str:
        """Kills its process the first `times` times."""
        if self._count(name) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return name

    def fail(self, name: str, times: int, error: str) -> str:
        if self._count(name) <= times:
            raise ERRORS[error]()
        return f"{name} by {os.getpid()}"

    def _count(self, name: str) -> int:
        path = self.folder / name
        path.write_text(path.read_text() + "x" if path.exists() else "x")
        return len(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        connect()
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
        yield
        disconnect()


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    """A pool whose actors begin one after the other as `starts` say; all that come later as the last of them."""
    pools: list[Pool] = []

    def make(size: int, *starts: str, deadlines: Deadlines = DEFAULT_DEADLINES) -> Pool:
        doer = ray.remote(concurrency_groups={"pulse": 1, "life": 1})(Doer)
        later = chain(starts, repeat(starts[-1] if starts else ""))

        def start_actor(avoid: Collection[str]) -> Any:
            start = next(later)
            num_cpus = 10**6 if start == "wait" else 0.1  # nobody has so many
            return doer.options(num_cpus=num_cpus, max_restarts=0).remote(tmp_path, start)

        def count(avoid: Collection[str]) -> int:
            return 0 if avoid else size

        pools.append(Pool(RayWorkers(start_actor, count), deadlines, retry_seconds=0.1))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def run(pool: Pool, works: list[Work]) -> dict[str, Outcome]:
    return {outcome.work.key: outcome for outcome in pool.run(works, lambda pulses: None)}


def work(key: str, method: str, *arguments: Any, minutes: float = 60.0) -> Work:
    return Work(key, key, method, arguments, minutes)


def doubles(count: int) -> list[Work]:
    return [work(str(number), "double", number) for number in range(count)]


def results(found: dict[str, Outcome]) -> list[Any]:
    return sorted(outcome.result for outcome in found.values() if isinstance(outcome.result, int))


def test_all_work_is_done_and_actors_are_kept(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(2)
    processes = []
    for _ in range(2):
        assert results(run(pool, doubles(20))) == [2 * number for number in range(20)]
        processes.append({worker.info.pid for worker in pool.workers if worker.info})
    assert processes[0] <= processes[1] and 1 <= len(processes[1]) <= 2


def test_a_dead_actor_is_replaced_and_its_work_done_again(make_pool: Callable[..., Pool]) -> None:
    found = run(make_pool(2), [work("a", "die", "a", 2), *doubles(6)])
    assert (found["a"].result, found["a"].attempts, found["a"].error, found["a"].deadly) == ("a", 3, "", False)
    assert results(found) == [0, 2, 4, 6, 8, 10]


def test_work_that_kills_every_actor_is_given_up_and_nothing_else_is_lost(make_pool: Callable[..., Pool]) -> None:
    found = run(make_pool(2), [work("bad", "die", "bad", 99), work("worse", "die", "worse", 99), *doubles(6)])
    for key in ("bad", "worse"):
        assert "given up after 3 attempts: ActorDiedError" in found[key].error
        assert found[key].deadly
    assert results(found) == [0, 2, 4, 6, 8, 10]


def test_stalled_work_is_killed_and_done_again(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(1, deadlines=Deadlines(stall_minutes=0.02))
    found = run(pool, [work("once", "stick", "once", 1), *doubles(2)])
    assert (found["once"].result, found["once"].attempts) == ("once", 2)
    assert results(found) == [0, 2]


def test_slow_work_that_moves_is_left_alone_until_its_own_limit(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(2, deadlines=Deadlines(stall_minutes=0.04))
    works = [work("moves", "slow", 5.0, 10), work("limited", "slow", 5.0, 10, minutes=0.03)]
    found = run(pool, works)
    assert (found["moves"].result, found["moves"].attempts) == ("done", 1)
    assert found["limited"].error == "given up after 3 attempts: not done after 0.03 minutes"
    assert not found["limited"].deadly  # it may only be large, or the network slow


def test_a_slow_transfer_is_no_standstill_and_has_the_limit_of_its_work(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(2, deadlines=Deadlines(stall_minutes=0.03))
    found = run(pool, [work("a", "transfer", 4.0), work("b", "transfer", 3600.0, minutes=0.02)])
    assert (found["a"].result, found["a"].attempts) == ("done", 1)
    assert (found["b"].attempts, found["b"].deadly) == (3, False)
    assert found["b"].error == "given up after 3 attempts: not done after 0.02 minutes"


def test_errors_of_the_machine_are_retried_and_blame_no_work(make_pool: Callable[..., Pool]) -> None:
    found = run(make_pool(1), [work("a", "fail", "a", 2, "machine"), work("b", "fail", "b", 9, "machine")])
    assert (found["a"].result[0], found["a"].attempts) == ("a", 3)
    assert (found["b"].error, found["b"].deadly) == ("given up after 3 attempts: OSError: disk full", False)


def test_errors_of_the_request_are_not_retried_and_keep_their_traceback(make_pool: Callable[..., Pool]) -> None:
    found = run(make_pool(1), [work("a", "fail", "a", 1, "caller"), work("b", "double", 4)])
    assert found["a"].error == "ValueError: no such edit" and found["a"].attempts == 1
    assert "raise ERRORS" in found["a"].traceback and not found["a"].deadly
    assert found["b"].result == 8


@pytest.mark.parametrize("error", FATAL)
def test_an_error_of_the_device_costs_the_worker_and_blames_no_work(error: str, make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(1)
    run(pool, doubles(1))
    before = {worker.info.pid for worker in pool.workers if worker.info}
    found = run(pool, [replace(work("a", "fail", "a", 1, error), attempts=1), *doubles(2)])
    assert (found["a"].error, found["a"].deadly) == (f"given up after 1 attempts: {FATAL[error]}", False)
    assert results(found) == [0, 2]
    assert before.isdisjoint(worker.info.pid for worker in pool.workers if worker.info)


def test_an_actor_whose_node_is_taken_away_costs_its_work_no_attempt(
    make_pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times: more often than a work is tried."""
    monkeypatch.setattr(RayActorError, "preempted", True)
    found = run(make_pool(1), [work("a", "die", "a", 4), *doubles(2)])
    assert (found["a"].result, found["a"].attempts) == ("a", 1)
    assert results(found) == [0, 2]


def test_actors_that_die_before_they_begin_are_blamed_on_no_work(make_pool: Callable[..., Pool]) -> None:
    with pytest.raises(ChildProcessError, match="died in a row"):
        run(make_pool(3, "die"), doubles(3))
    with pytest.raises(ChildProcessError, match=r"not ready after 0\.02 minutes"):
        run(make_pool(3, "hang", deadlines=Deadlines(start_minutes=0.02)), doubles(3))


@pytest.mark.parametrize("error", ["machine", "memory"])
def test_an_actor_that_cannot_begin_because_of_its_machine_is_replaced(
    error: str, make_pool: Callable[..., Pool]
) -> None:
    assert results(run(make_pool(1, error, ""), doubles(2))) == [0, 2]


def test_actors_that_wait_for_resources_do_not_stop_what_moves(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(2, "", "wait")
    run(pool, doubles(1))
    pool.deadlines = Deadlines(start_minutes=0.001)
    found = run(pool, [work("a", "slow", 3.0, 6), *doubles(2)])
    assert (found["a"].result, found["a"].attempts, results(found)) == ("done", 1, [0, 2])


def test_without_resources_for_any_actor_the_run_stops(make_pool: Callable[..., Pool]) -> None:
    with pytest.raises(ChildProcessError, match=r"not ready after 0\.001 minutes.*free resources"):
        run(make_pool(2, "wait", deadlines=Deadlines(start_minutes=0.001)), doubles(2))


def test_work_that_could_not_be_handed_out_is_not_lost(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(1)
    run(pool, doubles(1))
    broken = pool.workers[0]

    def refuse(number: int) -> None:
        raise ActorUnavailableError("the actor is temporarily unavailable", None)

    broken.handle.double = SimpleNamespace(remote=refuse)
    assert results(run(pool, doubles(2))) == [0, 2]
    assert broken not in pool.workers


def test_an_idle_actor_that_dies_is_noticed_and_costs_no_attempt(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(1)
    run(pool, doubles(1))
    (worker,) = pool.workers
    assert worker.info is not None
    os.kill(worker.info.pid, signal.SIGKILL)
    time.sleep(1.0)
    found = run(pool, doubles(2))
    assert results(found) == [0, 2] and {outcome.attempts for outcome in found.values()} == {1}


@pytest.mark.parametrize(
    ("start", "says"), [("refuse", "on host here: no bundle 'nowhere'"), ("broken", "no such store")]
)
def test_an_actor_that_cannot_begin_says_why_at_once(start: str, says: str, make_pool: Callable[..., Pool]) -> None:
    with pytest.raises(ValueError, match=f"a worker cannot begin: .*ValueError: {says}"):
        run(make_pool(2, start), doubles(4))


def test_pulses_of_running_work_are_heard(make_pool: Callable[..., Pool]) -> None:
    pulses: list[Any] = []
    list(make_pool(1).run([work("a", "slow", 3.0, 12)], pulses.extend))
    heard = [pulse.done for pulse in pulses]
    assert heard == sorted(heard) and len(set(heard)) > 1
