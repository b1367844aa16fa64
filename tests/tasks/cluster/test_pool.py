"""The rules of the pool, on simulated workers: who is blamed for a loss, and that no work is ever lost."""

from __future__ import annotations

import itertools
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tasks.cluster.backlog import Outcome
from tasks.cluster.pool import Pool
from tasks.cluster.pooled_worker import Work
from tasks.cluster.workers import Cause, Device
from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines
from tests.simulated import DONE, HANGS, Process, SimulatedWorkers, Takes, fails

A, B = Device("alpha", "a"), Device("beta", "b")
GPUS = tuple(Device("gamma", "g", (str(number),)) for number in range(2))
Does = Callable[[Device, str, tuple[Any, ...]], Takes]


def works(count: int, **changes: Any) -> list[Work]:
    return [Work(str(number), f"shard {number}", "edit", (str(number),), **changes) for number in range(count)]


def done_by(does: Does, *slots: Device, deadlines: Deadlines = DEFAULT_DEADLINES) -> tuple[Pool, SimulatedWorkers]:
    cluster = SimulatedWorkers(slots, does)
    return Pool(cluster, deadlines, clock=cluster.clock), cluster


def run(pool: Pool, some: list[Work]) -> dict[str, Outcome]:
    found = list(pool.run(some, lambda pulses: None))
    assert Counter(outcome.work.key for outcome in found) == Counter(work.key for work in some), "one outcome each"
    return {outcome.work.key: outcome for outcome in found}


def on_work(bad: dict[str, Takes]) -> Does:
    """Some works have an effect of their own, on every device; all else is done."""
    return lambda device, method, arguments: bad.get(arguments[0], DONE) if method == "edit" else DONE


def sick(*devices: Device, cause: Cause = Cause.DEATH, **others: Takes) -> Does:
    """Every work fails after a moment on some devices; `others` are effects of other methods there."""

    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        if device not in devices:
            return DONE
        return fails(cause) if method == "edit" else others.get(method, DONE)

    return does


def deadly(found: dict[str, Outcome]) -> set[str]:
    return {key for key, outcome in found.items() if outcome.deadly}


def undone(found: dict[str, Outcome]) -> set[str]:
    return {key for key, outcome in found.items() if outcome.error}


def test_all_work_is_done_and_workers_are_kept() -> None:
    pool, cluster = done_by(on_work({}), A, A)
    for _ in range(2):
        assert {outcome.result for outcome in run(pool, works(20)).values()} == {str(number) for number in range(20)}
    assert cluster.submitted["ready"] == 2


@pytest.mark.parametrize("cause", [Cause.DEATH, Cause.DEVICE, Cause.NODE])
def test_a_sick_node_does_not_eat_the_night(cause: Cause, caplog: pytest.LogCaptureFixture) -> None:
    """Its workers fail sooner than those of the other node finish, so it is offered most of the works."""
    pool, _ = done_by(sick(A, cause=cause), A, B)
    with caplog.at_level(logging.WARNING, "coral.pool"):
        found = run(pool, works(30))
    assert not undone(found) and not deadly(found)
    assert max(outcome.attempts for outcome in found.values()) == 2
    (out,) = pool.excluded
    assert out.startswith("host alpha is taken out of the run: 3 workers were lost on it in a row")
    assert out in caplog.messages


@pytest.mark.parametrize("cause", [Cause.DEATH, Cause.DEVICE])
def test_a_sick_gpu_is_taken_out_and_its_neighbour_goes_on(cause: Cause) -> None:
    pool, cluster = done_by(sick(GPUS[0], cause=cause), *GPUS)
    assert not undone(run(pool, works(20)))
    assert [out.partition(":")[0] for out in pool.excluded] == ["GPU 0 of host gamma is taken out of the run"]
    started = cluster.submitted["where"]
    assert not undone(run(pool, works(20)))
    assert cluster.submitted["where"] == started, "a worker without networks holds the device"
    assert cluster.submitted["ready"] == started - 1


def test_a_node_whose_devices_all_fail_is_taken_out_whole() -> None:
    slots = [Device("gamma", "g", (str(number),)) for number in range(8)]
    pool, cluster = done_by(sick(*slots), *slots, B)
    assert not undone(run(pool, works(40)))
    assert any(out.startswith("host gamma") for out in pool.excluded)
    assert pool.size == 1 and [process.info.device for process in cluster.processes if process.info] == [B]


def test_a_shard_that_kills_workers_on_different_devices_is_deadly_and_nothing_else_is_lost() -> None:
    pool, _ = done_by(on_work({"3": fails(Cause.DEATH)}), A, B, Device("delta", "d"))
    found = run(pool, works(12))
    assert deadly(found) == undone(found) == {"3"}
    assert found["3"].error == "given up after 3 attempts: it failed"
    assert not pool.excluded


