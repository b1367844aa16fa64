"""Slightly different views of an image, so that CLIP is convinced by what an image shows and not by single pixels.

A latent optimised against one view of a small CLIP ends in patterns that only this CLIP reads. Shifted, scaled and
noisy views (as FuseDream, arXiv 2112.01573, and StyleGAN-NADA do) leave it what every view shows. Resampling is two
matrix products per image: differentiable, and deterministic on every device, which the gradient of grid_sample is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core.types import SampleRng


@dataclass(frozen=True, kw_only=True)
class Views:
    """How far the views of an image go; 0 everywhere is the image as it is."""

    shift: float  # largest shift, as a fraction of the side
    scale: float  # largest enlargement or reduction, as a fraction
    noise: float  # standard deviation, pixels being in [-1,1]

    def draw(self, image_BCHW: Tensor, rng: SampleRng) -> Tensor:
        """The next view of each image, drawn from its own stream."""
        height, width = image_BCHW.shape[2:]
        amounts_B3 = (2 * rng.rand(3) - 1).to(image_BCHW.device)
        factor_B = 1 + self.scale * amounts_B3[:, 0]
        rows_BHH = resampling(height, factor_B, self.shift * height * amounts_B3[:, 1])
        columns_BWW = resampling(width, factor_B, self.shift * width * amounts_B3[:, 2])
        with torch.autocast(image_BCHW.device.type, enabled=False):
            view_BCHW = rows_BHH[:, None] @ image_BCHW.float() @ columns_BWW[:, None].transpose(2, 3)
        return view_BCHW + self.noise * rng.randn(*image_BCHW.shape[1:]).to(image_BCHW.device)


def resampling(size: int, factor_B: Tensor, shift_B: Tensor) -> Tensor:
    """Matrices [B, size, size] of a bilinear zoom about the centre and a shift in pixels; the border is repeated."""
    place_N = torch.arange(size, device=factor_B.device, dtype=torch.float32)
    centre = (size - 1) / 2
    source_BN = (place_N - centre) * factor_B[:, None] + centre + shift_B[:, None]
    return F.relu(1 - (source_BN.clamp(0, size - 1)[:, :, None] - place_N).abs())
