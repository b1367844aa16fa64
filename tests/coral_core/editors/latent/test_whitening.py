from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coral_core.editors.latent.whitening import FLOOR, Whitening


def latents(count: int = 400, num_ws: int = 3, w_dim: int = 5) -> Tensor:
    """Latents that are correlated over all layers and channels."""
    draw = torch.Generator().manual_seed(4)
    mixing = torch.randn(num_ws * w_dim, num_ws * w_dim, generator=draw)
    return (torch.randn(count, num_ws * w_dim, generator=draw) @ mixing).view(count, num_ws, w_dim)


def test_an_unmeasured_whitening_is_the_identity() -> None:
    delta_BLD = torch.randn(2, 3, 5)
    torch.testing.assert_close(Whitening(3, 5)(delta_BLD), delta_BLD)


def test_it_is_the_square_root_of_the_covariance_plus_a_floor() -> None:
    ws_BLD = latents()
    spread = Whitening(3, 5)
    spread.measure(ws_BLD)
    basis_PLD = torch.eye(15).view(15, 3, 5)
    root_PP = (spread(basis_PLD) - spread.floor_D * basis_PLD).flatten(1)
    covariance_PP = torch.cov(ws_BLD.flatten(1).T, correction=0)
    torch.testing.assert_close(root_PP @ root_PP, covariance_PP, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(root_PP, root_PP.T, rtol=1e-3, atol=1e-3)
    deviation_D = ws_BLD.var(0, correction=0).mean(0).sqrt()
    torch.testing.assert_close(spread.floor_D, FLOOR * deviation_D)


def test_correlated_layers_change_together() -> None:
    ws_BLD = latents()
    ws_BLD[:, 2] = -2 * ws_BLD[:, 1]
    spread = Whitening(3, 5)
    spread.measure(ws_BLD)
    delta_BLD = torch.zeros(1, 3, 5)
    delta_BLD[:, 1, 0] = 1
    moved_LD = (spread(delta_BLD) - spread.floor_D * delta_BLD)[0]
    torch.testing.assert_close(moved_LD[2], -2 * moved_LD[1], rtol=1e-3, atol=1e-3)


def test_the_means_of_layers_do_not_count_as_variance() -> None:
    ws_BLD = latents()
    spread, shifted = Whitening(3, 5), Whitening(3, 5)
    spread.measure(ws_BLD)
    shifted.measure(ws_BLD + 10 * torch.arange(3.0)[:, None])
    delta_BLD = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(shifted(delta_BLD), spread(delta_BLD), rtol=1e-3, atol=1e-3)


def test_a_single_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="1 sample has none"):
        Whitening(3, 5).measure(latents(1))
