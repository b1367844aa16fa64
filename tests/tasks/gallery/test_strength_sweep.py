from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coral_core.editors import Limits
from manifests.query import query
from manifests.stores.open import open_store
from tasks.artifacts.loaded import load_editor
from tasks.gallery.strength_sweep import read_items, sweep
from tasks.images.decode import pixels_of
from tasks.images.thumbnails import difference
from tasks.spec.gates import Gates
from tests.tars import mask_bytes, members_of, write_shards, write_tar


def test_the_first_samples_go_on_from_tar_to_tar(tmp_path: Path, make_job: Any) -> None:
    write_shards(tmp_path, 3, 4)
    items = read_items(make_job(), 6, 64, None)
    assert [item.sample.key for item in items] == ["0000", "0001", "0002", "0003", "0100", "0101"]
    assert len(read_items(make_job(), 99, 64, None)) == 12


def test_sources_are_not_kept_at_their_full_size(tmp_path: Path, make_job: Any) -> None:
    write_shards(tmp_path, 1, 3)
    for item in read_items(make_job(), 3, 16, None):
        assert item.picture is not None and item.picture.pixels_HWC.shape == (16, 16, 3)
        assert item.picture.whole is None and not item.sample.image


def test_random_samples_are_spread_and_repeatable(tmp_path: Path, make_job: Any) -> None:
    write_shards(tmp_path, 6, 20)
    chosen = {seed: [item.sample.key for item in read_items(make_job(), 8, 64, seed)] for seed in (1, 2)}
    again = [item.sample.key for item in read_items(make_job(), 8, 64, 1)]
    assert chosen[1] == again != chosen[2]
    assert len(set(again)) == 8 and len({key[:2] for key in again}) == 4


def test_unusable_samples_are_listed_and_not_edited(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any], models: Any
) -> None:
    write_tar(tmp_path / "in-0.tar", [("bad.png", b"no image"), *members_of(1), ("0002.json", b"{}")])
    plan, _ = run_job(make_job())
    items = read_items(make_job(), 9, 64, None)
    assert [item.sample.status for item in items] == ["undecodable", "ok", "incomplete"]
    fitted = load_editor(open_store(plan.output), plan.edits[0], models)
    assert [each.key for each in sweep(plan.edits[0], fitted, items, [1.0], Gates(), models)] == ["0001"]


def test_a_sweep_does_at_the_jobs_strength_what_the_run_does(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any], models: Any
) -> None:
    write_shards(tmp_path, 1, 6)
    plan, _ = run_job(make_job())
    store, edit = open_store(plan.output), plan.edits[0]
    items = read_items(make_job(), 6, 64, None)
    swept = list(sweep(edit, load_editor(store, edit, models), items, [0.0, 1.0, 3.0], Gates(max_area=0.0), models))
    rows = query(store, f"SELECT * FROM manifest WHERE edit = '{edit.edit_id}' ORDER BY key").to_pylist()
    for sample, row in zip(swept, rows, strict=True):
        nothing, own, _ = sample.cells
        assert sample.inversion_error == pytest.approx(row["inversion_error"], abs=1e-5)
        assert own.scores == pytest.approx({name: row[name] for name in own.scores}, abs=1e-4)
        assert own.gate == "max_area"
        outside = pixels_of(nothing.mask.data) == 0
        apart = np.abs(pixels_of(nothing.edit.data).astype(int) - pixels_of(sample.source.data))
        assert apart[outside].max(initial=0) <= 1
        by_hand = difference(pixels_of(sample.source.data), pixels_of(own.edit.data))
        assert (pixels_of(own.difference.data) == by_hand).all()


def test_edits_at_the_sources_size_are_shown_at_the_generators_size(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any], models: Any
) -> None:
    write_shards(tmp_path, 1, 2)
    plan, _ = run_job(make_job())
    edit = replace(plan.edits[0], output="source")
    fitted = load_editor(open_store(plan.output), plan.edits[0], models)
    one, other = (
        [sample.cells[0].edit.data for sample in sweep(each, fitted, items, [1.0], Gates(), models)]
        for items in [read_items(make_job(), 2, 64, None)]
        for each in (edit, plan.edits[0])
    )
    assert one == other


def test_a_sweep_obeys_masks_and_limits_as_the_run_does(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any], models: Any
) -> None:
    masks = [(f"{number:04d}.mask.png", mask_bytes((0, 0, 32, 64))) for number in (0, 1, 3)]
    write_tar(tmp_path / "in-0.tar", [member for number in range(4) for member in members_of(number)] + masks)
    job = make_job()
    job = replace(job, edits=(replace(job.edits[0], mask="mask.png", limits=Limits(layers=(3, 4))), job.edits[1]))
    plan, _ = run_job(job)
    store, items = open_store(plan.output), read_items(job, 9, 64, None)
    for edit, keys in zip(plan.edits, (["0000", "0001", "0003"], ["0000", "0001", "0002", "0003"]), strict=True):
        swept = list(sweep(edit, load_editor(store, edit, models), items, [1.0], Gates(), models))
        wanted = f"SELECT * FROM manifest WHERE edit = '{edit.edit_id}' AND status = 'ok' ORDER BY key"
        rows = query(store, wanted).to_pylist()
        assert [sample.key for sample in swept] == [row["key"] for row in rows] == keys
        for sample, row in zip(swept, rows, strict=True):
            (cell,) = sample.cells
            assert cell.scores == pytest.approx({name: row[name] for name in cell.scores}, abs=1e-4)
            assert pixels_of(cell.mask.data)[:, 32:].any() == (edit.mask == "")
