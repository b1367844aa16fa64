"""Compositing: the final image of an edit, with the source's own pixels or the generator's pixels outside the mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from coral_core.types import Edit, Inversion

Onto = Literal["source", "reconstruction"]


def composite(edit: Edit, inversion: Inversion, onto: Onto) -> Edit:
    """The edit with its final image [B,3,H,W] in [-1,1]; its masks and areas are unchanged.

    "source": mask * edit + (1 - mask) * source, so that pixels outside the mask are the source's and have no inversion
    error. "reconstruction": the generator's image, without seams but with the inversion error everywhere.

    Errors: ValueError for another value of `onto`.
    """
    if onto == "reconstruction":
        return edit
    if onto == "source":
        mask_B1HW = edit.mask_B1HW
        return replace(edit, image_BCHW=mask_B1HW * edit.image_BCHW + (1 - mask_B1HW) * inversion.image_BCHW)
    raise ValueError(f"cannot composite onto {onto!r}; choose one of {', '.join(get_args(Onto))}")
