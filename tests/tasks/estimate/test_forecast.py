"""Hours and money follow from the times by simple arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from tasks.estimate.forecast import ActorTimes, Forecast, ShardTimes, forecast, makespan
from tasks.estimate.workload import count_plan, pending_work
from tasks.plan.plan import make_plan
from tasks.spec.resources import Price
from tests.tars import write_shards


@pytest.mark.parametrize(
    ("durations", "actors", "expected"),
    [
        ([], 3, 0.0),
        ([5.0], 3, 5.0),
        ([1.0] * 4, 3, 2.0),
        ([1.0] * 6, 1, 6.0),
        ([1.0, 1.0, 10.0], 2, 11.0),  # the longest work is the last one
        ([10.0, 1.0, 1.0], 2, 10.0),
    ],
)
def test_the_last_work_ends_when_its_actor_was_free_for_it(
    durations: list[float], actors: int, expected: float
) -> None:
    assert makespan(durations, actors) == expected


@pytest.fixture
def forecast_for(tmp_path: Path, make_job: Callable[..., Any]) -> Callable[..., Forecast]:
    """The forecast for three shards with 2 samples each, two edits and two fits, with times that are whole hours."""
    write_shards(tmp_path, 3, 2)
    plan = make_plan(make_job())
    store = open_store(plan.output)
    fits = {fit.id: 7 * 3600.0 for fit in plan.fits}
    times = ActorTimes(
        samples=2,
        size=1,
        start=3600,
        invert=ShardTimes(per_image=0.5 * 3600, per_shard=0, per_byte=0),
        fits=fits,
        restore=ShardTimes(per_image=3600, per_shard=0, per_byte=0),
        edits={"red": 3600, "smile": 2 * 3600},
    )

    def make(actors: int, **changes: Any) -> Forecast:
        price = Price(per_actor_hour=0.5, currency="EUR")
        return forecast(pending_work(store, plan), count_plan(store, plan), replace(times, **changes), actors, price)

    return make


def test_one_actor_does_everything_one_after_the_other(forecast_for: Callable[..., Forecast]) -> None:
    found = forecast_for(actors=1)
    assert dict(found.waves) == {"invert": 1 + 3 * 2 * 0.5, "fit": 14, "edit": 3 * 2 * (1 + 1 + 2)}
    assert (found.hours, found.actor_hours, found.money) == (42, 42, "21.00 EUR")


def test_more_actors_save_time_and_cost_what_they_wait(forecast_for: Callable[..., Forecast]) -> None:
    found = forecast_for(actors=2)
    assert dict(found.waves) == {"invert": 1 + 2 * 1, "fit": 7, "edit": 2 * 8}
    assert (found.actors, found.actor_hours) == (2, 2 * 26)


def test_a_shard_takes_its_own_time_once_in_each_wave(forecast_for: Callable[..., Forecast], tmp_path: Path) -> None:
    size = (tmp_path / "in-000.tar").stat().st_size
    invert = ShardTimes(per_image=0, per_shard=3600, per_byte=2 * 3600 / size)
    restore = ShardTimes(per_image=0, per_shard=4 * 3600, per_byte=5 * 3600 / size)
    found = forecast_for(actors=1, invert=invert, restore=restore, start=0)
    assert dict(found.waves) == pytest.approx({"invert": 3 * (1 + 2), "fit": 14, "edit": 3 * (4 + 5 + 2 * (1 + 2))})


def test_no_more_actors_are_counted_than_there_are_works(forecast_for: Callable[..., Forecast]) -> None:
    assert forecast_for(actors=50) == forecast_for(actors=3)
    assert forecast_for(actors=50).actors == 3
