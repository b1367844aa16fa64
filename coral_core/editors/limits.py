"""What of an image an edit may change at all: the user's word over the regions that an editor chose.

    m'_l = [l in layers] * [m_l >= threshold] * m_l * u_l
with m_l the editor's own mask of convolution l, ones where it chooses no regions, and u_l the sample's user mask, each
pixel of the layer the mean of what it covers. The paper of the masks (CoralStyleCLIP, arXiv 2303.05031) has no such
limits; they are our own, apply when an edit is made, and are no matter of a fit.

Choices and why:
- The threshold cuts what an editor has chosen. A grey user mask is meant as it is, and is never cut.
- Layers are coarser than the image, so that what is claimed for them reaches a little across a user mask's border. The
  claimed mask is therefore nowhere above the user's: what lies outside keeps its own pixels.
- With only coarse layers left, the finest of them claims, or an edit that is laid onto its source would not be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core import losses
from coral_core.editors.regions.region import claimed
from coral_core.types import Edit, Inversion, Masks, Styles

if TYPE_CHECKING:
    from coral_core.nets.stylegan2 import Generator


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What every sample of an edit is held to. What one sample alone is held to is its inversion's user mask."""

    threshold: float = 0.0  # what an editor's mask has below it becomes 0; what is left keeps its value
    layers: tuple[int, ...] = ()  # convolutions of the generator that may be edited, the coarsest is 0; empty: all

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; give a number from 0, which cuts nothing, up to below 1")
        object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))  # one order, one meaning, one id

    def check(self, sizes: Sequence[int]) -> None:
        """ValueError for a layer that a generator with convolutions of these sizes lacks."""
        lacking = [str(layer) for layer in self.layers if not 0 <= layer < len(sizes)]
        if lacking:
            known = ", ".join(f"{layer} ({size} px)" for layer, size in enumerate(sizes))
            raise ValueError(f"layers has {', '.join(lacking)}; this generator has the layers {known}")


UNLIMITED = Limits()
"""Changes no bit of an edit."""


def blend(edited: Styles, masks: Masks | None, limits: Limits, inversion: Inversion, generator: Generator) -> Edit:
    """Where every editor's way from edited styles and its own masks (None: the whole image) to an Edit ends.

    Errors: ValueError as of limited().
    """
    allowed = limited(masks, limits, inversion, generator.conv_sizes)
    if allowed is None:
        return _whole(generator.render(edited).clamp(-1, 1), len(generator.conv_sizes))
    image_BCHW = generator.render(generator.styles(inversion.ws_BLD), edited, allowed).clamp(-1, 1)
    claiming = tuple(allowed[layer] for layer in limits.layers) or allowed
    mask_B1HW = claimed(claiming, generator.image_size)
    if inversion.user_mask_B1HW is not None:
        mask_B1HW = torch.minimum(mask_B1HW, inversion.user_mask_B1HW)
    return Edit(image_BCHW, mask_B1HW, losses.layer_areas(allowed), allowed)


def limited(masks: Masks | None, limits: Limits, inversion: Inversion, sizes: Sequence[int]) -> Masks | None:
    """What limits and user masks leave of an editor's own masks, for convolutions of these sizes.

    None stands for the whole image and stays None where nothing rules any of it out: a threshold alone does not.

    Errors: ValueError for a layer that is not there, or user masks of another shape than the images.
    """
    limits.check(sizes)
    user_B1HW = inversion.user_mask_B1HW
    if user_B1HW is None and not limits.layers and (masks is None or limits.threshold == 0):
        return masks
    kept = _ones(inversion, sizes) if masks is None else tuple(_cut(mask, limits.threshold) for mask in masks)
    if limits.layers:
        kept = tuple(mask if layer in limits.layers else torch.zeros_like(mask) for layer, mask in enumerate(kept))
    if user_B1HW is None:
        return kept
    _check_shape(user_B1HW, inversion)
    return tuple(mask_B1HW * F.interpolate(user_B1HW, mask_B1HW.shape[-2:], mode="area") for mask_B1HW in kept)


def _whole(image_BCHW: Tensor, layers: int) -> Edit:
    """An edit without regions claims every pixel in every layer."""
    return Edit(image_BCHW, torch.ones_like(image_BCHW[:, :1]), image_BCHW.new_ones(len(image_BCHW), layers))


def _cut(mask_B1HW: Tensor, threshold: float) -> Tensor:
    return torch.where(mask_B1HW >= threshold, mask_B1HW, 0.0)


def _ones(inversion: Inversion, sizes: Sequence[int]) -> Masks:
    return tuple(inversion.recon_BCHW.new_ones(len(inversion.keys), 1, size, size) for size in sizes)


def _check_shape(user_B1HW: Tensor, inversion: Inversion) -> None:
    batch, _, height, width = inversion.image_BCHW.shape
    if user_B1HW.shape != (batch, 1, height, width):
        raise ValueError(f"user masks of shape {tuple(user_B1HW.shape)}; these images want {[batch, 1, height, width]}")
