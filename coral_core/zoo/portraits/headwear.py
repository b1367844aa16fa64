"""Hair and hats. Coordinates are (x to the right, y downwards) from the middle of the face, in 1/64 of the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coral_core.zoo.portraits.canvas import Brush


@dataclass(frozen=True)
class Skull:
    """The sizes of the head, which give the positions of everything on it."""

    half_width: float
    half_height: float
    light: int  # -1 lit from the left, +1 from the right

    @property
    def hat_line(self) -> float:
        """The y of the lower edge of a hat, just above the brows."""
        return -0.3 * self.half_height - 4.6

    @property
    def hat_width(self) -> float:
        """Half the width of a hat at its lower edge: that of the forehead plus the thickness of the hat."""
        return self.half_width * math.sqrt(1.0 - (self.hat_line / self.half_height) ** 2) + 2.4


def arc(radius_x: float, radius_y: float, start: float, stop: float, count: int = 9) -> np.ndarray:
    """[count, 2]: points of an ellipse around the origin; angles are in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, stop, count))
    return np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], axis=1)


# --- hair behind the neck and the face -------------------------------------------------------------------------------


def _back_bob(brush: Brush, skull: Skull) -> None:
    width, height = skull.half_width, skull.half_height
    side = [(width + 4.6, 2), (width + 5.6, 0.5 * height), (width + 4.4, 0.82 * height), (width - 2, 0.86 * height)]
    mirrored = [(-x, y) for x, y in reversed(side)]
    brush.spline([*arc(width + 3.4, height + 3.6, 180, 360, 7), *side, *mirrored], "hair_back")


def _back_long(brush: Brush, skull: Skull) -> None:
    width, height = skull.half_width, skull.half_height
    side = [(width + 4.2, 4), (width + 5.4, 0.7 * height), (width + 5.2, height + 5), (width + 0.5, height + 8.5)]
    mirrored = [(-x, y) for x, y in reversed(side)]
    brush.spline([*arc(width + 3.0, height + 3.2, 180, 360, 7), *side, (0, height + 4), *mirrored], "hair_back")


def _back_curly(brush: Brush, skull: Skull) -> None:
    width, height = skull.half_width, skull.half_height
    free = brush.clamped(-math.inf, math.inf)  # curls beside a hat are not cut
    brush.ellipse(0, -1.5, width + 4.5, height + 1.5, "hair_back")
    for x, y in arc(width + 3.2, height + 0.6, 146, 394, 14):
        if y > brush.top + 3:
            free.ellipse(x, y - 1.5, 5.0, 5.0, "hair")
    for x, y in arc(width + 4.4, height + 1.6, 154, 386, 12):
        if y > brush.top + 5:
            free.ellipse(x + 1.2 * skull.light, y - 3.2, 1.5, 1.1, "hair_light")


# --- hair in front of the face ---------------------------------------------------------------------------------------


def _front_short(brush: Brush, skull: Skull) -> None:
    width, height, lit = skull.half_width, skull.half_height, skull.light
    burn = [(width + 1.0, -2), (width + 0.6, 3.2), (width - 2.0, 3.4), (width - 2.8, -3.5)]
    fringe = [(width - 5, -0.56 * height), (1, -0.66 * height), (-width + 6, -0.5 * height)]
    mirrored = [(-x, y) for x, y in reversed(burn)]
    brush.spline([*arc(width + 1.6, height + 2.6, 190, 350, 7), *burn, *fringe, *mirrored], "hair")
    _gloss(brush, lit * 0.4 * width, -0.86 * height, 0.42 * width, 1.5)


def _front_bob(brush: Brush, skull: Skull) -> None:
    width, height, lit = skull.half_width, skull.half_height, skull.light
    lock = [(width + 4.0, 0), (width + 4.8, 0.5 * height), (width + 2.4, 0.78 * height), (width - 1.2, 0.6 * height)]
    lock += [(width - 1.2, 0), (width - 3.0, -0.4 * height)]
    fringe = [(0.4 * width, -0.45 * height), (0, -0.47 * height), (-0.4 * width, -0.45 * height)]
    mirrored = [(-x, y) for x, y in reversed(lock)]
    brush.spline([*arc(width + 3.0, height + 3.4, 186, 354, 7), *lock, *fringe, *mirrored], "hair")
    _gloss(brush, lit * 0.3 * width, -0.76 * height, 0.6 * width, 1.8)


