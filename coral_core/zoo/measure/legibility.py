"""Which attributes of a scene are large enough to be recognised: the eye colour of almost closed eyes may not be."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from coral_core.zoo.measure.ground_truth import true_region
from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES, corpus_folder
from coral_core.zoo.portraits.domain import SPLITS, Scene, sample

MIN_PIXELS = 6
"""Number of pixels that another value of an attribute must change at least."""
SIZE = 64


def legible(scene: Scene, size: int = SIZE) -> tuple[bool, ...]:
    """For each attribute of the lexicon: whether it is visible in at least MIN_PIXELS pixels."""
    image, visible = scene.image(size), scene.visible()
    return tuple(
        name in visible
        and any(
            true_region(image, scene.edited(name, value).image(size)).sum() >= MIN_PIXELS
            for value in values
            if value != scene.attributes[name]
        )
        for name, values in zip(ATTRIBUTES, VALUES, strict=True)
    )


def load_legible(split: str, count: int, folder: Path) -> np.ndarray:
    """bool [count, A] for the first scenes of a split; rendered on all cores unless `folder` already has the file."""
    path = corpus_folder(split, count, SIZE, folder) / "legible.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            rows: Sequence[tuple[bool, ...]] = list(pool.map(_legible, SPLITS[split][:count], chunksize=32))
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.array(rows))
        partial.replace(path)
    stored: np.ndarray = np.load(path)
    return stored


def _legible(seed: int) -> tuple[bool, ...]:
    return legible(sample(seed))
