"""What an edit is tried on: rendered scenes that went through a JPEG file and the encoder, as a user's photos do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from coral_core.bundle.models import Models
from coral_core.inversion import invert, take
from coral_core.types import Inversion, concat_inversions
from coral_core.zoo.measure.ground_truth import Values, answer_of, is_case, true_region
from coral_core.zoo.portraits.domain import SPLITS, Scene, sample
from tasks.images.decode import decode
from tasks.images.encode import encode
from tasks.images.tensors import tensor_of
from tasks.spec.geometry import Geometry

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which scenes; position, tilt and light are those of each scene."""

    split: str = "dev"  # range of seeds
    scenes: int = 32  # candidates; of each edit's, those are scored that it applies to
    seed: int = 0  # of the draw

    def seeds(self) -> list[int]:
        """The seeds of the scenes, distinct. ValueError for what does not exist."""
        if self.split not in SPLITS:
            raise ValueError(f"no split {self.split!r}; choose one of {', '.join(SPLITS)}")
        if not 1 <= self.scenes <= len(SPLITS[self.split]):
            raise ValueError(f"{self.scenes} scenes; give 1 to {len(SPLITS[self.split])}")
        return random.Random(f"bench:{self.seed}").sample(SPLITS[self.split], self.scenes)


@dataclass(frozen=True)
class Cases:
    """N scenes that one edit is scored on."""

    scenes: tuple[Scene, ...]
    wants: Values
    answers_NHWC: np.ndarray  # uint8; the exact answers
    regions_NHW: np.ndarray  # bool; where they differ from the exact sources
    inversion: Inversion  # of the photos


def photograph(models: Models, scenes: Sequence[Scene]) -> Inversion:
    """The scenes as decoded JPEG files, inverted; keys are the seeds."""
    size = models.image_size
    files = [encode(scene.image(size), "jpeg") for scene in scenes]
    image_NCHW = tensor_of([decode(data, Geometry(), size).pixels_HWC for data in files]).to(models.device)
    keys = [str(scene.seed) for scene in scenes]
    starts = range(0, len(scenes), BATCH)
    return concat_inversions([invert(models, keys[i : i + BATCH], image_NCHW[i : i + BATCH]) for i in starts])


def photographs(models: Models, choice: Choice) -> tuple[tuple[Scene, ...], Inversion]:
    """The chosen scenes and the inversions of their photos."""
    scenes = tuple(sample(seed) for seed in choice.seeds())
    return scenes, photograph(models, scenes)


def cases_of(scenes: Sequence[Scene], photos: Inversion, wants: Values, most: int | None = None) -> Cases | None:
    """Those of the scenes that the edit applies to, the first `most` of them; None when there is none."""
    size = photos.image_BCHW.shape[-1]
    index = [i for i, scene in enumerate(scenes) if is_case(scene, wants, size)][:most]
    if not index:
        return None
    chosen = tuple(scenes[i] for i in index)
    sources_NHWC = np.stack([scene.image(size) for scene in chosen])
    answers_NHWC = np.stack([answer_of(scene, wants).image(size) for scene in chosen])
    regions_NHW = true_region(sources_NHWC, answers_NHWC)
    return Cases(chosen, wants, answers_NHWC, regions_NHW, take(photos, torch.tensor(index)))


def batches(inversion: Inversion, models: Models, taps: bool) -> list[Inversion]:
    """At most BATCH samples each, with the encoder's feature maps where they are asked for."""
    parts = [take(inversion, slice(i, i + BATCH)) for i in range(0, len(inversion.keys), BATCH)]
    if not taps:
        return parts
    with torch.no_grad():
        return [replace(part, taps=models.encoder.body(part.image_BCHW)) for part in parts]
