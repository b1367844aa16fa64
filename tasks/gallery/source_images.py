"""The source images of published rows, read from their tars."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from tasks.gallery.missing import Missing
from tasks.gallery.stored_latents import Name, Row, name_of
from tasks.images.decode import Picture, UserMask
from tasks.images.thumbnails import SIDE, shrunk
from tasks.inputs.archive import Archive, Sample, read_archive, read_mask, read_member
from tasks.inputs.grouping import Group, Member
from tasks.inputs.local_copy import local_copy
from tasks.plan.plan import Plan
from tasks.shards.batch import Item, decoded
from tasks.spec.geometry import OutputSize
from tasks.spec.requests import Shard

MAX_DOWNLOAD = 2**30
"""Largest number of bytes of source tars that are downloaded from a bucket. A tar is downloaded as a whole."""

COMPARED_PIXELS: Mapping[OutputSize, Callable[[Picture], Any]] = {
    "generator": lambda picture: picture.pixels_HWC,
    "source": lambda picture: picture.whole,
}
"""Output size -> the pixels of a source that an edit is compared with."""


@dataclass(frozen=True)
class Source:
    """One source image, uint8 [H,W,3]."""

    tile_HWC: np.ndarray  # with the geometry of the edits, at most SIDE px a side
    square_HWC: np.ndarray | None = None  # as the generator gets it; only of samples in `keep`
    user_masks: Mapping[str, UserMask] = field(default_factory=dict)  # by suffix; only of samples in `keep`


@dataclass(frozen=True)
class SourceReader:
    """Reads the sources of a plan's rows."""

    plan: Plan
    size: int  # px a side of square_HWC
    keep: Collection[Name] = ()  # sources whose square_HWC and user masks are returned

    def read(self, rows: Iterable[Row]) -> dict[Name, Source | Missing]:
        """The sources of the rows. Shards with many of the rows are read first, while MAX_DOWNLOAD allows it."""
        shards = {shard.uri: shard for shard in self.plan.shards}
        by_shard: defaultdict[str, dict[Name, Row]] = defaultdict(dict)
        for row in rows:
            by_shard[row["source_uri"]][name_of(row)] = row
        found: dict[Name, Source | Missing] = {}
        budget = MAX_DOWNLOAD
        for uri, wanted in sorted(by_shard.items(), key=lambda each: -len(each[1])):
            shard = shards.get(uri)
            remote = shard.size if shard is not None and shard.etag else 0
            if shard is None:
                found |= dict.fromkeys(wanted, Missing("its shard is not one of this run"))
            elif remote > budget:
                found |= dict.fromkeys(wanted, Missing(f"not downloaded: its shard has {shard.size / 1e6:.0f} MB"))
            else:
                found |= self._from_shard(shard, wanted)
                budget -= remote
        return found

    def _from_shard(self, shard: Shard, wanted: Mapping[Name, Row]) -> dict[Name, Source | Missing]:
        found: dict[Name, Source | Missing] = {}
        try:
            with local_copy(shard) as path, path.open("rb") as file:
                members = _members(read_archive(path))
                for name, row in wanted.items():
                    member, kept = members.get(row["source_member"]), name in self.keep
                    sample = Sample(row["key"]) if member is None else self._sample(file, *member, kept)
                    found[name] = self._decoded(sample, row, kept)
        except Exception as error:
            return dict.fromkeys(wanted, Missing.because(error))
        return found

    def _sample(self, file: BinaryIO, group: Group, member: Member, kept: bool) -> Sample:
        """The bytes of the image, and those of the masks that edits need if the sample is kept."""
        wanted = {edit.mask for edit in self.plan.edits if edit.mask and kept}
        masks = {suffix: read_mask(file, group, member.name, suffix) for suffix in wanted}
        return Sample(group.key, image=read_member(file, member), masks=masks)

    def _decoded(self, sample: Sample, row: Row, kept: bool) -> Source | Missing:
        """The image with the geometry of the edits: the square that the generator gets, or the whole source."""
        if hashlib.sha256(sample.image).hexdigest() != row["source_sha256"]:
            return Missing(row["reason"] or "the tar does not contain this image any more")
        geometry = self.plan.invert.geometry
        size = row["height"] or self.size if geometry.fit == "refuse" else self.size
        item = decoded(Item(sample), geometry, size, geometry.output)
        if item.picture is None:
            return Missing(item.sample.reason)
        tile_HWC = shrunk(np.asarray(COMPARED_PIXELS[geometry.output](item.picture)), SIDE)
        if not kept:
            return Source(tile_HWC)
        user_masks = {suffix: replace(user_mask, whole=None) for suffix, user_mask in item.user_masks.items()}
        return Source(tile_HWC, item.picture.pixels_HWC, user_masks)


def _members(archive: Archive) -> dict[str, tuple[Group, Member]]:
    """Member name -> its sample and the member; the first one of several with the same name."""
    found: dict[str, tuple[Group, Member]] = {}
    for group in archive.groups:
        for member in group.members.values():
            if member.regular:
                found.setdefault(member.name, (group, member))
    return found
