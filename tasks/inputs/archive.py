"""Source tars as samples: every sample is a row with a status, also if the archive is damaged.

Samples are grouped by webdataset's key rule (the key is everything before the first dot of the base name; names without
a dot, hidden names and __meta__ names are no samples). There are two differences. Members of one key that are not
adjacent are one sample (tasks.inputs.grouping); this is possible because the headers are read first, and the data
later at their offsets. If a name occurs twice, the second becomes a separate sample with the status duplicate_key.
Nothing in a tar is ever executed: members are bytes, and only JSON and text are parsed. docs/input.md has all rules.

A row describes the tar. An error of the disk, such as an input/output error, is an OSError and not a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from manifests.parquet.schema import Status
from tasks.inputs.grouping import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    Group,
    Member,
    group_members,
    joined_names,
    mark_losses,
)
from tasks.inputs.sidecars import ERROR_KEY, MAX_BYTES, SIDECARS, to_text
from tasks.inputs.tar_headers import (
    HeaderReader,
    check_end,
    other_format,
    printable_name,
    read_end,
    read_headers,
)

MAX_IMAGE_BYTES = 256 * 2**20
FINAL_STATUSES = ("incomplete", "duplicate_key")  # not changed if the archive ends in the sample
MASK = "mask"
NO_HEADER = "what follows the last file is no header"


@dataclass(frozen=True)
class Sample:
    """One sample of a shard."""

    key: str
    member: str = ""  # the image's name in the tar
    sha256: str = ""  # of the image's bytes
    metadata: str = "{}"  # JSON object: the json member, the txt member as "caption", errors as "sidecar_error"
    status: Status = "ok"
    reason: str = ""
    image: bytes = field(default=b"", repr=False)  # encoded, as in the tar; empty unless ok
    masks: Mapping[str, Sample] = field(default_factory=dict, repr=False)  # suffix -> its user mask


@dataclass(frozen=True)
class Archive:
    """The content of a tar according to its headers."""

    path: Path
    groups: tuple[Group, ...]
    damage: str  # what is wrong with it; empty if nothing
    unread: int  # bytes after the damage, which cannot be read

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.groups) + self._has_unread_row

    def samples(self, limit: int | None = None, masks: Collection[str] = ()) -> Iterator[Sample]:
        """Every sample in the order of first appearance, at most `limit` of them.

        Damage is a row too: an incomplete sample, and one row for bytes that cannot be read. `masks` are suffixes of
        members that are read like the image; a broken mask does not change the status of its sample.
        """
        return islice(self._samples(masks), limit)

    def _samples(self, masks: Collection[str]) -> Iterator[Sample]:
        with self.path.open("rb") as file:
            for group in self.groups:
                sample = _sample(file, group)
                if sample.status == "ok" and masks:
                    found = {suffix: read_mask(file, group, sample.member, suffix) for suffix in masks}
                    sample = replace(sample, masks=found)
                yield sample
        if self._has_unread_row:
            name = printable_name(self.path.name)
            key = f"{name}@end" if self.groups else name
            yield Sample(key, status="undecodable", reason=f"{self.damage}; {self.unread} bytes not read")

    @property
    def _has_unread_row(self) -> bool:
        """Whether there is one more row for the bytes that could not be read."""
        return bool(self.damage) and (self.unread > 0 or not self.groups)


def read_samples(path: Path, limit: int | None = None, masks: Collection[str] = ()) -> Iterator[Sample]:
    """Every sample of a local tar, at most `limit` of them. Errors: OSError for an error of the disk."""
    return read_archive(path).samples(limit, masks)


def count_samples(path: Path) -> int:
    """The number of rows of read_samples, from the headers alone."""
    return read_archive(path).count


def read_archive(path: Path) -> Archive:
    """Group the members of a tar without reading their data. Errors: OSError for an error of the disk."""
    with HeaderReader(path.open("rb", buffering=0)) as file:
        members, position, broken = read_headers(file)
        groups = group_members(members)
        ended, unread = read_end(file, min(position, path.stat().st_size))
        if ended and not broken:
            damage = "the archive goes on after its end, as concatenated tars do" if unread else ""
            return Archive(path, groups, damage, unread)
        damage = (
            ("" if groups else other_format(file))
            or check_end(path)
            or f"the archive is damaged: {broken or NO_HEADER}"
        )
        mark_losses(groups, damage)
        return Archive(path, groups, damage, unread)


def read_member(file: BinaryIO, member: Member) -> bytes:
    """A member's bytes, at most MAX_IMAGE_BYTES; fewer if the archive ends in it."""
    file.seek(member.offset)
    return file.read(min(member.size, MAX_IMAGE_BYTES))


