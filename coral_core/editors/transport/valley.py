"""The split of a population by a text: which samples have the property that the text names.

The scores (cosines of image embeddings with the text's) of samples with the property form a group of their own, higher
than the rest. The threshold is the valley below this group: of all places in the smoothed histogram, the one whose
density is lowest relative to the lower of the highest densities on its two sides. A fixed share of the population would
be wrong for nearly every property: 1 of 10 people has red hair, every second one a big nose.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 128
SMOOTHING = 2.0
"""Standard deviation of the Gaussian that smooths the histogram, in bins."""
LEAST, MOST = 0.005, 0.7
"""Shares of the population that a property can have."""
SHALLOW = 0.6
"""A valley less deep than this (density relative to the lower of its two sides) separates nothing."""
FALLBACK = 0.1
"""Share of the population that is taken where there is no valley."""


def threshold(scores_N: Tensor) -> float:
    """The score from which on a sample counts as having the property."""
    low, high = scores_N.min().item(), scores_N.max().item()
    if high <= low:
        raise ValueError("all samples have the same score: this text distinguishes nothing in the bundle's domain")
    histogram_K = torch.histc(scores_N.float().cpu(), BINS, low, high) / len(scores_N)
    density_K = _smoothed(histogram_K)
    lower_side_K = torch.minimum(density_K.cummax(0).values, density_K.flip(0).cummax(0).values.flip(0))
    above_K = histogram_K.flip(0).cumsum(0).flip(0)
    depth_K = torch.where((above_K > LEAST) & (above_K < MOST), density_K / lower_side_K.clamp_min(1e-12), torch.inf)
    deepest = int(depth_K.argmin())
    if depth_K[deepest] > SHALLOW:
        return scores_N.float().quantile(1 - FALLBACK).item()
    return low + (deepest + 0.5) * (high - low) / BINS


def _smoothed(histogram_K: Tensor) -> Tensor:
    reach = int(4 * SMOOTHING)
    weights_W = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / SMOOTHING) ** 2)
    padded_K = F.pad(histogram_K[None, None], (reach, reach))
    return F.conv1d(padded_K, (weights_W / weights_W.sum())[None, None])[0, 0]
