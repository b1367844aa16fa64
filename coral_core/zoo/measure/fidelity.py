"""Pixels of edits against the exact answer: where the mask is right, and what stays as it was.

Images are uint8 [N, H, W, 3], masks and regions bool [N, H, W]; N scenes of one edit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HIGHEST_PSNR = 60.0
"""dB; equal images would be at infinity, and one of them would hide all others in a mean."""
LEAST_OFF = 0.05
"""Share of an image that must lie off the true region for it to say anything about what stayed."""


@dataclass(frozen=True)
class MaskAgreement:
    """Means over scenes, 0 to 1."""

    precision: float  # of the claimed pixels, those that had to change
    recall: float  # of the pixels that had to change, those claimed
    iou: float  # of all these pixels, those without fault


def agreement(mask_NHW: np.ndarray, region_NHW: np.ndarray) -> MaskAgreement:
    """Masks against true regions, with one pixel of tolerance on both sides.

    A claimed pixel is wrong when no true one touches it, a true pixel is missed when no claimed one touches it (in the
    3x3 neighbourhood). An empty mask has precision 0: it found nothing.
    """
    wrong_N = _count(mask_NHW & ~grown(region_NHW))
    missed_N = _count(region_NHW & ~grown(mask_NHW))
    claimed_N, true_N, either_N = _count(mask_NHW), _count(region_NHW), _count(mask_NHW | region_NHW)
    return MaskAgreement(
        precision=_mean_share(claimed_N - wrong_N, claimed_N),
        recall=_mean_share(true_N - missed_N, true_N),
        iou=_mean_share(either_N - wrong_N - missed_N, either_N),
    )


def grown(mask_NHW: np.ndarray) -> np.ndarray:
    """Dilated by one pixel in all eight directions."""
    padded = np.pad(mask_NHW, ((0, 0), (1, 1), (1, 1)))
    height, width = mask_NHW.shape[1:]
    shifts = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.logical_or.reduce(shifts)


def kept_psnr(image_NHWC: np.ndarray, reference_NHWC: np.ndarray, region_NHW: np.ndarray) -> float | None:
    """PSNR [dB] off the true region; None when every scene has less than 5 % there."""
    off_NHW = ~region_NHW
    off_NHW = off_NHW & (off_NHW.mean((1, 2), keepdims=True) >= LEAST_OFF)
    return psnr(image_NHWC[off_NHW], reference_NHWC[off_NHW]) if off_NHW.any() else None


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR [dB] of two uint8 arrays of one shape, the squared error pooled over all entries; at most 60."""
    error = np.square(image.astype(np.float64) - reference).mean() / 255**2
    return min(HIGHEST_PSNR, float(-10 * np.log10(max(error, 1e-12))))


def _count(mask_NHW: np.ndarray) -> np.ndarray:
    counts: np.ndarray = mask_NHW.sum((1, 2))
    return counts


def _mean_share(part_N: np.ndarray, whole_N: np.ndarray) -> float:
    return float(np.mean(part_N / np.maximum(whole_N, 1)))
