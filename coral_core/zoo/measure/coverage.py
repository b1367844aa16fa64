"""Improved precision and recall of generated images in a feature space (Kynkäänniemi et al. 2019, arXiv 1904.06991).

The manifold of a set is the union of balls around its points; the radius of a ball is the distance of its point to the
k-th nearest neighbour in the set.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOUR = 3


def precision_recall(generated_MF: Tensor, real_NF: Tensor, k: int = NEIGHBOUR) -> tuple[float, float]:
    """(precision, recall): share of the generated points in the real manifold, and of the real points in the generated
    one, 0 to 1. ValueError for k points or fewer in a set."""
    distance_MN = torch.cdist(generated_MF.float(), real_NF.float())
    on_real_M = (distance_MN <= radii(real_NF, k)[None]).any(1)
    on_generated_N = (distance_MN <= radii(generated_MF, k)[:, None]).any(0)
    return on_real_M.float().mean().item(), on_generated_N.float().mean().item()


def radii(points_NF: Tensor, k: int = NEIGHBOUR) -> Tensor:
    """Distance of each point to its k-th nearest neighbour, [N]. ValueError for k points or fewer."""
    if len(points_NF) <= k:
        raise ValueError(f"{len(points_NF)} points have no {k} neighbours each; give more than {k}")
    distance_NN = torch.cdist(points_NF.float(), points_NF.float())
    return distance_NN.kthvalue(k + 1, dim=1).values  # the nearest is the point itself
