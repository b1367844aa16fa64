"""Pixels as PNG, JPEG or WebP files."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tasks.images.decode import UnusableError
from tasks.spec.requests import ImageFormat

QUALITY = {"png": {"compress_level": 1}, "jpeg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 95}}
"""PNG is lossless at any level, and level 1 is several times faster for a tenth more bytes."""
MAX_SIDE = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
"""Most pixels per side that a format can hold."""


def encode(pixels: np.ndarray, image_format: ImageFormat) -> bytes:
    """A file of uint8 [H,W,3] or, for masks, [H,W]. UnusableError if a side is too long for the format."""
    return file_of(Image.fromarray(pixels), image_format)


def file_of(image: Image.Image, image_format: ImageFormat) -> bytes:
    """The same for a Pillow image, without another copy of its pixels."""
    if max(image.size) > MAX_SIDE[image_format]:
        most = f"{image_format} holds {MAX_SIDE[image_format]} a side, png any number"
        raise UnusableError("failed", f"{image.width} x {image.height} pixels; {most}")
    buffer = io.BytesIO()
    image.save(buffer, image_format, **QUALITY[image_format])
    return buffer.getvalue()
