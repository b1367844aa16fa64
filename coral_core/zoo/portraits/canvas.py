"""A canvas of material ids, and brushes that draw smooth shapes on it in the coordinates of the head or the body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from coral_core.zoo.portraits.palette import MATERIAL_IDS

SUPERSAMPLING = 4
UNITS = 64.0
"""Width of the canvas in units, for every size in pixels. The origin of a brush is the middle of the face."""

Points = np.ndarray | Sequence[tuple[float, float]]
"""[N, 2]: (x to the right, y downwards), in units."""

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
"""[40, 2]: points of the unit circle."""

_T = np.linspace(0.0, 1.0, 6, endpoint=False)
_CATMULL_ROM = 0.5 * np.stack(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, -(_T**2) + _T**3], axis=1
)


@dataclass(frozen=True)
class Brush:
    """Draws on one canvas through a similarity transform: rotation by the tilt, scale and shift."""

    pencil: ImageDraw.ImageDraw
    matrix: np.ndarray  # [2, 2], units to canvas pixels
    origin: np.ndarray  # [2], canvas pixels
    top: float = -math.inf  # points above this y are moved down to it, in units
    half_width: float = math.inf  # largest |x| of points above `top`, in units

    def clamped(self, top: float, half_width: float) -> Brush:
        """A brush that draws nothing above `top`, for hair under a hat."""
        return replace(self, top=top, half_width=half_width)

    def polygon(self, points: Points, material: str) -> None:
        """Fill the polygon through the points."""
        points_N2 = np.asarray(points, dtype=np.float64)
        if self.top > -math.inf:
            x, y = points_N2[:, 0], points_N2[:, 1]
            limited_N = np.where(y < self.top, np.clip(x, -self.half_width, self.half_width), x)
            points_N2 = np.stack([limited_N, np.maximum(y, self.top)], axis=1)
        placed = points_N2 @ self.matrix + self.origin
        self.pencil.polygon(placed.ravel().tolist(), fill=MATERIAL_IDS[material])

    def spline(self, points: Points, material: str) -> None:
        """Fill the closed Catmull-Rom spline through the points."""
        self.polygon(smooth(points), material)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, material: str) -> None:
        """Fill an ellipse."""
        self.polygon(CIRCLE * (radius_x, radius_y) + (x, y), material)

    def stroke(self, points: Points, width: float, material: str, taper: float = 1.0) -> None:
        """Draw a spline with round ends, `width` wide in the middle and `taper * width` at the ends."""
        line_N2 = smooth(points, closed=False)
        along_N2 = np.gradient(line_N2, axis=0)
        normal_N2 = along_N2[:, ::-1] * (-1.0, 1.0) / np.linalg.norm(along_N2, axis=1, keepdims=True)
        width_N = np.sin(np.linspace(0.0, np.pi, len(line_N2)))
        offset_N2 = normal_N2 * (0.5 * width * (taper + (1.0 - taper) * width_N))[:, None]
        self.polygon(np.concatenate([line_N2 + offset_N2, (line_N2 - offset_N2)[::-1]]), material)
        for x, y in (line_N2[0], line_N2[-1]):
            self.ellipse(x, y, 0.5 * width * taper, 0.5 * width * taper, material)


def smooth(points: Points, closed: bool = True) -> np.ndarray:
    """A Catmull-Rom spline [M, 2] through the points [N, 2], in six pieces between two points."""
    points_N2 = np.asarray(points, dtype=np.float64)
    if closed:
        ring = np.concatenate([points_N2[-1:], points_N2, points_N2[:2]])
    else:
        ring = np.concatenate([points_N2[:1], points_N2, points_N2[-1:]])
    windows = np.stack([ring[:-3], ring[1:-2], ring[2:-1], ring[3:]], axis=1)
    curve_M2 = (_CATMULL_ROM @ windows).reshape(-1, 2)
    return curve_M2 if closed else np.concatenate([curve_M2, points_N2[-1:]])


def blank(size: int, material: str) -> Image.Image:
    """A canvas for an image of `size` pixels, filled with a material."""
    return Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING), MATERIAL_IDS[material])


def brush(canvas: Image.Image, x: float, y: float, scale: float, tilt: float) -> Brush:
    """A brush whose origin lies at (x, y) units of the canvas, turned clockwise by `tilt` degrees."""
    unit = canvas.width / UNITS
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    matrix = unit * scale * np.array([[cos, sin], [-sin, cos]])
    return Brush(ImageDraw.Draw(canvas), matrix, np.array([x * unit, y * unit]))
