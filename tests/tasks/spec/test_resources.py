"""Resources, deadlines and price of a job's workers."""

from __future__ import annotations

import pytest

from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines, Price, Resources


@pytest.mark.parametrize(
    ("resources", "needs"),
    [
        (Resources(), {"CPU": 1.0}),
        (Resources(num_cpus=0.5, num_gpus=0.25, memory=2**30), {"CPU": 0.5, "GPU": 0.25, "memory": 2.0**30}),
        (Resources(num_cpus=0, num_gpus=1), {"GPU": 1}),
    ],
)
def test_an_actor_reserves_exactly_the_declared_resources(resources: Resources, needs: dict[str, float]) -> None:
    assert resources.needs() == needs


@pytest.mark.parametrize(("num_cpus", "threads"), [(0.5, 1), (1, 1), (3.5, 3)])
def test_networks_get_a_whole_number_of_threads_and_at_least_one(num_cpus: float, threads: int) -> None:
    assert Resources(num_cpus=num_cpus).threads == threads


def test_an_actor_with_a_fraction_of_a_gpu_computes_on_it() -> None:
    assert (Resources().device, Resources(num_gpus=0.25).device) == ("cpu", "cuda")


def test_a_cost_has_a_currency_and_is_empty_without_a_price() -> None:
    assert Price(per_actor_hour=1.5, currency="EUR").of(2.25) == "3.38 EUR"
    assert Price(per_actor_hour=0.0).of(2) == "0.00 USD"
    assert Price().of(2) == ""


def test_the_default_deadline_of_a_fit_is_the_longest() -> None:
    assert Deadlines() == DEFAULT_DEADLINES
    assert (
        DEFAULT_DEADLINES.start_minutes
        < DEFAULT_DEADLINES.stall_minutes
        < DEFAULT_DEADLINES.shard_minutes
        < DEFAULT_DEADLINES.fit_minutes
    )
