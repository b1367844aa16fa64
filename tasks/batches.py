"""A shard as batches of one fixed size: decoded, geometry applied, stored inversions joined, each sample once.

Every sample of the shard is in exactly one batch, whatever its status; only the usable ones are in the tensors, which
always hold `batch_size` samples (the last one repeated), because the last bits of a result depend on the batch's size.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from manifests.commit import CommitRecord, read_commit
from manifests.reader import open_parquet
from manifests.schema import ws_shape
from manifests.store import Store
from tasks.geometry import Geometry, OutputSize
from tasks.images import (
    MAX_PIXELS,
    Picture,
    Stencil,
    UnusableError,
    decode,
    decode_stencil,
    masks_of,
    pixel_count,
    tensor_of,
)
from tasks.inputs import ShardChangedError, local_copy
from tasks.overlap import Room, ahead
from tasks.requests import InvertRequest
from tasks.shards import Sample, read_archive, read_samples

Pixels = TypeVar("Pixels", Picture, Stencil)

ROWS_AT_ONCE = 256
WHOLE_PIXELS = MAX_PIXELS
"""Pixels of whole sources in all batches that are under way: one of the largest images, or many of an ordinary size."""


@dataclass(frozen=True)
class Item:
    """One sample on its way through a wave; usable while its status is ok."""

    sample: Sample
    picture: Picture | None = None  # of a usable sample
    ws_LD: np.ndarray | None = None  # its stored latents, in the edit wave
    inversion_error: float | None = None
    whole_pixels: int = 0  # that its whole source takes of WHOLE_PIXELS, where it is kept
    stencils: Mapping[str, Stencil] = field(default_factory=dict)  # suffix -> the mask, whatever its status

    def failed(self, unusable: UnusableError) -> Item:
        """The same sample with the reason why it is not used; its pixels are dropped."""
        return Item(replace(self.sample, status=unusable.status, reason=unusable.reason, image=b"", masks={}))

    def within(self, mask: str) -> Item:
        """The sample as an edit has it that asks for this mask, or for none: not usable if the mask is not."""
        stencil = self.stencils.get(mask)
        if stencil is None or stencil.status == "ok":
            return self
        return replace(self, sample=replace(self.sample, status=stencil.status, reason=stencil.reason))


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

    def masks(self, suffix: str, device: torch.device) -> Tensor:
        """[batch_size, 1, H, W] in [0,1]; the users' masks of that suffix."""
        return masks_of([item.stencils[suffix].levels_HW for item in self._padded()]).to(device)

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
    room: Room  # for the pixels of whole sources

    def finish(self, batch: Batch) -> None:
        """Let go of the whole sources of a batch, so that there is room for others. Every batch is to be finished."""
        for item in batch.items:
            for kept in (item.picture, *item.stencils.values()):
                if kept is not None and kept.whole is not None:
                    kept.whole.close()
        self.room.give(sum(item.whole_pixels for item in batch.items))


@contextmanager
def open_source(request: InvertRequest, size: int) -> Iterator[Reading]:
    """The shard for the invert wave, read ahead; images of `size` px. ShardChangedError if it was changed."""
    with local_copy(request.shard) as path:
        archive, limit = read_archive(path), request.shard.limit
        items = map(Item, archive.samples(limit))
        with _read_ahead(items, request, size, "generator", min(archive.count, limit or sys.maxsize)) as reading:
            yield reading


@contextmanager
def open_inverted(
    store: Store, request: InvertRequest, size: int, output: OutputSize = "generator", masks: Collection[str] = ()
) -> Iterator[Reading]:
    """The shard for the edit wave, joined with its stored inversion sample by sample.

    `output` "source" keeps the whole pictures too, until their batch is finished. `masks` are suffixes of the users'
    masks that are read with them.

    Errors: ValueError while it is not inverted; ShardChangedError when its samples are not those that were inverted.
    """
    record = read_commit(store, request.id)
    if record is None:
        raise ValueError(f"{request.shard.uri} is not inverted yet; run the invert wave first")
    with local_copy(request.shard) as path:
        items = _joined(store, record, request, path, masks)
        with _read_ahead(items, request, size, output, sum(record.counts.values())) as reading:
            yield reading