def test_on_one_device_an_attempt_counts_only_after_another_work_was_finished_there() -> None:
    pool, _ = done_by(on_work({"0": fails(Cause.DEATH, 0.1), "1": fails(Cause.DEATH, 0.1)}), A)
    counted: list[str] = []
    attempts = []
    for outcome in pool.run(works(9), lambda pulses: None):
        counted.append(outcome.work.key)
        attempts.append(outcome.attempts)
        assert not outcome.deadly or len(counted) >= 2, "something was finished in between"
    assert sorted(counted) == [str(number) for number in range(9)]


@pytest.mark.parametrize(("cause", "is_deadly"), [(Cause.DEATH, True), (Cause.DEVICE, False), (Cause.NODE, False)])
def test_the_last_work_is_tried_again_after_a_self_test(cause: Cause, is_deadly: bool) -> None:
    """Where nothing else is left to do on the only device, a self test says whether the device can compute."""
    pool, cluster = done_by(on_work({"0": fails(cause)}), A)
    found = run(pool, works(1))
    assert (found["0"].error, found["0"].deadly) == ("given up after 3 attempts: it failed", is_deadly)
    assert cluster.submitted["self_test"] == 2


@pytest.mark.parametrize("test", [fails(cause) for cause in (Cause.DEATH, Cause.DEVICE, Cause.REQUEST, Cause.MACHINE)])
def test_a_device_that_fails_its_self_test_ends_the_run_and_blames_no_shard(test: Takes) -> None:
    pool, _ = done_by(sick(A, self_test=test), A)
    outcomes: list[Outcome] = []
    with pytest.raises(ChildProcessError, match="died in a row"):
        for outcome in pool.run(works(2), lambda pulses: None):
            outcomes.append(outcome)
    assert not outcomes


def test_work_is_kept_away_from_the_device_on_which_it_failed() -> None:
    tried: defaultdict[str, list[Device]] = defaultdict(list)

    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        if method == "edit":
            tried[arguments[0]].append(device)
        return fails(Cause.DEATH) if (method, device, arguments) == ("edit", A, ("0",)) else Takes(5.0)

    pool, cluster = done_by(does, A, B)
    assert not undone(run(pool, works(2)))
    assert tried["0"] == [A, B] and cluster.submitted["self_test"] == 0


def test_work_is_tried_as_often_as_it_allows() -> None:
    pool, _ = done_by(on_work({"0": fails(Cause.DEATH)}), A, B)
    found = run(pool, [replace(works(1)[0], attempts=5), *works(20)[1:]])
    assert found["0"].error.startswith("given up after 5 attempts")


def test_errors_of_the_machine_are_retried_by_the_same_worker() -> None:
    pool, cluster = done_by(on_work({"0": fails(Cause.MACHINE)}), A)
    found = run(pool, works(3))
    assert (found["0"].error, found["0"].deadly) == ("given up after 3 attempts: it failed", False)
    assert cluster.submitted["where"] == 1


def test_after_an_error_of_the_machine_a_work_waits_longer_each_time_and_others_go_on() -> None:
    times: list[float] = []

    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        if arguments == ("0",):
            times.append(cluster.now)
        return fails(Cause.MACHINE, 0.5) if arguments == ("0",) else DONE

    pool, cluster = done_by(does, A)
    found = run(pool, [replace(works(1)[0], attempts=6), *works(4)[1:]])
    waits = [later - before - 0.5 for before, later in itertools.pairwise(times)]
    assert waits == pytest.approx([5, 20, 80, 300, 300], abs=0.5)
    assert undone(found) == {"0"} and cluster.submitted["self_test"] == 0


def test_errors_of_the_request_are_not_retried() -> None:
    pool, cluster = done_by(on_work({"0": fails(Cause.REQUEST)}), A)
    found = run(pool, works(3))
    assert (found["0"].error, found["0"].attempts, cluster.submitted["where"]) == ("it failed", 1, 1)


def test_a_node_that_was_taken_away_costs_its_work_no_attempt() -> None:
    left = iter([fails(Cause.PREEMPTED)] * 7)
    pool, _ = done_by(lambda device, method, arguments: next(left, DONE) if method == "edit" else DONE, A)
    assert {outcome.attempts for outcome in run(pool, works(3)).values()} == {1}


def test_stalled_work_is_killed_and_blamed_and_late_work_is_not() -> None:
    quick = Deadlines(stall_minutes=1, start_minutes=1)
    pool, _ = done_by(on_work({"0": HANGS}), A, B, deadlines=quick)
    found = run(pool, works(9))
    assert (found["0"].error, found["0"].deadly) == ("given up after 3 attempts: no progress for 1 minutes", True)
    pool, _ = done_by(on_work({"0": Takes(999.0)}), A, B, deadlines=Deadlines(stall_minutes=60))
    found = run(pool, works(9, minutes=2.0))
    assert (found["0"].error, found["0"].deadly) == ("given up after 3 attempts: not done after 2 minutes", False)


