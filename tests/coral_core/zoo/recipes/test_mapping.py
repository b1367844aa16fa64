"""The shipped generator renders the scene whose code is z."""

from __future__ import annotations

import numpy as np
import torch

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.models import load_network
from coral_core.zoo.measure.judge import load_judge
from coral_core.zoo.portraits.corpus import ATTRIBUTES
from coral_core.zoo.portraits.domain import SPLITS, sample
from coral_core.zoo.recipes.latent_code import code_numbers
from coral_core.zoo.recipes.mapping import sliced_distance

SCENES = [sample(seed) for seed in SPLITS["dev"][5000:5064]]


@torch.no_grad()
def test_the_generator_renders_a_code_with_the_values_of_its_scene() -> None:
    generator = load_network(BUNDLES["portraits"] / "generator.safetensors", "generator")
    numbers = np.stack([scene.numbers() for scene in SCENES])
    z = code_numbers(numbers, generator.z_dim, np.random.default_rng(0))  # type: ignore[arg-type]
    images = generator.render(generator.styles(generator.map(z))).clamp(-1, 1)  # type: ignore[operator]
    pairs = [
        (read[name], scene.attributes[name])
        for scene, read in zip(SCENES, load_judge().read(images), strict=True)
        for name in ATTRIBUTES
        if name in scene.visible()
    ]
    assert sum(found == wanted for found, wanted in pairs) / len(pairs) > 0.93


def test_the_sliced_distance_of_a_shift_is_its_mean_projection() -> None:
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
    assert sliced_distance(points, points.flip(0)) < 1e-6
    shift = torch.tensor([2.0, 0.0, 0.0])
    mean_projection = 2.0 * 0.5  # E|cos| of a random direction in three dimensions is one half
    assert abs(sliced_distance(points, points + shift, 4096).item() - mean_projection) < 0.03
