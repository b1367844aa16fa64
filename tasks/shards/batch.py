"""One batch of a shard: its samples with their decoded pixels, and the tensors of the usable ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from tasks.images.decode import Picture, UnusableError, UserMask, decode, decode_user_mask
from tasks.images.tensors import mask_tensor_of, tensor_of
from tasks.inputs.archive import Sample
from tasks.spec.geometry import Geometry, OutputSize

Pixels = TypeVar("Pixels", Picture, UserMask)


@dataclass(frozen=True)
class Item:
    """One sample in a wave; usable if its status is ok."""

    sample: Sample
    picture: Picture | None = None  # of a usable sample
    ws_LD: np.ndarray | None = None  # its stored latents, in the edit wave
    inversion_error: float | None = None
    whole_pixels: int = 0  # acquired from the budget for its whole source, if that is kept
    user_masks: Mapping[str, UserMask] = field(default_factory=dict)  # suffix -> the mask, whatever its status

    def failed(self, unusable: UnusableError) -> Item:
        """The same sample with the reason why it is not used; its pixels are dropped."""
        return Item(replace(self.sample, status=unusable.status, reason=unusable.reason, image=b"", masks={}))

    def with_user_mask(self, mask: str) -> Item:
        """The sample for an edit with the user mask of this suffix ("": none); not usable if the mask is not usable."""
        user_mask = self.user_masks.get(mask)
        if user_mask is None or user_mask.status == "ok":
            return self
        return replace(self, sample=replace(self.sample, status=user_mask.status, reason=user_mask.reason))


@dataclass(frozen=True)
class Batch:
    """Consecutive samples of a shard, and the tensors of the usable ones."""

    items: tuple[Item, ...]
    batch_size: int

    @property
    def usable(self) -> list[Item]:
        """The items in the tensors, in their order."""
        return [item for item in self.items if item.sample.status == "ok"]

    @property
    def keys(self) -> tuple[str, ...]:
        """Per tensor row the seed key of the sample: its content digest, so that resharding changes nothing."""
        return tuple(item.sample.sha256 for item in self._padded())

    def images(self, device: torch.device) -> Tensor:
        """[batch_size, 3, H, W] in [-1,1]."""
        return tensor_of([item.picture.pixels_HWC for item in self._padded() if item.picture is not None]).to(device)

    def masks(self, suffix: str, device: torch.device) -> Tensor:
        """[batch_size, 1, H, W] in [0,1]; the users' masks of that suffix."""
        return mask_tensor_of([item.user_masks[suffix].levels_HW for item in self._padded()]).to(device)

    def latents(self, device: torch.device) -> Tensor:
        """[batch_size, L, D]; the stored latents."""
        stacked_BLD = np.stack([item.ws_LD for item in self._padded() if item.ws_LD is not None])
        return torch.from_numpy(stacked_BLD).to(device)

    def _padded(self) -> list[Item]:
        usable = self.usable
        return usable + usable[-1:] * (self.batch_size - len(usable))


def decoded(item: Item, geometry: Geometry, size: int, output: OutputSize) -> Item:
    """A sample with its pixels, and those of its masks, in place of its bytes; failed if its image cannot be used."""
    try:
        picture = _for_output(decode(item.sample.image, geometry, size), output)
    except UnusableError as unusable:
        return item.failed(unusable)
    user_masks = {suffix: _for_output(_user_mask(mask, picture), output) for suffix, mask in item.sample.masks.items()}
    return replace(item, picture=picture, user_masks=user_masks, sample=replace(item.sample, image=b"", masks={}))


def _for_output(pixels: Pixels, output: OutputSize) -> Pixels:
    return replace(pixels, whole=None) if output == "generator" else pixels


def _user_mask(mask: Sample, picture: Picture) -> UserMask:
    """The decoded mask; for a missing or unusable one a mask of zeros, with status and reason."""
    status, reason = mask.status, mask.reason
    if status == "ok":
        try:
            return decode_user_mask(mask.image, picture)
        except UnusableError as unusable:
            status, reason = unusable.status, f"its mask {mask.member}: {unusable.reason}"
    return UserMask(np.zeros(picture.pixels_HWC.shape[:2], np.uint8), status=status, reason=reason)
