"""Small tars of soft random pictures."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.inputs.archive import count_samples, read_samples

Members = list[tuple[str, bytes]]


def image_bytes(seed: int, size: tuple[int, int] = (64, 64), form: str = "PNG") -> bytes:
    """An encoded image of soft random colours; size is (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, form)
    return buffer.getvalue()


def mask_bytes(box: tuple[int, int, int, int], size: tuple[int, int] = (64, 64), form: str = "PNG") -> bytes:
    """An encoded mask, white in the box (left, top, right, bottom) and black elsewhere."""
    mask = Image.new("L", size)
    mask.paste(255, box)
    buffer = io.BytesIO()
    mask.save(buffer, form)
    return buffer.getvalue()


def members_of(seed: int, key: str | None = None) -> Members:
    """A whole sample: image, json and txt."""
    name = key or f"{seed:04d}"
    record = json.dumps({"label": seed}).encode()
    return [(f"{name}.png", image_bytes(seed)), (f"{name}.json", record), (f"{name}.txt", f"number {seed}".encode())]


def write_tar(path: Path, members: Members) -> Path:
    """A tar of exactly these members, in this order."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_shards(folder: Path, shards: int, samples: int) -> list[Path]:
    """Good tars of `samples` samples each."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_tar(
            folder / f"in-{shard:03d}.tar",
            [member for index in range(samples) for member in members_of(100 * shard + index)],
        )
        for shard in range(shards)
    ]


def statuses_of(path: Path) -> list[tuple[str, str]]:
    """Key and status of every sample, as it is read from a tar and counted."""
    found = [(sample.key, sample.status) for sample in read_samples(path)]
    assert len(found) == count_samples(path)
    return found
