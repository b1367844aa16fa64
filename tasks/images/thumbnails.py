"""Small pictures for pages: tiny images unchanged, larger images reduced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from tasks.images.encode import encode
from tasks.spec.requests import ImageFormat

TINY = 96
"""A picture with at most this many px a side is stored as PNG and shown enlarged, with visible pixels."""
SIDE = 192
"""Px of the longer side of all other tiles."""
GAIN = 2.0
"""Factor of difference pictures: a difference of 1 / GAIN of the range is white."""


@dataclass(frozen=True)
class Tile:
    """An encoded picture, or the reason why there is none."""

    data: bytes = b""
    form: ImageFormat = "png"
    width: int = 0  # px
    height: int = 0
    missing: str = ""

    @property
    def tiny(self) -> bool:
        """Whether it is shown with visible pixels."""
        return max(self.width, self.height) <= TINY


def tile_of(pixels: np.ndarray) -> Tile:
    """Encode a uint8 [H,W,3] image or [H,W] mask: as PNG up to TINY px, reduced to SIDE px as WebP otherwise."""
    if max(pixels.shape[:2]) > TINY:
        pixels = shrunk(pixels, SIDE)
    height, width = pixels.shape[:2]
    form: ImageFormat = "png" if max(height, width) <= TINY else "webp"
    return Tile(encode(pixels, form), form, width, height)


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """A uint8 [H,W,3] or [H,W] picture, averaged down to `side` px of the longer side; unchanged if it is smaller."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    levels_HWC = torch.from_numpy(np.array(pixels)).float().view(height, width, -1)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small_1CHW = F.interpolate(levels_HWC.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True)
    small_HWC = small_1CHW[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    return small_HWC.reshape(*size, *pixels.shape[2:])


def difference(one_HWC: np.ndarray, other_HWC: np.ndarray) -> np.ndarray:
    """Absolute difference of two uint8 [H,W,3] images, mean over the channels, times GAIN. uint8 [H,W]."""
    difference_HW = np.abs(one_HWC.astype(np.float32) - other_HWC.astype(np.float32)).mean(-1)
    return (GAIN * difference_HW).round().clip(0, 255).astype(np.uint8)