def test_a_worker_that_cannot_begin_takes_its_node_out_and_the_run_goes_on() -> None:
    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        return fails(Cause.REQUEST, error="sees no CUDA device") if (device, method) == (A, "ready") else DONE

    pool, cluster = done_by(does, A, A, B)
    assert not undone(run(pool, works(9)))
    expected = "host alpha is taken out of the run: a worker cannot begin there: sees no CUDA device"
    assert pool.excluded == (expected,) and pool.size == 1
    assert [process.info.device for process in cluster.processes if process.info] == [B]


def test_the_run_ends_with_the_error_when_no_node_is_left() -> None:
    refuse = fails(Cause.REQUEST, error="another bundle")
    pool, _ = done_by(lambda device, method, arguments: refuse if method == "ready" else DONE, A, B)
    with pytest.raises(ValueError, match="a worker cannot begin: another bundle"):
        run(pool, works(9))


def test_a_work_that_stalls_on_a_device_that_went_out_meanwhile_is_killed_too() -> None:
    hung = Device("gamma", "g", ("0",))

    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        if (device, method) != (hung, "edit"):
            return Takes(2.0)
        return HANGS if arguments == ("0",) else fails(Cause.DEATH)

    pool, _ = done_by(does, hung, hung, B, deadlines=Deadlines(stall_minutes=1))
    assert not undone(run(pool, works(12)))
    assert [out.partition(":")[0] for out in pool.excluded] == ["GPU 0 of host gamma is taken out of the run"]


def test_the_run_ends_when_the_other_node_is_gone() -> None:
    """The second node dies while the first one, which is faulty, still looks as if there were another."""

    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        if device == B and method == "edit":
            cluster.slots = (A,)
            return HANGS
        return fails(Cause.DEATH, 3.0) if method == "edit" else DONE

    pool, cluster = done_by(does, A, B)
    with pytest.raises(ChildProcessError, match=r"no node is left for workers; host alpha is taken out"):
        run(pool, works(12))


@pytest.mark.parametrize("method", ["ready", "edit"])
def test_workers_that_only_die_end_the_run(method: str) -> None:
    pool, _ = done_by(lambda device, asked, arguments: fails(Cause.DEATH) if asked == method else DONE, A, A, A)
    with pytest.raises(ChildProcessError, match=r"6 workers or shards died in a row.*free resources"):
        run(pool, works(9))


def test_losses_before_any_worker_could_begin_are_forgotten_when_one_does() -> None:
    left = iter([fails(Cause.DEATH)] * 5)
    pool, _ = done_by(lambda device, method, arguments: next(left, DONE) if method == "ready" else DONE, A)
    assert not undone(run(pool, works(2)))


def test_workers_without_a_place_do_not_stop_what_moves() -> None:
    pool, cluster = done_by(on_work({"0": Takes(7200.0)}), A, deadlines=Deadlines(start_minutes=1, stall_minutes=999))
    pool.size = 3
    assert not undone(run(pool, works(3)))
    with pytest.raises(ChildProcessError, match=r"not ready after 1 minutes"):
        cluster.slots = ()
        pool.close()
        run(pool, works(1))


def test_all_that_ended_is_taken_in_one_round_and_idle_workers_are_asked_nothing() -> None:
    pool, cluster = done_by(on_work({"0": Takes(600.0)}), *[A] * 8)
    run(pool, works(8)[1:])
    rounds = cluster.waits
    assert rounds < 12, "7 works that end together are one round, not seven"
    asked = cluster.submitted.copy()
    run(pool, works(1))
    more = cluster.submitted - asked
    assert set(more) == {"edit", "pulse"} and more["pulse"] <= cluster.waits - rounds + 1


@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_every_work_has_one_outcome_and_only_poison_is_deadly(seed: int) -> None:
    """Two of five devices are sick, one work is poison, and healthy workers now and then die by themselves."""
    draw = random.Random(seed)
    slots = [Device(f"host{number}", f"n{number}", gpus) for number in range(3) for gpus in (("0",), ("1",))]
    ill = set(draw.sample(slots, 2))

    def does(device: Device, method: str, arguments: tuple[Any, ...]) -> Takes:
        if method != "edit":
            return Takes(draw.uniform(0.1, 3.0))
        if arguments == ("7",) or device in ill or draw.random() < 0.01:
            return fails(draw.choice([Cause.DEATH, Cause.DEVICE]), draw.uniform(0.1, 2.0))
        return Takes(draw.uniform(0.5, 4.0))

    pool, _ = done_by(does, *slots)
    found = run(pool, works(60))
    assert undone(found) == {"7"}
    assert len(pool.excluded) <= 2 + 1  # the devices that are ill, and at most one that met poison and bad luck


def test_a_worker_that_dies_while_idle_costs_no_work_an_attempt() -> None:
    pool, cluster = done_by(on_work({}), A, A)
    run(pool, works(4))
    victim: Process = cluster.processes[0]
    cluster.die(victim, fails(Cause.DEATH).reply)
    found = run(pool, works(6))
    assert {outcome.attempts for outcome in found.values()} == {1}
    assert victim not in cluster.processes
