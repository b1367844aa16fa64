from __future__ import annotations

import numpy as np
import pytest

from tasks.images.decode import Picture, decode_user_mask, pixels_of
from tasks.images.paste_back import PASTE_BACK
from tasks.spec.geometry import OutputSize
from tests.tars import image_bytes, mask_bytes
from tests.tasks.images.decoded import SHAPES, decoded


def given_back(output: OutputSize, picture: Picture, *edited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image, mask = PASTE_BACK[output](picture, *edited, None)
    return np.asarray(image), np.asarray(mask)


@pytest.mark.parametrize(("fit", "size"), [*SHAPES, ("refuse", (64, 64)), ("crop", (20, 11)), ("pad", (1, 1))])
def test_pasting_back_changes_the_source_only_under_the_mask(fit: str, size: tuple[int, int]) -> None:
    data = image_bytes(5, size)
    picture = decoded(data, fit)
    levels_HW = np.zeros((64, 64), np.uint8)
    levels_HW[20:40, 20:50] = np.linspace(0, 255, 30).astype(np.uint8)
    image, mask = given_back("source", picture, 255 - picture.pixels_HWC, levels_HW)
    source = pixels_of(data)
    assert image.shape == source.shape and mask.shape == source.shape[:2]
    assert np.array_equal(image[mask == 0], source[mask == 0])
    if max(size) > 64:
        assert (image[mask > 0] != source[mask > 0]).any()


@pytest.mark.parametrize(("fit", "size"), SHAPES)
def test_the_square_is_pasted_back_where_it_was_cut_from(fit: str, size: tuple[int, int]) -> None:
    data = image_bytes(5, size)
    picture = decoded(data, fit)
    image, mask = given_back("source", picture, picture.pixels_HWC, np.full((64, 64), 255, np.uint8))
    left, top, right, bottom = picture.placement.region
    assert mask[top:bottom, left:right].min() == 255 and mask.sum() == 255 * (right - left) * (bottom - top)
    assert np.abs(image.astype(int) - pixels_of(data)).mean() < 3


def test_a_point_of_the_square_is_pasted_back_where_the_inverse_maps_it() -> None:
    picture = decoded(image_bytes(5, (160, 90)), "pad")
    levels_HW = np.zeros((64, 64), np.uint8)
    levels_HW[31:33, 40:42] = 255  # around the point (41, 32)
    _, mask = given_back("source", picture, picture.pixels_HWC, levels_HW)
    a, _, c, _, e, f = picture.placement.inverse
    rows, columns = np.nonzero(mask > 128)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((a * 41 + c, e * 32 + f), abs=0.5)


def test_at_the_generators_size_nothing_is_resampled() -> None:
    picture, levels_HW = decoded(image_bytes(5, (150, 41))), np.full((64, 64), 7, np.uint8)
    image, mask = given_back("generator", picture, picture.pixels_HWC, levels_HW)
    assert np.array_equal(image, picture.pixels_HWC) and np.array_equal(mask, levels_HW)


@pytest.mark.parametrize(("fit", "size"), [*SHAPES, ("crop", (20, 11))])
def test_the_pasted_back_mask_is_nowhere_above_the_users(fit: str, size: tuple[int, int]) -> None:
    """At the source's size, whose pixels are finer than those of the generator's square."""
    data, box = image_bytes(5, size), (1, 3, size[0] // 2 + 1, size[1] - 2)
    picture = decoded(data, fit)
    user_mask = decode_user_mask(mask_bytes(box, size), picture)
    image, mask = PASTE_BACK["source"](picture, 255 - picture.pixels_HWC, user_mask.levels_HW, user_mask)
    user_HW, source = pixels_of(mask_bytes(box, size)), pixels_of(data)
    assert (np.asarray(mask) <= user_HW).all() and np.asarray(mask).any()
    assert np.array_equal(np.asarray(image)[user_HW == 0], source[user_HW == 0])
    left, top, right, bottom = picture.placement.region
    inside = (slice(top, bottom), slice(left, right))
    everywhere = np.full((64, 64), 255, np.uint8)
    _, mask = PASTE_BACK["source"](picture, picture.pixels_HWC, everywhere, user_mask)
    assert np.array_equal(np.asarray(mask)[inside], user_HW[inside])
