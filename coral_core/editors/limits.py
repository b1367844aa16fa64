"""The user's limits of an edit: a threshold, layers, a mask per sample, and the smallest clear change.

    m'_l = [l in layers] * [m_l >= threshold] * m_l * u_l
with m_l the editor's own mask of convolution l (ones where it has no regions), and u_l the sample's user mask, averaged
over the area of each pixel of the layer. The paper of the masks (CoralStyleCLIP, arXiv 2303.05031) has no such limits;
they are our own. They apply when an edit is made, and have no influence on a fit.

Choices and why:
- The threshold applies to the editor's masks only. Grey values of a user mask are kept as they are.
- Layers are coarser than the image, so the layer masks extend a little across the border of a user mask. The mask of
  the image is therefore limited to the user mask: pixels outside keep the source's values.
- `difference` acts on the image after the blended render: where the edit changes it by less, the reconstruction stays.
- With coarse layers only, the finest of them gives the mask of the image. Otherwise that mask would be empty, and an
  edit that is composited onto its source would not be visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core import losses
from coral_core.editors.regions.difference import difference_mask, keep_outside
from coral_core.editors.regions.region import image_mask
from coral_core.types import Edit, Inversion, Masks, Styles

if TYPE_CHECKING:
    from coral_core.nets.stylegan2 import Generator


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of all samples of an edit. The limit of a single sample is the user mask of its inversion."""

    threshold: float = 0.0  # values of an editor's mask below it become 0; the others are unchanged
    layers: tuple[int, ...] = ()  # convolutions of the generator that may be edited, 0 is the coarsest; empty: all
    difference: float = 0.0  # the edit acts where it changes the image by more than this, 0 to 2; 0: everywhere

    def __post_init__(self) -> None:
        if not 0 <= self.difference < 2:
            raise ValueError(f"difference is {self.difference}; give a number from 0, which is no limit, up to below 2")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; give a number from 0, which cuts nothing, up to below 1")
        object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))  # equal limits have equal ids

    def or_difference(self, difference: float) -> Limits:
        """These limits, with a method's own `difference` unless they have one."""
        return self if self.difference else replace(self, difference=difference)

    def check(self, sizes: Sequence[int]) -> None:
        """ValueError for a layer that a generator with convolutions of these sizes does not have."""
        missing = [str(layer) for layer in self.layers if not 0 <= layer < len(sizes)]
        if missing:
            known = ", ".join(f"{layer} ({size} px)" for layer, size in enumerate(sizes))
            raise ValueError(f"layers has {', '.join(missing)}; this generator has the layers {known}")


UNLIMITED = Limits()
"""No limits: every bit of an edit stays as it is."""


def blend(edited: Styles, masks: Masks | None, limits: Limits, inversion: Inversion, generator: Generator) -> Edit:
    """The edit of all editors: from edited styles and the editor's own masks (None: the whole image), within `limits`.

    Errors: ValueError as of limited().
    """
    allowed = limited(masks, limits, inversion, generator.conv_sizes)
    if allowed is None:
        whole = _whole_image_edit(generator.render(edited).clamp(-1, 1), len(generator.conv_sizes))
        return _where_different(whole, limits, inversion, generator.conv_sizes)
    image_BCHW = generator.render(generator.styles(inversion.ws_BLD), edited, allowed).clamp(-1, 1)
    layer_masks = tuple(allowed[layer] for layer in limits.layers) or allowed
    mask_B1HW = image_mask(layer_masks, generator.image_size)
    if inversion.user_mask_B1HW is not None:
        mask_B1HW = torch.minimum(mask_B1HW, inversion.user_mask_B1HW)
    claimed_B1HW = mask_B1HW if limits.difference and masks is not None else None
    edit = Edit(image_BCHW, mask_B1HW, losses.layer_areas(allowed), allowed, claimed_B1HW)
    return _where_different(edit, limits, inversion, generator.conv_sizes)


def _where_different(edit: Edit, limits: Limits, inversion: Inversion, sizes: Sequence[int]) -> Edit:
    """The edit, limited to where it changes the reconstruction clearly; unchanged without limits.difference.

    The masks of its layers are limited to the same region, at the size of the layer.
    """
    if not limits.difference:
        return edit
    recon_BCHW = inversion.recon_BCHW
    different_B1HW = difference_mask(edit.image_BCHW, recon_BCHW, limits.difference).to(edit.mask_B1HW)
    mask_B1HW = torch.minimum(edit.mask_B1HW, different_B1HW)
    masks = tuple(
        torch.minimum(own_B1HW, F.interpolate(different_B1HW, own_B1HW.shape[-2:], mode="area"))
        for own_B1HW in edit.masks or _ones(inversion, sizes)
    )
    image_BCHW = keep_outside(edit.image_BCHW, recon_BCHW, mask_B1HW)
    return replace(
        edit, image_BCHW=image_BCHW, mask_B1HW=mask_B1HW, layer_areas_BL=losses.layer_areas(masks), masks=masks
    )


def limited(masks: Masks | None, limits: Limits, inversion: Inversion, sizes: Sequence[int]) -> Masks | None:
    """An editor's masks after limits and user masks, for convolutions of these sizes.

    None means the whole image. It stays None when there are neither layers nor user masks: a threshold changes nothing
    in a mask of ones.

    Errors: ValueError for a layer that does not exist, or user masks of another shape than the images.
    """
    limits.check(sizes)
    user_B1HW = inversion.user_mask_B1HW
    if user_B1HW is None and not limits.layers and (masks is None or limits.threshold == 0):
        return masks
    kept = _ones(inversion, sizes) if masks is None else tuple(_thresholded(mask, limits.threshold) for mask in masks)
    if limits.layers:
        kept = tuple(mask if layer in limits.layers else torch.zeros_like(mask) for layer, mask in enumerate(kept))
    if user_B1HW is None:
        return kept
    _check_shape(user_B1HW, inversion)
    return tuple(mask_B1HW * F.interpolate(user_B1HW, mask_B1HW.shape[-2:], mode="area") for mask_B1HW in kept)


def _whole_image_edit(image_BCHW: Tensor, layers: int) -> Edit:
    """An edit without regions: its mask and its layer areas are ones."""
    return Edit(image_BCHW, torch.ones_like(image_BCHW[:, :1]), image_BCHW.new_ones(len(image_BCHW), layers))


def _thresholded(mask_B1HW: Tensor, threshold: float) -> Tensor:
    return torch.where(mask_B1HW >= threshold, mask_B1HW, 0.0)


def _ones(inversion: Inversion, sizes: Sequence[int]) -> Masks:
    return tuple(inversion.recon_BCHW.new_ones(len(inversion.keys), 1, size, size) for size in sizes)


def _check_shape(user_B1HW: Tensor, inversion: Inversion) -> None:
    batch, _, height, width = inversion.image_BCHW.shape
    if user_B1HW.shape != (batch, 1, height, width):
        raise ValueError(f"user masks of shape {tuple(user_B1HW.shape)}; these images want {[batch, 1, height, width]}")
