from __future__ import annotations

import itertools

import pytest

from tasks.spec.geometry import PLACEMENTS_BY_FIT, Geometry, Placement

SIZE = 64
SHAPES = ((64, 64), (30, 20), (20, 31), (1, 1), (30_000, 7), (3, 30_000), (1023, 767))


def place(fit: str, width: int, height: int) -> Placement:
    placement = Geometry(fit=fit).placement(width, height, SIZE)  # type: ignore[arg-type]
    assert placement is not None
    return placement


def test_resize_shows_all() -> None:
    assert place("resize", 30, 20).box == (0, 0, 30, 20)


def test_crop_shows_the_centred_square_in_whole_pixels() -> None:
    assert place("crop", 30, 20).box == (5, 0, 25, 20)
    assert place("crop", 31, 20).box == (5, 0, 25, 20)


def test_pad_shows_the_whole_image_and_padding() -> None:
    placement = place("pad", 30, 20)
    assert placement.region == (0, 0, 30, 20)
    assert placement.square == (0, 10, 64, 53)
    left, top, right, bottom = placement.box
    assert (left, right) == (0, 30) and top == pytest.approx(-5, abs=0.5) and bottom == pytest.approx(25, abs=0.5)


def test_refuse_takes_the_exact_size_only() -> None:
    assert place("refuse", 64, 64).box == (0, 0, 64, 64)
    assert Geometry(fit="refuse").placement(64, 63, SIZE) is None


@pytest.mark.parametrize(("fit", "shape"), itertools.product(["crop", "pad", "resize"], SHAPES))
def test_the_inverse_takes_the_square_to_the_region_and_the_whole_to_the_box(fit: str, shape: tuple[int, int]) -> None:
    placement = place(fit, *shape)
    a, b, c, d, e, f = placement.inverse

    def to_source(x: float, y: float) -> tuple[float, float]:
        return a * x + b * y + c, d * x + e * y + f

    left, top, right, bottom = placement.square
    assert to_source(left, top) + to_source(right, bottom) == pytest.approx(placement.region, abs=1e-6)
    assert to_source(0, 0) + to_source(SIZE, SIZE) == pytest.approx(placement.box, abs=1e-6)


@pytest.mark.parametrize(("fit", "shape"), itertools.product(["crop", "pad", "resize"], SHAPES))
def test_regions_and_squares_are_inside_their_images(fit: str, shape: tuple[int, int]) -> None:
    placement = place(fit, *shape)
    for (left, top, right, bottom), (width, height) in ((placement.region, shape), (placement.square, (SIZE, SIZE))):
        assert 0 <= left < right <= width and 0 <= top < bottom <= height


def test_every_fit_has_a_placement() -> None:
    assert set(PLACEMENTS_BY_FIT) == {"crop", "pad", "resize", "refuse"}
