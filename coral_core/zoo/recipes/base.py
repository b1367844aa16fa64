"""The base class of recipes: networks, a training step, the networks that are exported, and their metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from coral_core.bundle.weights import load_state
from coral_core.precision import autocast
from coral_core.zoo.portraits.corpus import Corpus, load_corpus

TRAIN_SCENES, DEV_SCENES = 32768, 1024


@dataclass(frozen=True, kw_only=True)
class RecipeContext:
    """The folders, length and device of a training, for every recipe."""

    folder: Path  # of corpora and checkpoints
    weights: Path  # the bundle's folder: networks of other recipes are read from it, results are written to it
    steps: int  # optimisation steps of this training
    batch_size: int  # scenes per step
    device: torch.device

    def corpus(self, split: str, count: int) -> Corpus:
        """Rendered scenes of a split."""
        return load_corpus(split, count, self.folder / "corpus")


class Recipe(nn.Module, ABC):
    """Base class of recipes. Networks are submodules, so that the state_dict is the checkpoint."""

    default_steps: ClassVar[int]
    default_batch_size: ClassVar[int] = 64
    learning_rate: ClassVar[float] = 2e-3
    betas: ClassVar[tuple[float, float]] = (0.9, 0.99)
    weight_decay: ClassVar[float] = 0.01

    def __init__(self, context: RecipeContext) -> None:
        super().__init__()
        self.context = context
        self.train_corpus = context.corpus("train", TRAIN_SCENES)
        self.dev_corpus = context.corpus("dev", DEV_SCENES)
        self.build()
        self.to(context.device)
        self.to(memory_format=torch.channels_last)
        self.optimisers = self.make_optimisers()

    @abstractmethod
    def build(self) -> None:
        """Create the networks."""

    @abstractmethod
    def exports(self) -> Mapping[str, tuple[nn.Module, Any]]:
        """Part name -> (network, config), which are written into the bundle."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Quality on dev scenes by name; called in evaluation mode."""

    def train(self, mode: bool = True) -> Recipe:
        """Set the mode; networks without trainable parameters stay in evaluation mode."""
        super().train(mode)
        for network in self.children():
            if not any(parameter.requires_grad for parameter in network.parameters()):
                network.eval()
        return self

    def losses(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Loss terms of one batch by name: weighted scalars. For recipes with one optimiser."""
        raise NotImplementedError

    def make_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """One AdamW for all trainable parameters."""
        trained = [p for p in self.parameters() if p.requires_grad]
        rate, decay = self.learning_rate, self.weight_decay
        return {"main": torch.optim.AdamW(trained, lr=rate, betas=self.betas, weight_decay=decay)}

    def step(self, step: int, rng: np.random.Generator) -> dict[str, float]:
        """One optimisation step; returns the loss terms."""
        with autocast(self.context.device, "bfloat16"):
            terms = self.losses(rng)
        self.descend("main", torch.stack(list(terms.values())).sum(), step)
        return {name: term.item() for name, term in terms.items()}

    def descend(self, optimiser: str, loss: Tensor, step: int) -> None:
        """Backward and one update at the scheduled learning rate: 5 % warm-up, then half a cosine to zero."""
        chosen = self.optimisers[optimiser]
        for group in chosen.param_groups:
            group["lr"] = group.setdefault("peak", group["lr"]) * self.schedule(step / self.context.steps)
        chosen.zero_grad(set_to_none=True)
        loss.backward()
        trained = [p for group in chosen.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, 5.0)
        chosen.step()

    def schedule(self, progress: float) -> float:
        """Learning-rate factor at a progress in [0,1)."""
        return min(1.0, progress / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * progress))

    def warm_start(self) -> list[str]:
        """Load the weights of this recipe's networks that the bundle has; returns the names of these parts."""
        loaded = []
        for part, (network, _) in self.exports().items():
            path = self.context.weights / f"{part}.safetensors"
            if path.exists():
                load_state(path, network)
                loaded.append(part)
        return loaded
