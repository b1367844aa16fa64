"""What a job declares about its workers."""

from __future__ import annotations

import pytest

from tasks.spec.resources import PATIENCE, Deadlines, Price, Resources


@pytest.mark.parametrize(
    ("resources", "needs"),
    [
        (Resources(), {"CPU": 1.0}),
        (Resources(num_cpus=0.5, num_gpus=0.25, memory=2**30), {"CPU": 0.5, "GPU": 0.25, "memory": 2.0**30}),
        (Resources(num_cpus=0, num_gpus=1), {"GPU": 1}),
    ],
)
def test_an_actor_reserves_what_is_declared_and_nothing_of_what_is_not(
    resources: Resources, needs: dict[str, float]
) -> None:
    assert resources.needs() == needs


@pytest.mark.parametrize(("num_cpus", "threads"), [(0.5, 1), (1, 1), (3.5, 3)])
def test_networks_get_whole_threads_and_one_at_least(num_cpus: float, threads: int) -> None:
    assert Resources(num_cpus=num_cpus).threads == threads


def test_a_share_of_a_gpu_is_computed_on() -> None:
    assert (Resources().device, Resources(num_gpus=0.25).device) == ("cpu", "cuda")


def test_an_amount_has_a_currency_and_no_price_has_no_amount() -> None:
    assert Price(per_actor_hour=1.5, currency="EUR").of(2.25) == "3.38 EUR"
    assert Price(per_actor_hour=0.0).of(2) == "0.00 USD"
    assert Price().of(2) == ""


def test_a_job_that_does_not_say_otherwise_waits_longest_for_a_fit() -> None:
    assert Deadlines() == PATIENCE
    assert PATIENCE.start_minutes < PATIENCE.stall_minutes < PATIENCE.shard_minutes < PATIENCE.fit_minutes
