"""Affine maps between two Gaussian sets of points."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coral_core.editors.transport.gaussian import AffineMap, Gaussian, collapse_map, monge_map

COUNT, WIDTH = 4000, 6


def points(deviations: list[float], shift: float = 0.0, seed: int = 0) -> Tensor:
    """Points with independent coordinates of these standard deviations, turned by one fixed rotation. [N,D]"""
    draw = torch.Generator().manual_seed(seed)
    x_ND = torch.randn(COUNT, WIDTH, generator=draw) * torch.tensor(deviations) + shift
    return x_ND @ rotation()


def rotation() -> Tensor:
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(7)))[0]


def test_the_monge_map_gives_the_points_the_distribution_of_the_others() -> None:
    without, having = points([1, 2, 1, 1, 3, 1]), points([1, 0.5, 2, 1, 1, 1], shift=1.5, seed=1)
    moved = Gaussian.of(monge_map(Gaussian.of(without), Gaussian.of(having))(without))
    target = Gaussian.of(having)
    assert torch.allclose(moved.mean_D, target.mean_D, atol=1e-3)
    assert torch.allclose(moved.covariance_DD, target.covariance_DD, atol=1e-2)


def test_the_monge_map_moves_less_than_another_map_to_the_same_distribution() -> None:
    """A random rotation between whitening and colouring also gives the distribution, but is no gradient of a convex
    function."""
    without, having = points([1, 2, 1, 1, 3, 1]), points([1, 0.5, 2, 1, 1, 1], shift=1.5, seed=1)
    start, target = Gaussian.of(without), Gaussian.of(having)
    whiten = torch.linalg.inv(torch.linalg.cholesky(start.covariance_DD)).T
    other = (without.double() - start.mean_D) @ whiten @ rotation().double()
    other = other @ torch.linalg.cholesky(target.covariance_DD).T + target.mean_D
    least = monge_map(start, target)(without)
    assert (least - without).square().sum(1).mean() < (other - without).square().sum(1).mean()


def test_equal_sets_are_not_moved() -> None:
    same = Gaussian.of(points([1, 2, 1, 1, 3, 1]))
    x_BD = points([1, 1, 1, 1, 1, 1], seed=3)[:5]
    for make in (monge_map, collapse_map):
        assert torch.allclose(make(same, same)(x_BD), x_BD, atol=1e-4)


def grouped(seed: int, groups: list[float]) -> Tensor:
    """Points whose first coordinate is one of `groups` (a property with several values) while the others vary."""
    draw = torch.Generator().manual_seed(seed)
    x_ND = torch.randn(COUNT, WIDTH, generator=draw)
    chosen = torch.tensor(groups)[torch.randint(len(groups), (COUNT,), generator=draw)]
    x_ND[:, 0] = chosen + 0.05 * torch.randn(COUNT, generator=draw)
    return x_ND @ rotation()


def collapsed_and_kept(make: AffineMap, x_ND: Tensor, value: float) -> tuple[float, float]:
    """(rms distance of the first coordinate from `value`, rms change of the other coordinates)."""
    moved, before = (make(x_ND) @ rotation().T, x_ND @ rotation().T)
    return (
        (moved[:, 0] - value).square().mean().sqrt().item(),
        (moved[:, 1:] - before[:, 1:]).square().mean().sqrt().item(),
    )


def test_the_collapse_map_sets_the_property_of_every_group_and_nothing_else() -> None:
    without, having = grouped(0, [-2, -1, 0, 1]), grouped(1, [2])
    found, other = collapsed_and_kept(collapse_map(Gaussian.of(without), Gaussian.of(having)), without, 2)
    assert found < 0.1 and other < 0.1


def test_the_monge_map_is_less_complete_on_noisy_groups_than_the_collapse_map() -> None:
    """Where the sets overlap in other directions the Monge map keeps a share of the old value."""
    without, having = grouped(0, [-2, -1, 0, 1]), grouped(1, [2]) + 0.3 * points([1] * 6, seed=5)
    sets = Gaussian.of(without), Gaussian.of(having)
    assert collapsed_and_kept(collapse_map(*sets), without, 2)[0] < collapsed_and_kept(monge_map(*sets), without, 2)[0]


@pytest.mark.parametrize("make", [monge_map, collapse_map])
def test_directions_without_variance_do_no_harm(make: object) -> None:
    flat = torch.cat([points([1] * 6), torch.zeros(COUNT, 2)], 1)
    sets = Gaussian.of(flat, 1e-3), Gaussian.of(flat + 1, 1e-3)
    assert make(*sets)(flat).isfinite().all()  # type: ignore[operator]
