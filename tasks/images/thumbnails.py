"""Small pictures for people to look at: as they are while they are tiny, shrunk where they are large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from tasks.images.encode import encode
from tasks.spec.requests import ImageFormat

TINY = 96
"""Up to this many px a side a picture is kept losslessly, to be shown with visible pixels."""
SIDE = 192
"""Px of the longer side of every other tile."""
GAIN = 2.0
"""A difference of 1 / GAIN of the whole range is white."""


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
        """Whether its single pixels are to be seen."""
        return max(self.width, self.height) <= TINY


def tile_of(pixels: np.ndarray) -> Tile:
    """The tile of a uint8 [H,W,3] image or [H,W] mask."""
    if max(pixels.shape[:2]) > TINY:
        pixels = shrunk(pixels, SIDE)
    height, width = pixels.shape[:2]
    form: ImageFormat = "png" if max(height, width) <= TINY else "webp"
    return Tile(encode(pixels, form), form, width, height)


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """The picture with its longer side at most `side` px, averaged; the same picture if it is small already."""
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
    """uint8 [H,W]: how far two uint8 images of one size are apart, averaged over the channels, GAIN times brighter."""
    apart_HW = np.abs(one_HWC.astype(np.float32) - other_HWC.astype(np.float32)).mean(-1)
    return (GAIN * apart_HW).round().clip(0, 255).astype(np.uint8)
