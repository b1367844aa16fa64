"""Inversion of images into latents, inversions of stored latents, and the generator's own samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.types import Inversion, SampleRng, concat_inversions

SAMPLE_BATCH = 32  # generator samples made at a time: limits memory and does not change the samples


@torch.no_grad()
def invert(models: Models, keys: Sequence[str], image_BCHW: Tensor) -> Inversion:
    """Latents by one pass of the encoder, with its taps. Images are [B,3,R,R] in [-1,1], R the generator's size.

    Errors: ValueError for images of another size.
    """
    ws_BLD, taps = models.encoder(image_BCHW)
    found = restore(models, keys, image_BCHW, ws_BLD)
    return Inversion(found.keys, image_BCHW, ws_BLD, found.recon_BCHW, found.labels_BHW, taps)


@torch.no_grad()
def restore(models: Models, keys: Sequence[str], image_BCHW: Tensor, ws_BLD: Tensor) -> Inversion:
    """The inversion of stored latents: reconstruction and segments are computed again, because that is cheap.

    Images are [B,3,R,R] in [-1,1], R the generator's size. Errors: ValueError for images of another size.
    """
    size = models.image_size
    if image_BCHW.shape[1:] != (3, size, size):
        raise ValueError(
            f"images of shape {tuple(image_BCHW.shape)}; bundle {models.name} wants [B, 3, {size}, {size}]"
        )
    recon_BCHW = models.generator.render(models.generator.styles(ws_BLD)).clamp(-1, 1)
    return Inversion(tuple(keys), image_BCHW, ws_BLD, recon_BCHW, models.segmenter(image_BCHW).argmax(1))


@torch.no_grad()
def generator_samples(models: Models, count: int, seed: int, truncation: float = 1.0) -> Inversion:
    """Generator samples, seeded, inverted by the encoder: a training source without user data."""
    keys = [f"sample-{index}" for index in range(count)]
    batches = []
    for start in range(0, count, SAMPLE_BATCH):
        part = tuple(keys[start : start + SAMPLE_BATCH])
        z_BZ = SampleRng(part, seed).randn(models.generator.z_dim).to(models.device)
        image = models.generator.render(models.generator.styles(models.generator.map(z_BZ, truncation)))
        batches.append(invert(models, part, image.clamp(-1, 1)))
    return concat_inversions(batches)


def no_samples(models: Models) -> Inversion:
    """An inversion of no images, for fits that draw their samples themselves."""
    size, generator = models.image_size, models.generator
    image_BCHW = torch.zeros(0, 3, size, size, device=models.device)
    ws_BLD = torch.zeros(0, generator.num_ws, generator.w_dim, device=models.device)
    labels_BHW = torch.zeros(0, size, size, dtype=torch.int64, device=models.device)
    return Inversion((), image_BCHW, ws_BLD, image_BCHW, labels_BHW)


def take(inversion: Inversion, index: Tensor | slice) -> Inversion:
    """The samples of a batch at `index`, in that order; taps are dropped."""
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
