from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.images import decode as decode_module
from tasks.images.decode import pixel_count, pixels_of
from tasks.inputs import archive
from tasks.inputs.archive import Sample
from tasks.inputs.local_copy import ShardChangedError
from tasks.plan.plan import Plan, make_plan
from tasks.shards import batch as batch_module
from tasks.shards import reading as reading_module
from tasks.shards.background import PixelBudget
from tasks.shards.batch import Batch, Item
from tasks.shards.reading import Batcher, open_inverted, open_shard
from tasks.spec.geometry import Geometry
from tasks.worker import edit
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tests.tars import image_bytes, mask_bytes, members_of, write_tar

CPU = torch.device("cpu")


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Ten samples in batches of four; the second is not an image."""
    members = [member for number in range(9) for member in members_of(number)]
    write_tar(tmp_path / "in-000.tar", [*members[:3], ("broken.png", b"x"), *members[3:]])
    return make_plan(make_job())


def invert_batches(plan: Plan) -> list[Batch]:
    with open_shard(plan.invert_requests()[0], 64) as reading:
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


def test_encoded_images_are_freed_after_decoding(plan: Plan, models: Any) -> None:
    for batch in [*invert_batches(plan), *edit_batches(plan, models)]:
        assert not any(item.sample.image for item in batch.items)
        assert all(item.picture is not None and item.picture.whole is None for item in batch.usable)


def test_both_waves_get_the_same_pixels(plan: Plan, models: Any) -> None:
    for one, other in zip(invert_batches(plan), edit_batches(plan, models), strict=True):
        assert torch.equal(one.images(CPU), other.images(CPU))


def test_whole_sources_are_kept_if_edits_are_pasted_back(plan: Plan, models: Any) -> None:
    usable = [item for batch in edit_batches(plan, models, output="source") for item in batch.usable]
    for item in usable:
        assert item.picture is not None
        assert np.array_equal(np.asarray(item.picture.whole), pixels_of(image_bytes(int(item.sample.key))))


@pytest.mark.parametrize(("budget", "sizes"), [(4, [2, 2, 2, 2, 1]), (2, [1] * 9), (0.5, [1] * 9), (64, [4, 4, 1])])
def test_whole_sources_stay_within_the_budget_and_batches_within_their_size(
    plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch, budget: float, sizes: list[int]
) -> None:
    decoded = finished = most = 0

    def decode(*arguments: Any) -> Any:
        nonlocal decoded, most
        decoded += 1
        most = max(most, decoded - finished)
        return decode_module.decode(*arguments)

    store, (request,) = open_store(plan.output), plan.invert_requests()
    invert_shard(request, models, store)
    monkeypatch.setattr(batch_module, "decode", decode)
    monkeypatch.setattr(reading_module, "WHOLE_PIXELS", budget * 64 * 64)
    with open_inverted(store, request, 64, "source") as reading:
        found = []
        for batch in reading.batches:
            found.append(len(batch.usable))
            assert batch.images(CPU).shape == (4, 3, 64, 64)
            finished += len(batch.usable)
            reading.finish(batch)
    assert found == sizes and most <= max(1, budget)
    assert [len(batch.usable) for batch in edit_batches(plan, models)] == [4, 4, 1]


def test_a_finished_batch_frees_its_sources_although_it_is_still_referenced(plan: Plan, models: Any) -> None:
    store, (request,) = open_store(plan.output), plan.invert_requests()
    invert_shard(request, models, store)
    with open_inverted(store, request, 64, "source") as reading:
        batch = next(reading.batches)
        reading.finish(batch)
        for item in batch.usable:
            assert item.picture is not None and item.picture.whole is not None
            with pytest.raises(ValueError, match="closed image"):
                item.picture.whole.load()


def test_a_source_that_cannot_be_decoded_takes_no_budget() -> None:
    broken = image_bytes(1)[:-100]
    assert pixel_count(broken) == 64 * 64
    batcher = Batcher(Geometry(), 64, "source", batch_size=4, budget=PixelBudget(64 * 64))
    found = batcher.batches(Item(Sample(str(number), image=broken)) for number in range(9))
    assert [item.sample.status for batch in found for item in batch.items] == ["undecodable"] * 9


def test_leaving_early_does_not_wait_for_the_budget(plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, (request,) = open_store(plan.output), plan.invert_requests()
    invert_shard(request, models, store)
    monkeypatch.setattr(reading_module, "WHOLE_PIXELS", 64 * 64)
    with pytest.raises(KeyError), open_inverted(store, request, 64, "source") as reading:
        next(reading.batches)
        raise KeyError
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_a_full_disk_ends_the_work_with_an_error_and_without_waiting(
    plan: Plan, models: Any, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    plan = make_plan(make_job(geometry=Geometry(output="source")))
    store, (requests,) = open_store(plan.output), plan.edit_requests()
    invert_shard(requests[0].inversion, models, store)
    for fit in plan.fits:
        fit_editor(fit, models, store)
    monkeypatch.setattr(reading_module, "WHOLE_PIXELS", 64 * 64)
    monkeypatch.setattr(edit, "write_batch", fail)
    with pytest.raises(OSError, match="disk full"):
        edit_shard(requests, Editors(store, models), models, store)


def test_the_number_of_unusable_samples_in_a_batch_is_bounded(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_tar(tmp_path / "in-000.tar", [(f"{number}.png", b"x") for number in range(40)])
    assert [len(batch.items) for batch in invert_batches(make_plan(make_job()))] == [16, 16, 8]


def test_another_sample_than_the_inverted_one_is_noticed(plan: Plan, models: Any, tmp_path: Path) -> None:
    store, (request,) = open_store(plan.output), plan.invert_requests()
    invert_shard(request, models, store)
    write_tar(tmp_path / "in-000.tar", members_of(1))
    with pytest.raises(ShardChangedError), open_inverted(store, request, 64) as reading:
        list(reading.batches)


@pytest.fixture
def masked_plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Five samples in batches of four. Of the third the mask is missing, that of the fourth is no image."""
    members = [member for number in range(5) for member in members_of(number)]
    masks = [(f"{number:04d}.mask.png", mask_bytes((0, 0, 8 * number + 8, 64))) for number in (0, 1, 4)]
    write_tar(tmp_path / "in-000.tar", [*members, *masks, ("0003.mask.png", b"x")])
    return make_plan(make_job())


