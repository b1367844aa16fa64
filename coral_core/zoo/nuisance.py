"""What varies from portrait to portrait and has no words: pose, proportions, light, colour jitter."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

TINTED: tuple[str, ...] = ("background", "clothes", "skin", "hair", "iris", "lips", "beard", "hat", "gold", "glasses")
"""The colour families that are jittered on their own."""


@dataclass(frozen=True)
class Nuisance:
    """The continuous part of a scene; an edit of an attribute never touches it. Lengths are in 1/64 of the image."""

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


def draw_nuisance(seed: int) -> Nuisance:
    """The nuisances of a seed, from a stream of their own: they do not depend on the attributes."""
    rng = random.Random(f"nuisance:{seed}")

    def within(radius: float, centre: float = 0.0) -> float:
        return centre + radius * (2.0 * rng.random() - 1.0)

    return Nuisance(
        x=within(2.0),
        y=within(1.2),
        tilt=within(10.0),
        scale=within(0.08, 1.0),
        width=within(0.035, 1.0),
        height=within(0.03, 1.0),
        eye_spacing=within(0.06, 1.0),
        light_side=1 if rng.random() < 0.5 else -1,
        light_strength=within(0.04, 0.08),
        tints={family: _tint(within(7.0), within(4.0), within(4.0)) for family in TINTED},
    )


def _tint(brightness: float, red: float, blue: float) -> tuple[float, float, float]:
    """Mostly lighter or darker, a little warmer or cooler."""
    return brightness + red, brightness, brightness + blue
