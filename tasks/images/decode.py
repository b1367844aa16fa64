"""Encoded source images and user masks to uint8 arrays of the generator's size.

Every source is decoded to 8-bit RGB by the rules of docs/input.md: the first frame, upright according to its EXIF,
16-bit levels scaled, colours converted to sRGB by an embedded profile, transparency composited onto white.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from manifests.parquet.schema import Status
from tasks.spec.geometry import Geometry, Placement

READABLE = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats whose decoders start no other program."""
MAX_PIXELS = 2**26
STRIP_PIXELS = 2**20
"""Pixels whose colours are converted at once; each conversion step makes a copy of them."""
WHITE = (255, 255, 255, 255)
UPRIGHT: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the transformation that makes the stored pixels upright."""
BYTE_OF_16_BITS = ((np.arange(2**16) + 128) // 257).astype(np.uint8)
"""The nearest 8-bit level of every 16-bit one."""
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
Image.core.set_block_size(4 * MAX_PIXELS)
"""A large image is one block, which is returned to the system when it is freed; smaller blocks of 16 MB are not."""


class UnusableError(Exception):
    """This image cannot be edited, but the run continues: the row gets the status and the reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A source image at the generator's size."""

    pixels_HWC: np.ndarray  # uint8 [size, size, 3]
    placement: Placement  # the region of the source that it shows
    width: int  # of the upright source, px
    height: int
    whole: Image.Image | None = None  # the whole source, RGB; kept if edits are pasted back into it


@dataclass(frozen=True)
class UserMask:
    """The part of a source image that may change: a user's mask at the generator's size."""

    levels_HW: np.ndarray  # uint8 [size, size]; 0: no change; 0 everywhere unless the status is ok
    whole: Image.Image | None = None  # L, at the size of the source; kept if edits are pasted back into it
    status: Status = "ok"
    reason: str = ""


def decode(data: bytes, geometry: Geometry, size: int) -> Picture:
    """The image as [size, size, 3], with the whole source. UnusableError gives status and reason."""
    whole = _read(data)
    placement = geometry.placement(whole.width, whole.height, size)
    if placement is None:
        raise UnusableError("not_aligned", f"{whole.width} x {whole.height} pixels where {size} x {size} are asked for")
    return Picture(_square(whole, placement), placement, whole.width, whole.height, whole)


def decode_user_mask(data: bytes, picture: Picture) -> UserMask:
    """The mask of a picture, with the same region cut out, and the whole mask. UnusableError gives status and reason.

    A mask of another size is scaled if its aspect ratio is the picture's, up to the rounding of one pixel. A scaled
    pixel is the mean of those it covers, so that black areas stay black.
    """
    whole, size = _read_levels(data), (picture.width, picture.height)
    if whole.size != size:
        if abs(whole.width * size[1] - whole.height * size[0]) > max(size):
            why = f"a mask of {whole.width} x {whole.height} pixels is of another shape than {size[0]} x {size[1]}"
            raise UnusableError("not_aligned", why)
        whole = whole.resize(size, Image.Resampling.BOX)
    return UserMask(_square_levels(whole, picture.placement), whole)


def pixel_count(data: bytes) -> int:
    """The number of pixels that decode() will hold, from the header; 0 for an image that it refuses."""
    try:
        with _as_unusable(), _opened(data) as image:
            return image.width * image.height
    except UnusableError:
        return 0


def pixels_of(data: bytes) -> np.ndarray:
    """uint8 [H,W,3] of an image that encode() wrote, or [H,W] of a mask."""
    with Image.open(io.BytesIO(data), formats=READABLE) as image:
        return np.asarray(image)


def _read(data: bytes) -> Image.Image:
    """The upright image in 8-bit sRGB, converted in strips: memory holds only the decoded file and the result."""
    with _as_unusable():
        stored = _upright_as_stored(data)
        transform = _to_srgb(stored)
        return _by_strips(stored, "RGB", lambda strip: _opaque(strip if transform is None else transform.apply(strip)))