def _front_long(brush: Brush, skull: Skull) -> None:
    width, height, lit = skull.half_width, skull.half_height, skull.light
    lock = [(width + 3.6, 2), (width + 4.6, 0.7 * height), (width + 4.4, height + 4), (width + 1.6, height + 7)]
    lock += [(width + 0.2, 0.8 * height), (width - 0.6, 0.1 * height), (width - 2.6, -0.36 * height)]
    part = [(0.45 * width, -0.66 * height), (0, -0.84 * height), (-0.45 * width, -0.66 * height)]
    mirrored = [(-x, y) for x, y in reversed(lock)]
    brush.spline([*arc(width + 2.6, height + 3.0, 186, 354, 7), *lock, *part, *mirrored], "hair")
    _gloss(brush, lit * 0.5 * width, -0.84 * height, 0.3 * width, 1.6)
    shine = [(width + 2.2, 0.1 * height), (width + 2.8, 0.5 * height), (width + 2.6, 0.95 * height)]
    brush.stroke([(lit * x, y) for x, y in shine], 1.3, "hair_light", taper=0.3)


def _front_curly(brush: Brush, skull: Skull) -> None:
    width, height = skull.half_width, skull.half_height
    if brush.top > -math.inf:
        return
    outer, inner = arc(width + 1.5, height + 1.5, 186, 354, 17), arc(0.86 * width, 0.74 * height, 354, 186, 17)
    brush.polygon([*outer, *inner], "hair")
    for x, y in arc(0.92 * width, 0.84 * height, 196, 344, 8):
        brush.ellipse(x, y, 3.9, 3.9, "hair")
    for x, y in arc(0.9 * width, 0.9 * height, 204, 336, 6):
        brush.ellipse(x + skull.light, y - 1.2, 1.5, 1.1, "hair_light")


def _front_mohawk(brush: Brush, skull: Skull) -> None:
    height = skull.half_height
    base, tip = -0.56 * height, -height - 8.6
    spikes = [(-6.4, tip + 5), (-4.2, tip + 4.6), (-3.4, tip + 0.6), (-1.2, tip + 3.4), (0.2, tip - 1)]
    spikes += [(1.6, tip + 3.4), (3.6, tip + 0.6), (4.4, tip + 4.6), (6.4, tip + 5)]
    brush.polygon([(-4.4, base - 3), *spikes, (4.4, base - 3), (2.2, base), (0, base + 1.4), (-2.2, base)], "hair")
    for x in (-1.9, 1.9):
        brush.stroke([(0.6 * x, base - 2), (x, -height - 2), (1.3 * x, tip + 5)], 1.1, "hair_light", taper=0.3)


def _gloss(brush: Brush, x: float, y: float, width: float, thickness: float) -> None:
    """A highlight that follows the curve of the head; not drawn under a hat."""
    if y < brush.top:
        return
    brush.stroke([(x - width, y + 1.4), (x, y), (x + width, y + 1.4)], thickness, "hair_light", taper=0.2)


# --- hats ------------------------------------------------------------------------------------------------------------


def _beanie(brush: Brush, skull: Skull) -> None:
    width, line, lit = skull.hat_width, skull.hat_line, skull.light
    top = -skull.half_height - 4.6
    brush.ellipse(0, top - 1.4, 4.0, 3.8, "hat_light")
    _dome(brush, skull, width + 0.4, top, "hat")
    _sheen(brush, lit * width, line - 6, top)
    edge = [(-width - 0.8, line - 4.8), (0, line - 6), (width + 0.8, line - 4.8), (width + 1.0, line + 0.8)]
    brush.polygon(_rounded([*edge, (0, line - 0.2), (-width - 1.0, line + 0.8)]), "hat_light")
    for x in np.linspace(-0.92 * width, 0.92 * width, 8):
        sag = 1.0 - (x / width) ** 2
        brush.stroke([(x, line - 3.9 - sag), (x, line - 0.4 - sag)], 0.9, "hat_shade")


