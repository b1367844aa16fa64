"""A scene's independent uniform numbers as coordinates of z, and layers of a mapping network that decode them.

A value of an attribute is an interval of its number; an edge is the boundary between two such intervals.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.nets.layers import EqualLinear
from coral_core.nets.stylegan2 import Mapping

EDGE_LAYERS = 3
SLOPES = (40.0, 8.0)  # of the first and the second layer
MAX_QUANTILE = 4.5  # normal quantiles are clamped to this absolute value


def code_numbers(numbers_BK2: np.ndarray, z_dim: int, rng: np.random.Generator) -> Tensor:
    """z of scenes, [B,z_dim], with the length that pixel norm gives: the normal quantiles of the scenes' numbers
    (`Scene.numbers`), each drawn uniformly from its interval, then noise that is scaled to the remaining length.
    ValueError unless z_dim is at least twice the number of numbers: their length varies and must not exceed that of z.
    """
    count = numbers_BK2.shape[1]
    if 2 * count > z_dim:
        raise ValueError(f"z_dim is {z_dim}; a scene is drawn from {count} numbers and needs twice as many or more")
    start_BK, end_BK = numbers_BK2[..., 0], numbers_BK2[..., 1]
    point_BK = torch.from_numpy(start_BK + (end_BK - start_BK) * rng.random(start_BK.shape))
    quantile_BK = torch.special.ndtri(point_BK).clamp(-MAX_QUANTILE, MAX_QUANTILE).float()
    noise_BR = torch.from_numpy(rng.standard_normal((len(quantile_BK), z_dim - count), dtype=np.float32))
    remaining_B1 = (z_dim - quantile_BK.square().sum(1, keepdim=True)).clamp(min=1.0)
    return torch.cat([quantile_BK, F.normalize(noise_BR, dim=1) * remaining_B1.sqrt()], dim=1)


@torch.no_grad()
def set_edges(mapping: Mapping, numbers_NK2: np.ndarray) -> None:
    """Set the first three layers so that, for every edge between two intervals, one output is 0 below the edge and
    sqrt 2 above it, and the numbers without edges are passed on. These layers are not trained afterwards.

    The difference of two leaky ReLUs is a step with a slope: lrelu(x + 1/2) - lrelu(x - 1/2) is 0.2 up to x = -1/2 and
    1 from x = 1/2 on. The first layer makes such a step of z, the second one a steeper step of the first, the third
    takes the difference. ValueError where the layers are too few or too narrow.
    """
    columns = [inner_edges(numbers_N2) for numbers_N2 in numbers_NK2.swapaxes(0, 1)]
    edges = [(k, NormalDist().inv_cdf(edge)) for k, column in enumerate(columns) for edge in column]
    continuous = [k for k, column in enumerate(columns) if not column]
    layers = [layer for layer in mapping.layers if isinstance(layer, EqualLinear)]
    width, needed = len(layers[0].bias), 2 * len(edges) + len(continuous)
    if len(layers) <= EDGE_LAYERS or width < needed:
        raise ValueError(
            f"{len(layers)} layers of {width} units; {len(edges)} edges and {len(continuous)} numbers without any "
            f"need more than {EDGE_LAYERS} layers of {needed}"
        )
    first, second, third = layers[:EDGE_LAYERS]
    for layer in (first, second, third):
        layer.weight.zero_()
        layer.bias.zero_()
    for unit, (k, edge) in enumerate(edges):
        low, high = 2 * unit, 2 * unit + 1
        for row, shift in ((low, 0.5), (high, -0.5)):
            set_unit(first, row, {k: SLOPES[0]}, shift - SLOPES[0] * edge)
            set_unit(second, row, floors(low, high, SLOPES[1]), shift - SLOPES[1] * (0.25 + 0.5))
        set_unit(third, unit, floors(low, high, 1.0), -0.25)
    for unit, k in enumerate(continuous):
        row = 2 * len(edges) + unit
        set_unit(first, row, {k: 1.0}, MAX_QUANTILE)  # never below 0, so that leaky ReLUs do not change it
        set_unit(second, row, {row: math.sqrt(0.5)}, 0.0)
        set_unit(third, len(edges) + unit, {row: math.sqrt(0.5) / MAX_QUANTILE}, 0.0)
    mapping.layers[:EDGE_LAYERS].requires_grad_(False)


def floors(low: int, high: int, slope: float) -> dict[int, float]:
    """Weights of two units that scale the distance of the two levels (0.2 and 1) of their difference to `slope`."""
    return {low: slope / 0.8 * math.sqrt(0.5), high: -slope / 0.8 * math.sqrt(0.5)}


def set_unit(layer: EqualLinear, unit: int, weights: dict[int, float], bias: float) -> None:
    """Set the weights and the bias of one output of an equalised layer, before its leaky ReLU. ValueError for a weight
    that float16 cannot hold."""
    for source, weight in weights.items():
        layer.weight[unit, source] = weight / layer.scale
        if abs(weight / layer.scale) > torch.finfo(torch.float16).max:
            raise ValueError(f"a slope of {weight:.3g} from {layer.weight.shape[1]} inputs is more than float16 holds")
    layer.bias[unit] = bias / layer.lr_mul


def inner_edges(numbers_N2: np.ndarray) -> list[float]:
    """The boundaries between the intervals, sorted; none for a number whose intervals are single points."""
    starts_N, ends_N = numbers_N2.T
    return sorted(set(ends_N[(ends_N > starts_N) & (ends_N < 1 - 1e-9)].tolist()))
