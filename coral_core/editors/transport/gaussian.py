"""Affine maps between two sets of points, from the means and covariances of the sets.

N are the points without a property, P those with it; both sets come from one population in which other properties
vary. Two maps from N to P:

monge_map: the optimal transport (Monge map) between two Gaussians (Olkin & Pukelsheim 1982; Peyré & Cuturi 2019,
    "Computational Optimal Transport", remark 2.31),
    T(x) = m_P + A (x - m_N),   A = S_N^(-1/2) (S_N^(1/2) S_P S_N^(1/2))^(1/2) S_N^(-1/2).
    It moves a point as little as possible. It is incomplete where N consists of several groups (no hat, a cap, a top
    hat), because one Gaussian does not distinguish the groups.

collapse_map: our own. With u the generalised eigenvectors S_P u = lambda S_N u, the coordinates with a small lambda are
    those that vary between the points without the property and hardly among those with it: the other hair colours, for
    the property "red hair". They are set to their mean in P; all other coordinates move by the difference of the means:
    T(x) = x + m_P - m_N - S_N U U^T (x - m_N),   U the eigenvectors with lambda < COLLAPSE, U^T S_N U = I.
    It is complete, but the estimate of U needs coordinates in which the property is nearly a linear function, such as
    CLIP embeddings.

Both covariances are estimated plus FLOOR times the mean variance of the population, so that directions without variance
are not inverted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 0.01
"""Variance added to every direction, relative to the mean variance of the population."""
COLLAPSE = 0.2
"""Largest ratio lambda of the variances in P and N at which a direction is set to its mean in P."""


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set of points, float64."""

    mean_D: Tensor
    covariance_DD: Tensor

    @classmethod
    def of(cls, points_ND: Tensor, floor: float = 0.0) -> Gaussian:
        """The moments of two or more points, with `floor` added to the variance of every direction."""
        mean_D = points_ND.double().mean(0)
        centred_ND = points_ND - mean_D.to(points_ND)
        covariance_DD = (centred_ND.T @ centred_ND).double() / len(points_ND)
        covariance_DD.diagonal().add_(floor)
        return cls(mean_D, covariance_DD)


@dataclass(frozen=True)
class AffineMap:
    """x -> x + shift + (x - centre) slope."""

    centre_D: Tensor
    shift_D: Tensor
    slope_DD: Tensor

    def __call__(self, x_BD: Tensor) -> Tensor:
        return x_BD + self.shift_D + (x_BD - self.centre_D) @ self.slope_DD


def monge_map(without: Gaussian, having: Gaussian) -> AffineMap:
    """The optimal transport from the Gaussian `without` to the Gaussian `having`."""
    root_DD, inverse_DD = _power(without.covariance_DD, 0.5), _power(without.covariance_DD, -0.5)
    map_DD = inverse_DD @ _power(root_DD @ having.covariance_DD @ root_DD, 0.5) @ inverse_DD
    eye_DD = torch.eye(len(map_DD), dtype=map_DD.dtype, device=map_DD.device)
    return _affine(without, having, map_DD - eye_DD)


def collapse_map(without: Gaussian, having: Gaussian) -> AffineMap:
    """The map that sets the directions in which `having` hardly varies to their mean in `having`."""
    inverse_DD = _power(without.covariance_DD, -0.5)
    ratio_D, vectors_DD = torch.linalg.eigh(inverse_DD @ having.covariance_DD @ inverse_DD)
    chosen_DK = inverse_DD @ vectors_DD[:, ratio_D < COLLAPSE]
    return _affine(without, having, -chosen_DK @ chosen_DK.T @ without.covariance_DD)


def _affine(without: Gaussian, having: Gaussian, slope_DD: Tensor) -> AffineMap:
    """The map with this slope (for row vectors, on the right) that takes the one mean to the other, float32."""
    return AffineMap(without.mean_D.float(), (having.mean_D - without.mean_D).float(), slope_DD.float())


def _power(symmetric_DD: Tensor, exponent: float) -> Tensor:
    """The power of a positive definite matrix."""
    values_D, vectors_DD = torch.linalg.eigh(symmetric_DD)
    return (vectors_DD * values_D.clamp_min(1e-12) ** exponent) @ vectors_DD.T
