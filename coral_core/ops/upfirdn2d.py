"""Low-pass filtering and resampling with StyleGAN2's [1,3,3,1] filter (Karras et al. 2020, upfirdn2d).

The filter is always the outer product of these taps; uses differ in zero-stuffing, padding and gain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)


def upfirdn2d(x_BCHW: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0), gain: float = 1.0) -> Tensor:
    """Zero-stuff by `up`, pad (before, after) on both axes, filter with a kernel of sum `gain`, keep every `down`-th
    pixel."""
    channels = x_BCHW.shape[1]
    x_BCHW = F.pad(_zero_stuff(x_BCHW, up), (pad[0], pad[1], pad[0], pad[1]))
    kernel = _kernel(x_BCHW, gain).expand(channels, 1, len(TAPS), len(TAPS))
    return F.conv2d(x_BCHW, kernel, stride=down, groups=channels)


def upsample2x(x_BCHW: Tensor) -> Tensor:
    """[B,C,H,W] -> [B,C,2H,2W]; pad 2 before and 1 after, gain 4 because of the inserted zeros."""
    return upfirdn2d(x_BCHW, up=2, pad=(2, 1), gain=4.0)


def blur_after_transpose(x_BCHW: Tensor) -> Tensor:
    """[B,C,2H+1,2W+1], the output of a stride-2 transposed 3x3 convolution, -> [B,C,2H,2W]."""
    return upfirdn2d(x_BCHW, pad=(1, 1), gain=4.0)


def blur_before_stride(x_BCHW: Tensor, kernel_size: int) -> Tensor:
    """Low-pass filter before a stride-2 convolution of the given kernel size that has no padding of its own."""
    excess = len(TAPS) - 2 + kernel_size - 1
    return upfirdn2d(x_BCHW, pad=((excess + 1) // 2, excess // 2))


def _zero_stuff(x_BCHW: Tensor, up: int) -> Tensor:
    if up == 1:
        return x_BCHW
    batch, channels, height, width = x_BCHW.shape
    stuffed = x_BCHW.new_zeros(batch, channels, height, up, width, up)
    stuffed[:, :, :, 0, :, 0] = x_BCHW
    return stuffed.view(batch, channels, height * up, width * up)


def _kernel(like: Tensor, gain: float) -> Tensor:
    taps = torch.tensor(TAPS, dtype=torch.float32, device=like.device)
    kernel = torch.outer(taps, taps)
    return (kernel * (gain / kernel.sum())).to(like.dtype)[None, None]
