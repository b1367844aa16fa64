"""How a source image of any shape becomes the generator's square, and which part of the source the square shows.

Pixel coordinates are continuous: pixel (0, 0) covers [0,1] x [0,1]. Source pixels are those of the upright image, after
the orientation in its EXIF was applied. Every rectangle here has integer coordinates in both images, so that a square
is pasted back onto exactly the pixels it was cut from.
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
    """A rectangle of the source and the rectangle that shows it in the generator's square of `size` px."""

    region: Rectangle  # of the source, px
    square: Rectangle  # the part of the generator's square that shows the region, px; the rest is padding
    size: int

    @property
    def inverse(self) -> Affine:
        """The affine transform from generator pixels to source pixels."""
        (left, top, right, bottom), (x, y, x_end, y_end) = self.region, self.square
        across, down = (right - left) / (x_end - x), (bottom - top) / (y_end - y)
        return (across, 0.0, left - x * across, 0.0, down, top - y * down)

    @property
    def box(self) -> Box:
        """The rectangle of the source that the whole square covers, px; outside the image where it is padded."""
        across, _, left, _, down, top = self.inverse
        return (left, top, left + self.size * across, top + self.size * down)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Which part of the source the generator gets, and the size of the edited image."""

    fit: Fit = "resize"  # crop: the centred square; pad: all, borders repeated; resize: all, stretched; refuse: neither
    output: OutputSize = "generator"  # the edited square, or the whole source with the square pasted back into it

    def placement(self, width: int, height: int, size: int) -> Placement | None:
        """For an upright image of width x height px and a square of size x size px; None if it is refused."""
        return PLACEMENTS_BY_FIT[self.fit](width, height, size)


def _crop(width: int, height: int, size: int) -> Placement:
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return Placement((left, top, left + side, top + side), (0, 0, size, size), size)


def _pad(width: int, height: int, size: int) -> Placement:
    """Centred, in whole generator pixels; each side has at least one, also for a very long and thin source."""
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
