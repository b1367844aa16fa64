"""Bias, leaky ReLU and gain in one function (StyleGAN2, Karras et al. 2020; negative slope 0.2, gain sqrt 2)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

SLOPE = 0.2
GAIN = math.sqrt(2.0)


def bias_act(x: Tensor, bias_C: Tensor, dim: int = 1) -> Tensor:
    """sqrt(2) * leaky_relu(x + bias), for x of any shape with C channels along `dim`."""
    shape = [1] * x.ndim
    shape[dim] = -1
    return F.leaky_relu(x + bias_C.view(shape).to(x.dtype), SLOPE) * GAIN