def _read_levels(data: bytes) -> Image.Image:
    """The upright image as one channel of 8 bits, with the stored levels; transparency is ignored."""
    with _as_unusable():
        return _by_strips(_upright_as_stored(data), "L", lambda strip: strip.convert("L"))


def _by_strips(stored: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    whole = Image.new(mode, stored.size, None)
    rows = max(1, STRIP_PIXELS // stored.width)
    for top in range(0, stored.height, rows):
        strip = _eight_bits(stored.crop((0, top, stored.width, min(top + rows, stored.height))))
        whole.paste(convert(strip), (0, top))
    return whole


@contextmanager
def _as_unusable() -> Iterator[None]:
    """Every exception of a decoder as UnusableError."""
    try:
        yield
    except (UnusableError, MemoryError):  # MemoryError is a problem of the machine, not of the image
        raise
    except BOMBS as error:
        raise UnusableError("too_large", str(error)) from None
    except UnidentifiedImageError:
        raise UnusableError("undecodable", f"no image in a format that is read: {', '.join(READABLE)}") from None
    except Exception as error:  # decoders raise many kinds of exceptions for malicious bytes
        raise UnusableError("undecodable", f"{type(error).__name__}: {error}".splitlines()[0]) from None


def _opened(data: bytes) -> Image.Image:
    """An image whose header, and nothing else, was read and checked."""
    if not data:
        raise UnusableError("undecodable", "the file is empty: 0 bytes")
    image = Image.open(io.BytesIO(data), formats=READABLE)
    _check_header(image)
    return image


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnusableError("too_large", f"{image.width} x {image.height} pixels; at most {MAX_PIXELS} in all")
    if image.mode == "F" or (image.mode, image.format) == ("I", "TIFF"):
        raise UnusableError("undecodable", "its levels have 32 bits, for which no white is defined; give 8 or 16")


def _upright_as_stored(data: bytes) -> Image.Image:
    with _opened(data) as image:
        image.load()  # the first frame
        return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # invalid EXIF is ignored: the pixels can still be read
        return image
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image in one of the modes L, RGB, RGBA and CMYK."""
    if image.mode.startswith("I"):  # 16 bits: I;16, or I in formats without I;16
        return Image.fromarray(BYTE_OF_16_BITS[np.asarray(image)])
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _to_srgb(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """The transform from the image's colour profile to sRGB; None if it needs none or has an invalid profile."""
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    mode = _eight_bits(image.crop((0, 0, 1, 1))).mode
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(given).startswith("sRGB"):
            return None  # no transform, because it would change some levels by one
        srgb, turned = ImageCms.createProfile("sRGB"), "RGBA" if mode == "RGBA" else "RGB"
        return ImageCms.buildTransform(given, srgb, mode, turned)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, composited onto white."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, WHITE)
    canvas.alpha_composite(image)
    return canvas.convert("RGB")


def _square(whole: Image.Image, placement: Placement) -> np.ndarray:
    """uint8 [size, size, 3]: the region in its part of the square, with its border repeated around it."""
    left, top, right, bottom = placement.square
    seen_HWC = np.asarray(whole.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=placement.region))
    if placement.square == (0, 0, placement.size, placement.size):
        return seen_HWC
    around = ((top, placement.size - bottom), (left, placement.size - right), (0, 0))
    return np.pad(seen_HWC, around, mode="edge")


def _square_levels(whole: Image.Image, placement: Placement) -> np.ndarray:
    """uint8 [size, size]: the region in its part of the square, with zeros around it."""
    left, top, right, bottom = placement.square
    levels_HW = np.zeros((placement.size, placement.size), np.uint8)
    seen = whole.resize((right - left, bottom - top), Image.Resampling.BOX, box=placement.region)
    levels_HW[top:bottom, left:right] = np.asarray(seen)
    return levels_HW
