"""Where each convolution layer of an edit acts: the mean of its masks over each segment of a few samples.

Layer masks are never stored. So the stored editor edits these samples again, on the CPU, from their sources and stored
latents, with the limits of the edit and the users' masks of the samples, as in the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.bundle.models import Models, load_models
from coral_core.editors import FitScope, spec
from coral_core.inversion import restore
from coral_core.types import Inversion, Masks
from manifests.stores.store import Store
from tasks.artifacts.loaded import Fitted, load_editor
from tasks.gallery.missing import Missing
from tasks.gallery.source_images import Source
from tasks.gallery.stored_latents import Name, Row, name_of
from tasks.images.tensors import mask_tensor_of, tensor_of, to_levels
from tasks.images.thumbnails import Tile, tile_of
from tasks.plan.plan import Plan
from tasks.plan.resolve import RESTORE_READS
from tasks.spec.requests import EditSpec

SAMPLES = 16
"""Largest number of samples of one edit that are edited again."""
MAX_PIXELS = 2**22
"""Largest number of pixels of these samples together: SAMPLES images up to 512 px, 4 at 1024 px."""
BATCH_PIXELS = 2**20
"""Pixels of the images that are edited in one batch."""
WHOLE_IMAGE = 0.999
"""Mask area, 0 to 1, from which a layer counts as the whole image. An edit with only such layers has no regions."""


@dataclass(frozen=True)
class Segment:
    """One segment of the bundle's segmenter."""

    name: str
    share: float  # of all pixels of the samples
    samples: int  # that contain it


@dataclass(frozen=True)
class MeanLayerMask:
    """The mask of one layer, averaged over the samples."""

    size: int  # px a side
    by_segment: tuple[float, ...]  # mean of the mask, 0 to 1, over the pixels of each segment
    mask: Tile


@dataclass(frozen=True)
class LayerMap:
    """Where one edit acts."""

    segments: tuple[Segment, ...]  # those that occur in the samples
    layers: tuple[MeanLayerMask, ...]  # coarse to fine
    whole: MeanLayerMask  # the mask of the edit, which combines those of the layers
    samples: int


def has_regions(layer_areas: Sequence[float]) -> bool:
    """Whether an edit with these mask areas of its layers acts on regions and not on the whole image."""
    return any(area < WHOLE_IMAGE for area in layer_areas)


