from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors import Limits
from manifests.query import query
from manifests.stores.open import open_store
from tasks.gallery import layer_maps
from tasks.gallery.layer_maps import LayerMap, LayerMaps, by_segment
from tasks.gallery.missing import Missing
from tasks.gallery.source_images import SourceReader
from tasks.gallery.stored_latents import StoredLatents, name_of
from tasks.images.decode import pixels_of
from tests.tars import mask_bytes, members_of, write_shards, write_tar

SAMPLES = 6


def test_a_segment_has_the_mean_of_the_mask_over_its_own_pixels() -> None:
    labels_BHW = torch.zeros(2, 8, 8, dtype=torch.int64)
    labels_BHW[0, :, 4:] = 1  # the second sample has no segment 1, and no sample has segment 2
    mask_B1HW = torch.zeros(2, 1, 8, 8)
    mask_B1HW[0, :, :, 4:6] = 1.0
    mask_B1HW[1] = 0.25
    coarse_B1HW = torch.tensor([[0.0, 0.5], [0.0, 0.5]]).expand(2, 1, 2, 2)
    value_BMK, share_BK = by_segment((coarse_B1HW, mask_B1HW), labels_BHW, 3)
    assert share_BK.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]
    assert value_BMK[0, :, :2].tolist() == [[0.0, 0.5], [0.0, 0.5]]
    assert value_BMK[1, :, 0].tolist() == [0.25, 0.25]
    assert value_BMK[:, :, 2].isnan().all() and value_BMK[1, :, 1].isnan().all()


def test_a_pixel_of_a_coarse_mask_counts_by_the_area_a_segment_has_in_it() -> None:
    labels_BHW = torch.ones(1, 8, 8, dtype=torch.int64)
    labels_BHW[:, :, 0] = 0  # a quarter of the two left pixels of a 2 px mask
    mask_B1HW = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    value_BMK, _ = by_segment((mask_B1HW,), labels_BHW, 2)
    assert value_BMK[0, 0].tolist() == pytest.approx([1.0, 3 / 7])