def read_mask(file: BinaryIO, group: Group, image: str, suffix: str) -> Sample:
    """The user mask of a sample's `image`, as a Sample: its bytes as the image, or status and reason."""
    member = group.members.get(suffix)
    if member is None:
        why = f"no mask {suffix} among its members: {joined_names(group.members)}"
        return Sample(group.key, status="incomplete", reason=why)
    if member.name == image:
        why = f"{member.name} is its only image, and no mask of another"
        return Sample(group.key, member=image, status="incomplete", reason=why)
    return _with_data(file, Sample(group.key, member=member.name), member)


def write_shard(path: Path, samples: Iterable[Mapping[str, object]]) -> None:
    """A WebDataset tar of {"__key__": ..., suffix: bytes}; equal samples give equal bytes."""
    from webdataset import TarWriter

    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as writer:
        for sample in samples:
            writer.write(dict(sample))


def _images_of(group: Group) -> list[str]:
    """Suffixes of members that may be the sample's image: the plain ones ("jpg"), or else the dotted ones ("v1.jpg").

    Dotted suffixes that name a mask ("mask.png") are left out, unless there are no others. The choice depends on the
    tar and not on the job, so that all jobs share one inversion.
    """
    images = [suffix for suffix in group.members if _last(suffix) in IMAGE_SUFFIXES]
    plain = [suffix for suffix in images if "." not in suffix]
    return plain or [suffix for suffix in images if suffix.split(".")[-2] != MASK] or images


def _last(suffix: str) -> str:
    """The last part of a suffix, its format: png of v1.png."""
    return suffix.rpartition(".")[2]


def _sample(file: BinaryIO, group: Group) -> Sample:
    sample = _read_sample(file, group)
    if not group.loss or sample.status in FINAL_STATUSES:
        return sample
    return replace(sample, status="incomplete", reason=group.loss, image=b"")


def _read_sample(file: BinaryIO, group: Group) -> Sample:
    """Of several members with plain suffixes the first in the tar is the image; of several with dotted ones none is."""
    images = _images_of(group)
    image = group.members[images[0]] if images else None
    sample = Sample(group.key, member=image.name if image else "")
    if group.duplicate:
        return replace(sample, status="duplicate_key", reason="an earlier sample of this shard has the same key")
    if image is None:
        return _without_image(sample, group)
    if len(images) > 1 and "." in images[0]:
        why = (
            f"several images, none with a plain suffix: {joined_names(images)}; a key ends at the first dot of the name"
        )
        return replace(sample, status="incomplete", reason=why)
    sample = _with_data(file, sample, image)
    return replace(sample, metadata=to_text(_metadata(file, group))) if sample.status == "ok" else sample


def _without_image(sample: Sample, group: Group) -> Sample:
    """The row of a sample without an image, or with an image of a format that is not read."""
    unread = next((each for suffix, each in group.members.items() if _last(suffix) in UNREAD_SUFFIXES), None)
    if unread is None:
        return replace(sample, status="incomplete", reason=f"no image among its members: {joined_names(group.members)}")
    why = f"{unread.name} is an image with a suffix that is not read; read are {', '.join(IMAGE_SUFFIXES)}"
    return replace(sample, member=unread.name, status="undecodable", reason=why)


def _with_data(file: BinaryIO, sample: Sample, image: Member) -> Sample:
    if not image.regular:
        why = f"{image.name} is a link, a device or a sparse file, which are not read"
        return replace(sample, status="incomplete", reason=why)
    if image.size > MAX_IMAGE_BYTES:
        return replace(sample, status="too_large", reason=f"{image.size} bytes; at most {MAX_IMAGE_BYTES}")
    data = read_member(file, image)
    if len(data) != image.size:
        return replace(sample, status="incomplete", reason=f"the archive ends inside {image.name}")
    return replace(sample, sha256=hashlib.sha256(data).hexdigest(), image=data)


def _metadata(file: BinaryIO, group: Group) -> dict[str, object]:
    """The sidecars as one object; it names those that cannot be read, each with the reason."""
    metadata: dict[str, object] = {}
    problems = []
    for suffix, parse in SIDECARS.items():
        member = group.members.get(suffix)
        if member is not None:
            try:
                metadata |= parse(_read_sidecar(file, member))
            except ValueError as error:
                problems.append(f"{member.name}: {error}")
    return metadata | ({ERROR_KEY: "; ".join(problems)} if problems else {})


def _read_sidecar(file: BinaryIO, member: Member) -> bytes:
    if not member.regular:
        raise ValueError("a link, a device or a sparse file, which are not read")
    if member.size > MAX_BYTES:
        raise ValueError(f"{member.size} bytes; at most {MAX_BYTES}")
    data = read_member(file, member)
    if len(data) != member.size:
        raise ValueError(f"the archive ends inside it: {len(data)} of {member.size} bytes")
    return data