def test_masks_are_in_the_order_of_their_samples_and_unusable_ones_are_zero(masked_plan: Plan, models: Any) -> None:
    first, last = edit_batches(masked_plan, models, masks=["mask.png"])
    areas = first.masks("mask.png", CPU).mean((1, 2, 3))
    assert (8 * areas).tolist() == [1, 2, 0, 0]
    assert (8 * last.masks("mask.png", CPU)).mean((1, 2, 3)).tolist() == [5] * 4  # padded
    assert [item.with_user_mask("mask.png").sample.status for item in first.items] == [
        "ok",
        "ok",
        "incomplete",
        "undecodable",
    ]
    assert [item.with_user_mask("").sample.status for item in first.items] == ["ok"] * 4
    assert (
        first.items[3]
        .with_user_mask("mask.png")
        .sample.reason.startswith("its mask 0003.mask.png: no image in a format")
    )
    assert not any(item.sample.masks for item in (*first.items, *last.items))


def test_whole_masks_are_kept_and_freed_with_their_sources(
    masked_plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for item in edit_batches(masked_plan, models, masks=["mask.png"])[0].items:
        assert all(user_mask.whole is None for user_mask in item.user_masks.values())
    store, (request,) = open_store(masked_plan.output), masked_plan.invert_requests()
    monkeypatch.setattr(reading_module, "WHOLE_PIXELS", 6 * 64 * 64)  # half of it holds two pictures with their masks
    with open_inverted(store, request, 64, "source", ["mask.png"]) as reading:
        sizes = []
        for batch in reading.batches:
            sizes.append(len(batch.items))
            wholes = [
                user_mask.whole for item in batch.items for user_mask in item.user_masks.values() if user_mask.whole
            ]
            assert all(whole.size == (64, 64) for whole in wholes)
            reading.finish(batch)
            for whole in wholes:
                with pytest.raises(ValueError, match="closed image"):
                    whole.load()
    assert sizes == [2, 2, 1]


def test_a_sample_that_had_no_image_when_it_was_inverted_stays_without(
    tmp_path: Path, make_job: Callable[..., Any], models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some stored inversions are older than the rule that a mask is not the image."""
    members = [("a.v1.png", image_bytes(1)), ("a.mask.png", mask_bytes((0, 0, 9, 9))), *members_of(2)]
    write_tar(tmp_path / "in-000.tar", members)
    plan = make_plan(make_job())
    store, (request,) = open_store(plan.output), plan.invert_requests()
    monkeypatch.setattr(archive, "MASK", "no name has this")
    invert_shard(request, models, store)
    monkeypatch.undo()
    with open_inverted(store, request, 64, masks=["mask.png"]) as reading:
        (batch,) = reading.batches
    assert [item.sample.status for item in batch.items] == ["incomplete", "ok"]
    assert "several images" in batch.items[0].sample.reason
