"""Encoded images and the generator's tensors: the only place where uint8 and PIL exist."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from manifests.schema import Status
from tasks.geometry import Box, Geometry
from tasks.requests import ImageFormat

READABLE = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats whose decoders only decode: none that starts another program."""
MAX_PIXELS = 2**26
QUALITY = {"png": {"compress_level": 1}, "jpeg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 95}}
"""PNG is lossless at any level, and level 1 is several times faster for a tenth more bytes."""


class UnusableError(Exception):
    """This image cannot be edited, through nobody's fault: the row gets the status and the reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A source image at the generator's size."""

    pixels_HWC: np.ndarray  # uint8 [size, size, 3]
    box: Box  # the region of the source that it shows
    width: int  # of the source, px
    height: int


def decode(data: bytes, geometry: Geometry, size: int) -> Picture:
    """The image as [size, size, 3], upright as its EXIF orientation says. UnusableError gives status and reason."""
    try:
        with Image.open(io.BytesIO(data), formats=READABLE) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise UnusableError(
                    "too_large", f"{opened.width} x {opened.height} pixels; at most {MAX_PIXELS} in all"
                )
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except Image.DecompressionBombError as error:
        raise UnusableError("too_large", str(error)) from None
    except UnusableError:
        raise
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        raise UnusableError("undecodable", f"{type(error).__name__}: {error}".splitlines()[0]) from None
    box = geometry.box(image.width, image.height, size)
    if box is None:
        raise UnusableError("not_aligned", f"{image.width} x {image.height} pixels where {size} x {size} are asked for")
    return Picture(np.asarray(_cut(image, box, size)), box, image.width, image.height)


def pixels_of(data: bytes) -> np.ndarray:
    """uint8 [H,W,3] of an image of ours, or [H,W] of a mask."""
    with Image.open(io.BytesIO(data), formats=READABLE) as image:
        return np.asarray(image)


def tensor_of(pixels: Sequence[np.ndarray]) -> Tensor:
    """[B,3,H,W] in [-1,1] of uint8 [H,W,3] images of one size."""
    pixels_BHWC = torch.from_numpy(np.stack(pixels))
    return pixels_BHWC.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def to_pixels(image_BCHW: Tensor) -> np.ndarray:
    """uint8 [B,H,W,3] of images in [-1,1]."""
    levels_BCHW = image_BCHW.float().add(1).mul(127.5).round().clamp(0, 255)
    return levels_BCHW.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_levels(mask_B1HW: Tensor) -> np.ndarray:
    """uint8 [B,H,W] of masks in [0,1]."""
    return mask_B1HW[:, 0].float().mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def encode(pixels: np.ndarray, image_format: ImageFormat) -> bytes:
    """A file of uint8 [H,W,3] or, for masks, [H,W]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **QUALITY[image_format])
    return buffer.getvalue()


def _cut(image: Image.Image, box: Box, size: int) -> Image.Image:
    if box == (0, 0, size, size) == (0, 0, image.width, image.height):
        return image
    if min(box) >= 0:
        return image.resize((size, size), Image.Resampling.LANCZOS, box=box)
    return _padded(image, box[2] - box[0], size)


def _padded(image: Image.Image, side: float, size: int) -> Image.Image:
    """All of the image in the middle of a square whose rest repeats its border."""
    width = max(1, round(image.width * size / side))
    height = max(1, round(image.height * size / side))
    small_HWC = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    left, top = (size - width) // 2, (size - height) // 2
    around = ((top, size - height - top), (left, size - width - left), (0, 0))
    return Image.fromarray(np.pad(small_HWC, around, mode="edge"))
