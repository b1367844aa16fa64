"""Recipes of the two judges, which measure edits.

They are trained with blur, noise and JPEG for robustness, and never on edits, so that no method has an advantage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from coral_core.zoo.measure.judge import Judge, JudgeConfig
from coral_core.zoo.measure.second_judge import SecondJudge, SecondJudgeConfig
from coral_core.zoo.portraits.attributes import AttributeReader, attribute_accuracy, attribute_loss
from coral_core.zoo.recipes.augment import degrade
from coral_core.zoo.recipes.base import Recipe
from coral_core.zoo.recipes.classifiers import summarise


class ReaderRecipe(Recipe):
    """Cross-entropy on the visible attributes of degraded renders."""

    network: AttributeReader

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.train_corpus.draw(rng, self.context.batch_size).to(self.context.device)
        return {"attributes": attribute_loss(self.network(degrade(batch.image_BCHW, rng)), batch)}

    def metrics(self) -> dict[str, float]:
        batch = self.dev_corpus.take(slice(None)).to(self.context.device)
        return summarise(attribute_accuracy(self.network(batch.image_BCHW), batch))


class JudgeRecipe(ReaderRecipe):
    """The judge that decides the success of edits."""

    default_steps = 450

    def build(self) -> None:
        self.config = JudgeConfig()
        self.network = Judge(self.config)

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"judge": (self.network, self.config)}


class SecondJudgeRecipe(ReaderRecipe):
    """The second judge, another network. Train it with another seed as well, for another order of the scenes."""

    default_steps = 1500

    def build(self) -> None:
        self.config = SecondJudgeConfig()
        self.network = SecondJudge(self.config)

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"judge2": (self.network, self.config)}
