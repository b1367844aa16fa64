"""Training of the embedded networks: seeded, resumable, warm-started from what the bundle ships.

A checkpoint holds every network and optimiser and the number of steps done; the batch of a step depends on the seed
and the step alone, so a training that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from coral_core.weights import save_weights
from coral_core.zoo.catalog import BUNDLES
from coral_core.zoo.recipes import RECIPES
from coral_core.zoo.recipes.base import Recipe, RecipeContext

CURVE = "losses.jsonl"
Progress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and where to train; None takes the recipe's own number."""

    steps: int | None = None  # optimisation steps
    batch_size: int | None = None  # scenes per step
    seed: int = 0  # of initial weights and batches
    warm_start: bool = True  # begin from the shipped weights instead of random ones
    device: str = "cpu"  # torch device
    folder: Path = field(default_factory=lambda: Path("runs/zoo"))  # corpora, checkpoints and loss curves
    weights: Path = BUNDLES["portraits"]  # the bundle's folder
    checkpoint_every: int = 200  # steps


@dataclass(frozen=True)
class TrainReport:
    """What a training did."""

    name: str
    steps: int
    seconds: float  # of this call; a resumed training counts its last part
    metrics: Mapping[str, float]
    files: tuple[Path, ...]


def train(name: str, config: TrainConfig, progress: Progress | None = None) -> TrainReport:
    """Train one recipe to the end and write its weight files; ValueError lists the recipes."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; the recipes are {', '.join(RECIPES)}")
    started = time.monotonic()
    torch.manual_seed(config.seed)
    recipe = _make(RECIPES[name], config)
    place = config.folder / name
    warm = recipe.warm_start() if config.warm_start else []
    identity = {
        "steps": recipe.context.steps,
        "batch_size": recipe.context.batch_size,
        "seed": config.seed,
        "warm_started": warm,
    }
    done = _resume(recipe, place / "checkpoint.pt", identity)
    if done == 0:
        (place / CURVE).unlink(missing_ok=True)
    recent: list[Mapping[str, float]] = []
    for step in range(done, recipe.context.steps):
        recipe.train()
        terms = recipe.step(step, np.random.default_rng((config.seed, step)))
        recent.append(terms)
        if progress is not None:
            progress(step + 1, recipe.context.steps, terms)
        if (step + 1) % config.checkpoint_every == 0:
            _checkpoint(recipe, place / "checkpoint.pt", identity, step + 1)
            _log(place / CURVE, step + 1, recent)
            recent.clear()
    seconds = time.monotonic() - started
    metrics = _measure(recipe)
    files = _export(recipe, config.weights, {"name": name, **identity}, metrics)
    (place / "checkpoint.pt").unlink(missing_ok=True)
    return TrainReport(name, recipe.context.steps, seconds, metrics, files)


def _make(recipe_class: type[Recipe], config: TrainConfig) -> Recipe:
    context = RecipeContext(
        folder=config.folder,
        weights=config.weights,
        steps=config.steps or recipe_class.default_steps,
        batch_size=config.batch_size or recipe_class.default_batch_size,
        device=torch.device(config.device),
    )
    return recipe_class(context)


@torch.no_grad()
def _measure(recipe: Recipe) -> dict[str, float]:
    recipe.eval()
    return {key: round(value, 4) for key, value in recipe.metrics().items()}


def _export(
    recipe: Recipe, folder: Path, notes: Mapping[str, object], metrics: Mapping[str, float]
) -> tuple[Path, ...]:
    files = []
    for part, (network, sizes) in recipe.exports().items():
        path = folder / f"{part}.safetensors"
        save_weights(path, part, network, config=sizes, recipe=notes, metrics=metrics)
        files.append(path)
    return tuple(files)


def _checkpoint(recipe: Recipe, path: Path, identity: Mapping[str, object], step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    optimisers = {name: optimiser.state_dict() for name, optimiser in recipe.optimisers.items()}
    state = {"step": step, **identity, "networks": recipe.state_dict(), "optimisers": optimisers}
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(recipe: Recipe, path: Path, identity: Mapping[str, object]) -> int:
    """Steps already done; the checkpoint of another training (length, batch, seed, start) is not continued."""
    if not path.exists():
        return 0
    stored = torch.load(path, map_location=recipe.context.device, weights_only=True)
    if any(stored.get(key) != value for key, value in identity.items()):
        return 0
    recipe.load_state_dict(stored["networks"])
    for name, optimiser in recipe.optimisers.items():
        optimiser.load_state_dict(stored["optimisers"][name])
    return int(stored["step"])


def _log(path: Path, step: int, recent: Sequence[Mapping[str, float]]) -> None:
    """Every term's mean over the steps since the last line."""
    means = {name: round(sum(terms[name] for terms in recent) / len(recent), 5) for name in recent[0]}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **means}) + "\n")


def read_curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, mean loss of the steps before it) of the last training in a folder. FileNotFoundError without one."""
    lines = (folder / name / CURVE).read_text(encoding="utf-8").splitlines()
    return [(entry.pop("step"), sum(entry.values())) for entry in map(json.loads, lines)]
