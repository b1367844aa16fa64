from __future__ import annotations

from pathlib import Path

import numpy as np

from coral_core.zoo.measure.legibility import legible, load_legible
from coral_core.zoo.portraits.corpus import ATTRIBUTES
from coral_core.zoo.portraits.domain import SPLITS, sample

SCENES = [sample(seed) for seed in SPLITS["dev"][:12]]


def test_only_visible_attributes_are_legible_and_large_ones_always() -> None:
    for scene in SCENES:
        read = {name for name, is_legible in zip(ATTRIBUTES, legible(scene), strict=True) if is_legible}
        assert read <= scene.visible()
        assert {"background", "skin_tone", "glasses", "hat"} <= read


def test_an_attribute_too_small_to_see_is_not_legible() -> None:
    scene = SCENES[0].edited("glasses", "none").edited("eyes", "open")
    eye_color = ATTRIBUTES.index("eye_color")
    assert legible(scene, 64)[eye_color]
    assert not legible(scene, 8)[eye_color]


def test_the_stored_table_is_the_computed_one(tmp_path: Path) -> None:
    table = load_legible("dev", 3, tmp_path)
    assert np.array_equal(table, np.array([legible(scene) for scene in SCENES[:3]]))
    assert np.array_equal(load_legible("dev", 3, tmp_path), table)
