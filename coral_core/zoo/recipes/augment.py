"""Random image degradations for robust networks: blur, noise and JPEG."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def degrade(image_BCHW: Tensor, rng: np.random.Generator) -> Tensor:
    """Degrade each sample by blur, noise or JPEG, or leave it as it is (40 %). Float32 images [B,3,H,W] in [-1,1]."""
    kinds = rng.choice(4, size=len(image_BCHW), p=(0.4, 0.25, 0.25, 0.1))
    out = image_BCHW.clone()
    with torch.autocast(image_BCHW.device.type, enabled=False):
        for kind, function in ((1, _blur), (2, _noise), (3, _jpeg)):
            chosen = torch.from_numpy(np.flatnonzero(kinds == kind)).to(image_BCHW.device)
            if len(chosen):
                out[chosen] = function(image_BCHW[chosen], rng)
    return out


def _blur(image: Tensor, rng: np.random.Generator) -> Tensor:
    sigma = rng.uniform(0.4, 1.1)
    offsets = torch.arange(-2, 3, device=image.device)
    taps = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = torch.outer(taps, taps).div(taps.sum() ** 2).expand(3, 1, 5, 5)
    return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)


def _noise(image: Tensor, rng: np.random.Generator) -> Tensor:
    draws = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.02, 0.12)
    return (image + torch.from_numpy(draws).to(image.device)).clamp(-1, 1)


def _jpeg(image: Tensor, rng: np.random.Generator) -> Tensor:
    quality = int(rng.integers(50, 95))
    pixels = image.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    decoded = np.stack([_round_trip(frame, quality) for frame in pixels])
    return torch.from_numpy(decoded).to(image.device).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _round_trip(frame_HWC: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(frame_HWC).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
