"""Ridge regression."""

from __future__ import annotations

import torch
from torch import Tensor


def ridge(x_NE: Tensor, y_NC: Tensor, weight: float) -> Tensor:
    """Slopes [E, C] of the ridge regression of y on x, both centred; `weight` is relative to the mean variance of x."""
    covariance_EE = x_NE.T @ x_NE / len(x_NE)
    penalty = weight * covariance_EE.diagonal().mean().clamp_min(1e-12)
    eye_EE = torch.eye(len(covariance_EE), dtype=x_NE.dtype, device=x_NE.device)
    return torch.linalg.solve(covariance_EE + penalty * eye_EE, x_NE.T @ y_NC / len(x_NE))
