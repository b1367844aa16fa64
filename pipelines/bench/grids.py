"""One picture per prompt, with a row per scene: photo, inversion, answer, then output and mask of each method."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from manifests.stores.store import Store
from pipelines.bench.oracles import REFERENCES
from pipelines.bench.records import Record
from tasks.images.contact_sheet import contact_sheet
from tasks.images.encode import encode

ZOOM = 2
"""Factor by which pictures are enlarged."""


def write_grids(folder: Path, store: Store, records: Sequence[Record]) -> dict[str, str]:
    """Write <prompt>.png for every prompt with scenes. Returns prompt id -> file name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for prompt in dict.fromkeys(record.prompt for record in records if record.pictures):
        rows = [record for record in records if record.prompt == prompt and record.pictures]
        shown = {row.method: read_pictures(store, row.pictures) for row in rows}
        (folder / f"{prompt}.png").write_bytes(encode(contact_sheet(tiles(shown), ZOOM), "png"))
        written[prompt] = f"{prompt}.png"
    return written


def read_pictures(store: Store, key: str) -> dict[str, np.ndarray]:
    """The arrays that method_quality.pictures stored."""
    with np.load(io.BytesIO(store.read(key)), allow_pickle=False) as arrays:
        return dict(arrays)


def tiles(shown: Mapping[str, Mapping[str, np.ndarray]]) -> list[list[np.ndarray]]:
    """One row of pictures per scene. `shown`: method -> its arrays, in the order of the columns."""
    first = shown["inversion"]
    columns = [first["photo"], first["output"], first["answer"]]
    for method, arrays in shown.items():
        if method not in REFERENCES:
            columns += [arrays["output"], arrays["mask"]]
    return [[column[scene] for column in columns] for scene in range(len(first["photo"]))]


def columns_line(methods: Sequence[str]) -> str:
    """The content of the columns, for the report."""
    return ", ".join(["photo", "inversion", "exact answer", *(f"{method} and its mask" for method in methods)])
