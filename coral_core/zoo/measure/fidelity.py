"""Masks of edits compared with the true regions, and the PSNR of the pixels outside these regions.

Images are uint8 [N, H, W, 3], masks and regions bool [N, H, W], for N scenes of one edit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_PSNR = 60.0
"""dB; the PSNR of equal images is infinite, and one such image would dominate a mean."""
MIN_OUTSIDE_SHARE = 0.05
"""Share of an image that must be outside the true region; images with less are left out of the outside PSNR."""


@dataclass(frozen=True)
class MaskAgreement:
    """Means over scenes, 0 to 1."""

    precision: float  # share of the mask's pixels that are not wrong
    recall: float  # share of the true region's pixels that are not missed
    iou: float  # share of the union's pixels that are neither wrong nor missed


def agreement(mask_NHW: np.ndarray, region_NHW: np.ndarray) -> MaskAgreement:
    """Masks compared with true regions, with a tolerance of one pixel.

    A pixel of the mask is wrong when its 3x3 neighbourhood has no pixel of the true region; a pixel of the true region
    is missed when its 3x3 neighbourhood has no pixel of the mask. An empty mask has precision 0.
    """
    wrong_N = _count(mask_NHW & ~dilated(region_NHW))
    missed_N = _count(region_NHW & ~dilated(mask_NHW))
    masked_N, true_N, either_N = _count(mask_NHW), _count(region_NHW), _count(mask_NHW | region_NHW)
    return MaskAgreement(
        precision=_mean_share(masked_N - wrong_N, masked_N),
        recall=_mean_share(true_N - missed_N, true_N),
        iou=_mean_share(either_N - wrong_N - missed_N, either_N),
    )


def claimed(mask_NHW: np.ndarray, region_NHW: np.ndarray) -> float:
    """Mean over the scenes of the area of the mask, relative to the area of the true region. Regions are not empty."""
    return float(np.mean(_count(mask_NHW) / _count(region_NHW)))


def dilated(mask_NHW: np.ndarray) -> np.ndarray:
    """The mask, dilated by one pixel in all eight directions."""
    padded = np.pad(mask_NHW, ((0, 0), (1, 1), (1, 1)))
    height, width = mask_NHW.shape[1:]
    shifts = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.logical_or.reduce(shifts)


def outside_psnr(image_NHWC: np.ndarray, reference_NHWC: np.ndarray, region_NHW: np.ndarray) -> float | None:
    """PSNR in dB of the pixels outside the true regions, pooled over the scenes with at least 5 % of such pixels.

    None when there is no such scene.
    """
    outside_NHW = ~region_NHW
    outside_NHW = outside_NHW & (outside_NHW.mean((1, 2), keepdims=True) >= MIN_OUTSIDE_SHARE)
    return psnr(image_NHWC[outside_NHW], reference_NHWC[outside_NHW]) if outside_NHW.any() else None


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR in dB of two uint8 arrays of the same shape, from the mean squared error over all entries; at most 60."""
    error = np.square(image.astype(np.float64) - reference).mean() / 255**2
    return min(MAX_PSNR, float(-10 * np.log10(max(error, 1e-12))))


def _count(mask_NHW: np.ndarray) -> np.ndarray:
    counts: np.ndarray = mask_NHW.sum((1, 2))
    return counts


def _mean_share(part_N: np.ndarray, whole_N: np.ndarray) -> float:
    return float(np.mean(part_N / np.maximum(whole_N, 1)))
