from __future__ import annotations

import numpy as np
import pytest

from tasks.images.decode import pixels_of
from tasks.images.thumbnails import SIDE, TINY, difference, shrunk, tile_of


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(64, 64, 3), (TINY, 5, 3), (64, 64)])
def test_tiny_pictures_keep_every_pixel(shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    tile = tile_of(pixels)
    assert tile.tiny and (tile.height, tile.width) == shape[:2]
    assert (pixels_of(tile.data) == pixels).all()


@pytest.mark.parametrize("shape", [(1024, 512, 3), (300, 301), (97, 20, 3)])
def test_large_pictures_shrink_in_proportion(shape: tuple[int, ...]) -> None:
    tile = tile_of(noise(*shape))
    assert not tile.tiny and max(tile.height, tile.width) == min(SIDE, max(shape[:2]))
    assert tile.width / tile.height == pytest.approx(shape[1] / shape[0], rel=0.02)
    assert pixels_of(tile.data).shape[:2] == (tile.height, tile.width)


def test_shrinking_averages() -> None:
    stripes = np.zeros((768, 768), np.uint8)
    stripes[::2] = 200
    assert np.abs(shrunk(stripes, SIDE)[8:-8].astype(int) - 100).max() <= 2
    assert shrunk(stripes, 768) is stripes


def test_a_difference_is_bright_where_pictures_differ() -> None:
    one, other = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    other[:4], other[4] = 255, 30
    found = difference(one, other)
    assert (found[:4] == 255).all() and (found[4] == 60).all() and (found[5:] == 0).all()
    assert (difference(other, one) == found).all()
