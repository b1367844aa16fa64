"""How a source image of any shape becomes the generator's square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fit = Literal["crop", "pad", "resize", "refuse"]
Box = tuple[float, float, float, float]
"""left, top, right, bottom in source pixels; beyond the image where it is padded."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Which part of the source the generator sees."""

    fit: Fit = "resize"  # crop: the centred square; pad: all, borders repeated; resize: all, stretched; refuse: neither

    def box(self, width: int, height: int, size: int) -> Box | None:
        """The source region [px] that is mapped to size x size; None where `refuse` does not accept the image."""
        if self.fit == "resize":
            return (0.0, 0.0, float(width), float(height))
        if self.fit == "refuse":
            return (0.0, 0.0, float(width), float(height)) if (width, height) == (size, size) else None
        side = min(width, height) if self.fit == "crop" else max(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)
