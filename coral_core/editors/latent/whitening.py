"""The covariance of latents, which gives the unit of an edit.

    S^(1/2) = V diag(s) V^T + diag(FLOOR * sigma)
with V, s the principal directions and standard deviations of W+ over the training source, all layers and channels
together, and sigma the standard deviation of each channel. An edit delta changes the latents by S^(1/2) delta, so that
steps of one size are equally plausible in every direction, and correlated channels and layers change together.

Deviation: StyleCLIP and CoralStyleCLIP edit in raw units of w. With the unit used here, learning rates and weights can
be reused for another generator, and an edit stays near the latents of real images instead of reaching one that matches
the text for CLIP only. A Whitening that was not measured is the identity, which published mappers need.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RANK = 192
"""Number of principal directions that are kept."""
FLOOR = 0.1
"""Share of a channel's own standard deviation by which it can change independently of the correlations."""


class Whitening(nn.Module):
    """delta_BLD in standard deviations of the source -> the change of ws_BLD."""

    directions_KLD: Tensor
    deviations_K: Tensor
    floor_D: Tensor

    def __init__(self, num_ws: int, w_dim: int) -> None:
        super().__init__()
        self.register_buffer("directions_KLD", torch.zeros(RANK, num_ws, w_dim))
        self.register_buffer("deviations_K", torch.zeros(RANK))
        self.register_buffer("floor_D", torch.ones(w_dim))

    def measure(self, ws_BLD: Tensor) -> None:
        """Take the covariance of these latents. ValueError for fewer than two."""
        count = len(ws_BLD)
        if count < 2:
            raise ValueError(f"a fit needs the spread of its source; {count} sample has none, give hundreds")
        centred_BLD = ws_BLD.float() - ws_BLD.float().mean(0)
        _, lengths, rows = torch.linalg.svd(centred_BLD.flatten(1), full_matrices=False)
        kept = min(RANK, len(rows))
        self.directions_KLD.zero_()[:kept] = rows[:kept].view(kept, *ws_BLD.shape[1:])
        self.deviations_K.zero_()[:kept] = lengths[:kept] / count**0.5
        self.floor_D.copy_(FLOOR * centred_BLD.square().mean((0, 1)).sqrt())

    def forward(self, delta_BLD: Tensor) -> Tensor:
        with torch.autocast(delta_BLD.device.type, enabled=False):
            directions_KP, delta_BP = self.directions_KLD.flatten(1), delta_BLD.float().flatten(1)
            along_BP = delta_BP @ directions_KP.T * self.deviations_K @ directions_KP
            return along_BP.view_as(delta_BLD) + self.floor_D * delta_BLD
