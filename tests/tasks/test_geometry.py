from __future__ import annotations

from tasks.geometry import Geometry


def test_resize_shows_all() -> None:
    assert Geometry(fit="resize").box(30, 20, 64) == (0, 0, 30, 20)


def test_crop_shows_the_centred_square() -> None:
    assert Geometry(fit="crop").box(30, 20, 64) == (5, 0, 25, 20)


def test_pad_shows_all_and_its_surroundings() -> None:
    assert Geometry(fit="pad").box(30, 20, 64) == (0, -5, 30, 25)


def test_refuse_takes_the_exact_size_only() -> None:
    assert Geometry(fit="refuse").box(64, 64, 64) == (0, 0, 64, 64)
    assert Geometry(fit="refuse").box(64, 63, 64) is None
