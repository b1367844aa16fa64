"""Rendered scenes as arrays: rendered once, stored on disk, used by every training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coral_core.zoo.portraits.domain import LEXICON, SEGMENTS, SPLITS, Scene, sample

ATTRIBUTES: tuple[str, ...] = tuple(LEXICON)
VALUES: tuple[tuple[str, ...], ...] = tuple(tuple(LEXICON[attribute]) for attribute in ATTRIBUTES)
CHUNK = 512  # scenes that a worker renders at a time


@dataclass(frozen=True)
class CorpusBatch:
    """Images in [-1,1] with their ground truth. A is the number of attributes."""

    image_BCHW: Tensor
    labels_BHW: Tensor  # int64 segments
    values_BA: Tensor  # int64 index of each attribute's value
    visible_BA: Tensor  # bool

    def to(self, device: torch.device) -> CorpusBatch:
        """The same batch on another device."""
        return CorpusBatch(
            self.image_BCHW.to(device),
            self.labels_BHW.to(device),
            self.values_BA.to(device),
            self.visible_BA.to(device),
        )


@dataclass(frozen=True)
class Corpus:
    """N rendered scenes, memory-mapped."""

    images_NHWC: np.ndarray  # uint8
    labels_NHW: np.ndarray  # uint8
    values_NA: np.ndarray  # int8
    visible_NA: np.ndarray  # bool

    def __len__(self) -> int:
        return len(self.images_NHWC)

    def draw(self, rng: np.random.Generator, count: int) -> CorpusBatch:
        """A random batch; half of it mirrored, which changes no attribute."""
        index = np.sort(rng.integers(0, len(self), count))
        batch = self.take(index)
        mirrored = torch.from_numpy(rng.random(count) < 0.5)
        batch.image_BCHW[mirrored] = batch.image_BCHW[mirrored].flip(3)
        batch.labels_BHW[mirrored] = batch.labels_BHW[mirrored].flip(2)
        return batch

    def take(self, index: np.ndarray | slice) -> CorpusBatch:
        """The scenes at `index`, not mirrored."""
        return CorpusBatch(
            image_BCHW=to_images(self.images_NHWC[index]),
            labels_BHW=torch.from_numpy(self.labels_NHW[index].astype(np.int64)),
            values_BA=torch.from_numpy(self.values_NA[index].astype(np.int64)),
            visible_BA=torch.from_numpy(np.array(self.visible_NA[index])),
        )


def to_images(pixels_BHWC: np.ndarray) -> Tensor:
    """uint8 [B,H,W,3] -> float [B,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.array(pixels_BHWC)).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def load_corpus(split: str, count: int, folder: Path, size: int = 64) -> Corpus:
    """The first `count` scenes of a split; rendered on all cores unless `folder` already has them."""
    seeds = SPLITS[split][:count]
    path = corpus_folder(split, count, size, folder)
    names = ("images", "labels", "values", "visible")
    if not (path / "done").exists():
        _render(seeds, size, path, names)
    return Corpus(*(np.load(path / f"{name}.npy", mmap_mode="r") for name in names))


def corpus_folder(split: str, count: int, size: int, folder: Path) -> Path:
    """The folder of the first `count` scenes of a split; its name changes when the drawings change."""
    return folder / f"{split}-{count}-{size}-{drawing_digest(size)}"


def scene_arrays(scenes: Sequence[Scene], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arrays of scenes: images, labels, value indices and visibility, as in Corpus."""
    rendered = [scene.render(size) for scene in scenes]
    visible = [scene.visible() for scene in scenes]
    return (
        np.stack([image for image, _ in rendered]),
        np.stack([labels for _, labels in rendered]),
        np.array(
            [[v.index(s.attributes[a]) for a, v in zip(ATTRIBUTES, VALUES, strict=True)] for s in scenes], np.int8
        ),
        np.array([[attribute in shown for attribute in ATTRIBUTES] for shown in visible]),
    )


def _render(seeds: range, size: int, path: Path, names: tuple[str, ...]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(_render_chunk, chunks, [size] * len(chunks)))
    for position, name in enumerate(names):
        np.save(path / f"{name}.npy", np.concatenate([part[position] for part in parts]))
    (path / "done").touch()


def _render_chunk(seeds: range, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return scene_arrays([sample(seed) for seed in seeds], size)


def drawing_digest(size: int) -> str:
    """A digest that changes when the drawing of any attribute value changes, so that old renders are not used."""
    values = [(attribute, value) for attribute, known in LEXICON.items() for value in known]
    scenes = [sample(seed).edited(attribute, value) for seed, (attribute, value) in enumerate(values)]
    pixels = b"".join(array.tobytes() for scene in scenes for array in scene.render(size))
    return hashlib.sha256(pixels + repr(SEGMENTS).encode()).hexdigest()[:12]
