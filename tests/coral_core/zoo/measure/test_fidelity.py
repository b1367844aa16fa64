"""Scores of masks and pixels, for true regions of rendered scenes."""

from __future__ import annotations

import numpy as np
import pytest

from coral_core.zoo.measure.fidelity import MAX_PSNR, agreement, claimed, dilated, outside_psnr, psnr
from coral_core.zoo.measure.ground_truth import answer_of, is_case, true_region
from coral_core.zoo.portraits.domain import SPLITS, sample

WANTS = {"glasses": "sunglasses"}
SCENES = [scene for scene in map(sample, SPLITS["dev"][:16]) if is_case(scene, WANTS)]
SOURCES = np.stack([scene.image() for scene in SCENES])
ANSWERS = np.stack([answer_of(scene, WANTS).image() for scene in SCENES])
REGIONS = true_region(SOURCES, ANSWERS)


def shrunk(mask_NHW: np.ndarray) -> np.ndarray:
    return ~dilated(~mask_NHW)


def test_the_true_region_as_mask_has_scores_of_one() -> None:
    same = agreement(REGIONS, REGIONS)
    assert (same.precision, same.recall, same.iou) == (1.0, 1.0, 1.0)


def test_one_pixel_more_or_less_is_tolerated_and_two_are_not() -> None:
    wider, wide = agreement(dilated(dilated(REGIONS)), REGIONS), agreement(dilated(REGIONS), REGIONS)
    assert (wide.precision, wide.recall, wide.iou) == (1.0, 1.0, 1.0)
    assert wider.precision < 1 and wider.iou < 1 and wider.recall == 1.0
    opened = dilated(
        shrunk(REGIONS)
    )  # every pixel of it has an inner neighbour, so that shrinking moves the border by 1
    narrow = agreement(shrunk(opened), opened)
    assert (narrow.precision, narrow.recall, narrow.iou) == (1.0, 1.0, 1.0)
    assert agreement(shrunk(shrunk(opened)), opened).recall < 1


def test_an_empty_mask_scores_zero_and_a_full_one_has_perfect_recall() -> None:
    none, full = agreement(np.zeros_like(REGIONS), REGIONS), agreement(np.ones_like(REGIONS), REGIONS)
    assert (none.precision, none.recall, none.iou) == (0.0, 0.0, 0.0)
    assert full.recall == 1.0
    assert full.precision == full.iou == pytest.approx(dilated(REGIONS).mean())


def test_far_apart_regions_do_not_agree() -> None:
    mask, region = np.zeros((2, 1, 9, 9), bool)
    mask[0, 1, 1] = region[0, 7, 7] = True
    assert agreement(mask, region).iou == 0.0


def test_the_claimed_area_is_relative_to_the_true_one() -> None:
    assert claimed(REGIONS, REGIONS) == 1.0
    mask, region = np.zeros((2, 2, 4, 4), bool)
    region[:, 0] = True
    mask[0], mask[1, 0, :2] = True, True
    assert claimed(mask, region) == pytest.approx((4 + 0.5) / 2)


def test_psnr_of_equal_pixels_is_capped() -> None:
    assert psnr(SOURCES, SOURCES) == MAX_PSNR
    kept = outside_psnr(ANSWERS, SOURCES, dilated(REGIONS))
    assert kept is not None and kept > 50
    assert psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)) == pytest.approx(0)
    assert psnr(np.full((2, 2), 100, np.uint8), np.full((2, 2), 110, np.uint8)) == pytest.approx(28.13, abs=0.01)


def test_changes_in_the_true_region_do_not_count_for_the_outside_psnr() -> None:
    image = np.where(REGIONS[..., None], 255 - SOURCES, SOURCES)
    assert outside_psnr(image, SOURCES, REGIONS) == MAX_PSNR
    assert psnr(image, SOURCES) < 30


def test_scenes_that_change_almost_everywhere_are_left_out() -> None:
    regions = REGIONS.copy()
    regions[0] = True
    regions[0, 0, 0] = False
    image = SOURCES.copy()
    image[0] = 255 - image[0]
    assert outside_psnr(image, SOURCES, regions) == MAX_PSNR
    assert outside_psnr(image[:1], SOURCES[:1], regions[:1]) is None


def test_errors_are_pooled_over_scenes_before_the_logarithm() -> None:
    pair, reference = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)
    pair[0] = 20
    off = np.zeros((2, 4, 4), bool)
    assert outside_psnr(pair, reference, off) == pytest.approx(psnr(np.array([20]), np.array([0])) + 10 * np.log10(2))
