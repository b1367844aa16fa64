"""Bilinear resizing as two matrix products: the values of torch's interpolation, with a deterministic gradient.

On CUDA the gradient of torch's interpolation is summed in no fixed order; that of a matrix product is deterministic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(x_BCHW: Tensor, size: int) -> Tensor:
    """[B,C,H,W] -> [B,C,size,size] float32, anti-aliased when it shrinks, align_corners=False."""
    with torch.autocast(x_BCHW.device.type, enabled=False):
        rows, columns = (_weights(length, size).to(x_BCHW.device) for length in x_BCHW.shape[2:])
        return rows @ x_BCHW.float() @ columns.T


def _weights(length: int, size: int) -> Tensor:
    """[size, length]: the weight of each input pixel in each output pixel."""
    each = torch.eye(length)[None, None]
    return F.interpolate(each, (size, length), mode="bilinear", align_corners=False, antialias=True)[0, 0]
