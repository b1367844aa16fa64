from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

from coral_core.editors import Limits
from manifests.commit import committed, read_commit
from manifests.parquet.reader import read_rows
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors
from tasks.images.decode import pixels_of
from tasks.plan.plan import Plan, make_plan
from tasks.shards import output as output_module
from tasks.shards import reading
from tasks.spec.geometry import Geometry, OutputSize
from tasks.spec.requests import EditRequest
from tasks.worker import edit as edit_module
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tasks.worker.pulse import Pulse
from tests.tars import image_bytes, mask_bytes, members_of, write_shards, write_tar

OUTPUTS = get_args(OutputSize)
BROKEN = [("broken.png", b"no image"), ("lonely.json", b"{}")]


def prepare(plan: Plan, models: Any) -> tuple[Store, list[list[EditRequest]], Editors]:
    """Everything before the edit wave."""
    store = open_store(plan.output)
    for inversion in plan.invert_requests():
        invert_shard(inversion, models, store)
    for fit in plan.fits:
        fit_editor(fit, models, store)
    return store, list(plan.edit_requests()), Editors(store, models)


def rows_of(store: Store, request_id: str, prefix: str = "data/") -> list[dict[str, Any]]:
    record = read_commit(store, request_id)
    assert record is not None
    return [row for ref in record.objects if ref.key.startswith(prefix) for row in read_rows(store, ref.key)]


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Eleven samples in batches of four; the third and the last cannot be used."""
    good = [members_of(number) for number in range(9)]
    order = [*good[:2], BROKEN[:1], *good[2:], BROKEN[1:]]
    write_tar(tmp_path / "in-000.tar", [member for sample in order for member in sample])
    return make_plan(make_job())


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


def test_a_row_says_where_it_comes_from_and_what_was_done(plan: Plan, models: Any) -> None:
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


def test_doing_it_again_returns_the_first_commits(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    first = edit_shard(requests[:1], editors, models, store)
    before = committed(store)
    again = edit_shard(requests, editors, models, store)
    assert [report.reused for report in first + again] == [False, True, False]
    assert {**committed(store), **before} == committed(store)
    objects = {info.key for info in store.list("")}
    assert edit_shard(requests, editors, models, store)[0].counts == first[0].counts
    assert {info.key for info in store.list("")} == objects


def test_composited_onto_the_source_nothing_changes_off_the_mask(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    edit_shard(requests, editors, models, store)
    for row in rows_of(store, requests[0].id)[:2]:
        off = pixels_of(row["mask"]["bytes"]) == 0
        source = pixels_of(image_bytes(int(row["key"])))
        assert np.array_equal(pixels_of(row["image"]["bytes"])[off], source[off])


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_laid_back_an_edit_changes_nothing_of_its_source_off_the_mask(
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


def test_the_size_of_the_output_is_part_of_what_an_edit_is_and_of_no_inversion(
    tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 1)
    one, other = (make_plan(make_job(geometry=Geometry(fit="crop", output=output))) for output in OUTPUTS)
    assert [each.id for each in one.invert_requests()] == [each.id for each in other.invert_requests()]
    assert [fit.id for fit in one.fits] == [fit.id for fit in other.fits]
    assert {edit.edit_id for edit in one.edits}.isdisjoint(edit.edit_id for edit in other.edits)
    padded = make_plan(make_job(geometry=Geometry(fit="pad")))
    assert one.invert_requests()[0].id != padded.invert_requests()[0].id


def test_a_reconstruction_cannot_be_laid_back(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 1)
    job = make_job(geometry=Geometry(output="source"))
    edits = (replace(job.edits[0], onto="reconstruction"),)
    with pytest.raises(ValueError, match=r"edit 'red': composite: reconstruction cannot be laid back.*choose"):
        make_plan(replace(job, edits=edits))


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


def test_a_shard_without_any_usable_sample_is_rows_all_the_same(
    tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    write_tar(tmp_path / "in-000.tar", BROKEN)
    write_tar(tmp_path / "in-001.tar", [])
    store, shards, editors = prepare(make_plan(make_job()), models)
    counts = [edit_shard(requests, editors, models, store)[0].counts for requests in shards]
    assert counts == [{"undecodable": 1, "incomplete": 1}, {}]


def test_a_shard_must_be_inverted_first(tmp_path: Path, models: Any, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 2)
    plan = make_plan(make_job())
    store = open_store(plan.output)
    for fit in plan.fits:
        fit_editor(fit, models, store)
    with pytest.raises(ValueError, match="not inverted yet"):
        edit_shard(next(plan.edit_requests()), Editors(store, models), models, store)


def test_what_is_not_finite_is_a_failed_row(plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_prompt_that_its_editor_refuses_costs_no_other_edit(
    plan: Plan, models: Any, make_job: Callable[..., Any]
) -> None:
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


def test_pulses_tell_how_far_it_is(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    pulses: list[Pulse] = []
    edit_shard(requests, editors, models, store, pulse=pulses.append)
    assert [pulse.samples for pulse in pulses] == sorted(pulse.samples for pulse in pulses)
    assert (pulses[-1].samples, pulses[-1].fraction) == (22, 1.0)


def test_pulses_tell_transfers_from_what_may_be_a_sample_s_fault(
    plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (requests,), editors = prepare(plan, models)
    pulses: list[Pulse] = []
    seen: set[tuple[str, bool]] = set()

    def watched(module: Any, name: str) -> None:
        whole = getattr(module, name)

        def look(*arguments: Any, **options: Any) -> Any:
            seen.add((name, pulses[-1].transfers))
            return whole(*arguments, **options)

        monkeypatch.setattr(module, name, look)

    for module, name in (
        (reading, "local_copy"),
        (edit_module, "edit_batch"),
        (edit_module, "invert_batch"),
        (output_module, "commit"),
    ):
        watched(module, name)
    edit_shard(requests, editors, models, store, pulse=pulses.append)
    other = open_store(f"{plan.output}-again")
    invert_shard(requests[0].inversion, models, other, pulse=pulses.append)
    assert seen == {("local_copy", True), ("edit_batch", False), ("invert_batch", False), ("commit", True)}


def test_inversions_keep_their_shape(plan: Plan, models: Any) -> None:
    from manifests.parquet.reader import open_parquet
    from manifests.parquet.schema import ws_shape

    store, _, _ = prepare(plan, models)
    (record,) = [read_commit(store, request.id) for request in plan.invert_requests()]
    assert record is not None
    with open_parquet(store, record.objects[0].key) as file:
        assert ws_shape(file.schema_arrow) == (models.generator.num_ws, models.generator.w_dim)
        assert isinstance(file.read().column("ws"), pa.ChunkedArray)


def within_masks(job: Any, **changes: Any) -> Any:
    """The job with its first edit, a strong one, inside the samples' masks, and the other everywhere."""
    first = replace(job.edits[0], strength=20.0, mask="mask.png", **changes)
    return replace(job, edits=(first, replace(job.edits[1], strength=20.0)))


