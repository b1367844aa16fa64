"""Training of the second judge: the first one's task and images, another network and other initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from coral_core.zoo.recipes.classifiers import JudgeRecipe
from coral_core.zoo.second_judge import SecondJudge, SecondJudgeConfig


class SecondJudgeRecipe(JudgeRecipe):
    """Differs in the network and in the learning rate that suits it."""

    default_steps = 1500

    def build(self) -> None:
        self.second_config = SecondJudgeConfig()
        self.network = SecondJudge(self.second_config)

    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        return {"judge2": (self.network, self.second_config)}
