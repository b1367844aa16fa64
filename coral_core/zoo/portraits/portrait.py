"""Draws a portrait as a map of materials: body, head, face, hair, hat, glasses and earrings, from back to front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from coral_core.zoo.portraits.canvas import CIRCLE, Brush, blank, brush
from coral_core.zoo.portraits.headwear import COVERS_EARS, Skull, arc, draw_behind, draw_in_front
from coral_core.zoo.portraits.nuisance import Nuisance

CENTRE = (32.0, 34.5)
"""Middle of the face in a portrait without shift, in 1/64 of the image."""

# face shape -> half width, half height, how much narrower the jaw is, distance of an eye from the middle
SHAPES: dict[str, tuple[float, float, float, float]] = {
    "round": (18.0, 18.2, 0.05, 7.6),
    "oval": (15.8, 20.0, 0.2, 7.0),
    "long": (13.0, 22.2, 0.16, 6.2),
}


@dataclass(frozen=True)
class Face:
    """The positions of the features of one face, in units from its middle."""

    skull: Skull
    jaw: float  # how much narrower the face is at the chin, as a share of its width
    eye_x: float  # |x| of the eyes
    temple: float  # |x| at which the arms of glasses end

    @property
    def mouth_y(self) -> float:
        return 0.24 * self.skull.half_height + 6.2

    def outline(self, grow: float = 0.0) -> np.ndarray:
        """[40, 2]: the edge of the face, enlarged by `grow` units."""
        narrowing = 1.0 - self.jaw * np.maximum(CIRCLE[:, 1], 0.0) ** 2
        x = (self.skull.half_width + grow) * CIRCLE[:, 0] * narrowing
        return np.stack([x, (self.skull.half_height + grow) * CIRCLE[:, 1]], axis=1)


def draw(attributes: Mapping[str, str], nuisance: Nuisance, size: int) -> Image.Image:
    """The material map ("L", SUPERSAMPLING times `size` wide) of a portrait."""
    canvas = blank(size, "backdrop")
    x, y = CENTRE[0] + nuisance.x, CENTRE[1] + nuisance.y
    body = brush(canvas, x, y, nuisance.scale, 0.0)
    head = brush(canvas, x, y, nuisance.scale, nuisance.tilt)
    hair_style, hat = attributes["hair_style"], attributes["hat"]
    ears = hair_style not in COVERS_EARS
    face = _face(attributes["face_shape"], nuisance, ears)
    body.ellipse(-nuisance.x, -6.0, 28.0, 28.0, "halo")
    _draw_body(body, face)
    draw_behind(head, face.skull, hair_style, hat)
    _draw_neck(body, head, face)
    _draw_head(head, face, ears)
    NOSES[attributes["nose"]](head, face)
    BEARDS[attributes["beard"]](head, face)
    MOUTHS[attributes["mouth"]](head, face)
    for side in (-1, 1):
        if attributes["glasses"] != "sunglasses":
            EYES[attributes["eyes"]](head, side * face.eye_x, side, nuisance.light_side)
        BROWS[attributes["brows"]](head, side * face.eye_x, side)
    draw_in_front(head, face.skull, hair_style, hat)
    GLASSES[attributes["glasses"]](head, face)
    EARRINGS[attributes["earrings"]](head, face)
    return canvas


def _face(shape: str, nuisance: Nuisance, ears: bool) -> Face:
    half_width, half_height, jaw, eye_x = SHAPES[shape]
    skull = Skull(half_width * nuisance.width, half_height * nuisance.height, nuisance.light_side)
    return Face(skull, jaw, eye_x * nuisance.eye_spacing, skull.half_width + (0.6 if ears else -0.8))


def _nothing(brush: Brush, face: Face) -> None:
    """Draws nothing, for the value `none`."""


# --- body and head ---------------------------------------------------------------------------------------------------


def _draw_body(body: Brush, face: Face) -> None:
    lit = face.skull.light
    shoulders = [(-30, 46), (-28.5, 29), (-23, 23.5), (-13, 21), (0, 20), (13, 21), (23, 23.5), (28.5, 29), (30, 46)]
    body.spline(shoulders, "clothes")
    for side in (-1, 1):
        body.stroke([(side * 20.6, 46), (side * 20.2, 31), (side * 21.6, 27.6)], 1.0, "clothes_shade", taper=0.5)
    body.stroke([(lit * 13, 22.4), (lit * 20, 23.9), (lit * 25.5, 28)], 1.3, "clothes_light", taper=0.3)


def _draw_neck(body: Brush, head: Brush, face: Face) -> None:
    chin = face.skull.half_height
    body.spline([(-6.5, 6), (6.5, 6), (6.8, 21), (9.4, 23.4), (0, 29), (-9.4, 23.4), (-6.8, 21)], "clothes_shade")
    body.spline([(-6.5, 6), (6.5, 6), (6.6, 21), (7.6, 22.6), (0, 27.2), (-7.6, 22.6), (-6.6, 21)], "skin")
    head.spline([(-6.2, 6), (6.2, 6), (6.4, chin + 0.5), (0, chin + 3.2), (-6.4, chin + 0.5)], "neck_shade")


def _draw_head(head: Brush, face: Face, ears: bool) -> None:
    width, height, lit = face.skull.half_width, face.skull.half_height, face.skull.light
    if ears:
        for side in (-1, 1):
            head.ellipse(side * (width + 0.4), 2.0, 2.9, 4.2, "skin")
            head.ellipse(side * (width + 0.9), 2.2, 1.3, 2.4, "skin_shade")
    outline = face.outline()
    head.polygon(outline, "skin_shade")
    head.polygon(outline * (0.93, 0.975) + (lit * 0.07 * width, -0.025 * height), "skin")
    head.ellipse(lit * 0.36 * width, -0.66 * height, 0.3 * width, 0.13 * height, "skin_light")
    for side in (-1, 1):
        head.ellipse(side * 0.64 * width, 6.2, 2.7, 1.8, "blush")


# --- features --------------------------------------------------------------------------------------------------------


def _nose_small(head: Brush, face: Face) -> None:
    y = 0.1 * face.skull.half_height + 3.2
    head.spline([(-1.5, y), (0, y - 1.1), (1.5, y), (0, y + 0.9)], "nose")


def _nose_big(head: Brush, face: Face) -> None:
    y, lit = 0.1 * face.skull.half_height + 3.2, face.skull.light
    head.spline([(-1.2, y - 7), (1.2, y - 7), (2.2, y - 2), (4.5, y + 0.4), (3.4, y + 2.4), (0, y + 2.9),
                 (-3.4, y + 2.4), (-4.5, y + 0.4), (-2.2, y - 2)], "nose")  # fmt: skip
    head.ellipse(lit * 0.7, y - 0.6, 1.5, 2.0, "nose_light")
    for side in (-1, 1):
        head.ellipse(side * 2.2, y + 1.6, 0.9, 0.7, "nostril")


def _moustache(head: Brush, face: Face) -> None:
    y = face.mouth_y - 2.8
    half = [(0, y - 0.8), (3, y - 1.5), (6.2, y + 0.4), (8.2, y + 2.2), (5, y + 2.3), (2, y + 1.5)]
    head.spline([*half, (0, y + 1.0), *[(-x, py) for x, py in reversed(half[1:])]], "beard")


def _full_beard(head: Brush, face: Face) -> None:
    width, mouth = face.skull.half_width, face.mouth_y
    lower = face.outline(grow=1.3)
    rim = lower[(lower[:, 1] > 1.0)]
    upper = [(-width + 1.6, 1), (-width + 3.6, mouth - 4.2), (-5.6, mouth - 3.2), (0, mouth - 3.4),
             (5.6, mouth - 3.2), (width - 3.6, mouth - 4.2), (width - 1.6, 1)]  # fmt: skip
    head.spline([*rim[::2], *upper], "beard")
    chin = face.skull.half_height
    head.stroke([(-3.4, chin - 3.2), (0, chin - 2.4), (3.4, chin - 3.2)], 1.2, "beard_light", taper=0.3)


def _mouth_neutral(head: Brush, face: Face) -> None:
    y = face.mouth_y
    head.spline([(-5.2, y), (-1.8, y - 1.5), (0, y - 1.1), (1.8, y - 1.5), (5.2, y), (2.4, y + 1.8), (-2.4, y + 1.8)],
                "lip")  # fmt: skip
    head.stroke([(-4.6, y), (0, y + 0.1), (4.6, y)], 0.7, "lip_line")


def _mouth_smile(head: Brush, face: Face) -> None:
    y = face.mouth_y - 0.4
    head.spline([(-6.4, y - 2.2), (-3, y - 1.3), (0, y - 1), (3, y - 1.3), (6.4, y - 2.2), (5, y + 1.6), (2.2, y + 3.7),
                 (-2.2, y + 3.7), (-5, y + 1.6)], "lip")  # fmt: skip
    head.spline([(-4.7, y - 0.5), (0, y + 0.4), (4.7, y - 0.5), (3.2, y + 1.4), (0, y + 2.1), (-3.2, y + 1.4)], "teeth")


def _mouth_frown(head: Brush, face: Face) -> None:
    y = face.mouth_y + 0.6
    head.stroke([(-5.2, y + 2.4), (-3.2, y), (0, y - 1.0), (3.2, y), (5.2, y + 2.4)], 2.7, "lip", taper=0.45)
    head.stroke([(-4.9, y + 2.2), (-3, y + 0.2), (0, y - 0.8), (3, y + 0.2), (4.9, y + 2.2)], 0.7, "lip_line")


def _mouth_open(head: Brush, face: Face) -> None:
    y = face.mouth_y + 0.8
    head.ellipse(0, y, 4.4, 4.2, "lip")
    head.ellipse(0, y, 2.9, 2.8, "mouth_inside")
    head.ellipse(0, y + 1.7, 1.9, 1.0, "tongue")


def _eye_open(head: Brush, x: float, side: int, light: int) -> None:
    head.ellipse(x, 0, 4.0, 3.2, "eye_white")
    head.ellipse(x, 0.1, 2.5, 2.5, "iris_ring")
    head.ellipse(x, 0.1, 2.1, 2.1, "iris")
    head.ellipse(x, 0.1, 1.1, 1.1, "pupil")
    head.ellipse(x + 0.9 * light, -1.0, 0.75, 0.75, "glint")
    head.stroke(arc(4.1, 3.3, 188, 352, 5) + np.array([x, 0.0]), 1.1, "lash", taper=0.5)


def _eye_narrow(head: Brush, x: float, side: int, light: int) -> None:
    head.ellipse(x, -0.2, 4.1, 2.5, "eyelid")
    head.spline([(x - 4.1, 0.4), (x - 2, -0.6), (x + 2, -0.6), (x + 4.1, 0.4), (x + 2, 1.8), (x - 2, 1.8)], "eye_white")
    iris = CIRCLE * 2.3 + (x, 0.5)
    head.polygon(np.stack([iris[:, 0], np.clip(iris[:, 1], -0.6, 1.8)], axis=1), "iris")
    head.ellipse(x, 0.7, 0.9, 1.0, "pupil")
    head.stroke([(x - 4.1, 0.3), (x - 2, -0.7), (x + 2, -0.7), (x + 4.1, 0.3)], 1.2, "lash", taper=0.6)


def _eye_closed(head: Brush, x: float, side: int, light: int) -> None:
    head.ellipse(x, 0.2, 4.1, 2.7, "eyelid")
    head.stroke(arc(4.1, 2.2, 170, 10, 5) + np.array([x, 0.7]), 1.3, "lash", taper=0.7)
    head.stroke([(x + side * 3.4, 2.0), (x + side * 4.8, 3.0)], 0.9, "lash")


def _brow(head: Brush, x: float, side: int, inner: float, middle: float, outer: float, width: float) -> None:
    points = [(x - side * 3.7, inner), (x, middle), (x + side * 4.0, outer)]
    head.stroke(points, width, "brow", taper=0.6)


def _brow_thin(head: Brush, x: float, side: int) -> None:
    _brow(head, x, side, -6.3, -7.4, -6.6, 0.9)


def _brow_thick(head: Brush, x: float, side: int) -> None:
    _brow(head, x, side, -6.5, -7.4, -6.7, 2.7)


def _brow_angry(head: Brush, x: float, side: int) -> None:
    _brow(head, x, side, -4.6, -6.5, -8.6, 1.9)


# --- what the face wears ---------------------------------------------------------------------------------------------


def _round_glasses(head: Brush, face: Face) -> None:
    for side in (-1, 1):
        _ring(head, side * face.eye_x, 0.4, 5.3, 4.19, "rim")
        head.stroke([(side * (face.eye_x + 5), -0.6), (side * face.temple, -1.2)], 1.1, "rim")
    gap = max(face.eye_x - 4.9, 0.6)
    head.stroke([(-gap, -0.4), (0, -1.0), (gap, -0.4)], 1.1, "rim")


def _sunglasses(head: Brush, face: Face) -> None:
    for side in (-1, 1):
        x = side * face.eye_x
        lens = [(-5.4, -4.0), (0, -4.5), (5.6, -4.3), (5.5, 1.4), (2.6, 4.5), (-2, 4.5), (-5.0, 1.6)]
        head.spline([(x + side * px, py + 0.3) for px, py in lens], "lens")
        head.polygon([(x - 2.8, 2.6), (x + 0.4, -3), (x + 2.2, -3), (x - 1.0, 2.6)], "lens_light")
        head.stroke([(side * (face.eye_x + 5), -2), (side * face.temple, -2)], 1.5, "rim")
    head.stroke([(-face.eye_x, -3.2), (0, -2.8), (face.eye_x, -3.2)], 1.7, "rim")


def _gold_hoops(head: Brush, face: Face) -> None:
    for side in (-1, 1):
        x, y = side * (face.skull.half_width + 1.4), 8.6
        _ring(head, x, y, 3.1, 0.8, "gold_rim")
        _ring(head, x, y, 2.5, 1.35, "gold")
        head.ellipse(x - 0.9, y - 1.6, 0.6, 0.6, "gold_light")


def _ring(head: Brush, x: float, y: float, outer: float, inner: float, material: str) -> None:
    """Draw a ring; its inside is not changed."""
    closed = np.concatenate([CIRCLE, CIRCLE[:1]])
    head.polygon(np.concatenate([closed * outer, closed[::-1] * inner]) + np.array([x, y]), material)


Feature = Callable[[Brush, Face], None]
NOSES: dict[str, Feature] = {"small": _nose_small, "big": _nose_big}
BEARDS: dict[str, Feature] = {"none": _nothing, "moustache": _moustache, "full": _full_beard}
MOUTHS: dict[str, Feature] = {
    "neutral": _mouth_neutral,
    "smile": _mouth_smile,
    "frown": _mouth_frown,
    "open": _mouth_open,
}
EYES: dict[str, Callable[[Brush, float, int, int], None]] = {
    "open": _eye_open,
    "narrow": _eye_narrow,
    "closed": _eye_closed,
}
BROWS: dict[str, Callable[[Brush, float, int], None]] = {
    "thin": _brow_thin,
    "thick": _brow_thick,
    "angry": _brow_angry,
}
GLASSES: dict[str, Feature] = {"none": _nothing, "round": _round_glasses, "sunglasses": _sunglasses}
EARRINGS: dict[str, Feature] = {"none": _nothing, "gold": _gold_hoops}