class LayerMaps:
    """The maps of a plan's edits. All networks of its bundle are loaded if at least one edit has regions."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan

    @cached_property
    def models(self) -> Models | Missing:
        """The plan's networks."""
        try:
            return load_models(self.plan.bundle)
        except Exception as error:
            return Missing.because(error)

    def choose(self, rows: Iterable[Row]) -> dict[str, list[Row]]:
        """By edit id, the rows to edit again: the first rows of each edit with regions."""
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            if has_regions(row["layer_areas"] or ()):
                found[row["edit"]].append(row)
        return {edit: own[: self._most()] for edit, own in found.items()}

    def of(
        self,
        rows: Mapping[str, Sequence[Row]],
        sources: Mapping[Name, Source | Missing],
        latents: Mapping[Name, np.ndarray | Missing],
    ) -> dict[str, LayerMap | Missing]:
        """The map of each edit of `rows`, from the sources and latents of these rows."""
        edits = {edit.edit_id: edit for edit in self.plan.edits}
        return {name: self._map(edits[name], own, sources, latents) for name, own in rows.items()}

    def _most(self) -> int:
        if isinstance(self.models, Missing):
            return SAMPLES
        return max(1, min(SAMPLES, MAX_PIXELS // self.models.image_size**2))

    def _map(
        self,
        edit: EditSpec,
        rows: Sequence[Row],
        sources: Mapping[Name, Source | Missing],
        latents: Mapping[Name, np.ndarray | Missing],
    ) -> LayerMap | Missing:
        if isinstance(self.models, Missing):
            return self.models
        if spec(edit.method).scope is FitScope.IMAGE:
            return Missing(f"{edit.method} searches every edit again, which takes too long for a report")
        reads = {*RESTORE_READS, *spec(edit.method).edit_reads}  # networks that only scores read change no mask
        others = sorted(part for part in reads if self.models.digests.get(part) != edit.digests[part])
        if others:
            return Missing(f"bundle {self.models.name} has another {', '.join(others)} than this run")
        found = [_Sample.of(row, sources[name_of(row)], latents[name_of(row)], edit.mask) for row in rows]
        samples = [each for each in found if isinstance(each, _Sample)]
        reasons = [each for each in found if isinstance(each, Missing)]
        if not samples:
            return reasons[0]
        try:
            return _mapped(edit, load_editor(self.store, edit, self.models), samples, self.models)
        except Exception as error:
            return Missing.because(error)


@dataclass(frozen=True)
class _Sample:
    """The inputs to edit one sample again."""

    key: str
    square_HWC: np.ndarray  # uint8, as the generator gets it
    ws_LD: np.ndarray  # float32
    user_HW: np.ndarray | None = None  # uint8; the user's mask, if the edit needs one

    @classmethod
    def of(cls, row: Row, source: Source | Missing, ws_LD: np.ndarray | Missing, mask: str) -> _Sample | Missing:
        """The inputs of a row; Missing if one of them is missing."""
        if isinstance(source, Missing):
            return source
        if isinstance(ws_LD, Missing):
            return ws_LD
        assert source.square_HWC is not None, "the square of a chosen sample was not kept"
        if not mask:
            return cls(row["source_sha256"], source.square_HWC, ws_LD)
        user_mask = source.user_masks[mask]
        if user_mask.reason:
            return Missing(user_mask.reason)
        return cls(row["source_sha256"], source.square_HWC, ws_LD, user_mask.levels_HW)


@dataclass(frozen=True)
class _BatchMasks:
    """The M masks of a batch: those of M - 1 layers, then that of the edit; and their means over K segments."""

    masks: Masks
    value_BMK: Tensor  # mean of a mask over a segment; NaN without this segment
    share_BK: Tensor  # of a segment in the image

    @classmethod
    def of(cls, edit: EditSpec, fitted: Fitted, source: Inversion, models: Models) -> _BatchMasks:
        """Edit the batch again."""
        prompts = [fitted.prompt] * len(source.keys)
        edited = fitted.editor.edit(source, prompts, strength=edit.strength, seed=edit.seed, limits=edit.limits)
        masks = (*edited.masks, edited.mask_B1HW)
        return cls(masks, *by_segment(masks, source.labels_BHW, len(models.segmenter.segments)))


def _mapped(edit: EditSpec, fitted: Fitted, samples: Sequence[_Sample], models: Models) -> LayerMap:
    batches = [_BatchMasks.of(edit, fitted, source, models) for source in _batches(edit, samples, models)]
    share_NK = torch.cat([batch.share_BK for batch in batches])
    occurs_K = share_NK.any(0)
    value_MK = torch.cat([batch.value_BMK for batch in batches]).nanmean(0)[:, occurs_K]
    means = [torch.cat(masks).mean(0, keepdim=True) for masks in zip(*(batch.masks for batch in batches), strict=True)]
    *layers, whole = (
        MeanLayerMask(mean_11HW.shape[-1], tuple(value_K.tolist()), tile_of(to_levels(mean_11HW)[0]))
        for value_K, mean_11HW in zip(value_MK, means, strict=True)
    )
    segments = (
        Segment(name, share_N.mean().item(), int(share_N.count_nonzero()))
        for name, share_N in zip(models.segmenter.segments, share_NK.T, strict=True)
    )
    return LayerMap(tuple(each for each in segments if each.samples), tuple(layers), whole, len(samples))


def by_segment(masks: Masks, labels_BHW: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean of each of M masks over the pixels of each of K segments, and the segments' shares of the image.

    Returns [B,M,K], NaN for a sample without the segment, and [B,K]. A pixel of a mask has the weight of the area that
    the segment covers in it.
    """
    segments_K = torch.arange(count, device=labels_BHW.device)
    whole_BKHW = (labels_BHW[:, None] == segments_K[:, None, None]).float()
    areas = {size: F.interpolate(whole_BKHW, size, mode="area") for size in {mask.shape[-2:] for mask in masks}}
    values = []
    for mask_B1HW in masks:
        area_BKHW = areas[mask_B1HW.shape[-2:]]
        values.append((area_BKHW * mask_B1HW).sum((2, 3)) / area_BKHW.sum((2, 3)))
    return torch.stack(values, dim=1), whole_BKHW.mean((2, 3))


@torch.no_grad()
def _batches(edit: EditSpec, samples: Sequence[_Sample], models: Models) -> Iterator[Inversion]:
    """The samples in batches, restored as in the edit wave."""
    step = max(1, BATCH_PIXELS // models.image_size**2)
    for part in (samples[start : start + step] for start in range(0, len(samples), step)):
        image_BCHW = tensor_of([sample.square_HWC for sample in part]).to(models.device)
        ws_BLD = torch.from_numpy(np.stack([sample.ws_LD for sample in part])).to(models.device)
        source = restore(models, [sample.key for sample in part], image_BCHW, ws_BLD)
        if "encoder" in spec(edit.method).edit_reads:
            source = replace(source, taps=models.encoder.body(image_BCHW))
        if edit.mask:
            levels = [sample.user_HW for sample in part if sample.user_HW is not None]
            source = replace(source, user_mask_B1HW=mask_tensor_of(levels).to(models.device))
        yield source
