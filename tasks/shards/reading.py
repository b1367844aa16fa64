"""A shard as batches of one fixed size: decoded, geometry applied, joined with stored inversions, each sample once.

Every sample of the shard is in exactly one batch, with any status; only the usable ones are in the tensors, which
always hold `batch_size` samples (the last one repeated), because the last bits of a result depend on the batch's size.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from manifests.commit import CommitRecord, read_commit
from manifests.parquet.reader import open_parquet
from manifests.parquet.schema import ws_shape
from manifests.stores.store import Store
from tasks.images.decode import MAX_PIXELS, pixel_count
from tasks.inputs.archive import Sample, read_archive, read_samples
from tasks.inputs.local_copy import ShardChangedError, local_copy
from tasks.shards.background import PixelBudget, read_ahead
from tasks.shards.batch import Batch, Item, decoded
from tasks.spec.geometry import Geometry, OutputSize
from tasks.spec.requests import InvertRequest

ROWS_AT_ONCE = 256
WHOLE_PIXELS = MAX_PIXELS
"""Most pixels of whole sources in all unfinished batches: those of one image of the largest size."""


@dataclass(frozen=True)
class Reading:
    """A shard that is being read."""

    total: int  # samples
    batches: Iterator[Batch]
    budget: PixelBudget  # for the pixels of whole sources

    def finish(self, batch: Batch) -> None:
        """Free the whole sources of a batch and their budget. It must be called for every batch."""
        for item in batch.items:
            for kept in (item.picture, *item.user_masks.values()):
                if kept is not None and kept.whole is not None:
                    kept.whole.close()
        self.budget.release(sum(item.whole_pixels for item in batch.items))


@contextmanager
def open_shard(request: InvertRequest, size: int) -> Iterator[Reading]:
    """The shard for the invert wave, read ahead; images of `size` px. ShardChangedError if it was changed."""
    with local_copy(request.shard) as path:
        archive, limit = read_archive(path), request.shard.limit
        items = map(Item, archive.samples(limit))
        with _open_reading(items, request, size, "generator", min(archive.count, limit or sys.maxsize)) as reading:
            yield reading


@contextmanager
def open_inverted(
    store: Store, request: InvertRequest, size: int, output: OutputSize = "generator", masks: Collection[str] = ()
) -> Iterator[Reading]:
    """The shard for the edit wave, joined with its stored inversion sample by sample.

    `output` "source" also keeps the whole pictures, until their batch is finished. `masks` are suffixes of the user
    masks to read.

    Errors: ValueError if it is not inverted; ShardChangedError if its samples are not those that were inverted.
    """
    record = read_commit(store, request.id)
    if record is None:
        raise ValueError(f"{request.shard.uri} is not inverted yet; run the invert wave first")
    with local_copy(request.shard) as path:
        items = _joined(store, record, request, path, masks)
        with _open_reading(items, request, size, output, sum(record.counts.values())) as reading:
            yield reading


@contextmanager
def _open_reading(
    items: Iterable[Item], request: InvertRequest, size: int, output: OutputSize, total: int
) -> Iterator[Reading]:
    budget = PixelBudget(WHOLE_PIXELS)
    batcher = Batcher(request.spec.geometry, size, output, request.spec.batch_size, budget)
    with read_ahead(batcher.batches(items)) as batches, closing(budget):
        yield Reading(total, batches, budget)


def _joined(
    store: Store, record: CommitRecord, request: InvertRequest, path: Path, masks: Collection[str]
) -> Iterator[Item]:
    """Each sample of the tar with its stored row; with its bytes only if it is usable, one sample at a time."""
    stored = stored_inversions(store, record)
    yield from map(partial(_join, stored, request.shard.uri), read_samples(path, request.shard.limit, masks))
    if next(stored, None) is not None:
        raise ShardChangedError(f"{request.shard.uri} has fewer samples than were inverted")


def _join(stored: Iterator[Item], uri: str, sample: Sample) -> Item:
    """The stored row with the sample. A row without a digest had no image when it was inverted and remains so."""
    row = next(stored, None)
    if row is None or row.sample.key != sample.key or row.sample.sha256 not in (sample.sha256, ""):
        raise ShardChangedError(f"{uri}: sample {sample.key!r} is not the one that was inverted")
    return replace(row, sample=sample) if row.sample.status == "ok" else row


def stored_inversions(store: Store, record: CommitRecord) -> Iterator[Item]:
    """The rows of a committed inversion, in the order of the shard; without pictures."""
    for ref in record.objects:
        with open_parquet(store, ref.key) as file:
            shape = ws_shape(file.schema_arrow)
            for rows in file.iter_batches(batch_size=ROWS_AT_ONCE):
                ws = rows.column("ws")
                for index, row in enumerate(rows.drop_columns(["ws"]).to_pylist()):
                    sample = Sample(
                        key=row["key"],
                        member=row["source_member"],
                        sha256=row["source_sha256"],
                        metadata=row["metadata"],
                        status=row["status"],
                        reason=row["reason"],
                    )
                    latents = ws[index].values
                    ws_LD = None if latents is None else latents.to_numpy().reshape(shape)
                    yield Item(sample, ws_LD=ws_LD, inversion_error=row["inversion_error"])


@dataclass(frozen=True)
class Batcher:
    """Decodes samples and groups them into batches."""

    geometry: Geometry
    size: int  # px a side, of the generator
    output: OutputSize
    batch_size: int
    budget: PixelBudget  # for the pixels of whole sources

    def batches(self, items: Iterable[Item]) -> Iterator[Batch]:
        """A batch has at most batch_size usable samples, and at most 4 * batch_size samples in all.

        Its whole sources take at most half the budget, unless there is only one: the other half is for sources that are
        decoded meanwhile. The number of samples in a batch changes no result. While less than a quarter of the budget
        is free, nothing is read from the tar, because the encoded file of a waiting source is in memory as well.
        """
        collected: list[Item] = []
        held = 0
        for item in items:
            pixels = self._kept_pixels(item)
            if held and held + pixels > self.budget.size // 2:
                yield Batch(tuple(collected), self.batch_size)
                collected, held = [], 0
            self.budget.acquire(pixels)
            item = self._decoded(item, pixels)
            collected.append(item)
            held += item.whole_pixels
            if held > self.budget.size // 2 or self._is_full(collected):
                yield Batch(tuple(collected), self.batch_size)
                collected, held = [], 0
            self.budget.wait(self.budget.size // 4)
        if collected:
            yield Batch(tuple(collected), self.batch_size)

    def _is_full(self, collected: Sequence[Item]) -> bool:
        usable = sum(item.sample.status == "ok" for item in collected)
        return usable == self.batch_size or len(collected) == 4 * self.batch_size

    def _kept_pixels(self, item: Item) -> int:
        """Pixels of the sample's whole source and masks; a mask has one channel, so it counts as a third."""
        if self.output == "generator" or item.sample.status != "ok":
            return 0
        pixels = pixel_count(item.sample.image)
        return pixels + len(item.sample.masks) * pixels // 3

    def _decoded(self, item: Item, pixels: int) -> Item:
        if item.sample.status != "ok":
            return item
        found = decoded(item, self.geometry, self.size, self.output)
        if found.sample.status != "ok":
            self.budget.release(pixels)
            return found
        return replace(found, whole_pixels=pixels)
