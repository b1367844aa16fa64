"""What edits of latents can reach at best: edits that use the exact answers, for comparison with the methods.

- `oracle` renders the encoder's latent of each exact answer: what encoder and generator can show of it.
- `oracle-affine` adds a delta that is an affine function of w, the mean of the latent over the layers. It is fitted by
  ridge regression to pairs of scene and exact answer from the training range of seeds.
- `oracle-direction` adds the mean of the pairs' deltas, which is the same for all images.

A delta is added to all layers of W+. The mask of each is the true region.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from coral_core.bundle.models import Models
from coral_core.editors.latent.regression import ridge
from coral_core.losses import layer_areas
from coral_core.types import Edit
from coral_core.zoo.measure.ground_truth import Values, answer_of, is_case
from coral_core.zoo.portraits.domain import SPLITS, Scene, sample
from pipelines.bench.cases import BATCH, Cases
from pipelines.bench.outcome import BASELINES
from tasks.images.tensors import tensor_of

PAIRS = 160
"""Pairs of scene and exact answer for a prompt."""
RIDGE = 0.036
"""Weight of the ridge, relative to the mean variance of a coordinate of w. Chosen on the dev prompts."""

PAIRED = ("oracle-direction", "oracle-affine")
"""The oracles that need pairs."""
ORACLES = (*PAIRED, "oracle")
REFERENCES = frozenset({*BASELINES, *ORACLES})
"""The rows of the benchmark that are no methods."""


@dataclass(frozen=True)
class Pairs:
    """The latents of N scenes, averaged over the layers, and their differences to the latents of the exact answers."""

    w_ND: Tensor
    delta_ND: Tensor

    def direction(self) -> Tensor:
        """The mean delta, [D]."""
        return self.delta_ND.mean(0)

    def affine(self, w_BD: Tensor, weight: float = RIDGE) -> Tensor:
        """The delta of each w by ridge regression with an intercept, [B,D]; computed in float64."""
        w_ND, delta_ND = self.w_ND.double(), self.delta_ND.double()
        slope_DD = ridge(w_ND - w_ND.mean(0), delta_ND - delta_ND.mean(0), weight)
        return (delta_ND.mean(0) + (w_BD.double() - w_ND.mean(0)) @ slope_DD).to(w_BD)


class Oracles:
    """The oracles of one process; the pairs of each prompt are rendered and encoded once."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._pairs: dict[tuple[tuple[str, str], ...], Pairs] = {}

    @torch.no_grad()
    def edit(self, name: str, cases: Cases) -> Edit:
        """The edit of all cases by an oracle of ORACLES. ValueError for another name."""
        ws_NLD = self._latents(name, cases)
        generator = self.models.generator
        parts = [generator.render(generator.styles(part)).clamp(-1, 1) for part in ws_NLD.split(BATCH)]
        mask_N1HW = torch.from_numpy(cases.regions_NHW)[:, None].to(ws_NLD)
        return Edit(torch.cat(parts), mask_N1HW, layer_areas((mask_N1HW,)))

    def _latents(self, name: str, cases: Cases) -> Tensor:
        ws_NLD = cases.inversion.ws_BLD
        if name == "oracle":
            return latents_of(self.models, list(cases.answers_NHWC))
        if name == "oracle-direction":
            return ws_NLD + self.pairs(cases.wants).direction()
        if name == "oracle-affine":
            return ws_NLD + self.pairs(cases.wants).affine(ws_NLD.mean(1))[:, None]
        raise ValueError(f"no oracle {name!r}; choose one of {', '.join(ORACLES)}")

    def pairs(self, wants: Values) -> Pairs:
        """The pairs of an edit, which must apply to some scenes: else the search for them does not end."""
        key = tuple(sorted(wants.items()))
        if key not in self._pairs:
            scenes = list(islice(training_scenes(wants, self.models.image_size), PAIRS))
            self._pairs[key] = make_pairs(self.models, scenes, wants)
        return self._pairs[key]


def training_scenes(wants: Values, size: int) -> Iterator[Scene]:
    """Scenes of the training range that the edit applies to, drawn at random, the same in every call; without end."""
    rng = random.Random("oracles")
    while True:
        scene = sample(rng.choice(SPLITS["train"]))
        if is_case(scene, wants, size):
            yield scene


def make_pairs(models: Models, scenes: Sequence[Scene], wants: Values) -> Pairs:
    """Render the scenes and their exact answers, and encode both."""
    size = models.image_size
    w_ND = latents_of(models, [scene.image(size) for scene in scenes]).mean(1)
    answer_w_ND = latents_of(models, [answer_of(scene, wants).image(size) for scene in scenes]).mean(1)
    return Pairs(w_ND, answer_w_ND - w_ND)


@torch.no_grad()
def latents_of(models: Models, pixels: Sequence[np.ndarray]) -> Tensor:
    """The encoder's latents [N,L,D] of N images, uint8 [H,W,3] of the generator's size."""
    starts = range(0, len(pixels), BATCH)
    return torch.cat([models.encoder(tensor_of(pixels[i : i + BATCH]).to(models.device))[0] for i in starts])
