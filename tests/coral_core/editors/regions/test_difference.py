"""Regions from the difference of an edit to the unedited render."""

from __future__ import annotations

import torch

from coral_core.editors.regions.difference import difference_mask, keep_outside


def square(size: int, change: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(edited, plain): the middle half of the image changes."""
    plain = torch.zeros(1, 3, size, size)
    edited = plain.clone()
    edited[:, :, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = change
    return edited, plain


def test_a_clear_change_is_covered_and_the_border_is_soft() -> None:
    edited, plain = square(64, 0.8)
    mask_B1HW = difference_mask(edited, plain, 0.15)
    changed = (edited != plain).any(1, keepdim=True)
    assert (mask_B1HW[changed] == 1).all()
    assert 0 < (mask_B1HW[~changed] > 0).float().mean() < 0.3
    assert ((mask_B1HW > 0) & (mask_B1HW < 1)).any()


def test_a_faint_change_is_no_region() -> None:
    edited, plain = square(64, 0.05)
    assert difference_mask(edited, plain, 0.15).max() == 0


def test_an_edit_that_is_weak_everywhere_has_a_region_and_the_same_change_beside_a_strong_one_has_none() -> None:
    edited, plain = square(64, 0.12)
    assert difference_mask(edited, plain, 0.15)[0, 0, 32, 32] == 1
    edited[:, :, 2, 2:12] = 1.5
    assert difference_mask(edited, plain, 0.15)[0, 0, 32, 32] == 0


def test_the_region_covers_the_same_share_at_other_sizes() -> None:
    shares = [difference_mask(*square(size, 0.8), 0.15).mean().item() for size in (64, 128, 256)]
    assert max(shares) - min(shares) < 0.02


def test_one_changed_pixel_is_not_lost_in_the_noise_threshold() -> None:
    plain = torch.zeros(1, 3, 64, 64)
    edited = plain.clone()
    edited[:, :, 10, 10] = 2
    assert difference_mask(edited, plain, 0.15)[0, 0, 10, 10] == 1


def test_outside_the_mask_the_plain_render_stays() -> None:
    edited, plain = square(64, 0.8)
    mask_B1HW = difference_mask(edited, plain, 0.15)
    kept = keep_outside(edited + 0.05, plain, mask_B1HW)
    off = (mask_B1HW == 0).expand_as(kept)
    assert torch.equal(kept[off], plain[off])
