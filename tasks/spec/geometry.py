"""How a source image of any shape becomes the generator's square, and where that square lies in the source.

Pixel coordinates are continuous: pixel (0, 0) covers [0,1] x [0,1]. Source pixels are those of the upright image, after
the orientation in its EXIF was applied. Every rectangle here has whole pixels on both sides, so that a square that is
laid back falls on exactly those pixels it was cut from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Fit = Literal["crop", "pad", "resize", "refuse"]
OutputSize = Literal["generator", "source"]
Box = tuple[float, float, float, float]
"""left, top, right, bottom in px."""
Rectangle = tuple[int, int, int, int]
"""left, top, right, bottom in whole px."""
Affine = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: a point (x, y) goes to (a x + b y + c, d x + e y + f)."""


@dataclass(frozen=True)
class Placement:
    """Which rectangle of the source lies where in the generator's square of `size` px."""

    region: Rectangle  # of the source, px
    square: Rectangle  # where it lies in the generator's square, px; the rest is padding
    size: int

    @property
    def inverse(self) -> Affine:
        """From generator pixels to source pixels."""
        (left, top, right, bottom), (x, y, x_end, y_end) = self.region, self.square
        across, down = (right - left) / (x_end - x), (bottom - top) / (y_end - y)
        return (across, 0.0, left - x * across, 0.0, down, top - y * down)

    @property
    def box(self) -> Box:
        """What of the source the whole square stands for, px; beyond the image where it is padded."""
        across, _, left, _, down, top = self.inverse
        return (left, top, left + self.size * across, top + self.size * down)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What of the source the generator sees, and in which size the edit is given back."""

    fit: Fit = "resize"  # crop: the centred square; pad: all, borders repeated; resize: all, stretched; refuse: neither
    output: OutputSize = "generator"  # the square as edited, or laid back into the source at its full size

    def place(self, width: int, height: int, size: int) -> Placement | None:
        """Of an upright image of width x height px in a square of size x size; None where it is refused."""
        return PLACEMENTS_BY_FIT[self.fit](width, height, size)


def _crop(width: int, height: int, size: int) -> Placement:
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return Placement((left, top, left + side, top + side), (0, 0, size, size), size)


def _pad(width: int, height: int, size: int) -> Placement:
    """In the middle, in whole generator pixels and at least one of them, however long and thin the source is."""
    across, down = (max(1, round(length * size / max(width, height))) for length in (width, height))
    left, top = (size - across) // 2, (size - down) // 2
    return Placement((0, 0, width, height), (left, top, left + across, top + down), size)


def _resize(width: int, height: int, size: int) -> Placement:
    return Placement((0, 0, width, height), (0, 0, size, size), size)


def _refuse(width: int, height: int, size: int) -> Placement | None:
    return _resize(width, height, size) if (width, height) == (size, size) else None


PLACEMENTS_BY_FIT: Mapping[Fit, Callable[[int, int, int], Placement | None]] = {
    "crop": _crop,
    "pad": _pad,
    "resize": _resize,
    "refuse": _refuse,
}
