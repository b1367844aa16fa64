from __future__ import annotations

import math

import pytest
import torch

from coral_core import losses


def test_clip_distance_is_one_minus_the_cosine_whatever_the_lengths() -> None:
    image_BE = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]])
    text_BE = torch.tensor([[5.0, 0.0]])
    assert losses.clip_distance(image_BE, text_BE).tolist() == pytest.approx([0, 1, 2, 1 - math.sqrt(0.5)], abs=1e-6)


def test_directional_term_by_hand() -> None:
    source_BE = torch.zeros(3, 2)
    edit_BE = torch.tensor([[0.3, 0.0], [0.0, 0.3], [-0.3, 0.0]])
    share = 0.3 / math.sqrt(0.3**2 + losses.SOFT_NORM**2)
    found = losses.clip_directional(edit_BE, source_BE, torch.tensor([[2.0, 0.0]]))
    assert found.tolist() == pytest.approx([1 - share, 1, 1 + share], abs=1e-6)


def test_directional_gradient_is_bounded_where_nothing_changed() -> None:
    edit_BE = torch.tensor([[0.6, 0.8]], requires_grad=True)
    losses.clip_directional(edit_BE, edit_BE.detach(), torch.tensor([[1.0, 0.0]])).sum().backward()
    assert edit_BE.grad is not None
    assert edit_BE.grad.norm().item() == pytest.approx(1 / losses.SOFT_NORM, rel=1e-4)


def test_latent_l2_is_a_mean_over_entries() -> None:
    delta_BLD = torch.stack([torch.full((3, 4), 2.0), torch.zeros(3, 4)])
    assert losses.latent_l2(delta_BLD).tolist() == [4, 0]


def test_area_weights_every_layer_equally() -> None:
    masks = (torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 16, 16))
    assert losses.layer_areas(masks).tolist() == [[1, 0], [1, 0]]
    assert losses.area(masks).tolist() == [0.5, 0.5]


def test_total_variation_by_hand() -> None:
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1  # one of three neighbour pairs across differs, none down
    assert losses.total_variation((step,)).item() == pytest.approx(1 / 3)
    assert losses.total_variation((step.transpose(2, 3),)).item() == pytest.approx(1 / 3)
    assert losses.total_variation((step, torch.ones(1, 1, 8, 8))).item() == pytest.approx(1 / 6)


def test_perceptual_ignores_the_scale_of_a_channel_vector() -> None:
    a, b = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1), torch.tensor([0.0, 5.0]).view(1, 2, 1, 1)
    assert losses.perceptual([a, a], [a * 7, b]).tolist() == pytest.approx([2.0])


def test_losses_stay_float32_on_bfloat16_inputs() -> None:
    embedding_BE = torch.randn(2, 8).bfloat16()
    masks = (torch.rand(2, 1, 4, 4).bfloat16(),)
    values = [
        losses.clip_distance(embedding_BE, embedding_BE),
        losses.clip_directional(embedding_BE, -embedding_BE, embedding_BE),
        losses.identity_distance(embedding_BE, embedding_BE),
        losses.area(masks),
        losses.total_variation(masks),
    ]
    assert all(value.dtype == torch.float32 and value.shape == (2,) for value in values)


def test_a_mask_costs_where_the_edit_changes_nothing() -> None:
    source_BCHW = torch.zeros(1, 3, 2, 2)
    edited_BCHW = source_BCHW.clone()
    edited_BCHW[..., 0, 0] = 0.3  # a clear change
    edited_BCHW[..., 0, 1] = -0.5 * losses.CLEAR_CHANGE  # half of one
    edited_BCHW.requires_grad_()
    mask_B1HW = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]], requires_grad=True)
    cost_B = losses.unneeded_area(mask_B1HW, edited_BCHW, source_BCHW)
    assert cost_B.tolist() == pytest.approx([(0 + 0.5 + 1 + 0) / 4])
    cost_B.sum().backward()
    assert mask_B1HW.grad is not None and mask_B1HW.grad.flatten().tolist() == pytest.approx([0, 0.125, 0.25, 0.25])
    assert edited_BCHW.grad is None
