"""Decoded images at the generator's size, and pairs of a fit and a source size."""

from __future__ import annotations

from tasks.images.decode import Picture, decode
from tasks.spec.geometry import Geometry


def decoded(data: bytes, fit: str = "resize", size: int = 64) -> Picture:
    return decode(data, Geometry(fit=fit), size)  # type: ignore[arg-type]


SHAPES = [("resize", (150, 41)), ("crop", (151, 90)), ("crop", (90, 151)), ("pad", (150, 40)), ("pad", (30, 200))]
