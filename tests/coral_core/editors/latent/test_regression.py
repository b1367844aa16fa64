from __future__ import annotations

import torch

from coral_core.editors.latent.regression import ridge


def test_ridge_finds_slopes_and_shrinks_them() -> None:
    draw = torch.Generator().manual_seed(0)
    x_NE, slope_EC = torch.randn(2000, 3, generator=draw), torch.tensor([[1.0, 0.0], [-2.0, 0.5], [0.0, 3.0]])
    torch.testing.assert_close(ridge(x_NE, x_NE @ slope_EC, 0.0), slope_EC, atol=1e-3, rtol=0)
    torch.testing.assert_close(ridge(x_NE, x_NE @ slope_EC, 1.0), slope_EC / 2, atol=0.1, rtol=0)
