"""From images to latents and back: what an edit starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.types import Inversion, SampleRng, concat_inversions

SAMPLE_BATCH = 32  # generator samples made at a time; bounds memory, does not change them


@torch.no_grad()
def invert(models: Models, keys: Sequence[str], image_BCHW: Tensor) -> Inversion:
    """One pass of the encoder; images are [B,3,R,R] in [-1,1] at the generator's size."""
    ws_BLD, taps = models.encoder(image_BCHW)
    found = restore(models, keys, image_BCHW, ws_BLD)
    return Inversion(found.keys, image_BCHW, ws_BLD, found.recon_BCHW, found.labels_BHW, taps)


@torch.no_grad()
def restore(models: Models, keys: Sequence[str], image_BCHW: Tensor, ws_BLD: Tensor) -> Inversion:
    """The inversion of stored latents: what is cheap to compute is computed again instead of stored."""
    size = models.image_size
    if image_BCHW.shape[1:] != (3, size, size):
        raise ValueError(
            f"images of shape {tuple(image_BCHW.shape)}; bundle {models.name} wants [B, 3, {size}, {size}]"
        )
    recon_BCHW = models.generator.render(models.generator.styles(ws_BLD)).clamp(-1, 1)
    return Inversion(tuple(keys), image_BCHW, ws_BLD, recon_BCHW, models.segmenter(image_BCHW).argmax(1))


@torch.no_grad()
def generator_samples(models: Models, count: int, seed: int, truncation: float = 1.0) -> Inversion:
    """Seeded samples of the generator passed through the encoder: a training source that needs no user data."""
    keys = [f"sample-{index}" for index in range(count)]
    batches = []
    for start in range(0, count, SAMPLE_BATCH):
        part = tuple(keys[start : start + SAMPLE_BATCH])
        z_BZ = SampleRng(part, seed).randn(models.generator.z_dim).to(models.device)
        image = models.generator.render(models.generator.styles(models.generator.map(z_BZ, truncation)))
        batches.append(invert(models, part, image.clamp(-1, 1)))
    return concat_inversions(batches)


def take(inversion: Inversion, index: Tensor | slice) -> Inversion:
    """Some samples of a batch, in the order of `index`; taps are dropped."""
    positions = torch.arange(len(inversion.keys))[index.cpu() if isinstance(index, Tensor) else index].tolist()
    return Inversion(
        keys=tuple(inversion.keys[position] for position in positions),
        image_BCHW=inversion.image_BCHW[index],
        ws_BLD=inversion.ws_BLD[index],
        recon_BCHW=inversion.recon_BCHW[index],
        labels_BHW=inversion.labels_BHW[index],
        captions=tuple(inversion.captions[position] for position in positions) if inversion.captions else (),
        user_mask_B1HW=None if inversion.user_mask_B1HW is None else inversion.user_mask_B1HW[index],
    )
