"""Captioned images as a training source: the tars of `fit_source: captions`, each image with the lines of <key>.txt.

All of it is in memory at once, like every training source: 140 MB for a thousand images of a 64 px generator, and twice
that while it is put together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from coral_core.bundle.models import Models
from coral_core.inversion import SAMPLE_BATCH, invert
from coral_core.types import Inversion, concat_inversions
from tasks.inputs.archive import read_samples
from tasks.inputs.local_copy import local_copy
from tasks.shards.batch import Batch, Item, decoded
from tasks.spec.geometry import Geometry
from tasks.spec.requests import Shard

OnRead = Callable[[str, int], None]
"""Hears the tar that is about to be fetched with 0, and every now and then how many samples were read in all."""


def captioned(models: Models, shards: Sequence[Shard], on_read: OnRead) -> Inversion:
    """The inversions of all usable images that have a caption.

    Images are resized to the generator's square. Errors: ValueError when not a single one is left.
    """
    found: list[Inversion] = []
    waiting: list[Item] = []
    for item in _items(shards, models.image_size, on_read):
        waiting.append(item)
        if len(waiting) == SAMPLE_BATCH:
            found.append(_inverted(models, waiting))
            waiting = []
    if waiting:
        found.append(_inverted(models, waiting))
    if not found:
        names = ", ".join(shard.uri for shard in shards)
        raise ValueError(f"no captioned image in {names}; put the captions of <key>.png into <key>.txt, one per line")
    return concat_inversions(found)


def captions_of(item: Item) -> tuple[str, ...]:
    """The lines of a sample's text that are not empty."""
    text = str(json.loads(item.sample.metadata).get("caption", ""))
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _items(shards: Sequence[Shard], size: int, on_read: OnRead) -> Iterator[Item]:
    """What can be used, decoded; one image per key of a shard."""
    read = 0
    for shard in shards:
        on_read(shard.uri, 0)
        with local_copy(shard) as path:
            for sample in read_samples(path, shard.limit):
                read += 1
                if read % SAMPLE_BATCH == 0:
                    on_read(shard.uri, read)
                item = Item(sample)
                if sample.status == "ok" and captions_of(item):
                    item = decoded(item, Geometry(), size, "generator")
                    if item.sample.status == "ok":
                        yield item


def _inverted(models: Models, items: Sequence[Item]) -> Inversion:
    batch = Batch(tuple(items), len(items))
    found = invert(models, batch.keys, batch.images(models.device))
    return replace(found, taps=(), captions=tuple(captions_of(item) for item in items))
