"""Training with a very small corpus: it can be killed, resumed and repeated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.weights import read_header
from coral_core.zoo.recipes import base
from coral_core.zoo.train import Progress, TrainConfig, read_curve, train


@pytest.fixture(scope="module", autouse=True)
def few_scenes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "TRAIN_SCENES", 64)
        patch.setattr(base, "DEV_SCENES", 32)
        yield


def config(folder: Path, **changes: object) -> TrainConfig:
    settings = {"steps": 4, "batch_size": 4, "folder": folder / "work", "weights": folder / "weights"}
    return TrainConfig(**{**settings, "checkpoint_every": 2, **changes})  # type: ignore[arg-type]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights" / "segmenter.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def stop_after(step: int) -> Progress:
    def progress(done: int, total: int, terms: object) -> None:
        if done > step:
            raise KeyboardInterrupt

    return progress


@dataclass(frozen=True)
class Trained:
    """A training of the segmenter that nothing disturbed."""

    folder: Path
    losses: list[float]  # of its steps


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, losses = tmp_path_factory.mktemp("calm"), list[float]()
    train("segmenter", config(folder), lambda step, steps, terms: losses.append(sum(terms.values())))
    return Trained(folder, losses)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same training, killed after half of its steps."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(KeyboardInterrupt):
        train("segmenter", config(folder), stop_after(2))
    return folder


@pytest.fixture(scope="module")
def resumed(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, after a training that went on."""
    folder = shutil.copytree(killed, tmp_path_factory.mktemp("resumed"), dirs_exist_ok=True)
    taken: list[int] = []
    train("segmenter", config(folder), lambda step, steps, terms: taken.append(step))
    assert taken == [3, 4]
    return folder


def test_a_killed_training_ends_in_the_weights_of_an_undisturbed_one(
    calm: Trained, killed: Path, resumed: Path
) -> None:
    assert not (killed / "weights").exists()
    assert same(weights(calm.folder), weights(resumed))


def test_a_second_training_starts_from_the_shipped_weights(calm: Trained, tmp_path: Path) -> None:
    shipped = weights(calm.folder)
    shutil.copytree(calm.folder / "weights", tmp_path / "weights")
    train("segmenter", config(tmp_path, steps=1))
    header = read_header(tmp_path / "weights" / "segmenter.safetensors")
    assert header.recipe["warm_started"] == ["segmenter"]
    assert 0 <= header.metrics["mean_iou"] <= 1
    kernels = [key for key in shipped if shipped[key].ndim == 4]
    moved = [(weights(tmp_path)[key].float() - shipped[key].float()).abs().max() for key in kernels]
    assert max(moved) < 0.01  # one step of AdamW; two random networks differ by far more


def test_an_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no recipe 'clop'; the recipes are perceptual, .*clip"):
        train("clop", config(tmp_path))


def test_the_checkpoint_of_another_seed_is_not_continued(calm: Trained, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("segmenter", config(tmp_path, seed=1), stop_after(2))
    train("segmenter", config(tmp_path))
    assert same(weights(calm.folder), weights(tmp_path))


def test_the_curve_of_a_killed_training_is_that_of_an_undisturbed_one(
    calm: Trained, killed: Path, resumed: Path
) -> None:
    assert read_curve(calm.folder / "work", "segmenter") == [
        (step, pytest.approx(loss, abs=1e-5)) for step, loss in enumerate(calm.losses, 1)
    ]
    with pytest.raises(ValueError, match=r"no training of segmenter has ended in .*coral zoo train segmenter"):
        read_curve(killed / "work", "segmenter")
    assert read_curve(resumed / "work", "segmenter") == read_curve(calm.folder / "work", "segmenter")


def test_a_curve_has_few_points_and_each_is_a_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coral_core.zoo.train.CURVE_POINTS", 2)
    seen: list[float] = []
    train("segmenter", config(tmp_path), lambda step, steps, terms: seen.append(sum(terms.values())))
    means = [(2, pytest.approx(sum(seen[:2]) / 2, abs=1e-5)), (4, pytest.approx(sum(seen[2:]) / 2, abs=1e-5))]
    assert read_curve(tmp_path / "work", "segmenter") == means


def test_the_mapping_learns_and_its_set_layers_stay(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    for part in ("generator", "encoder"):
        shutil.copy(BUNDLES["portraits"] / f"{part}.safetensors", folder)
    before = load_file(folder / "generator.safetensors")
    train("mapping", config(tmp_path, batch_size=64))
    after = load_file(folder / "generator.safetensors")
    moved = {key for key in after if not torch.equal(before[key], after[key])}
    assert moved and all(key.startswith("mapping.layers.") for key in moved)
    assert {int(key.split(".")[2]) for key in moved} <= {3, 4, 5, 6, 7}
    assert read_header(folder / "generator.safetensors").metrics["error"] < 1
