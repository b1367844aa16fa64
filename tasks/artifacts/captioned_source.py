"""Captioned images as a training source: the tars of `fit_source: captions`, each image with the lines of <key>.txt.

The whole source is in memory at once, like every training source: 140 MB for a thousand images of a 64 px generator,
and twice that while the batches are concatenated.
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
"""Called with (URI, 0) before a tar is fetched, and with (URI, samples read) after every SAMPLE_BATCH samples."""


def captioned(models: Models, shards: Sequence[Shard], on_read: OnRead) -> Inversion:
    """The inversions of all usable images that have a caption.

    Images are resized to the generator's square. Errors: ValueError if there is no such image.
    """
    inversions: list[Inversion] = []
    batch: list[Item] = []
    for item in _items(shards, models.image_size, on_read):
        batch.append(item)
        if len(batch) == SAMPLE_BATCH:
            inversions.append(_inverted(models, batch))
            batch = []
    if batch:
        inversions.append(_inverted(models, batch))
    if not inversions:
        names = ", ".join(shard.uri for shard in shards)
        raise ValueError(f"no captioned image in {names}; put the captions of <key>.png into <key>.txt, one per line")
    return concat_inversions(inversions)


def captions_of(item: Item) -> tuple[str, ...]:
    """The lines of a sample's text that are not blank."""
    text = str(json.loads(item.sample.metadata).get("caption", ""))
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _items(shards: Sequence[Shard], size: int, on_read: OnRead) -> Iterator[Item]:
    """The usable samples with a caption, decoded; one image per key of a shard."""
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
    inversion = invert(models, batch.keys, batch.images(models.device))
    return replace(inversion, taps=(), captions=tuple(captions_of(item) for item in items))
