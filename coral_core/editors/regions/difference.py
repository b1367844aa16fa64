"""Regions from an edit itself: where it changes the image clearly.

An edit that leaves the rest of an image nearly unchanged shows by itself where it acts. The absolute difference to the
unedited render, averaged over channels and over a small square, is compared with a threshold, which is lower for an
edit that is weak everywhere (eyebrows on dark skin). The region is enlarged by one unit and its border is one unit
soft; a unit is one pixel at 64 px and grows with the image. This needs no fit and no network; masks that are learned
have to be better. Our own; docs/transport.md has its figures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PEAK_SHARE = 0.35
"""The threshold is at most this share of the largest change of an image, so that a weak edit keeps its region."""
LEAST = 0.06
"""No threshold is smaller: changes of this size are everywhere."""
UNIT_SIZE = 64
"""Pixels per side of an image whose unit is one pixel."""


def difference_mask(edited_BCHW: Tensor, plain_BCHW: Tensor, threshold: float) -> Tensor:
    """Where the edit differs from the plain render by more than `threshold` (images in [-1,1], so 0 to 2), or by more
    than PEAK_SHARE of the sample's largest difference, if that is less.

    [B,1,H,W] in [0,1]: 1 inside, 0 outside, in between at the border.
    """
    unit = max(1, round(edited_BCHW.shape[-1] / UNIT_SIZE))
    change_B1HW = _box_mean((edited_BCHW.float() - plain_BCHW.float()).abs().mean(1, keepdim=True), unit)
    weak_B111 = (PEAK_SHARE * change_B1HW.amax((1, 2, 3), keepdim=True)).clamp_min(LEAST)
    clear_B1HW = (change_B1HW > weak_B111.clamp(max=threshold)).float()
    grown_B1HW = F.max_pool2d(clear_B1HW, 2 * unit + 1, stride=1, padding=unit)
    return _box_mean(grown_B1HW, unit).clamp(0, 1)


def keep_outside(edited_BCHW: Tensor, plain_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """The edited image inside the mask and the plain render outside."""
    return torch.lerp(plain_BCHW, edited_BCHW, mask_B1HW.to(edited_BCHW.dtype))


def _box_mean(image_B1HW: Tensor, reach: int) -> Tensor:
    """The mean over squares of 2 * reach + 1 pixels; the border is repeated."""
    return F.avg_pool2d(F.pad(image_B1HW, (reach,) * 4, mode="replicate"), 2 * reach + 1, stride=1)