@contextmanager
def _read_ahead(
    items: Iterable[Item], request: InvertRequest, size: int, output: OutputSize, total: int
) -> Iterator[Reading]:
    room = Room(WHOLE_PIXELS)
    cutter = Cutter(request.spec.geometry, size, output, request.spec.batch_size, room)
    with ahead(cutter.batches(items)) as batches, closing(room):
        yield Reading(total, batches, room)


def _joined(
    store: Store, record: CommitRecord, request: InvertRequest, path: Path, masks: Collection[str]
) -> Iterator[Item]:
    """Each sample of the tar with its stored row; its bytes only where they are wanted, and only until the next."""
    stored = stored_inversions(store, record)
    yield from map(partial(_join, stored, request.shard.uri), read_samples(path, request.shard.limit, masks))
    if next(stored, None) is not None:
        raise ShardChangedError(f"{request.shard.uri} has fewer samples than were inverted")


def _join(stored: Iterator[Item], uri: str, sample: Sample) -> Item:
    """A row without a digest had no image when it was inverted; a reader that has learned to find one keeps to that."""
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
class Cutter:
    """Decodes samples and cuts them into batches."""

    geometry: Geometry
    size: int  # px a side, of the generator
    output: OutputSize
    batch_size: int
    room: Room  # for the pixels of whole sources

    def batches(self, items: Iterable[Item]) -> Iterator[Batch]:
        """No batch has more than batch_size usable samples, nor many times more useless ones.

        Nor whole sources that take more than half the room, unless it is a single one: the other half is for those that
        are decoded meanwhile. Fewer samples in a batch change none of them. While the room is nearly full nothing is
        read from the tar, because the file of a source that waits is in memory as well.
        """
        stretch: list[Item] = []
        held = 0
        for item in items:
            pixels = self._kept_pixels(item)
            if held and held + pixels > self.room.size // 2:
                yield Batch(tuple(stretch), self.batch_size)
                stretch, held = [], 0
            self.room.take(pixels)
            item = self._decoded(item, pixels)
            stretch.append(item)
            held += item.whole_pixels
            if held > self.room.size // 2 or self._is_full(stretch):
                yield Batch(tuple(stretch), self.batch_size)
                stretch, held = [], 0
            self.room.wait(self.room.size // 4)
        if stretch:
            yield Batch(tuple(stretch), self.batch_size)

    def _is_full(self, stretch: Sequence[Item]) -> bool:
        usable = sum(item.sample.status == "ok" for item in stretch)
        return usable == self.batch_size or len(stretch) == 4 * self.batch_size

    def _kept_pixels(self, item: Item) -> int:
        """A mask has one channel, and is kept at the size of its source."""
        if self.output == "generator" or item.sample.status != "ok":
            return 0
        pixels = pixel_count(item.sample.image)
        return pixels + len(item.sample.masks) * pixels // 3

    def _decoded(self, item: Item, pixels: int) -> Item:
        if item.sample.status != "ok":
            return item
        found = decoded(item, self.geometry, self.size, self.output)
        if found.sample.status != "ok":
            self.room.give(pixels)
            return found
        return replace(found, whole_pixels=pixels)


def decoded(item: Item, geometry: Geometry, size: int, output: OutputSize) -> Item:
    """A sample with its pixels, and those of its masks, in place of its bytes; failed if its image cannot be used."""
    try:
        picture = _kept(decode(item.sample.image, geometry, size), output)
    except UnusableError as unusable:
        return item.failed(unusable)
    stencils = {suffix: _kept(_stencil(mask, picture), output) for suffix, mask in item.sample.masks.items()}
    return replace(item, picture=picture, stencils=stencils, sample=replace(item.sample, image=b"", masks={}))


def _kept(pixels: Pixels, output: OutputSize) -> Pixels:
    return replace(pixels, whole=None) if output == "generator" else pixels


def _stencil(mask: Sample, picture: Picture) -> Stencil:
    """A mask that is not there, or is none, lets nothing through and says why."""
    status, reason = mask.status, mask.reason
    if status == "ok":
        try:
            return decode_stencil(mask.image, picture)
        except UnusableError as unusable:
            status, reason = unusable.status, f"its mask {mask.member}: {unusable.reason}"
    return Stencil(np.zeros(picture.pixels_HWC.shape[:2], np.uint8), status=status, reason=reason)
