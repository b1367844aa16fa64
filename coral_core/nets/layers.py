"""Equalised layers shared by StyleGAN2's networks and the editors (Karras et al. 2018, section 4.1).

Weights are stored as standard normals and scaled at run time by He's constant times a learning-rate multiplier.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.ops.bias_act import bias_act


def pixel_norm(x: Tensor, dim: int = 1) -> Tensor:
    """x / sqrt(mean(x^2, dim) + 1e-8)."""
    return x * torch.rsqrt(x.square().mean(dim, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """y = x W^T * lr_mul / sqrt(in) + b * lr_mul, optionally with sqrt(2) * leaky_relu. [..., in] -> [..., out]."""

    def __init__(
        self, in_dim: int, out_dim: int, *, bias: float = 0.0, lr_mul: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_dim,), bias / lr_mul))
        self.lr_mul, self.activate = lr_mul, activate
        self.scale = lr_mul / math.sqrt(in_dim)

    def forward(self, x: Tensor) -> Tensor:
        if self.activate:
            return bias_act(F.linear(x, self.weight * self.scale), self.bias * self.lr_mul, dim=x.ndim - 1)
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)


class EqualConv2d(nn.Module):
    """Same-size convolution with equalised weights and a bias. [B,in,H,W] -> [B,out,H,W] (stride 1)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, pad: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.stride, self.padding = stride, kernel_size // 2 if pad else 0

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)
