from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coral_core.editors import Limits
from manifests.commit import committed, read_commit
from tasks.images.decode import pixels_of
from tasks.plan.plan import Plan, make_plan
from tasks.spec.geometry import Geometry
from tasks.worker.edit import edit_shard
from tests.tars import image_bytes, write_tar
from tests.tasks.worker.edited import BROKEN, prepare, rows_of


def test_every_sample_becomes_a_row_of_every_edit(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    reports = edit_shard(requests, editors, models, store)
    expected = ["ok", "ok", "undecodable", *["ok"] * 7, "incomplete"]
    for request, report in zip(requests, reports, strict=True):
        assert report.counts == {"ok": 9, "undecodable": 1, "incomplete": 1}
        data, scalars = rows_of(store, request.id), rows_of(store, request.id, "rows/")
        assert [row["status"] for row in data] == expected
        assert [{**row, "image": 0, "mask": 0} for row in data] == [{**row, "image": 0, "mask": 0} for row in scalars]
        for row in data:
            assert (row["image"] is not None) == (row["status"] == "ok")
            assert bool(row["reason"]) == (row["status"] != "ok")


def test_a_row_names_its_source_and_its_edit(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    edit_shard(requests, editors, models, store)
    row = rows_of(store, requests[0].id)[0]
    assert json.loads(row["metadata"]) == {"label": 0, "caption": "number 0"}
    assert (row["key"], row["source_member"], row["source_uri"]) == ("0000", "0000.png", plan.shards[0].uri)
    assert (row["prompt"], row["edit"], row["strength"]) == ("red hair", plan.edits[0].edit_id, 1.0)
    assert (row["width"], row["height"], row["box"]) == (64, 64, [0, 0, 64, 64])
    assert row["inverse"] == [1, 0, 0, 0, 1, 0]
    assert len(row["layer_areas"]) == len(models.generator.conv_sizes)
    assert row["editor_digest"] and row["models_digest"] and row["inversion_error"] > 0
    assert pixels_of(row["image"]["bytes"]).shape == (64, 64, 3) and pixels_of(row["mask"]["bytes"]).shape == (64, 64)
    assert all(isinstance(row[name], float) for name in ("direction", "identity", "outside", "area", "clip_edit"))


def test_composited_onto_the_source_nothing_changes_outside_the_mask(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    edit_shard(requests, editors, models, store)
    for row in rows_of(store, requests[0].id)[:2]:
        off = pixels_of(row["mask"]["bytes"]) == 0
        source = pixels_of(image_bytes(int(row["key"])))
        assert np.array_equal(pixels_of(row["image"]["bytes"])[off], source[off])


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_a_pasted_back_edit_changes_its_source_only_inside_the_mask(
    fit: Any, tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    sizes = {"wide": (200, 91), "tall": (73, 130), "small": (20, 31)}
    sources = {name: image_bytes(number, size) for number, (name, size) in enumerate(sizes.items())}
    write_tar(tmp_path / "in-000.tar", [(f"{name}.png", data) for name, data in sources.items()])
    job = make_job(geometry=Geometry(fit=fit, output="source"))
    store, (requests,), editors = prepare(make_plan(replace(job, edits=job.edits[:1])), models)
    edit_shard(requests, editors, models, store)
    for row in rows_of(store, requests[0].id):
        source, image = pixels_of(sources[row["key"]]), pixels_of(row["image"]["bytes"])
        mask = pixels_of(row["mask"]["bytes"])
        assert image.shape == source.shape and mask.shape == source.shape[:2]
        assert np.array_equal(image[mask == 0], source[mask == 0])
        left, top, right, bottom = (max(0, round(edge)) for edge in row["box"])
        inside = np.zeros(mask.shape, bool)
        inside[top:bottom, left:right] = True
        assert (mask[inside] > 0).any() and not mask[~inside].any()
        assert (image != source).any()


def test_another_batching_changes_no_pixel_by_more_than_one(
    plan: Plan, models: Any, make_job: Callable[..., Any], tmp_path: Path
) -> None:
    images = []
    for batch_size in (4, 7):
        other = make_plan(make_job(batch_size=batch_size, output=str(tmp_path / f"out-{batch_size}")))
        store, (requests,), editors = prepare(other, models)
        edit_shard(requests, editors, models, store)
        rows = [row for row in rows_of(store, requests[0].id) if row["status"] == "ok"]
        images.append(np.stack([pixels_of(row["image"]["bytes"]) for row in rows]).astype(int))
    assert np.abs(images[0] - images[1]).max() <= 1


def test_too_many_failures_are_not_committed(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    reports = edit_shard(requests, editors, models, store, max_failure_rate=0.1)
    assert all("max_failure_rate 0.1" in report.refused and "broken" in report.refused for report in reports)
    assert not any(request.id in committed(store) for request in requests)
    assert not list(store.list("data/"))


def test_a_shard_without_usable_samples_still_gives_rows(
    tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    write_tar(tmp_path / "in-000.tar", BROKEN)
    write_tar(tmp_path / "in-001.tar", [])
    store, shards, editors = prepare(make_plan(make_job()), models)
    counts = [edit_shard(requests, editors, models, store)[0].counts for requests in shards]
    assert counts == [{"undecodable": 1, "incomplete": 1}, {}]


def test_an_edit_that_is_not_finite_is_a_failed_row(plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, (requests,), editors = prepare(plan, models)
    editor = editors[requests[0].spec].editor
    whole = editor.edit

    def broken(inversion: Any, prompts: Any, **settings: Any) -> Any:
        edit = whole(inversion, prompts, **settings)
        edit.image_BCHW[0] = float("nan")
        return edit

    monkeypatch.setattr(editor, "edit", broken)
    (report,) = edit_shard(requests[:1], editors, models, store)
    assert report.counts == {"ok": 6, "failed": 3, "undecodable": 1, "incomplete": 1}


def test_a_refused_prompt_does_not_affect_other_edits(plan: Plan, models: Any, make_job: Callable[..., Any]) -> None:
    job = make_job()
    options = {"beta": 0.99, "alpha": 1.0}
    hopeless = replace(job.edits[0], id="hopeless", method="styleclip-directions", options=options)
    store, (requests,), editors = prepare(make_plan(replace(job, edits=(hopeless, *job.edits))), models)
    with pytest.raises(ValueError, match=r"edit 'hopeless': .*beta 0.99 keeps no channel"):
        edit_shard(requests, editors, models, store)
    refused, *others = requests
    assert read_commit(store, refused.id) is None
    assert all(read_commit(store, request.id) is not None for request in others)
    assert not list(store.list(f"data/edit={refused.spec.edit_id}"))


def test_layers_and_threshold_reach_the_rows(plan: Plan, models: Any, make_job: Callable[..., Any]) -> None:
    limits = Limits(layers=(2, 4), threshold=0.5)
    job = make_job()
    job = replace(job, edits=tuple(replace(entry, limits=limits) for entry in job.edits))
    store, (requests,), editors = prepare(make_plan(job), models)
    assert {request.spec.fit_id for request in requests} == {edit.fit_id for edit in plan.edits}
    edit_shard(requests, editors, models, store)
    for request in requests:
        for row in rows_of(store, request.id):
            if row["status"] == "ok":
                assert {layer for layer, area in enumerate(row["layer_areas"]) if area} <= {2, 4}
    mapper = [row for row in rows_of(store, requests[1].id) if row["status"] == "ok"]
    assert all([row["layer_areas"][layer] for layer in (2, 4)] == [1, 1] for row in mapper)


def test_a_second_call_returns_the_first_commits(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    first = edit_shard(requests[:1], editors, models, store)
    before = set(store.list("commits/"))
    again = edit_shard(requests, editors, models, store)
    assert [report.reused for report in first + again] == [False, True, False]
    assert before < set(store.list("commits/"))
    objects = {info.key for info in store.list("")}
    assert edit_shard(requests, editors, models, store)[0].counts == first[0].counts
    assert {info.key for info in store.list("")} == objects
