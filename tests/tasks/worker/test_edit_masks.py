"""Edits inside masks that users put beside their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.images.decode import pixels_of
from tasks.plan.plan import make_plan
from tasks.spec.geometry import Geometry
from tasks.worker.edit import edit_shard
from tests.tars import image_bytes, mask_bytes, members_of, write_tar
from tests.tasks.worker.edited import BROKEN, prepare, rows_of


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
def test_a_user_mask_applies_to_a_pasted_back_edit_at_full_size(
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


def test_an_edit_without_mask_is_not_changed_by_one_with_a_mask(
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