def _cap(brush: Brush, skull: Skull) -> None:
    width, line, lit = skull.hat_width, skull.hat_line, skull.light
    top = -skull.half_height - 3.6
    _dome(brush, skull, width, top, "hat")
    brush.ellipse(0, top, 1.5, 1.0, "hat_shade")
    brush.stroke([(0, top + 1), (0.1, line - 6), (0.2, line - 2)], 0.7, "hat_shade")
    _sheen(brush, lit * width, line - 4, top)
    brush.spline([(-0.84 * width, line + 1), (-0.4 * width, line - 2.6), (0.5 * width, line - 3.8),
                  (width + 4, line - 2.8), (width + 9.5, line - 0.2), (width + 8, line + 1.5),
                  (0.6 * width, line + 0.7)], "hat_shade")  # fmt: skip


def _top_hat(brush: Brush, skull: Skull) -> None:
    width, line, lit = skull.hat_width, skull.hat_line, skull.light
    top, narrow = min(-skull.half_height - 8.0, -28.5), width - 1.4
    brush.polygon([(-narrow, line), (-narrow - 1.2, top), (narrow + 1.2, top), (narrow, line)], "hat")
    brush.ellipse(0, top, narrow + 1.2, 1.5, "hat_light")
    brush.polygon([(lit * (narrow - 2.2), line), (lit * (narrow - 1.4), top + 1), (lit * (narrow - 4.2), top + 1),
                   (lit * (narrow - 4.6), line)], "hat_light")  # fmt: skip
    brush.polygon([(-narrow - 0.3, line - 5.6), (narrow + 0.3, line - 5.6), (narrow, line), (-narrow, line)],
                  "hat_shade")  # fmt: skip
    brush.ellipse(0, line - 0.8, width + 6.8, 2.3, "hat")
    brush.ellipse(0, line - 1.3, width + 5.6, 1.1, "hat_light")


def _dome(brush: Brush, skull: Skull, width: float, top: float, material: str) -> None:
    """The crown of a soft hat, from its lower edge to its top."""
    line = skull.hat_line
    side = [(0.62 * width, top + 1.9), (0.98 * width, line - 0.38 * (line - top)), (width + 0.2, line + 0.8)]
    brush.spline([*((-x, y) for x, y in reversed(side)), (0, top), *side, (0, line - 0.2)], material)


def _sheen(brush: Brush, edge: float, bottom: float, top: float) -> None:
    """A curved highlight along the lit edge of a dome."""
    rise = bottom - top
    brush.stroke([(0.76 * edge, bottom - 0.1 * rise), (0.68 * edge, bottom - 0.45 * rise),
                  (0.44 * edge, bottom - 0.76 * rise)], 1.5, "hat_light", taper=0.3)  # fmt: skip


def _rounded(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The polygon with each corner cut off once."""
    corners = zip(points, points[1:] + points[:1], strict=True)
    return [(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for a, b in corners for t in (0.12, 0.88)]


Draw = Callable[[Brush, Skull], None]

BACK_HAIR: dict[str, Draw] = {"bob": _back_bob, "long": _back_long, "curly": _back_curly}
FRONT_HAIR: dict[str, Draw] = {
    "short": _front_short,
    "bob": _front_bob,
    "long": _front_long,
    "curly": _front_curly,
    "mohawk": _front_mohawk,
}
HATS: dict[str, Draw] = {"beanie": _beanie, "cap": _cap, "top_hat": _top_hat}
COVERS_EARS = frozenset({"bob", "long", "curly"})
HIDDEN_BY_HAT = frozenset({"bald", "mohawk"})
"""Hair styles that look the same under a hat, because no hair is visible below it."""


def hair_brush(brush: Brush, skull: Skull, hat: str) -> Brush:
    """The brush for hair; with a hat it draws nothing above the hat's lower edge."""
    return brush if hat == "none" else brush.clamped(skull.hat_line - 1.0, skull.hat_width - 0.6)


def draw_behind(brush: Brush, skull: Skull, hair_style: str, hat: str) -> None:
    """Draw the hair behind neck and face."""
    if hair_style in BACK_HAIR:
        BACK_HAIR[hair_style](hair_brush(brush, skull, hat), skull)


def draw_in_front(brush: Brush, skull: Skull, hair_style: str, hat: str) -> None:
    """Draw the hair over the forehead, then the hat."""
    hidden = hat != "none" and hair_style in HIDDEN_BY_HAT
    if hair_style in FRONT_HAIR and not hidden:
        FRONT_HAIR[hair_style](hair_brush(brush, skull, hat), skull)
    if hat in HATS:
        HATS[hat](brush, skull)
