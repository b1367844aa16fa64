"""Random views of an image, so that an optimisation cannot raise CLIP's similarity by patterns of single pixels.

A latent optimised against one view for a small CLIP ends in patterns that only this CLIP matches with the text.
Shifted, scaled and noisy views (as in FuseDream, arXiv 2112.01573, and StyleGAN-NADA) keep what all views have in
common. Resampling is two matrix products per image: differentiable, and deterministic on every device, which the
gradient of grid_sample is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.types import SampleRng


@dataclass(frozen=True, kw_only=True)
class Views:
    """The ranges of the random views; with 0 everywhere a view is the image itself."""

    shift: float  # largest shift, as a fraction of the side
    scale: float  # largest enlargement or reduction, as a fraction
    noise: float  # standard deviation, images in [-1,1]

    def draw(self, image_BCHW: Tensor, rng: SampleRng) -> Tensor:
        """The next random view of each image, by its own random generator. [B,C,H,W], not clamped."""
        height, width = image_BCHW.shape[2:]
        amounts_B3 = (2 * rng.rand(3) - 1).to(image_BCHW.device)
        factor_B = 1 + self.scale * amounts_B3[:, 0]
        rows_BHH = resampling(height, factor_B, self.shift * height * amounts_B3[:, 1])
        columns_BWW = resampling(width, factor_B, self.shift * width * amounts_B3[:, 2])
        with torch.autocast(image_BCHW.device.type, enabled=False):
            view_BCHW = rows_BHH[:, None] @ image_BCHW.float() @ columns_BWW[:, None].transpose(2, 3)
        return view_BCHW + self.noise * rng.randn(*image_BCHW.shape[1:]).to(image_BCHW.device)


def resampling(size: int, factor_B: Tensor, shift_B: Tensor) -> Tensor:
    """Matrices [B, size, size] of bilinear scaling about the centre and a shift in pixels; the border is repeated."""
    place_N = torch.arange(size, device=factor_B.device, dtype=torch.float32)
    centre = (size - 1) / 2
    source_BN = (place_N - centre) * factor_B[:, None] + centre + shift_B[:, None]
    return F.relu(1 - (source_BN.clamp(0, size - 1)[:, :, None] - place_N).abs())
