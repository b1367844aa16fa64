"""What an edit is laid onto: the user's own pixels, or the generator's reconstruction it was made from."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from coral_core.types import Edit, Inversion

Onto = Literal["source", "reconstruction"]


def composite(edit: Edit, inversion: Inversion, onto: Onto) -> Edit:
    """The edit with its final image; masks and areas stay.

    "source": mask * edit + (1 - mask) * source, so that what the editor left alone keeps its own pixels and carries
    no inversion error. "reconstruction": the raw edit, seamless but with the inversion error everywhere.
    """
    if onto == "reconstruction":
        return edit
    if onto == "source":
        mask_B1HW = edit.mask_B1HW
        return replace(edit, image_BCHW=mask_B1HW * edit.image_BCHW + (1 - mask_B1HW) * inversion.image_BCHW)
    raise ValueError(f"cannot composite onto {onto!r}; choose one of {', '.join(get_args(Onto))}")
