"""Two sets of images against each other, in a feature space.

Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991): the manifold of a set is the union of balls
around its points, each as large as the distance to its k-th neighbour in the set.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOUR = 3


def precision_recall(made_MF: Tensor, real_NF: Tensor, k: int = NEIGHBOUR) -> tuple[float, float]:
    """Share of the made points on the real manifold, and of the real points on the made one."""
    distance_MN = torch.cdist(made_MF.float(), real_NF.float())
    on_real_M = (distance_MN <= radii(real_NF, k)[None]).any(1)
    on_made_N = (distance_MN <= radii(made_MF, k)[:, None]).any(0)
    return on_real_M.float().mean().item(), on_made_N.float().mean().item()


def radii(points_NF: Tensor, k: int = NEIGHBOUR) -> Tensor:
    """Distance of each point to its k-th nearest other point, [N]. ValueError for k points or fewer."""
    if len(points_NF) <= k:
        raise ValueError(f"{len(points_NF)} points have no {k} neighbours each; give more than {k}")
    distance_NN = torch.cdist(points_NF.float(), points_NF.float())
    return distance_NN.kthvalue(k + 1, dim=1).values  # the nearest is the point itself
