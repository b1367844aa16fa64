"""The pool on a real local Ray, with small actors that fail in every way."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from tasks.actors import Resources, places
from tasks.pool import Outcome, Pool, Work, connect, disconnect


class Doer:
    """Does what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @ray.method(concurrency_group="pulse")
    def pulse(self) -> int:
        return os.getpid()

    def double(self, number: int) -> int:
        return 2 * number

    def slow(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    def die(self, name: str, times: int) -> str:
        """Kills its process the first `times` times."""
        if self._count(name) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return name

    def fail(self, name: str, times: int, error: str) -> str:
        if self._count(name) <= times:
            raise {"machine": OSError("disk full"), "caller": ValueError("no such edit\nat all")}[error]
        return name

    def _count(self, name: str) -> int:
        path = self.folder / name
        path.write_text(path.read_text() + "x" if path.exists() else "x")
        return len(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    connect()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    yield
    disconnect()


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[[int], Pool]]:
    pools: list[Pool] = []

    def make(size: int) -> Pool:
        doer = ray.remote(concurrency_groups={"pulse": 1})(Doer)
        pools.append(Pool(lambda: doer.options(num_cpus=0.1, max_restarts=0).remote(tmp_path), size))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def run(pool: Pool, works: list[Work]) -> dict[str, Outcome]:
    return {outcome.work.key: outcome for outcome in pool.run(works, lambda pulses: None)}


def work(key: str, method: str, *arguments: Any) -> Work:
    return Work(key, key, method, arguments)


def test_all_work_is_done_and_actors_are_kept(make_pool: Callable[[int], Pool]) -> None:
    pool = make_pool(2)
    for _ in range(2):
        found = run(pool, [work(str(number), "double", number) for number in range(20)])
        assert {key: outcome.result for key, outcome in found.items()} == {str(n): 2 * n for n in range(20)}
    assert len(pool._members) == 2


def test_a_dead_actor_is_replaced_and_its_work_done_again(make_pool: Callable[[int], Pool]) -> None:
    works = [work("a", "die", "a", 2), *(work(str(number), "double", number) for number in range(6))]
    found = run(make_pool(2), works)
    assert (found["a"].result, found["a"].attempts, found["a"].error) == ("a", 3, "")
    assert [found[str(number)].result for number in range(6)] == [0, 2, 4, 6, 8, 10]


def test_work_that_kills_every_actor_is_given_up_and_nothing_else_is_lost(make_pool: Callable[[int], Pool]) -> None:
    works = [work("bad", "die", "bad", 99), *(work(str(number), "double", number) for number in range(6))]
    found = run(make_pool(2), works)
    assert "given up after 3 attempts" in found["bad"].error
    assert sorted(outcome.result for outcome in found.values() if not outcome.error) == [0, 2, 4, 6, 8, 10]


def test_errors_of_the_machine_are_retried(make_pool: Callable[[int], Pool]) -> None:
    found = run(make_pool(1), [work("a", "fail", "a", 2, "machine"), work("b", "fail", "b", 9, "machine")])
    assert (found["a"].result, found["a"].attempts) == ("a", 3)
    assert found["b"].error == "given up after 3 attempts: OSError: disk full"


def test_errors_of_the_request_are_not_retried_and_keep_their_traceback(make_pool: Callable[[int], Pool]) -> None:
    found = run(make_pool(1), [work("a", "fail", "a", 1, "caller"), work("b", "double", 4)])
    assert found["a"].error == "ValueError: no such edit" and found["a"].attempts == 1
    assert "raise {" in found["a"].traceback
    assert found["b"].result == 8


def test_actors_that_only_die_stop_the_run(make_pool: Callable[[int], Pool]) -> None:
    with pytest.raises(RuntimeError, match="died in a row"):
        run(make_pool(1), [work(str(number), "die", str(number), 99) for number in range(9)])


def test_pulses_of_running_work_are_heard(make_pool: Callable[[int], Pool]) -> None:
    heard: list[Any] = []
    list(make_pool(1).run([work("a", "slow", 1.5)], heard.extend))
    assert len(heard) > 2


def test_what_no_node_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'GPU': 1.*the most any of 1 nodes has"):
        places(Resources(num_gpus=1))
    assert places(Resources(actors=3)) == 3
    assert places(Resources()) == int(ray.cluster_resources()["CPU"])
