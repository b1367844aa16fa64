"""Reference images: an image, instead of a text, that the result of an edit should resemble."""

from __future__ import annotations

from dataclasses import replace

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
    """The prompt of an edit, with the CLIP embedding of its reference image if it has one.

    The reference image is resized to the generator's square.
    Errors: ValueError for an image that cannot be used, or that has changed since the run was planned.
    """
    if edit.reference is None:
        return edit.prompt
    with local_copy(edit.reference) as path:
        data = path.read_bytes()
    try:
        picture = decode(data, Geometry(), models.image_size)
    except UnusableError as unusable:
        raise ValueError(f"reference {edit.reference.uri}: {unusable.reason}") from None
    embedding_1E = models.clip.image(tensor_of([picture.pixels_HWC]).to(models.device))
    return replace(edit.prompt, look=tuple(embedding_1E[0].tolist()))
