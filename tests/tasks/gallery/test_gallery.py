from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.query import query
from manifests.stores.open import open_store
from tasks.gallery.gallery import load_gallery
from tasks.gallery.layer_maps import LayerMap
from tasks.gallery.missing import Missing
from tasks.images.decode import pixels_of
from tasks.images.thumbnails import GAIN
from tasks.spec.geometry import Geometry
from tests.tars import image_bytes, write_tar

SIZES = [(64, 64), (90, 60), (40, 80), (300, 200)]


def run_over(tmp_path: Path, make_job: Any, run_job: Any, geometry: Geometry) -> tuple[Any, Any, list[dict[str, Any]]]:
    members = [(f"{index}.png", image_bytes(index, size)) for index, size in enumerate(SIZES)]
    write_tar(tmp_path / "in-0.tar", [*members, ("bad.png", b"no image")])
    plan, _ = run_job(make_job(geometry=geometry))
    store = open_store(plan.output)
    return plan, store, query(store, "SELECT * FROM manifest ORDER BY edit, key").to_pylist()


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
@pytest.mark.parametrize("output", ["generator", "source"])
def test_source_edit_and_difference_show_the_same_pixels(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any], fit: Any, output: Any
) -> None:
    plan, store, rows = run_over(tmp_path, make_job, run_job, Geometry(fit=fit, output=output))
    gallery = load_gallery(store, plan, rows)
    assert [example.row["key"] for example in gallery.examples] == [row["key"] for row in rows]
    for example in gallery.examples:
        if example.row["status"] != "ok":
            assert all(tile.missing for tile in (example.source, example.edit, example.mask, example.difference))
            continue
        names = ("source", "edit", "mask", "difference")
        source, edit, mask, apart = (
            pixels_of(getattr(example, name).data).astype(float).reshape(getattr(example, name).height, -1)
            for name in names
        )
        assert source.shape == edit.shape and mask.shape == apart.shape
        if example.source.tiny:
            by_hand = np.abs(source - edit).reshape(*apart.shape, 3).mean(-1) * GAIN
            assert np.abs(by_hand.clip(0, 255) - apart).max() <= 1
            assert apart[mask == 0].max(initial=0) <= GAIN  # no pixel outside the mask has changed
    shown = {(e.row["width"], e.row["height"]): (e.source.width, e.source.height) for e in gallery.examples}
    assert shown[64, 64] == (64, 64)
    assert shown[300, 200] == ((192, 128) if output == "source" else (64, 64))


def test_inversions_are_those_of_their_samples(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    plan, store, rows = run_over(tmp_path, make_job, run_job, Geometry())
    good = [row for row in rows if row["status"] == "ok"]
    backwards = load_gallery(store, plan, good[::-1]).examples[::-1]
    for example in backwards:
        source, inversion = (pixels_of(tile.data).astype(float) for tile in (example.source, example.inversion))
        assert np.abs(source - inversion).mean() / 127.5 == pytest.approx(example.row["inversion_error"], abs=0.01)


def test_missing_files_give_a_reason_and_no_error(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    plan, store, rows = run_over(tmp_path, make_job, run_job, Geometry())
    for path in (tmp_path / "out" / "data").rglob("*.parquet"):
        path.write_bytes(b"damaged")
    gallery = load_gallery(store, replace(plan, bundle=str(tmp_path)), rows)
    for example in (each for each in gallery.examples if each.row["status"] == "ok"):
        assert example.source.data and example.edit.missing and example.mask.missing and example.difference.missing
        assert "lacks generator.safetensors" in example.inversion.missing
    assert all(isinstance(each, Missing) and "lacks" in each.reason for each in gallery.layer_maps.values())


def test_edits_with_regions_have_maps_of_their_layers(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any]
) -> None:
    plan, store, rows = run_over(tmp_path, make_job, run_job, Geometry(fit="crop", output="source"))
    red, _ = plan.edits  # the other one has no regions
    maps = load_gallery(store, plan, rows).layer_maps
    assert set(maps) == {red.edit_id}
    found = maps[red.edit_id]
    assert isinstance(found, LayerMap) and found.samples == len(SIZES)
