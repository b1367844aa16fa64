"""An edit against its exact right answer: what it should change, and which values the output shows.

`wants` maps attributes to the values an edit asks for, `read` is what a judge reads off one output (Judge.read). A
rendered scene that lacks a wanted value is a case of the edit when its exact answer shows it and looks different.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from coral_core.zoo.portraits.domain import Scene
from coral_core.zoo.portraits.lexicon import check

Values = Mapping[str, str]
"""attribute -> value"""

CHANGE = 8
"""A pixel changed when one of its channels moved by more than this, in 1/255."""
LEAST_PIXELS = 8
"""An edit that changes fewer pixels than this cannot be seen, so it is not scored."""


def answer_of(scene: Scene, wants: Values) -> Scene:
    """The exact right answer: every wanted value set, all else as it was. Unknown names raise ValueError."""
    check(wants)
    return replace(scene, attributes={**scene.attributes, **wants})


def true_region(source: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Where two renders uint8 [..., H, W, 3] differ, bool [..., H, W]."""
    moved = np.abs(source.astype(np.int16) - answer.astype(np.int16)).max(axis=-1)
    changed: np.ndarray = moved > CHANGE
    return changed


def lacks(scene: Scene, wants: Values) -> bool:
    """Whether any wanted value is not there yet."""
    return any(scene.attributes[name] != value for name, value in wants.items())


def is_case(scene: Scene, wants: Values, size: int = 64) -> bool:
    """Whether the edit is scored on this scene: it lacks a wanted value, its answer at `size` px looks different, and
    every wanted value can be seen in it: nobody can tell a bald head from short hair under a beanie."""
    answer = answer_of(scene, wants)
    if not (lacks(scene, wants) and set(wants) <= answer.visible()):
        return False
    return int(true_region(scene.image(size), answer.image(size)).sum()) >= LEAST_PIXELS


def succeeded(read: Values, wants: Values) -> bool:
    """Whether every wanted value is seen in the output."""
    return all(read[name] == value for name, value in wants.items())


def bystanders(scene: Scene, wants: Values) -> tuple[str, ...]:
    """The attributes that must stay: visible in the scene and in the answer, and not asked for."""
    seen = scene.visible() & answer_of(scene, wants).visible()
    return tuple(name for name in scene.attributes if name in seen and name not in wants)


def unchanged(read: Values, scene: Scene, wants: Values) -> float:
    """Share of the bystanders that the output shows with the value the source has in truth, 0 to 1."""
    names = bystanders(scene, wants)
    return sum(read[name] == scene.attributes[name] for name in names) / len(names)


def success_rate(reads: Sequence[Values], wants: Values) -> float:
    """Mean of `succeeded` over one output per case. ValueError without any."""
    return _mean([float(succeeded(read, wants)) for read in reads])


def unchanged_rate(reads: Sequence[Values], scenes: Sequence[Scene], wants: Values) -> float:
    """Mean of `unchanged` over one output per case, in the order of the source scenes. ValueError without any."""
    return _mean([unchanged(read, scene, wants) for read, scene in zip(reads, scenes, strict=True)])


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("nothing to average: no scene is a case of this edit; give more scenes")
    return sum(values) / len(values)
