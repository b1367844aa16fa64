from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tasks.estimate.pilot_shards import PilotShards
from tasks.inputs.archive import count_samples, read_samples
from tasks.inputs.find import describe
from tests.tars import members_of, write_shards, write_tar


@pytest.mark.parametrize(
    ("count", "batch", "samples", "limits"),
    [
        (20, 4, 8, [1, 4, 12, 4]),
        (20, 4, 9, [1, 4, 16, 4]),  # whole batches
        (11, 4, 100, [1, 4, 8, 4]),  # the shard has no more
        (7, 4, 8, [1, 7]),  # fewer than two batches
        (1, 4, 8, [1, 2]),  # another work than the warm-up
        (0, 4, 8, [1, 2]),
        (9, 1, 3, [1, 2, 5, 2]),
    ],
)
def test_short_works_are_whole_batches(
    tmp_path: Path, pilot_shards: Callable[..., PilotShards], count: int, batch: int, samples: int, limits: list[int]
) -> None:
    (tar,) = write_shards(tmp_path, 1, count)
    parts = pilot_shards(tar, batch, samples, limit=3)
    assert [shard.limit for shard in parts.all()] == limits
    assert len({shard.id for shard in parts.all()}) == len(limits)
    assert parts.total_samples == count


def adjacent(count: int) -> list[Any]:
    return [member for index in range(count) for member in members_of(index)]


def images_first(count: int) -> list[Any]:
    return sorted(adjacent(count), key=lambda member: not member[0].endswith("png"))


@pytest.mark.parametrize("order", [adjacent, images_first])
@pytest.mark.parametrize("lost", [0, 5000])
def test_an_excerpt_holds_the_first_samples_as_they_are(
    tmp_path: Path, pilot_shards: Callable[..., PilotShards], order: Callable[[int], Any], lost: int
) -> None:
    tar = write_tar(tmp_path / "whole.tar", order(9))
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size - lost])
    parts = pilot_shards(tar, batch=2, samples=2)
    excerpt = tmp_path / "excerpt.tar"
    assert list(read_samples(excerpt, parts.more_samples)) == list(islice(read_samples(tar), 4))
    if order is adjacent:
        assert count_samples(excerpt) == 4 and 2 * excerpt.stat().st_size < tar.stat().st_size


def test_the_times_of_images_shards_and_bytes_are_separated(
    tmp_path: Path, pilot_shards: Callable[..., PilotShards]
) -> None:
    (tar,) = write_shards(tmp_path, 1, 40)
    parts = pilot_shards(tar, batch=4, samples=8)
    seconds = {each.id: 3.0 + 0.25 * (each.limit or 0) for each in parts.all()}
    seconds[parts.whole_tar.id] += 2.0  # to fetch it and to read its headers
    times = parts.times(seconds, min_image=0.1)
    assert (times.per_image, times.per_shard, times.per_byte * tar.stat().st_size) == pytest.approx((0.25, 3.0, 2.0))
    twice = replace(describe(tar), size=2 * tar.stat().st_size)
    assert times.total(twice, 100) == pytest.approx(3.0 + 2 * 2.0 + 100 * 0.25)


def test_noise_makes_nothing_negative_and_no_image_faster_than_its_computing(
    tmp_path: Path, pilot_shards: Callable[..., PilotShards]
) -> None:
    (tar,) = write_shards(tmp_path, 1, 40)
    parts = pilot_shards(tar, batch=4, samples=8)
    seconds = {parts.baseline.id: 1.0, parts.more_images.id: 0.9, parts.whole_tar.id: 0.8}
    times = parts.times(seconds, min_image=0.5)
    assert (times.per_image, times.per_shard, times.per_byte) == (0.5, 0.0, 0.0)


def test_the_time_of_a_small_shard_is_attributed_to_its_images(
    tmp_path: Path, pilot_shards: Callable[..., PilotShards]
) -> None:
    (tar,) = write_shards(tmp_path, 1, 5)
    parts = pilot_shards(tar, batch=4, samples=8)
    times = parts.times({parts.warm_up.id: 9.0, parts.more_images.id: 2.0}, min_image=0.1)
    assert (times.per_image, times.per_shard, times.per_byte) == (0.4, 0.0, 0.0)
