"""Recipes of the perceptual network and the segmenter, which are trained on the ground truth of scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.nets.perceptual import Perceptual, PerceptualConfig
from coral_core.nets.segmenter import Segmenter, SegmenterConfig
from coral_core.zoo.portraits.attributes import AttributeHead, attribute_accuracy, attribute_loss
from coral_core.zoo.portraits.domain import SEGMENTS
from coral_core.zoo.recipes.augment import degrade
from coral_core.zoo.recipes.base import Recipe


class PerceptualRecipe(Recipe):
    """Features trained to classify attributes and segments, so that distances weight small features such as eyes."""

    default_steps = 600

    def build(self) -> None:
        self.config = PerceptualConfig()
        self.network = Perceptual(self.config)
        self.head = AttributeHead(self.config.widths[-1], 64 // 2 ** (len(self.config.widths) - 1))
        self.segment = nn.Conv2d(self.config.widths[1], len(SEGMENTS), 1)

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.train_corpus.draw(rng, self.context.batch_size).to(self.context.device)
        maps = self.network.body(degrade(batch.image_BCHW, rng))
        segments = F.interpolate(self.segment(maps[1]).float(), scale_factor=2, mode="bilinear")
        return {
            "attributes": attribute_loss(self.head(maps[-1]), batch),
            "segments": 0.5 * F.cross_entropy(segments, batch.labels_BHW),
        }

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"perceptual": (self.network, self.config)}

    def metrics(self) -> dict[str, float]:
        batch = self.dev_corpus.take(slice(None)).to(self.context.device)
        return summarise(attribute_accuracy(self.head(self.network.body(batch.image_BCHW)[-1]), batch))


class SegmenterRecipe(Recipe):
    """Cross-entropy on the exact label map."""

    default_steps = 200

    def build(self) -> None:
        self.config = SegmenterConfig(segments=SEGMENTS)
        self.network = Segmenter(self.config)

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.train_corpus.draw(rng, self.context.batch_size).to(self.context.device)
        logits = self.network(degrade(batch.image_BCHW, rng))
        return {"segments": F.cross_entropy(logits, batch.labels_BHW)}

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"segmenter": (self.network, self.config)}

    def metrics(self) -> dict[str, float]:
        batch = self.dev_corpus.take(slice(None)).to(self.context.device)
        found = torch.cat([self.network(part).argmax(1) for part in batch.image_BCHW.split(128)])
        return mean_iou(found, batch.labels_BHW)


def mean_iou(found_BHW: Tensor, truth_BHW: Tensor) -> dict[str, float]:
    """Intersection over union per segment, pooled over the batch, and their mean."""
    scores = {}
    for index, name in enumerate(SEGMENTS):
        both = ((found_BHW == index) & (truth_BHW == index)).sum().item()
        either = ((found_BHW == index) | (truth_BHW == index)).sum().item()
        scores[name] = both / max(either, 1)
    return {"mean_iou": sum(scores.values()) / len(scores), **scores}


def summarise(accuracy: Mapping[str, float]) -> dict[str, float]:
    """The mean and the worst accuracy, then that of every attribute."""
    return {"mean": sum(accuracy.values()) / len(accuracy), "worst": min(accuracy.values()), **accuracy}
