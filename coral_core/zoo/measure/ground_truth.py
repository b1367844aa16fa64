"""An edit compared with its exact answer: the true region, and the attribute values in the output.

`wants` maps attributes to the values that an edit asks for; `read` holds the values that a judge recognises in one
output (Judge.read). A scene without a wanted value is a case of the edit when the value is visible in its exact answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from coral_core.zoo.portraits.domain import Scene
from coral_core.zoo.portraits.lexicon import check_attributes

Values = Mapping[str, str]
"""attribute -> value"""

CHANGE_THRESHOLD = 8
"""A pixel has changed when one of its channels differs by more than this, of 255."""
MIN_PIXELS = 8
"""An edit whose exact answer changes fewer pixels than this is not scored, because it is not visible."""


def answer_of(scene: Scene, wants: Values) -> Scene:
    """The exact answer: the scene with every wanted value set. ValueError for unknown names."""
    check_attributes(wants)
    return replace(scene, attributes={**scene.attributes, **wants})


def true_region(source: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The pixels at which two renders uint8 [..., H, W, 3] differ, bool [..., H, W]."""
    difference = np.abs(source.astype(np.int16) - answer.astype(np.int16)).max(axis=-1)
    changed: np.ndarray = difference > CHANGE_THRESHOLD
    return changed


def lacks(scene: Scene, wants: Values) -> bool:
    """Whether the scene does not have all wanted values."""
    return any(scene.attributes[name] != value for name, value in wants.items())


def is_case(scene: Scene, wants: Values, size: int = 64) -> bool:
    """Whether the edit is scored on this scene: a wanted value is missing, the exact answer at `size` px differs, and
    every wanted value is visible in it (a bald head and short hair under a beanie look the same)."""
    answer = answer_of(scene, wants)
    if not (lacks(scene, wants) and set(wants) <= answer.visible()):
        return False
    return int(true_region(scene.image(size), answer.image(size)).sum()) >= MIN_PIXELS


def succeeded(read: Values, wants: Values) -> bool:
    """Whether every wanted value was recognised in the output."""
    return all(read[name] == value for name, value in wants.items())


def preserved_attributes(scene: Scene, wants: Values) -> tuple[str, ...]:
    """The attributes that an edit must not change: visible in the scene and in the answer, and not in `wants`."""
    seen = scene.visible() & answer_of(scene, wants).visible()
    return tuple(name for name in scene.attributes if name in seen and name not in wants)


def unchanged(read: Values, scene: Scene, wants: Values) -> float:
    """Share of the preserved attributes whose value in the output is the true value of the source, 0 to 1."""
    names = preserved_attributes(scene, wants)
    return sum(read[name] == scene.attributes[name] for name in names) / len(names)


def success_rate(reads: Sequence[Values], wants: Values) -> float:
    """Mean of `succeeded` over one output per case, 0 to 1. ValueError without cases."""
    return _mean([float(succeeded(read, wants)) for read in reads])


def unchanged_rate(reads: Sequence[Values], scenes: Sequence[Scene], wants: Values) -> float:
    """Mean of `unchanged` over one output per case, in the order of the scenes, 0 to 1. ValueError without cases."""
    return _mean([unchanged(read, scene, wants) for read, scene in zip(reads, scenes, strict=True)])


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("nothing to average: no scene is a case of this edit; give more scenes")
    return sum(values) / len(values)
