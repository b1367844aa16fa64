"""The types that all of coral_core shares.

Letters in the names of tensors: B batch, C channels, H W pixels, L w-layers, D width of w, C_l channels modulated at
synthesis layer l, H_l W_l its resolution, K segments, E width of CLIP embeddings, I width of identity embeddings.

Every image inside coral_core is float [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Styles = tuple[Tensor, ...]
"""S-space: one [B, C_l] per convolution and toRGB, in synthesis order. Every editor produces edited styles."""

Masks = tuple[Tensor, ...]
"""One [B, 1, H_l, W_l] in [0,1] per convolution layer (toRGB layers follow the convolution before them)."""


@dataclass(frozen=True)
class Prompt:
    """The text to edit towards, and the neutral text that the CLIP direction starts from."""

    target: str
    source: str = "a photo"
    look: tuple[float, ...] = field(default=(), repr=False)  # CLIP embedding [E] of a reference image; empty: none
    wishes: tuple[str, ...] = ()  # what `target` asks for, one change per sentence; empty: not said (editors/wishes.py)


@dataclass(frozen=True)
class Inversion:
    """A batch of images in the generator's latent space."""

    keys: tuple[str, ...]  # one stable key per sample, which also seeds its random numbers
    image_BCHW: Tensor  # the source at generator size
    ws_BLD: Tensor  # latents in W+
    recon_BCHW: Tensor  # the generator's image of ws_BLD
    labels_BHW: Tensor  # int64 segment of each source pixel
    taps: tuple[Tensor, ...] = ()  # the encoder's feature maps, in memory only
    captions: tuple[tuple[str, ...], ...] = ()  # sentences that are true of each image; of a captioned source only
    user_mask_B1HW: Tensor | None = None  # [0,1] at generator size: where the user allows edits; None: everywhere


@dataclass(frozen=True)
class Edit:
    """A batch of edited images, and the masks of where they were edited."""

    image_BCHW: Tensor
    mask_B1HW: Tensor  # max over conv layers of 16 px and finer of the upsampled layer masks; ones without regions
    layer_areas_BL: Tensor  # mean of each conv layer's mask
    masks: Masks = ()  # of each conv layer, in memory only; empty for an editor without regions
    claimed_B1HW: Tensor | None = None  # the mask that the editor chose, where `mask` is less; None: the same


@dataclass(frozen=True)
class Scores:
    """One number per sample; every field is a float tensor [B]."""

    clip_source_B: Tensor  # cos(image embedding of the source image, target text)
    clip_edit_B: Tensor  # cos(image embedding of the edit, target text)
    direction_B: Tensor  # cos(edit - source image embedding, target - source text embedding)
    identity_B: Tensor  # cos of the identity embeddings of source and edit
    outside_B: Tensor  # mean absolute difference to the source, weighted by 1 - claimed mask, images in [-1,1]
    area_B: Tensor  # mean of the claimed mask
    effective_area_B: Tensor  # mean of the mask


@dataclass(frozen=True)
class SampleRng:
    """One random generator per sample key, so that results do not depend on batches, shards or retries.

    Each draw continues the sample's sequence of random numbers.
    """

    keys: tuple[str, ...]
    seed: int = 0
    _streams: tuple[torch.Generator, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_streams", tuple(stream(self.seed, key) for key in self.keys))

    def randn(self, *shape: int) -> Tensor:
        """Standard normal [B, *shape]."""
        return self._draw(lambda generator: torch.randn(shape, generator=generator))

    def rand(self, *shape: int) -> Tensor:
        """Uniform in [0,1), [B, *shape]."""
        return self._draw(lambda generator: torch.rand(shape, generator=generator))

    def randint(self, high: int, *shape: int) -> Tensor:
        """Uniform integers in [0, high), [B, *shape]."""
        return self._draw(lambda generator: torch.randint(high, shape, generator=generator))

    def _draw(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(generator) for generator in self._streams])


def stream(seed: int, key: str) -> torch.Generator:
    """The CPU random generator of one sample, seeded by the SHA-256 digest of seed and key."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def concat_inversions(batches: Sequence[Inversion]) -> Inversion:
    """Several inversions as one batch, without their taps."""
    return Inversion(
        keys=tuple(key for batch in batches for key in batch.keys),
        image_BCHW=torch.cat([batch.image_BCHW for batch in batches]),
        ws_BLD=torch.cat([batch.ws_BLD for batch in batches]),
        recon_BCHW=torch.cat([batch.recon_BCHW for batch in batches]),
        labels_BHW=torch.cat([batch.labels_BHW for batch in batches]),
        captions=tuple(sentences for batch in batches for sentences in batch.captions),
        user_mask_B1HW=_concat_user_masks(batches),
    )


def _concat_user_masks(batches: Sequence[Inversion]) -> Tensor | None:
    if all(batch.user_mask_B1HW is None for batch in batches):
        return None
    given = [(batch.user_mask_B1HW, torch.ones_like(batch.image_BCHW[:, :1])) for batch in batches]
    return torch.cat([ones_B1HW if mask_B1HW is None else mask_B1HW for mask_B1HW, ones_B1HW in given])
