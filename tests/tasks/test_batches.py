from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manifests.store import open_store
from tasks import batches
from tasks.batches import Batch, open_inverted, open_source
from tasks.images import pixels_of
from tasks.inputs import ShardChangedError
from tasks.plan import Plan, make_plan
from tasks.work import invert_shard
from tests.tars import image_bytes, members_of, write_tar

CPU = torch.device("cpu")


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Ten samples in batches of four; the second is no image."""
    members = [member for number in range(9) for member in members_of(number)]
    write_tar(tmp_path / "in-000.tar", [*members[:3], ("broken.png", b"x"), *members[3:]])
    return make_plan(make_job())


def invert_batches(plan: Plan) -> list[Batch]:
    with open_source(plan.invert_requests()[0], 64) as reading:
        found = list(reading.batches)
        assert sum(len(batch.items) for batch in found) == reading.total
        return found


def edit_batches(plan: Plan, models: Any, **settings: Any) -> list[Batch]:
    store, (request,) = open_store(plan.output), plan.invert_requests()
    invert_shard(request, models, store)
    with open_inverted(store, request, 64, **settings) as reading:
        found = list(reading.batches)
        assert sum(len(batch.items) for batch in found) == reading.total
        return found


def test_every_sample_is_in_one_batch_and_the_usable_ones_are_in_its_tensors(plan: Plan) -> None:
    found = invert_batches(plan)
    keys = [item.sample.key for batch in found for item in batch.items]
    assert keys == ["0000", "broken", *(f"{number:04d}" for number in range(1, 9))]
    assert [len(batch.usable) for batch in found] == [4, 4, 1]
    for batch in found:
        assert batch.images(CPU).shape == (4, 3, 64, 64) and len(batch.keys) == 4
        assert batch.keys[: len(batch.usable)] == tuple(item.sample.sha256 for item in batch.usable)
        assert set(batch.keys[len(batch.usable) :]) <= {batch.usable[-1].sample.sha256}


def test_encoded_images_live_no_longer_than_they_are_needed(plan: Plan, models: Any) -> None:
    for batch in [*invert_batches(plan), *edit_batches(plan, models)]:
        assert not any(item.sample.image for item in batch.items)
        assert all(item.picture is not None and item.picture.whole is None for item in batch.usable)


def test_both_waves_see_the_same_pixels(plan: Plan, models: Any) -> None:
    for one, other in zip(invert_batches(plan), edit_batches(plan, models), strict=True):
        assert torch.equal(one.images(CPU), other.images(CPU))


def test_whole_sources_are_kept_where_edits_are_laid_back(plan: Plan, models: Any) -> None:
    usable = [item for batch in edit_batches(plan, models, output="source") for item in batch.usable]
    for item in usable:
        assert item.picture is not None
        assert np.array_equal(np.asarray(item.picture.whole), pixels_of(image_bytes(int(item.sample.key))))


def test_whole_sources_have_a_budget_and_batches_their_size(
    plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WHOLE_BUDGET", 2 * 3 * 64 * 64)
    found = edit_batches(plan, models, output="source")
    assert [len(batch.usable) for batch in found] == [2, 2, 2, 2, 1]
    assert {batch.images(CPU).shape for batch in found} == {(4, 3, 64, 64)}
    assert [len(batch.usable) for batch in edit_batches(plan, models)] == [4, 4, 1]


def test_many_useless_samples_do_not_pile_up(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_tar(tmp_path / "in-000.tar", [(f"{number}.png", b"x") for number in range(40)])
    assert [len(batch.items) for batch in invert_batches(make_plan(make_job()))] == [16, 16, 8]


def test_another_sample_than_the_inverted_one_is_noticed(plan: Plan, models: Any, tmp_path: Path) -> None:
    store, (request,) = open_store(plan.output), plan.invert_requests()
    invert_shard(request, models, store)
    write_tar(tmp_path / "in-000.tar", members_of(1))
    with pytest.raises(ShardChangedError), open_inverted(store, request, 64) as reading:
        list(reading.batches)
