"""WebDataset tars of procedural portraits: data to try everything on, with its ground truth beside each image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from coral_core.zoo.domain import SPLITS, sample
from tasks.images import encode
from tasks.shards import write_shard

Format = Literal["png", "jpg"]


def write_demo_data(folder: Path, shards: int, samples: int, split: str, size: int, image_format: Format) -> list[Path]:
    """Write `shards` tars of `samples` portraits of `size` px each; the same arguments give the same bytes."""
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
        write_shard(partial, portraits(seeds[shard * samples : (shard + 1) * samples], size, image_format))
        paths.append(partial.replace(path))
    return paths


def portraits(seeds: range, size: int, image_format: Format) -> Iterator[dict[str, object]]:
    """Samples with the image, the scene's record as json and its caption as txt. Keys are the seeds."""
    for seed in seeds:
        scene = sample(seed)
        yield {
            "__key__": f"{seed:09d}",
            image_format: encode(scene.image(size), "jpeg" if image_format == "jpg" else "png"),
            "json": json.dumps(scene.record(), sort_keys=True).encode(),
            "txt": scene.caption().text.encode(),
        }
