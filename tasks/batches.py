"""A shard as batches of one fixed size: decoded, geometry applied, stored inversions joined, each sample once.

Every sample of the shard is in exactly one batch, whatever its status; only the usable ones are in the tensors, which
always hold `batch_size` samples (the last one repeated), because the last bits of a result depend on the batch's size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from manifests.commit import CommitRecord, read_commit
from manifests.reader import open_parquet
from manifests.schema import ws_shape
from manifests.store import Store
from tasks.geometry import Geometry, OutputSize
from tasks.images import Picture, UnusableError, decode, tensor_of
from tasks.inputs import ShardChangedError, local_copy
from tasks.overlap import ahead
from tasks.requests import InvertRequest
from tasks.shards import Sample, count_samples, read_samples

ROWS_AT_ONCE = 256
WHOLE_BUDGET = 64 * 2**20
"""Bytes of whole sources after which a batch takes no further sample: several batches are under way at once."""


@dataclass(frozen=True)
class Item:
    """One sample on its way through a wave; usable while its status is ok."""

    sample: Sample
    picture: Picture | None = None  # of a usable sample
    ws_LD: np.ndarray | None = None  # its stored latents, in the edit wave
    inversion_error: float | None = None

    @property
    def whole_bytes(self) -> int:
        """What the whole source takes, where it is kept."""
        return 3 * self.picture.width * self.picture.height if self.picture and self.picture.whole else 0

    def failed(self, unusable: UnusableError) -> Item:
        """The same sample with the reason why it is not used; its pixels are dropped."""
        return Item(replace(self.sample, status=unusable.status, reason=unusable.reason, image=b""))


@dataclass(frozen=True)
class Batch:
    """A stretch of a shard, and the tensors of its usable samples."""

    items: tuple[Item, ...]
    batch_size: int

    @property
    def usable(self) -> list[Item]:
        """The items in the tensors, in their order."""
        return [item for item in self.items if item.sample.status == "ok"]

    @property
    def keys(self) -> tuple[str, ...]:
        """Per tensor row the sample's randomness stream: its content, so that resharding changes nothing."""
        return tuple(item.sample.sha256 for item in self._padded())

    def images(self, device: torch.device) -> Tensor:
        """[batch_size, 3, H, W] in [-1,1]."""
        return tensor_of([item.picture.pixels_HWC for item in self._padded() if item.picture is not None]).to(device)

    def latents(self, device: torch.device) -> Tensor:
        """[batch_size, L, D]; the stored latents."""
        stacked_BLD = np.stack([item.ws_LD for item in self._padded() if item.ws_LD is not None])
        return torch.from_numpy(stacked_BLD).to(device)

    def _padded(self) -> list[Item]:
        usable = self.usable
        return usable + usable[-1:] * (self.batch_size - len(usable))


@dataclass(frozen=True)
class Reading:
    """A shard that is being read."""

    total: int  # samples
    batches: Iterator[Batch]


@contextmanager
def open_source(request: InvertRequest, size: int) -> Iterator[Reading]:
    """The shard for the invert wave, read ahead; images of `size` px. ShardChangedError if it was changed."""
    with local_copy(request.shard) as path:
        limit = request.shard.limit
        samples = read_samples(path, limit)
        items = (_decoded(Item(sample), request.spec.geometry, size, "generator") for sample in samples)
        with ahead(_batched(items, request.spec.batch_size)) as batches:
            yield Reading(min(count_samples(path), limit or sys.maxsize), batches)


@contextmanager
def open_inverted(
    store: Store, request: InvertRequest, size: int, output: OutputSize = "generator"
) -> Iterator[Reading]:
    """The shard for the edit wave, joined with its stored inversion sample by sample.

    `output` "source" keeps the whole pictures too, for as long as their batch lives.

    Errors: ValueError while it is not inverted; ShardChangedError when its samples are not those that were inverted.
    """
    record = read_commit(store, request.id)
    if record is None:
        raise ValueError(f"{request.shard.uri} is not inverted yet; run the invert wave first")
    with local_copy(request.shard) as path:
        items = (_decoded(item, request.spec.geometry, size, output) for item in _joined(store, record, request, path))
        with ahead(_batched(items, request.spec.batch_size)) as batches:
            yield Reading(sum(record.counts.values()), batches)


def _joined(store: Store, record: CommitRecord, request: InvertRequest, path: Path) -> Iterator[Item]:
    """Each sample of the tar with its stored row; its bytes only where they are wanted."""
    stored = stored_inversions(store, record)
    for sample in read_samples(path, request.shard.limit):
        row = next(stored, None)
        if row is None or (row.sample.key, row.sample.sha256) != (sample.key, sample.sha256):
            raise ShardChangedError(f"{request.shard.uri}: sample {sample.key!r} is not the one that was inverted")
        yield replace(row, sample=sample) if row.sample.status == "ok" else row
    if next(stored, None) is not None:
        raise ShardChangedError(f"{request.shard.uri} has fewer samples than were inverted")


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


def _decoded(item: Item, geometry: Geometry, size: int, output: OutputSize) -> Item:
    if item.sample.status != "ok":
        return item
    try:
        picture = decode(item.sample.image, geometry, size)
    except UnusableError as unusable:
        return item.failed(unusable)
    if output == "generator":
        picture = replace(picture, whole=None)
    return replace(item, picture=picture, sample=replace(item.sample, image=b""))


def _batched(items: Iterable[Item], batch_size: int) -> Iterator[Batch]:
    """Cut the items so that no stretch has more than batch_size usable ones, nor many times more useless ones.

    Nor more whole sources than fit into their budget: fewer samples in a batch change none of them.
    """
    stretch: list[Item] = []
    usable = held = 0
    for item in items:
        stretch.append(item)
        usable += item.sample.status == "ok"
        held += item.whole_bytes
        if usable == batch_size or len(stretch) == 4 * batch_size or held >= WHOLE_BUDGET:
            yield Batch(tuple(stretch), batch_size)
            stretch, usable, held = [], 0, 0
    if stretch:
        yield Batch(tuple(stretch), batch_size)
