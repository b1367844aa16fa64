"""Batches as rows of the Parquet schemas: one row per sample, whatever its status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from coral_core.types import Edit, Scores
from tasks.images.decode import UnusableError
from tasks.images.encode import file_of
from tasks.images.paste_back import PASTE_BACK
from tasks.images.tensors import to_levels, to_pixels
from tasks.shards.batch import Batch, Item
from tasks.spec.requests import EditRequest, EditSpec, Shard

Row = dict[str, object]


@dataclass(frozen=True)
class EditedPixels:
    """An edited batch as arrays on the CPU, without the rows that are padding."""

    pixels_BHWC: np.ndarray  # uint8, composited unless that is done at the source's size
    levels_BHW: np.ndarray  # uint8, the mask
    layer_areas_BL: np.ndarray
    scores: Mapping[str, np.ndarray]  # column -> [B]
    finite_B: np.ndarray  # bool; false where the edit gave values that are not finite

    @classmethod
    def of(cls, edit: Edit, scores: Scores, count: int) -> EditedPixels:
        """The first `count` samples of a batch."""
        columns = {field.name.removesuffix("_B"): getattr(scores, field.name) for field in fields(scores)}
        finite_B = edit.image_BCHW.isfinite().all(3).all(2).all(1) & edit.mask_B1HW.isfinite().all(3).all(2).all(1)
        return cls(
            pixels_BHWC=to_pixels(edit.image_BCHW[:count].nan_to_num()),
            levels_BHW=to_levels(edit.mask_B1HW[:count].nan_to_num()),
            layer_areas_BL=_array(edit.layer_areas_BL[:count]),
            scores={name: _array(values[:count]) for name, values in columns.items()},
            finite_B=finite_B[:count].cpu().numpy(),
        )


def edit_rows(request: EditRequest, editor_digest: str, batch: Batch, edited: EditedPixels | None) -> Iterator[Row]:
    """The rows of one batch in the order of the shard, each encoded when the iterator reaches it.

    `edited` is None if the batch has no usable sample.
    """
    edit = request.spec
    common: Row = {
        "source_uri": request.shard.uri,
        "prompt": edit.target,
        "source_prompt": edit.source,
        "edit": edit.edit_id,
        "method": edit.method,
        "strength": edit.strength,
        "seed": edit.seed,
        "models_digest": edit.models_digest,
        "editor_digest": editor_digest,
    }
    index = 0
    for item in batch.items:
        masked = item.with_user_mask(edit.mask)
        row = {**_source(masked), **common}
        if masked.sample.status == "ok":
            assert edited is not None, "a batch with usable samples was not edited"
            try:
                row |= _result(edit, item, edited, index)
            except UnusableError as unusable:
                row |= {"status": unusable.status, "reason": unusable.reason}
        index += item.sample.status == "ok"  # samples without their user mask are in the tensors as well
        yield row


def inversion_rows(shard: Shard, batch: Batch, ws_BLD: Tensor | None, error_B: Tensor | None) -> list[Row]:
    """Rows of the inversion; a sample without finite latents becomes not_inverted."""
    rows, index = [], 0
    for item in batch.items:
        row = {**_source(item), "source_uri": shard.uri}
        if item.sample.status == "ok":
            assert ws_BLD is not None and error_B is not None, "a batch with usable samples was not inverted"
            ws_LD, error = ws_BLD[index], float(error_B[index])
            if torch.isfinite(ws_LD).all() and np.isfinite(error):
                row |= {"ws": ws_LD.flatten().float().cpu().numpy(), "inversion_error": error}
            else:
                row |= {"status": "not_inverted", "reason": "the encoder gave latents that are not finite"}
            index += 1
        rows.append(row)
    return rows


def _source(item: Item) -> Row:
    sample, picture = item.sample, item.picture
    row: Row = {
        "key": sample.key,
        "source_member": sample.member,
        "source_sha256": sample.sha256,
        "metadata": sample.metadata,
        "status": sample.status,
        "reason": sample.reason,
        "inversion_error": item.inversion_error,
    }
    if picture is not None:
        row |= {"width": picture.width, "height": picture.height}
        row |= {"box": picture.placement.box, "inverse": picture.placement.inverse}
    return row


def _result(edit: EditSpec, item: Item, edited: EditedPixels, index: int) -> Row:
    if not edited.finite_B[index]:
        raise UnusableError("failed", "the edit gave pixels that are not finite")
    assert item.picture is not None
    pixels_HWC, levels_HW = edited.pixels_BHWC[index], edited.levels_BHW[index]
    image, mask = PASTE_BACK[edit.output](item.picture, pixels_HWC, levels_HW, item.user_masks.get(edit.mask))
    name = _file_name(item.sample.key)
    return {
        **{name: float(values[index]) for name, values in edited.scores.items()},
        "layer_areas": edited.layer_areas_BL[index],
        "image": {"bytes": file_of(image, edit.image_format), "path": f"{name}.{edit.image_format}"},
        "mask": {"bytes": file_of(mask, "png"), "path": f"{name}.mask.png"},
    }


def _file_name(key: str) -> str:
    """The key as a path that stays below the folder it is written to, also for malicious member names."""
    return "/".join(part for part in key.split("/") if part not in ("", ".", ".."))


def _array(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()
