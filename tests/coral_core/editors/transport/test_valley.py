"""The threshold that separates the samples with a property."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coral_core.editors.transport.valley import FALLBACK, threshold


def scores(*groups: tuple[int, float, float]) -> Tensor:
    """Normal scores of groups (count, mean, standard deviation)."""
    draw = torch.Generator().manual_seed(0)
    return torch.cat([mean + std * torch.randn(count, generator=draw) for count, mean, std in groups])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_a_group_of_any_size_is_found(share: float) -> None:
    having = int(20000 * share)
    scores_N = scores((20000 - having, 0.0, 0.04), (having, 0.3, 0.04))
    taken_N = scores_N > threshold(scores_N)
    assert taken_N[-having:].float().mean() > 0.98
    assert taken_N[:-having].float().mean() < 0.01


def test_only_the_highest_of_several_groups_is_taken() -> None:
    """Other hair colours have lower scores for "red hair" than people without hair."""
    scores_N = scores((8000, -0.1, 0.03), (10000, 0.0, 0.03), (2000, 0.28, 0.04))
    assert (scores_N > threshold(scores_N)).sum().item() == pytest.approx(2000, rel=0.02)


def test_without_a_valley_a_fixed_share_is_taken() -> None:
    scores_N = scores((20000, 0.1, 0.05))
    assert (scores_N > threshold(scores_N)).float().mean().item() == pytest.approx(FALLBACK, abs=0.005)


def test_the_unit_of_the_scores_does_not_matter() -> None:
    scores_N = scores((9000, 0.0, 0.04), (1000, 0.3, 0.04))
    shifted = 100 * scores_N + 7
    assert torch.equal(scores_N > threshold(scores_N), shifted > threshold(shifted))


def test_equal_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="distinguishes nothing"):
        threshold(torch.full((100,), 0.2))
