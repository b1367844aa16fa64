"""The recipe of the identity network: the same face with other hair, hat, glasses, expression, clothes, pose and light.

The loss classifies which view of a batch shows the same person: a softmax over cosines with CosFace's additive margin
(Wang et al. 2018), over the persons of the batch instead of learned class centres.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.identity import Identity, IdentityConfig
from coral_core.zoo.portraits.corpus import drawing_digest, to_images
from coral_core.zoo.portraits.domain import SPLITS, Scene, sample
from coral_core.zoo.recipes.augment import degrade
from coral_core.zoo.recipes.base import Recipe

PERSON_ATTRIBUTES = ("skin_tone", "face_shape", "eye_color", "nose", "brows")
"""Attributes that belong to the person; all others may differ between two views."""
PERSONS, DEV_PERSONS, VIEWS = 4096, 256, 4
SCALE, MARGIN = 16.0, 0.2


class IdentityRecipe(Recipe):
    """Contrastive loss of two views of each person in a batch."""

    default_steps = 200
    default_batch_size = 128

    def build(self) -> None:
        self.config = IdentityConfig()
        self.network = Identity(self.config)
        folder = self.context.folder / "corpus"
        self.views_PVHWC = load_views("train", PERSONS, folder)
        self.dev_views_PVHWC = load_views("dev", DEV_PERSONS, folder)

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        persons = rng.choice(len(self.views_PVHWC), self.context.batch_size // 2, replace=False)
        pair = np.stack([rng.choice(VIEWS, 2, replace=False) for _ in persons], axis=1)
        first, second = (to_images(self.views_PVHWC[persons, view]).to(self.context.device) for view in pair)
        both_2BI = self.network(degrade(torch.cat([first, second]), rng))
        cosine_BB = torch.mm(*(half if i == 0 else half.T for i, half in enumerate(both_2BI.chunk(2))))
        logits = SCALE * (cosine_BB - MARGIN * torch.eye(len(cosine_BB), device=cosine_BB.device))
        truth = torch.arange(len(logits), device=logits.device)
        return {"rows": F.cross_entropy(logits, truth), "columns": F.cross_entropy(logits.T, truth)}

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"identity": (self.network, self.config)}

    def metrics(self) -> dict[str, float]:
        views = [to_images(self.dev_views_PVHWC[:, view]).to(self.context.device) for view in range(2)]
        first, second = (self.network(view) for view in views)
        return {"verification_auc": verification_auc(first @ second.T)}


def verification_auc(cosine_PP: Tensor) -> float:
    """Probability that two views of one person are nearer than views of two persons (area under the ROC curve)."""
    same = cosine_PP.diagonal()
    other = cosine_PP[~torch.eye(len(cosine_PP), dtype=torch.bool, device=cosine_PP.device)]
    return (same[:, None] > other[None]).float().mean().item()


def load_views(split: str, persons: int, folder: Path) -> np.ndarray:
    """uint8 [persons, VIEWS, 64, 64, 3]; rendered unless `folder` already has the file."""
    path = folder / f"views-{split}-{persons}-{drawing_digest(64)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            views = np.stack(list(pool.map(render_views, SPLITS[split][:persons], chunksize=64)))
        temporary = path.with_suffix(".tmp.npy")
        np.save(temporary, views)
        temporary.replace(path)
    stored: np.ndarray = np.load(path, mmap_mode="r")
    return stored


def render_views(seed: int) -> np.ndarray:
    """VIEWS views of the person of a seed, uint8 [VIEWS, 64, 64, 3]."""
    return np.stack([view_of(sample(seed), sample(seed + 50_000 * (1 + view))).image() for view in range(VIEWS)])


def view_of(person: Scene, setting: Scene) -> Scene:
    """The person's face with the hair, clothes, pose and light of the scene `setting`."""
    kept = {name: person.attributes[name] for name in PERSON_ATTRIBUTES}
    face = person.nuisance
    tints = {**setting.nuisance.tints, "skin": face.tints["skin"], "iris": face.tints["iris"]}
    nuisance = replace(
        setting.nuisance, width=face.width, height=face.height, eye_spacing=face.eye_spacing, tints=tints
    )
    return replace(setting, attributes={**setting.attributes, **kept}, nuisance=nuisance)
