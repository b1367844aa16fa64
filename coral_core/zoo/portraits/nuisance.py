"""Nuisances, the variation of portraits that captions do not mention: pose, proportions, light and colour jitter."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

TINTED: tuple[str, ...] = ("background", "clothes", "skin", "hair", "iris", "lips", "beard", "hat", "gold", "glasses")
"""The colour families with independent colour jitter."""


@dataclass(frozen=True)
class Nuisance:
    """The continuous part of a scene, which edits of attributes do not change. Lengths are in 1/64 of the image."""

    x: float  # shift of the head to the right
    y: float  # shift of the head downwards
    tilt: float  # clockwise, degrees
    scale: float  # of head and body, around 1
    width: float  # of the face within its shape, around 1
    height: float  # of the face within its shape, around 1
    eye_spacing: float  # around 1
    light_side: int  # -1 from the left, +1 from the right
    light_strength: float  # relative brightness difference between the middle and the lit edge
    tints: Mapping[str, tuple[float, float, float]]  # colour family -> offset of its red, green, blue in 0..255


RANGES: Mapping[str, tuple[float, float]] = {
    "x": (0.0, 2.0),
    "y": (0.0, 1.2),
    "tilt": (0.0, 10.0),
    "scale": (1.0, 0.08),
    "width": (1.0, 0.035),
    "height": (1.0, 0.03),
    "eye_spacing": (1.0, 0.06),
    "light_strength": (0.08, 0.04),
}
"""Centre and radius of the uniform distributions."""

TINT_RADII = (7.0, 4.0, 4.0)
"""Radii of the uniform offsets of brightness, red and blue around 0, of 255."""


def draw_nuisance(seed: int) -> Nuisance:
    """The nuisances of a seed, by a random generator of their own: they do not depend on the attributes."""
    rng = random.Random(f"nuisance:{seed}")

    def within(centre: float, radius: float) -> float:
        return centre + radius * (2.0 * rng.random() - 1.0)

    shape = {name: within(*RANGES[name]) for name in RANGES if name != "light_strength"}
    return Nuisance(
        **shape,
        light_side=1 if rng.random() < 0.5 else -1,
        light_strength=within(*RANGES["light_strength"]),
        tints={family: _tint(*(within(0.0, radius) for radius in TINT_RADII)) for family in TINTED},
    )


def numbers_of(nuisance: Nuisance) -> list[tuple[float, float]]:
    """The independent uniform numbers in [0,1] that a nuisance was drawn from, each as an interval: of length 0.5 for
    the side of the light, of length 0 for all others."""
    evenly = [_place(getattr(nuisance, name), *RANGES[name]) for name in RANGES]
    for red, middle, blue in nuisance.tints.values():
        parts = (middle, red - middle, blue - middle)
        evenly += [_place(part, 0.0, radius) for part, radius in zip(parts, TINT_RADII, strict=True)]
    side = (0.0, 0.5) if nuisance.light_side == 1 else (0.5, 1.0)
    return [side, *((place, place) for place in evenly)]


def _place(value: float, centre: float, radius: float) -> float:
    """The position of a value in its range, 0 to 1."""
    return ((value - centre) / radius + 1.0) / 2.0


def _tint(brightness: float, red: float, blue: float) -> tuple[float, float, float]:
    """The offsets of red, green and blue: the brightness in all three, plus those of red and blue."""
    return brightness + red, brightness, brightness + blue
