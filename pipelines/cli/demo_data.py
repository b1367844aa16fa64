"""WebDataset tars of procedural portraits: data for trying things out, with the ground truth of each image."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coral_core.zoo.portraits.domain import SPLITS, Scene, sample
from coral_core.zoo.portraits.lexicon import ALL, Wordings
from tasks.images.encode import encode
from tasks.inputs.archive import write_shard

WORDINGS: Mapping[str, Wordings] = {"all": ALL, "training": Wordings.training(), "held-out": Wordings.held_out()}


@dataclass(frozen=True, kw_only=True)
class Portraits:
    """The form of the portraits in a tar."""

    size: int = 64  # pixels of the square image
    image_format: Literal["png", "jpg"] = "png"
    captions: int = 1  # lines of the txt member
    wordings: str = "all"  # key of WORDINGS: the wordings of its captions

    def __post_init__(self) -> None:
        if self.captions < 1:
            raise ValueError(f"{self.captions} captions; give 1 or more")
        if self.wordings not in WORDINGS:
            raise ValueError(f"no wordings {self.wordings!r}; choose one of {', '.join(WORDINGS)}")

    def member(self, seed: int) -> dict[str, object]:
        """The sample of a seed: the image, the scene's record as json and its captions as txt. Its key is the seed."""
        scene = sample(seed)
        return {
            "__key__": f"{seed:09d}",
            self.image_format: encode(scene.image(self.size), "jpeg" if self.image_format == "jpg" else "png"),
            "json": json.dumps(scene.record(), sort_keys=True).encode(),
            "txt": "\n".join(self._captions(scene)).encode(),
        }

    def _captions(self, scene: Scene) -> Iterator[str]:
        """With all wordings, the first caption is the scene's own; every other caption is drawn at random."""
        wordings = WORDINGS[self.wordings]
        if wordings is ALL:
            yield scene.caption().text
        rng = random.Random(f"captions:{scene.seed}")
        for _ in range(self.captions - (wordings is ALL)):
            yield scene.caption(rng, wordings).text


def write_demo_data(folder: Path, shards: int, samples: int, split: str, portraits: Portraits) -> list[Path]:
    """Write `shards` tars of `samples` portraits each; the same arguments give the same bytes."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(SPLITS)}")
    seeds = SPLITS[split]
    if shards < 1 or not 1 <= samples <= len(seeds) // shards:
        raise ValueError(f"{shards} shards of {samples}: give 1 or more of each, at most {len(seeds)} samples in all")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for shard in range(shards):
        path = folder / f"portraits-{shard:06d}.tar"
        partial = path.with_suffix(".partial")
        chosen = seeds[shard * samples : (shard + 1) * samples]
        write_shard(partial, (portraits.member(seed) for seed in chosen))
        paths.append(partial.replace(path))
    return paths
