"""The result of one method on the cases of one prompt, and its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from coral_core.bundle.models import Models
from coral_core.composite import composite
from coral_core.editors import Editor, EditorSpec
from coral_core.losses import layer_areas
from coral_core.scoring import score
from coral_core.types import Edit, Prompt
from coral_core.zoo.measure.fidelity import agreement, claimed, outside_psnr, psnr
from coral_core.zoo.measure.ground_truth import success_rate, unchanged_rate
from coral_core.zoo.measure.rightness import ghost_shares, right_rate, right_shares
from coral_core.zoo.portraits.domain import SEGMENTS
from pipelines.bench.cases import BATCH, Cases, batches
from pipelines.bench.judges import Judges
from pipelines.bench.records import Figures
from tasks.images.tensors import tensor_of, to_levels, to_pixels

CHANGED = 0.15
"""The oracle mask holds the pixels at which the raw edit differs from the reconstruction by more than this: the mean of
the absolute differences over the channels, images in [-1,1]."""


@dataclass(frozen=True)
class Outcome:
    """N edited scenes, and their scores."""

    raw_NHWC: np.ndarray  # uint8; output of the editor, with the inversion error
    output_NHWC: np.ndarray  # uint8; composited onto the source by the mask, as a user gets it
    labels_NHW: np.ndarray | None  # int64 segments of the output; None for a segmenter without the domain's SEGMENTS
    mask_NHW: np.ndarray  # uint8 levels
    identity: float
    direction: float
    images_per_second: float | None  # editing and compositing, after a warm-up


def inverted(cases: Cases) -> Edit:
    """The lower baseline: no edit, only the inversion."""
    return _constant(cases.inversion.recon_BCHW, torch.ones_like(cases.inversion.recon_BCHW[:, :1]))


def answered(cases: Cases) -> Edit:
    """The upper baseline: the exact answer in the true region, the reconstruction elsewhere."""
    recon_BCHW = cases.inversion.recon_BCHW
    mask_B1HW = torch.from_numpy(cases.regions_NHW)[:, None].to(recon_BCHW)
    answer_BCHW = tensor_of(list(cases.answers_NHWC)).to(recon_BCHW)
    return _constant(torch.where(mask_B1HW > 0, answer_BCHW, recon_BCHW), mask_B1HW)


BASELINES: Mapping[str, Callable[[Cases], Edit]] = {"inversion": inverted, "answer": answered}
"""The lower and the upper baseline of every figure."""


def edit_cases(editor: Editor, method: EditorSpec, cases: Cases, prompt: Prompt, models: Models) -> Outcome:
    """Edit all cases, and measure the images per second."""
    parts = batches(cases.inversion, models, "encoder" in method.edit_reads)
    editor.edit(parts[0], [prompt] * len(parts[0].keys))
    synchronise(models.device)
    started, raw = time.perf_counter(), []
    for part in parts:
        raw.append(editor.edit(part, [prompt] * len(part.keys)))
        composite(raw[-1], part, "source")
    synchronise(models.device)
    seconds = time.perf_counter() - started
    return outcome_of(_joined(raw), cases, prompt, models, len(cases.scenes) / seconds)


def outcome_of(raw: Edit, cases: Cases, prompt: Prompt, models: Models, speed: float | None = None) -> Outcome:
    """Composite and score an edit of all cases."""
    final = composite(raw, cases.inversion, "source")
    scores = score(final, cases.inversion, [prompt] * len(cases.scenes), models)
    output_NHWC = to_pixels(final.image_BCHW)
    return Outcome(
        raw_NHWC=to_pixels(raw.image_BCHW),
        output_NHWC=output_NHWC,
        labels_NHW=segments_of(output_NHWC, models),
        mask_NHW=to_levels(final.mask_B1HW),
        identity=scores.identity_B.mean().item(),
        direction=scores.direction_B.mean().item(),
        images_per_second=speed,
    )


@torch.no_grad()
def segments_of(pixels_NHWC: np.ndarray, models: Models) -> np.ndarray | None:
    """The segments that the bundle finds in images, int64 [N,H,W]; None if they are not the domain's SEGMENTS."""
    if tuple(models.segmenter.segments) != SEGMENTS:
        return None
    parts = tensor_of(list(pixels_NHWC)).split(BATCH)
    return torch.cat([models.segmenter(part.to(models.device)).argmax(1) for part in parts]).cpu().numpy()


def figures_of(outcome: Outcome, cases: Cases, judges: Judges, fit_seconds: float | None) -> Figures:
    """All figures that FIGURES names."""
    photos_NHWC = to_pixels(cases.inversion.image_BCHW)
    recon_NHWC = to_pixels(cases.inversion.recon_BCHW)
    output_NCHW = tensor_of(list(outcome.output_NHWC)).to(cases.inversion.image_BCHW.device)
    reads = judges.first.read(output_NCHW)
    mask = agreement(outcome.mask_NHW > 127, cases.regions_NHW)
    raw_change_NHW = np.abs(outcome.raw_NHWC.astype(np.int16) - recon_NHWC).mean(3) / 127.5
    oracle_mask = agreement(raw_change_NHW > CHANGED, cases.regions_NHW)
    right_N = None if outcome.labels_NHW is None else right_shares(outcome.output_NHWC, outcome.labels_NHW, cases)
    second = None if judges.second is None else success_rate(judges.second.read(output_NCHW), cases.wants)
    return {
        "success": success_rate(reads, cases.wants),
        "success_second": second,
        "right": None if right_N is None else right_rate(right_N),
        "right_share": None if right_N is None else float(right_N.mean()),
        "ghost": float(ghost_shares(outcome.output_NHWC, cases).mean()),
        "unchanged": unchanged_rate(reads, cases.scenes, cases.wants),
        "mask_precision": mask.precision,
        "mask_recall": mask.recall,
        "mask_iou": mask.iou,
        "mask_claimed": claimed(outcome.mask_NHW > 127, cases.regions_NHW),
        "oracle_mask_precision": oracle_mask.precision,
        "oracle_mask_recall": oracle_mask.recall,
        "oracle_mask_iou": oracle_mask.iou,
        "keep_recon": outside_psnr(outcome.raw_NHWC, recon_NHWC, cases.regions_NHW),
        "keep_source": outside_psnr(outcome.output_NHWC, photos_NHWC, cases.regions_NHW),
        "answer_psnr": psnr(outcome.output_NHWC, cases.answers_NHWC),
        "identity": outcome.identity,
        "direction": outcome.direction,
        "fit_seconds": fit_seconds,
        "images_per_second": outcome.images_per_second,
    }


def synchronise(device: torch.device) -> None:
    """Wait until an accelerator has finished, so that its work is timed and not only its launch."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _constant(image_BCHW: torch.Tensor, mask_B1HW: torch.Tensor) -> Edit:
    return Edit(image_BCHW, mask_B1HW, layer_areas((mask_B1HW,)))


def _joined(edits: list[Edit]) -> Edit:
    """Several edits as one batch, without the layers' masks, which are not needed."""
    return Edit(
        torch.cat([edit.image_BCHW for edit in edits]),
        torch.cat([edit.mask_B1HW for edit in edits]),
        torch.cat([edit.layer_areas_BL for edit in edits]),
    )
