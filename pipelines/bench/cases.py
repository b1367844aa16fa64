"""Test cases of an edit: rendered scenes, encoded as JPEG and inverted by the encoder, like photos of a user."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from coral_core.bundle.models import Models
from coral_core.inversion import invert, take
from coral_core.types import Inversion, concat_inversions
from coral_core.zoo.measure.ground_truth import Values, is_case
from coral_core.zoo.measure.rightness import ExactAnswers, exact_answers
from coral_core.zoo.portraits.domain import SPLITS, Scene, sample
from tasks.images.decode import decode
from tasks.images.encode import encode
from tasks.images.tensors import tensor_of
from tasks.spec.geometry import Geometry

BATCH = 16
"""Scenes per batch."""


@dataclass(frozen=True, kw_only=True)
class SceneSelection:
    """Which scenes are used. Position, tilt and light belong to each scene."""

    split: str = "dev"  # range of seeds: a key of SPLITS
    scenes: int = 32  # candidates; each edit is scored on those that it applies to
    seed: int = 0  # of the random selection

    def seeds(self) -> list[int]:
        """The seeds of the scenes, distinct. ValueError for an unknown split or an impossible number of scenes."""
        if self.split not in SPLITS:
            raise ValueError(f"no split {self.split!r}; choose one of {', '.join(SPLITS)}")
        if not 1 <= self.scenes <= len(SPLITS[self.split]):
            raise ValueError(f"scenes is {self.scenes}; give 1 to {len(SPLITS[self.split])}")
        return random.Random(f"bench:{self.seed}").sample(SPLITS[self.split], self.scenes)


@dataclass(frozen=True)
class Cases(ExactAnswers):
    """N scenes that one edit is scored on, with their exact answers and their photos."""

    inversion: Inversion  # of the decoded JPEG files


def invert_scenes(models: Models, scenes: Sequence[Scene]) -> Inversion:
    """Render the scenes, encode and decode them as JPEG, and invert them; keys are the seeds."""
    size = models.image_size
    files = [encode(scene.image(size), "jpeg") for scene in scenes]
    image_NCHW = tensor_of([decode(data, Geometry(), size).pixels_HWC for data in files]).to(models.device)
    keys = [str(scene.seed) for scene in scenes]
    starts = range(0, len(scenes), BATCH)
    return concat_inversions([invert(models, keys[i : i + BATCH], image_NCHW[i : i + BATCH]) for i in starts])


def select_scenes(models: Models, selection: SceneSelection) -> tuple[tuple[Scene, ...], Inversion]:
    """The selected scenes, and the inversions of their JPEG files."""
    scenes = tuple(sample(seed) for seed in selection.seeds())
    return scenes, invert_scenes(models, scenes)


def cases_of(scenes: Sequence[Scene], inversion: Inversion, wants: Values, most: int | None = None) -> Cases | None:
    """The first `most` scenes that the edit applies to; None if it applies to none of them."""
    size = inversion.image_BCHW.shape[-1]
    index = [i for i, scene in enumerate(scenes) if is_case(scene, wants, size)][:most]
    if not index:
        return None
    exact = exact_answers([scenes[i] for i in index], wants, size)
    return Cases(**vars(exact), inversion=take(inversion, torch.tensor(index)))


def batches(inversion: Inversion, models: Models, taps: bool) -> list[Inversion]:
    """The samples in batches of at most BATCH, with the encoder's feature maps if `taps`."""
    parts = [take(inversion, slice(i, i + BATCH)) for i in range(0, len(inversion.keys), BATCH)]
    if not taps:
        return parts
    with torch.no_grad():
        return [replace(part, taps=models.encoder.body(part.image_BCHW)) for part in parts]
