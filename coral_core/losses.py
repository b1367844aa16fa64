"""Distances and penalties: pure functions that give one number per sample, [B], computed in float32.

Equations: METHODS of CoralStyleCLIP (arXiv 2303.05031) and StyleCLIP (arXiv 2103.17249). Deviations and why:
- Every term is a mean over entries, not a sum, so that a weight means the same at other resolutions and depths.
  A published weight of a sum is multiplied by the number of entries: StyleCLIP's l2 of 0.008 on the sum over 18 x 512
  is 73.7 on the mean.
- The area constants are n_l = 1/(H_l W_l) and the sum over layers is a mean: the penalty is the mean masked fraction.
- The directional term divides by a softened norm, because an edit starts as no change, where the gradient of the
  cosine is infinite (one such step would dominate Adam's second moment for the rest of the fit).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.types import Masks

CLEAR_CHANGE = 0.15
"""Change of a pixel (mean over channels, images in [-1,1]) from which on it counts as edited."""
SOFT_NORM = 0.1
"""Length of an embedding change at which 71 % of its cosine counts; a clear edit changes an embedding by 0.3 to 1."""


def clip_distance(image_BE: Tensor, text_BE: Tensor) -> Tensor:
    """1 - cos(image, text). [B], 0 to 2."""
    return 1 - F.cosine_similarity(image_BE.float(), text_BE.float(), dim=1)


def clip_directional(edit_BE: Tensor, source_BE: Tensor, direction_BE: Tensor) -> Tensor:
    """1 - cos(edit - source, direction) with |edit - source| softened. [B], exactly 1 where nothing changed."""
    change_BE = edit_BE.float() - source_BE.float()
    length_B1 = torch.sqrt(change_BE.square().sum(1, keepdim=True) + SOFT_NORM**2)
    return 1 - (change_BE / length_B1 * F.normalize(direction_BE.float(), dim=1)).sum(1)


def hinge(distance_B: Tensor, bound: float) -> Tensor:
    """Hinge max(0, bound - cos) of a cosine, given as its distance 1 - cos. [B]; 0 where the cosine reaches `bound`."""
    return F.relu(distance_B - (1 - bound))


def identity_distance(edit_BI: Tensor, source_BI: Tensor) -> Tensor:
    """1 - cos of two identity embeddings. [B], 0 to 2."""
    return 1 - F.cosine_similarity(edit_BI.float(), source_BI.float(), dim=1)


def latent_l2(delta_BLD: Tensor) -> Tensor:
    """Mean square of a latent edit over layers and channels. [B], in the square of delta's units."""
    return delta_BLD.float().square().mean((1, 2))


def pixel_l2(image_BCHW: Tensor, source_BCHW: Tensor) -> Tensor:
    """Mean squared difference of images. [B], 0 to 4."""
    return (image_BCHW.float() - source_BCHW.float()).square().mean((1, 2, 3))


def layer_areas(masks: Masks) -> Tensor:
    """Mean of each layer's mask. [B, layers], 0 to 1."""
    return torch.stack([mask_B1HW.float().mean((1, 2, 3)) for mask_B1HW in masks], dim=1)


def area(masks: Masks) -> Tensor:
    """Masked fraction, averaged over layers. [B], 0 to 1."""
    return layer_areas(masks).mean(1)


def unneeded_area(mask_B1HW: Tensor, edited_BCHW: Tensor, source_BCHW: Tensor) -> Tensor:
    """Masked fraction in which the edit changes nothing: mean over pixels of mask * max(0, 1 - change / CLEAR_CHANGE).

    `change` is |edited - source|, averaged over channels, images in [-1,1]; no gradient flows into it. [B], 0 to 1.
    """
    change_B1HW = (edited_BCHW.detach().float() - source_BCHW.float()).abs().mean(1, keepdim=True)
    return (mask_B1HW.float() * F.relu(1 - change_B1HW / CLEAR_CHANGE)).mean((1, 2, 3))


def missing_change(blended_BCHW: Tensor, edited_BCHW: Tensor, source_BCHW: Tensor) -> Tensor:
    """What a blended image lacks of the whole edit, where the edit is clear.

    Mean over pixels of min(1, change / CLEAR_CHANGE) * |blended - edited|, images in [-1,1]; `change` is |edited -
    source|, averaged over channels. No gradient flows into the whole edit. [B], 0 to 2.
    """
    edited_BCHW = edited_BCHW.detach().float()
    clear_BHW = ((edited_BCHW - source_BCHW.float()).abs().mean(1) / CLEAR_CHANGE).clamp(max=1)
    return (clear_BHW * (blended_BCHW.float() - edited_BCHW).abs().mean(1)).mean((1, 2))


def total_variation(masks: Masks) -> Tensor:
    """Mean squared difference of vertical plus of horizontal neighbours, averaged over layers. [B], 0 to 2."""
    return torch.stack([_variation(mask_B1HW.float()) for mask_B1HW in masks], dim=1).mean(1)


def change_outside_mask(image_BCHW: Tensor, source_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """Mean over pixels of (1 - mask) * |image - source|, images in [-1,1]. [B], 0 to 2."""
    change_B1HW = (image_BCHW.float() - source_BCHW.float()).abs().mean(1, keepdim=True)
    return ((1 - mask_B1HW.float()) * change_B1HW).mean((1, 2, 3))


def perceptual(features: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Squared distance of channel-normalised feature maps, mean over pixels, sum over maps: LPIPS, unit weights. [B]"""
    pairs = zip(features, others, strict=True)
    differences = [F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1) for a, b in pairs]
    return torch.stack([difference_BCHW.square().sum(1).mean((1, 2)) for difference_BCHW in differences], dim=1).sum(1)


def _variation(mask_B1HW: Tensor) -> Tensor:
    down = mask_B1HW.diff(dim=2).square().mean((1, 2, 3))
    across = mask_B1HW.diff(dim=3).square().mean((1, 2, 3))
    return down + across
