"""Reference images: what an edit should look like, shown instead of said."""

from __future__ import annotations

import torch

from coral_core.bundle.models import Models
from coral_core.types import Prompt
from tasks.images.decode import UnusableError, decode
from tasks.images.tensors import tensor_of
from tasks.inputs.local_copy import local_copy
from tasks.spec.geometry import Geometry
from tasks.spec.requests import EditSpec


@torch.no_grad()
def prompt_of(edit: EditSpec, models: Models) -> Prompt:
    """The prompt of an edit; with the look of its reference image, resized to the generator's square, if it has one.

    Errors: ValueError for an image that cannot be used, or that is not the planned one any more.
    """
    if edit.reference is None:
        return Prompt(edit.target, edit.source)
    with local_copy(edit.reference) as path:
        data = path.read_bytes()
    try:
        picture = decode(data, Geometry(), models.image_size)
    except UnusableError as unusable:
        raise ValueError(f"reference {edit.reference.uri}: {unusable.reason}") from None
    look_1E = models.clip.image(tensor_of([picture.pixels_HWC]).to(models.device))
    return Prompt(edit.target, edit.source, tuple(look_1E[0].tolist()))
