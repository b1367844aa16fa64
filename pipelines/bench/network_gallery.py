"""A picture for each kind of embedded network, in addition to its figures.

It shows outputs of the network for held-out scenes or, for a network without image output, its training data.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from coral_core.bundle.models import Models, load_models
from coral_core.inversion import invert
from coral_core.types import Inversion, Prompt, SampleRng
from coral_core.zoo.portraits.domain import SEGMENTS, SPLITS, Scene, sample
from coral_core.zoo.recipes.augment import degrade
from coral_core.zoo.recipes.identity import render_views
from pipelines.bench.latent_search import guided, latent_std, refined
from tasks.images.contact_sheet import contact_sheet
from tasks.images.encode import encode
from tasks.images.tensors import tensor_of, to_pixels

COLUMNS, ZOOM = 8, 2
POOL = 512  # scenes in which nearest neighbours are searched
GUIDE_STEPS, REFINE_STEPS = 100, 50
GUIDED_TO = ("a person with pink hair", "a person wearing a top hat", "a person who is smiling")

Rows = Sequence[Sequence[np.ndarray]]


def write_gallery(bundle: str, folder: Path) -> Iterator[Path]:
    """Write one PNG per kind of network. Each path is yielded after its file is written."""
    models = load_models(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows_of in NETWORKS.items():
        path = folder / f"{name}.png"
        path.write_bytes(encode(contact_sheet(rows_of(models), ZOOM), "png"))
        yield path


def scenes(count: int = COLUMNS) -> list[Scene]:
    """The first held-out scenes."""
    return [sample(seed) for seed in SPLITS["dev"][:count]]


def inverted(models: Models, count: int) -> Inversion:
    """Inversions of the first held-out scenes."""
    images = tensor_of([scene.image(models.image_size) for scene in scenes(count)])
    return invert(models, [""] * count, images)


@torch.no_grad()
def of_generator(models: Models) -> Rows:
    """Random samples."""
    rng = SampleRng(tuple(f"sample-{index}" for index in range(4 * COLUMNS)))
    images = models.generator.render(models.generator.styles(models.generator.map(rng.randn(models.generator.z_dim))))
    return rows(to_pixels(images.clamp(-1, 1)))


def of_encoder(models: Models) -> Rows:
    """Rendered scenes, their inversions, and the inversions after optimisation."""
    found = inverted(models, COLUMNS)
    best = refined(models, found, latent_std(found), REFINE_STEPS)
    return [list(to_pixels(images)) for images in (found.image_BCHW, found.recon_BCHW, best)]


@torch.no_grad()
def of_segmenter(models: Models) -> Rows:
    """Rendered scenes, their true segments if the network has the same segments, and the predicted segments."""
    images, labels = zip(*(scene.render(models.image_size) for scene in scenes()), strict=True)
    found = models.segmenter(tensor_of(images)).argmax(1).numpy()
    hues = np.array([colorsys.hsv_to_rgb(k / 12, 0.7, 0.9) for k in range(12)])
    palette = (255 * np.vstack([[0.9] * 3, hues])).astype(np.uint8)
    shown = (labels, found) if tuple(models.segmenter.segments) == SEGMENTS else (found,)
    return [list(images), *([palette[one] for one in part] for part in shown)]


def of_clip(models: Models) -> Rows:
    """Inversions, then the results of CLIP guidance alone, one row per text."""
    found = inverted(models, COLUMNS)
    moved = (guided(models, found, Prompt(text), latent_std(found), GUIDE_STEPS) for text in GUIDED_TO)
    return [list(to_pixels(images)) for images in (found.recon_BCHW, *moved)]


@torch.no_grad()
def of_perceptual(models: Models) -> Rows:
    """A rendered scene, then its nearest neighbours of POOL scenes, one row per scene."""
    pixels = np.stack([scene.image(models.image_size) for scene in scenes(POOL)])
    features = torch.cat([layer.flatten(1) for layer in models.perceptual(tensor_of(list(pixels)))], dim=1)
    nearest = torch.cdist(features[:3], features).argsort(1)[:, :COLUMNS]
    return [list(pixels[row.numpy()]) for row in nearest]


def of_identity(models: Models) -> Rows:
    """Training images that the network must map to the same person, one row per person."""
    size = models.image_size
    views = [render_views(seed)[:, :size, :size] for seed in SPLITS["dev"][:4]]
    return [list(view) for view in views]


def of_judge(models: Models) -> Rows:
    """Rendered scenes, and the degraded ones that both judges are trained with."""
    images = tensor_of([scene.image(models.image_size) for scene in scenes()])
    return [list(to_pixels(part)) for part in (images, degrade(images, np.random.default_rng(0)))]


def rows(pixels_NHWC: np.ndarray) -> Rows:
    """The images in rows of COLUMNS."""
    return [list(pixels_NHWC[start : start + COLUMNS]) for start in range(0, len(pixels_NHWC), COLUMNS)]


NETWORKS: Mapping[str, Callable[[Models], Rows]] = {
    "generator": of_generator,
    "encoder": of_encoder,
    "segmenter": of_segmenter,
    "clip": of_clip,
    "perceptual": of_perceptual,
    "identity": of_identity,
    "judge": of_judge,
}
