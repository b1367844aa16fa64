"""Bilinear resizing as two matrix products: torch's own values, with a gradient that is the same again everywhere.

On CUDA the gradient of torch's interpolation adds up in no fixed order; of a matrix product it is another one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(x_BCHW: Tensor, size: int) -> Tensor:
    """[B,C,H,W] -> [B,C,size,size], anti-aliased where it shrinks, pixel centres aligned by area. float32."""
    with torch.autocast(x_BCHW.device.type, enabled=False):
        rows, columns = (_weights(length, size).to(x_BCHW.device) for length in x_BCHW.shape[2:])
        return rows @ x_BCHW.float() @ columns.T


def _weights(length: int, size: int) -> Tensor:
    """[size, length]: what each pixel of the result takes of each pixel it is made from."""
    each = torch.eye(length)[None, None]
    return F.interpolate(each, (size, length), mode="bilinear", align_corners=False, antialias=True)[0, 0]
