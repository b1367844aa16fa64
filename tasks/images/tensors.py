"""Conversion between uint8 pixels and the networks' float tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def tensor_of(pixels: Sequence[np.ndarray]) -> Tensor:
    """[B,3,H,W] in [-1,1] of uint8 [H,W,3] images of one size."""
    pixels_BHWC = torch.from_numpy(np.stack(pixels))
    return pixels_BHWC.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def mask_tensor_of(levels: Sequence[np.ndarray]) -> Tensor:
    """[B,1,H,W] in [0,1] of uint8 [H,W] masks of one size."""
    return torch.from_numpy(np.stack(levels))[:, None].float().div(255)


def to_pixels(image_BCHW: Tensor) -> np.ndarray:
    """uint8 [B,H,W,3] of images in [-1,1]."""
    levels_BCHW = image_BCHW.float().add(1).mul(127.5).round().clamp(0, 255)
    return levels_BCHW.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_levels(mask_B1HW: Tensor) -> np.ndarray:
    """uint8 [B,H,W] of masks in [0,1]; values below half a level, 1/510, become 0 and are outside the mask."""
    return mask_B1HW[:, 0].float().mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
