from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from coral_core.types import Edit, Scores
from manifests.parquet.schema import EDIT_SCHEMA, INVERSION_SCHEMA
from tasks.images.decode import decode, pixels_of
from tasks.inputs.archive import Sample
from tasks.shards.batch import Batch, Item
from tasks.shards.rows import EditedPixels, edit_rows, inversion_rows
from tasks.spec.geometry import Geometry
from tasks.spec.requests import EditRequest, EditSpec, InvertRequest, InvertSpec, Shard
from tests.tars import image_bytes

SHARD = Shard(uri="file:///in.tar", size=1, sha256="0")
SPEC = EditSpec(
    slug="red",
    target="red hair",
    source="a person",
    method="coral-direction-attention",
    options={},
    fit_id="f",
    strength=1.0,
    onto="source",
    image_format="png",
    seed=0,
    batch_size=2,
    digests={"generator": "g"},
)
PAD = Geometry(fit="pad")


def request(**changes: Any) -> EditRequest:
    invert = InvertSpec(geometry=PAD, batch_size=2, digests={})
    return EditRequest(inversion=InvertRequest(shard=SHARD, spec=invert), spec=replace(SPEC, **changes))


@pytest.fixture
def batch() -> Batch:
    """A wide picture, bytes that are no picture, and another picture."""
    items = [
        Item(Sample(key, sha256=key), decode(image_bytes(number, (120, 60)), PAD, 64))
        for number, key in enumerate(["a", "../b"])
    ]
    return Batch((items[0], Item(Sample("x", status="undecodable", reason="no image")), items[1]), 2)


def done(**changes: torch.Tensor) -> EditedPixels:
    mask_B1HW = torch.zeros(2, 1, 64, 64)
    mask_B1HW[..., 20:40, 20:40] = 1
    fields = {"image_BCHW": torch.ones(2, 3, 64, 64), "mask_B1HW": mask_B1HW, "layer_areas_BL": torch.ones(2, 5)}
    numbers_B = torch.tensor([0.25, 0.5])
    return EditedPixels.of(Edit(**{**fields, **changes}), Scores(*[numbers_B] * 7), 2)


def test_rows_are_in_the_order_of_the_samples_with_their_own_results(batch: Batch) -> None:
    rows = list(edit_rows(request(), "digest", batch, done()))
    assert [(row["key"], row["status"]) for row in rows] == [("a", "ok"), ("x", "undecodable"), ("../b", "ok")]
    assert [row.get("direction") for row in rows] == [0.25, None, 0.5]
    assert "image" not in rows[1] and "box" not in rows[1]
    assert all(row.keys() <= set(EDIT_SCHEMA.names) for row in rows)


def test_a_row_has_the_box_and_the_inverse_of_its_source(batch: Batch) -> None:
    row = next(edit_rows(request(), "digest", batch, done()))
    assert (row["width"], row["height"]) == (120, 60)
    assert row["box"] == pytest.approx((0, -30, 120, 90))
    assert row["inverse"] == pytest.approx((1.875, 0, 0, 0, 1.875, -30))


@pytest.mark.parametrize(("output", "shape"), [("generator", (64, 64)), ("source", (60, 120))])
def test_an_edited_image_has_the_requested_size(batch: Batch, output: str, shape: tuple[int, int]) -> None:
    row: Any = next(edit_rows(request(output=output), "digest", batch, done()))
    image, mask = pixels_of(row["image"]["bytes"]), pixels_of(row["mask"]["bytes"])
    assert image.shape == (*shape, 3) and mask.shape == shape
    assert mask.max() == 255 and (image[mask == 255] == 255).all()
    if output == "source":
        assert np.array_equal(image[mask == 0], pixels_of(image_bytes(0, (120, 60)))[mask == 0])


def test_a_source_that_is_too_long_for_the_format_has_failed_and_the_reason() -> None:
    picture = decode(image_bytes(1, (17_000, 3)), PAD, 64)
    batch = Batch((Item(Sample("long", sha256="long"), picture),) * 2, 2)
    for image_format, status in (("webp", "failed"), ("jpeg", "ok")):
        row = next(edit_rows(request(output="source", image_format=image_format), "digest", batch, done()))
        assert row["status"] == status and ("image" in row) == (status == "ok")
    row = next(edit_rows(request(output="source", image_format="webp"), "digest", batch, done()))
    assert row["reason"] == "17000 x 3 pixels; webp holds 16383 a side, png any number"


def test_paths_stay_below_their_folder(batch: Batch) -> None:
    row: Any
    *_, row = edit_rows(request(image_format="jpeg"), "digest", batch, done())
    assert (row["key"], row["image"]["path"], row["mask"]["path"]) == ("../b", "b.jpeg", "b.mask.png")


def test_an_edit_with_values_that_are_not_finite_has_failed(batch: Batch) -> None:
    image_BCHW = torch.ones(2, 3, 64, 64)
    image_BCHW[1, 0, 5, 5] = float("nan")
    rows = list(edit_rows(request(), "digest", batch, done(image_BCHW=image_BCHW)))
    assert [row["status"] for row in rows] == ["ok", "undecodable", "failed"]
    assert "image" not in rows[2] and rows[2]["reason"]


def test_latents_that_are_not_finite_are_no_inversion(batch: Batch) -> None:
    ws_BLD, error_B = torch.zeros(2, 3, 4), torch.tensor([0.1, float("inf")])
    rows = inversion_rows(SHARD, batch, ws_BLD, error_B)
    assert [row["status"] for row in rows] == ["ok", "undecodable", "not_inverted"]
    assert [len(row["ws"]) if "ws" in row else 0 for row in rows] == [12, 0, 0]  # type: ignore[arg-type]
    assert all(row.keys() <= set(INVERSION_SCHEMA.names) for row in rows)
