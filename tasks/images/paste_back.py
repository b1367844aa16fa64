"""The image and mask that a row stores: the edited square itself, or the whole source with the square pasted back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageChops

from tasks.images.decode import Picture, UserMask
from tasks.spec.geometry import OutputSize


def as_generated(
    picture: Picture, pixels_HWC: np.ndarray, levels_HW: np.ndarray, user_mask: UserMask | None
) -> tuple[Image.Image, Image.Image]:
    """Image and mask unchanged, at the generator's size."""
    return Image.fromarray(pixels_HWC), Image.fromarray(levels_HW)


def pasted_back(
    picture: Picture, pixels_HWC: np.ndarray, levels_HW: np.ndarray, user_mask: UserMask | None
) -> tuple[Image.Image, Image.Image]:
    """The edited square under its mask in the whole source, and the mask there, both at the source's size.

    Padding is cut off. Where the returned mask is 0, the pixels are bit for bit those of the source; and it is nowhere
    above the user's mask at full resolution.
    """
    assert picture.whole is not None, "an edit is pasted back into a source that was not kept"
    left, top, right, bottom = picture.placement.region
    size, square = (right - left, bottom - top), picture.placement.square
    levels = Image.fromarray(levels_HW).resize(size, Image.Resampling.BILINEAR, box=square)
    if user_mask is not None:
        assert user_mask.whole is not None, "an edit is pasted back under a user mask that was not kept"
        levels = ImageChops.darker(levels, user_mask.whole.crop(picture.placement.region))
    whole, mask = picture.whole.copy(), Image.new("L", picture.whole.size)
    whole.paste(Image.fromarray(pixels_HWC).resize(size, Image.Resampling.BICUBIC, box=square), (left, top), levels)
    mask.paste(levels, (left, top))
    return whole, mask


PasteBack = Callable[[Picture, np.ndarray, np.ndarray, UserMask | None], tuple[Image.Image, Image.Image]]
PASTE_BACK: Mapping[OutputSize, PasteBack] = {"generator": as_generated, "source": pasted_back}
