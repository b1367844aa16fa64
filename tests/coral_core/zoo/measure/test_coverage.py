from __future__ import annotations

import pytest
import torch

from coral_core.zoo.measure.coverage import precision_recall, radii


def points(count: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    return spread * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def test_radii_are_distances_to_the_third_other_point() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
    assert radii(line).tolist() == [6.0, 5.0, 3.0, 5.0, 9.0]


def test_two_samples_of_one_distribution_cover_each_other() -> None:
    precision, recall = precision_recall(points(600, 0), points(600, 1))
    assert precision > 0.9 and recall > 0.9


def test_a_collapsed_set_is_precise_and_covers_little() -> None:
    precision, recall = precision_recall(points(600, 0, spread=0.1), points(600, 1))
    assert precision > 0.9 and recall < 0.1


def test_distant_sets_have_precision_and_recall_zero() -> None:
    assert precision_recall(points(50, 0), points(50, 1) + 100) == (0.0, 0.0)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 3"):
        radii(points(3, 0))
