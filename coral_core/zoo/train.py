"""Training of the embedded networks: seeded, resumable, warm-started from the weights in the bundle.

A checkpoint holds every network and optimiser and the number of steps done; the batch of a step depends on the seed
and the step only, so a training that was killed gives the same weights when it is resumed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.weights import save_weights
from coral_core.zoo.recipes import RECIPES
from coral_core.zoo.recipes.base import Recipe, RecipeContext

TrainingState = tuple[int, list[tuple[int, float]], list[float]]
"""Steps done, the points of the loss curve, and the losses since the last point."""
CURVE_FILE, CURVE_POINTS = "losses.jsonl", 40
"""The file of the loss curve, and its number of points: each is the mean loss of the steps since the last point."""
Progress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length, seed and folders of a training."""

    steps: int | None = None  # optimisation steps; None: the recipe's default
    batch_size: int | None = None  # scenes per step; None: the recipe's default
    seed: int = 0  # of initial weights and batches
    warm_start: bool = True  # start from the shipped weights instead of random ones
    device: str = "cpu"  # torch device
    folder: Path = field(default_factory=lambda: Path("runs/zoo"))  # corpora, checkpoints and loss curves
    weights: Path = BUNDLES["portraits"]  # the bundle's folder
    checkpoint_every: int = 200  # steps


@dataclass(frozen=True)
class TrainReport:
    """The result of a training."""

    name: str
    steps: int
    seconds: float  # wall-clock time of this call, which is the last part of a resumed training
    metrics: Mapping[str, float]
    files: tuple[Path, ...]  # weight files that were written


def train(name: str, config: TrainConfig, progress: Progress | None = None) -> TrainReport:
    """Train one recipe to the end and write its weight files. ValueError for an unknown name, with the known ones."""
    recipe_class = find_recipe(name)
    started = time.monotonic()
    torch.manual_seed(config.seed)
    recipe = _build_recipe(recipe_class, config)
    run_folder = config.folder / name
    loaded_parts = recipe.warm_start() if config.warm_start else []
    settings = {
        "steps": recipe.context.steps,
        "batch_size": recipe.context.batch_size,
        "seed": config.seed,
        "warm_started": loaded_parts,
    }
    done, curve, recent = _resume(recipe, run_folder / "checkpoint.pt", settings)
    for step in range(done, recipe.context.steps):
        recipe.train()
        terms = recipe.step(step, np.random.default_rng((config.seed, step)))
        recent.append(sum(terms.values()))
        if progress is not None:
            progress(step + 1, recipe.context.steps, terms)
        if (step + 1) % max(1, recipe.context.steps // CURVE_POINTS) == 0:
            curve.append((step + 1, sum(recent) / len(recent)))
            recent.clear()
        if (step + 1) % config.checkpoint_every == 0:
            metadata = {**settings, "step": step + 1, "curve": curve, "recent": recent}
            _checkpoint(recipe, run_folder / "checkpoint.pt", metadata)
    seconds = time.monotonic() - started
    metrics = _measure(recipe)
    files = _export(recipe, config.weights, {"name": name, **settings}, metrics)
    _write_curve(run_folder / CURVE_FILE, curve)
    (run_folder / "checkpoint.pt").unlink(missing_ok=True)
    return TrainReport(name, recipe.context.steps, seconds, metrics, files)


def _build_recipe(recipe_class: type[Recipe], config: TrainConfig) -> Recipe:
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
    recipe: Recipe, folder: Path, metadata: Mapping[str, object], metrics: Mapping[str, float]
) -> tuple[Path, ...]:
    files = []
    for part, (network, sizes) in recipe.exports().items():
        path = folder / f"{part}.safetensors"
        save_weights(path, part, network, config=sizes, recipe=metadata, metrics=metrics)
        files.append(path)
    return tuple(files)


def _checkpoint(recipe: Recipe, path: Path, metadata: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    optimisers = {name: optimiser.state_dict() for name, optimiser in recipe.optimisers.items()}
    state = {**metadata, "networks": recipe.state_dict(), "optimisers": optimisers}
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(recipe: Recipe, path: Path, settings: Mapping[str, object]) -> TrainingState:
    """Load the checkpoint, if there is one of the same training (steps, batch size, seed and warm start)."""
    if not path.exists():
        return 0, [], []
    stored = torch.load(path, map_location=recipe.context.device, weights_only=True)
    if any(stored.get(key) != value for key, value in settings.items()):
        return 0, [], []
    recipe.load_state_dict(stored["networks"])
    for name, optimiser in recipe.optimisers.items():
        optimiser.load_state_dict(stored["optimisers"][name])
    return int(stored["step"]), stored.get("curve", []), stored.get("recent", [])


def _write_curve(path: Path, curve: Sequence[tuple[int, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps([step, round(loss, 5)]) + "\n" for step, loss in curve), encoding="utf-8")


def read_curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, mean loss of the steps since the last point) of the last finished training in a folder.

    Errors: ValueError for an unknown name, and without a finished training.
    """
    find_recipe(name)
    path = folder / name / CURVE_FILE
    if not path.exists():
        raise ValueError(f"no training of {name} has ended in {folder}; run `coral zoo train {name}`")
    return [(step, loss) for step, loss in map(json.loads, path.read_text(encoding="utf-8").splitlines())]


def find_recipe(name: str) -> type[Recipe]:
    """The recipe of a network. ValueError for an unknown name, with the known ones."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]