@pytest.mark.parametrize("method", ["coral-direction-attention", "styleclip-mapper"])
def test_outside_a_users_mask_an_edit_changes_nothing_and_inside_it_does(
    method: str, tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    left = mask_bytes((0, 0, 32, 64))
    write_tar(
        tmp_path / "in-000.tar",
        [member for number in range(5) for member in (*members_of(number), (f"{number:04d}.mask.png", left))],
    )
    store, (requests,), editors = prepare(make_plan(within_masks(make_job(), method=method)), models)
    edit_shard(requests, editors, models, store)
    masked, plain = (rows_of(store, request.id) for request in requests)
    assert [row["status"] for row in (*masked, *plain)] == ["ok"] * 10
    for row in masked:
        source, image = pixels_of(image_bytes(int(row["key"]))), pixels_of(row["image"]["bytes"])
        assert np.array_equal(image[:, 32:], source[:, 32:])
        assert not pixels_of(row["mask"]["bytes"])[:, 32:].any()
        assert (image[:, :32] != source[:, :32]).any(-1).mean() > 0.5
        assert row["area"] <= 0.5 and all(area <= 0.5 for area in row["layer_areas"])
    for row in plain:
        source, image = pixels_of(image_bytes(int(row["key"]))), pixels_of(row["image"]["bytes"])
        assert (image[:, 32:] != source[:, 32:]).any(-1).mean() > 0.5


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_laid_back_a_users_mask_holds_at_the_full_size(
    fit: Any, tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    sizes = {"wide": (200, 91), "tall": (73, 130), "small": (20, 31)}
    boxes = {
        name: (width // 4, height // 4, width // 2 + 3, height // 2 + 5) for name, (width, height) in sizes.items()
    }
    members = []
    for number, (name, size) in enumerate(sizes.items()):
        members += [(f"{name}.png", image_bytes(number, size)), (f"{name}.mask.png", mask_bytes(boxes[name], size))]
    write_tar(tmp_path / "in-000.tar", members)
    job = within_masks(make_job(geometry=Geometry(fit=fit, output="source")), method="styleclip-mapper")
    store, (requests,), editors = prepare(make_plan(job), models)
    edit_shard(requests, editors, models, store)
    for number, row in enumerate(rows_of(store, requests[0].id)):
        source, image = pixels_of(image_bytes(number, sizes[row["key"]])), pixels_of(row["image"]["bytes"])
        allowed = pixels_of(mask_bytes(boxes[row["key"]], sizes[row["key"]])) > 0
        assert image.shape == source.shape
        assert np.array_equal(image[~allowed], source[~allowed])
        assert not pixels_of(row["mask"]["bytes"])[~allowed].any()
        assert (image[allowed] != source[allowed]).any(-1).mean() > 0.5


def test_a_mask_that_is_missing_fails_the_rows_of_the_edits_that_ask_for_it_and_no_others(
    tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    masks = {0: mask_bytes((0, 0, 64, 64)), 2: b"no image", 3: mask_bytes((0, 0, 9, 9), (64, 32)), 4: None}
    members = [member for number in range(5) for member in members_of(number)]
    members += [(f"{number:04d}.mask.png", mask) for number, mask in masks.items() if mask]
    write_tar(tmp_path / "in-000.tar", [*members, *BROKEN])
    store, (requests,), editors = prepare(make_plan(within_masks(make_job())), models)
    reports = edit_shard(requests, editors, models, store)
    assert reports[0].counts == {"ok": 1, "incomplete": 3, "undecodable": 2, "not_aligned": 1}
    assert reports[1].counts == {"ok": 5, "incomplete": 1, "undecodable": 1}
    masked, plain = ({row["key"]: row for row in rows_of(store, request.id)} for request in requests)
    reasons = {key: row["reason"] for key, row in masked.items()}
    assert reasons["0001"] == "no mask mask.png among its members: png, json, txt"
    assert reasons["0002"].startswith("its mask 0002.mask.png: no image in a format that is read")
    assert reasons["0003"] == "its mask 0003.mask.png: a mask of 64 x 32 pixels is of another shape than 64 x 64"
    assert all(masked[key]["image"] is None and masked[key]["width"] == 64 for key in ("0001", "0002", "0003", "0004"))
    assert masked["broken"]["reason"] == plain["broken"]["reason"]


def test_who_asks_for_no_mask_gets_the_same_pixels_beside_who_does(
    tmp_path: Path, models: Any, make_job: Callable[..., Any]
) -> None:
    masks = [(f"{number:04d}.mask.png", mask_bytes((0, 0, 64, 64))) for number in (0, 1, 3)]
    write_tar(tmp_path / "in-000.tar", [member for number in range(5) for member in members_of(number)] + masks)
    found = []
    for name, mask in (("with", "mask.png"), ("without", "")):
        job = make_job(output=str(tmp_path / name))
        edits = (replace(job.edits[0], mask=mask), job.edits[1])
        store, (requests,), editors = prepare(make_plan(replace(job, edits=edits)), models)
        edit_shard(requests, editors, models, store)
        found.append([[row["image"] for row in rows_of(store, request.id)] for request in requests])
    (masked, beside), (plain, alone) = found
    assert beside == alone
    assert [masked[number] for number in (0, 1, 3)] == [plain[number] for number in (0, 1, 3)]  # white masks
    assert masked[2] is None and masked[4] is None


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