@pytest.fixture
def finished(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> Any:
    write_shards(tmp_path, 1, SAMPLES)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    return store, plan, query(store, "SELECT * FROM manifest ORDER BY edit, key").to_pylist()


def mapped(store: Any, plan: Any, rows: Any) -> dict[str, LayerMap]:
    found = mapped_or_missing(store, plan, rows)
    assert not [each for each in found.values() if isinstance(each, Missing)]
    return found  # type: ignore[return-value]


def mapped_or_missing(store: Any, plan: Any, rows: Any) -> dict[str, LayerMap | Missing]:
    maps = LayerMaps(store, plan)
    chosen = maps.choose(rows)
    again = [row for own in chosen.values() for row in own]
    sources = SourceReader(plan, 64, {name_of(row) for row in again}).read(rows)
    return maps.of(chosen, sources, StoredLatents(store).of(rows))


def test_the_masks_of_layers_have_their_stored_areas(finished: Any, models: Models) -> None:
    store, plan, rows = finished
    (found,) = mapped(store, plan, rows).values()  # the other edit has no regions
    assert found.samples == SAMPLES
    assert [layer.size for layer in found.layers] == list(models.generator.conv_sizes)
    own = [row for row in rows if row["edit"] == plan.edits[0].edit_id]
    stored_L = np.mean([row["layer_areas"] for row in own], axis=0)
    drawn_L = [pixels_of(layer.mask.data).mean() / 255 for layer in found.layers]
    assert drawn_L == pytest.approx(stored_L, abs=0.005)
    assert {each.name for each in found.segments} <= set(models.segmenter.segments)
    assert sum(each.share for each in found.segments) == pytest.approx(1)
    (everywhere,) = [each for each in found.segments if each.samples == SAMPLES][:1]
    position = found.segments.index(everywhere)
    assert all(0 <= layer.by_segment[position] <= 1 for layer in (*found.layers, found.whole))


def test_batches_do_not_change_maps_and_limits_only_their_number_of_samples(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan, rows = finished
    (whole,) = mapped(store, plan, rows).values()
    monkeypatch.setattr(layer_maps, "BATCH_PIXELS", 2 * 64**2)
    (again,) = mapped(store, plan, rows).values()
    for one, other in zip(whole.layers, again.layers, strict=True):
        assert one.by_segment == pytest.approx(other.by_segment, abs=1e-4)
    monkeypatch.setattr(layer_maps, "MAX_PIXELS", 2 * 64**2)
    (few,) = mapped(store, plan, rows).values()
    assert few.samples == 2


def test_a_missing_input_of_an_edit_is_its_reason(finished: Any, tmp_path: Path) -> None:
    store, plan, rows = finished
    edit = plan.edits[0]

    def missing(changed: Any) -> str:
        (found,) = mapped_or_missing(store, changed, rows).values()
        assert isinstance(found, Missing)
        return found.reason

    assert "lacks" in missing(replace(plan, bundle=str(tmp_path)))
    other = replace(edit, digests={**edit.digests, "segmenter": "another"})
    assert other.edit_id != edit.edit_id
    renamed = [{**row, "edit": other.edit_id} for row in rows if row["edit"] == edit.edit_id]
    (nothing,) = mapped_or_missing(store, replace(plan, edits=(other,)), renamed).values()
    assert isinstance(nothing, Missing) and "another segmenter than this run" in nothing.reason
    judged = replace(edit, digests={**edit.digests, "identity": "another"})
    renamed = [{**row, "edit": judged.edit_id} for row in rows if row["edit"] == edit.edit_id]
    (found,) = mapped(store, replace(plan, edits=(judged,)), renamed).values()
    assert found.layers  # networks that only scores read do not change masks
    assert missing(replace(plan, shards=())) == "its shard is not one of this run"
    for path in (tmp_path / "out" / "editors").iterdir():
        path.unlink()
    assert "was not fitted yet" in missing(plan)


def test_without_regions_no_network_is_loaded(finished: Any, tmp_path: Path) -> None:
    store, plan, rows = finished
    whole = [row for row in rows if row["edit"] == plan.edits[1].edit_id]
    maps = LayerMaps(store, replace(plan, bundle=str(tmp_path)))
    assert maps.choose([*whole, {**whole[0], "layer_areas": None}]) == {} and "models" not in vars(maps)


def test_masks_and_limits_hold_for_the_maps_too(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    masks = [(f"{number:04d}.mask.png", mask_bytes((0, 0, 8 * number + 8, 64))) for number in (0, 1, 3)]
    write_tar(tmp_path / "in-000.tar", [member for number in range(4) for member in members_of(number)] + masks)
    job = make_job()
    first = replace(job.edits[0], mask="mask.png", limits=Limits(layers=(3, 6, 7)))
    plan, _ = run_job(replace(job, edits=(first, replace(job.edits[1], mask="mask.png"))))
    store = open_store(plan.output)
    rows = query(store, "SELECT * FROM manifest ORDER BY edit, key").to_pylist()
    maps = mapped(store, plan, rows)
    assert maps.keys() == {edit.edit_id for edit in plan.edits}  # with a user mask every edit has regions
    for edit in plan.edits:
        own = [row for row in rows if row["edit"] == edit.edit_id and row["status"] == "ok"]
        found = maps[edit.edit_id]
        assert (found.samples, len(own)) == (3, 3)
        drawn_L = [pixels_of(layer.mask.data).mean() / 255 for layer in found.layers]
        assert drawn_L == pytest.approx(np.mean([row["layer_areas"] for row in own], axis=0), abs=0.005)
    assert [layer for layer, acts in enumerate(maps[plan.edits[0].edit_id].layers) if any(acts.by_segment)] == [3, 6, 7]


def test_an_edit_that_every_image_searches_is_not_searched_again(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 1)
    job = make_job()
    options = {"steps": 1, "guess_samples": 8, "start": "none", "embedding": 0}
    search = replace(job.edits[0], method="styleclip-optimization", options=options, limits=Limits(layers=(3,)))
    plan, _ = run_job(replace(job, edits=(search,)))
    store = open_store(plan.output)
    (found,) = mapped_or_missing(store, plan, query(store, "SELECT * FROM manifest").to_pylist()).values()
    assert isinstance(found, Missing) and "styleclip-optimization searches every edit again" in found.reason
