"""Source tars as samples: every sample is a row with a status, whatever state the archive is in.

Samples are grouped by webdataset's own key rule (everything before the first dot of the base name; names without one,
hidden and __meta__ names are no samples). Where webdataset would give half samples (members of one key that are not
adjacent) the members are brought together (tasks.inputs.grouping), because the headers are read first and the data at
their offsets; where it would raise (one name twice) the second becomes a sample of its own with the status
duplicate_key. Nothing in a tar is ever executed: members are bytes, and only JSON and text are parsed. docs/input.md
has the rules in full.

A row says something about the tar. What the disk says, such as an input/output error, is an OSError, and no row.
"""

from __future__ import annotations

import errno
import hashlib
import io
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from manifests.parquet.schema import Status
from tasks.inputs.grouping import IMAGE_SUFFIXES, UNREAD_SUFFIXES, Group, Member, doubt, grouped, some
from tasks.inputs.sidecars import MAX_BYTES, PROBLEM, SIDECARS, to_text

MAX_IMAGE_BYTES = 256 * 2**20
MAX_HEADER_BYTES = 2**20
SETTLED = ("incomplete", "duplicate_key")  # not made worse by an archive that ends in the sample
MASK = "mask"
GARBAGE = "what follows the last file is no header"
END_OF_ARCHIVE = bytes(1024)
BLOCK = 512
OTHERS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
"""First bytes of what is often taken for a tar."""
BROKEN_TAR = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError)
"""What tarfile raises on hostile headers."""
HOSTILE_SEEKS = (errno.EINVAL, errno.EOVERFLOW)
"""What the system says of an offset that no file has."""


@dataclass(frozen=True)
class Sample:
    """One sample as its shard has it."""

    key: str
    member: str = ""  # the image's name in the tar
    sha256: str = ""  # of the image's bytes
    metadata: str = "{}"  # JSON object: the json member, the txt member as "caption", what was wrong as "sidecar_error"
    status: Status = "ok"
    reason: str = ""
    image: bytes = field(default=b"", repr=False)  # encoded, as in the tar; empty unless ok
    masks: Mapping[str, Sample] = field(default_factory=dict, repr=False)  # suffix -> what was asked for beside it


@dataclass(frozen=True)
class Archive:
    """What the headers of a tar say."""

    path: Path
    groups: tuple[Group, ...]
    damage: str  # what is wrong with it; empty if nothing
    unread: int  # bytes after the damage that nobody could make sense of

    @property
    def count(self) -> int:
        """How many rows its samples have."""
        return len(self.groups) + self._has_rest

    def samples(self, limit: int | None = None, masks: Collection[str] = ()) -> Iterator[Sample]:
        """Every sample in the order of first appearance, at most `limit` of them.

        What is broken is a row too: a sample that lacks something, and one row for a stretch that cannot be read.
        `masks` are suffixes of members that are read as the image is; that one is broken is no matter of its sample.
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
        if self._has_rest:
            name = _unicode(self.path.name)
            key = f"{name}@end" if self.groups else name
            yield Sample(key, status="undecodable", reason=f"{self.damage}; {self.unread} bytes not read")

    @property
    def _has_rest(self) -> bool:
        """Whether one more row stands for what could not be read."""
        return bool(self.damage) and (self.unread > 0 or not self.groups)


def read_samples(path: Path, limit: int | None = None, masks: Collection[str] = ()) -> Iterator[Sample]:
    """Every sample of a local tar, at most `limit` of them. Errors: OSError when the disk, and not the tar, is bad."""
    return read_archive(path).samples(limit, masks)


def count_samples(path: Path) -> int:
    """How many rows read_samples gives, from the headers alone."""
    return read_archive(path).count


def read_archive(path: Path) -> Archive:
    """Group the members of a tar without reading their data. Errors: OSError when the disk, and not the tar, is bad."""
    with _HeaderReader(path.open("rb", buffering=0)) as file:
        members, position, broken = _read_headers(file)
        groups = grouped(members)
        ended, unread = _rest(file, min(position, path.stat().st_size))
        if ended and not broken:
            damage = "the archive goes on after its end, as concatenated tars do" if unread else ""
            return Archive(path, groups, damage, unread)
        damage = (
            ("" if groups else _known_as(file)) or _check_end(path) or f"the archive is damaged: {broken or GARBAGE}"
        )
        doubt(groups, damage)
        return Archive(path, groups, damage, unread)


def read_member(file: BinaryIO, member: Member) -> bytes:
    """A member's bytes; fewer where the archive ends in it, and of one that claims to be huge its beginning."""
    file.seek(member.offset)
    return file.read(min(member.size, MAX_IMAGE_BYTES))


def read_mask(file: BinaryIO, group: Group, image: str, suffix: str) -> Sample:
    """The member of a sample that holds a mask of its `image`: bytes in place of an image, or status and reason."""
    member = group.members.get(suffix)
    if member is None:
        why = f"no mask {suffix} among its members: {some(group.members)}"
        return Sample(group.key, status="incomplete", reason=why)
    if member.name == image:
        why = f"{member.name} is its only image, and no mask of another"
        return Sample(group.key, member=image, status="incomplete", reason=why)
    return _with_data(file, Sample(group.key, member=member.name), member)


class _HeaderReader(io.BufferedReader):
    """A tar that is read for its headers: one of them that claims to be huge does not get into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise ValueError(f"a header claims to have {size} bytes; at most {MAX_HEADER_BYTES}")
        return super().read(size)


def write_shard(path: Path, samples: Iterable[Mapping[str, object]]) -> None:
    """A WebDataset tar of {"__key__": ..., suffix: bytes}; equal samples give equal bytes."""
    from webdataset import TarWriter

    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as writer:
        for sample in samples:
            writer.write(dict(sample))


def _read_headers(file: BinaryIO) -> tuple[list[Member], int, str]:
    """The members up to the end or to the first broken header; where the last one ends; what is broken."""
    members: list[Member] = []
    position = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                if info.size < 0 or tar.offset <= position:
                    raise ValueError("a header says that its file ends before it begins")
                members += _members(info)
                position = tar.offset
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
    except BROKEN_TAR as error:
        if isinstance(error, OSError) and error.errno not in (None, *HOSTILE_SEEKS):
            raise
        return members, position, str(error)
    return members, position, ""


def _rest(file: BinaryIO, position: int) -> tuple[bool, int]:
    """Whether the zeros that end every archive begin here, and how many bytes follow, unless they are all zeros."""
    file.seek(position)
    chunk = file.read(BLOCK)
    ended, rest, something = chunk == bytes(BLOCK), 0, False
    while chunk:
        rest += len(chunk)
        something = something or any(chunk)
        chunk = file.read(MAX_HEADER_BYTES)
    return ended, rest if something else 0


def _check_end(path: Path) -> str:
    """What is wrong with the size or the end of the file; empty if nothing. Tells every truncation from a whole tar."""
    size = path.stat().st_size
    if size == 0:
        return "the archive is empty: 0 bytes"
    if size % BLOCK:
        return f"the archive is truncated: {size} bytes are no multiple of {BLOCK}"
    with path.open("rb") as file:
        file.seek(max(0, size - len(END_OF_ARCHIVE)))
        if file.read() != END_OF_ARCHIVE:
            return "the archive is truncated: it does not end in two blocks of zeros"
    return ""


def _known_as(file: BinaryIO) -> str:
    """What the file is instead of a tar; empty if that is unknown. Only for what does not begin as tars do."""
    file.seek(0)
    first = file.read(BLOCK)
    names = [name for magic, name in OTHERS.items() if first.startswith(magic)]
    return f"the archive is {names[0]} and no plain tar; unpack it, and give the tar itself" if names else ""


def _unicode(name: str) -> str:
    """A name as rows can hold it: bytes that are no UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _members(info: tarfile.TarInfo) -> list[Member]:
    """The entry as a member of a sample; none if it is no part of one."""
    from webdataset.tariterators import base_plus_ext

    name = _unicode(info.name)
    key, suffix = base_plus_ext(name)
    if key is None or info.isdir() or re.match(r"__[^/]*__($|/)", name):
        return []
    regular = info.isreg() and not info.issparse()
    return [Member(name, key, suffix.lower(), info.offset_data, info.size, regular)]


def _images_of(group: Group) -> list[str]:
    """Suffixes of what may be the sample's image: the plain ones ("jpg"), or else the dotted ones ("v1.jpg").

    Of the dotted ones those are left out that are masks by their name ("mask.png"), unless there is nothing else: it is
    the tar, and not a job, that says which image a sample is, or two jobs would not share an inversion.
    """
    images = [suffix for suffix in group.members if _last(suffix) in IMAGE_SUFFIXES]
    plain = [suffix for suffix in images if "." not in suffix]
    return plain or [suffix for suffix in images if suffix.split(".")[-2] != MASK] or images


def _last(suffix: str) -> str:
    """The format that a suffix names: png of v1.png."""
    return suffix.rpartition(".")[2]


def _sample(file: BinaryIO, group: Group) -> Sample:
    sample = _as_found(file, group)
    if not group.doubt or sample.status in SETTLED:
        return sample
    return replace(sample, status="incomplete", reason=group.doubt, image=b"")


def _as_found(file: BinaryIO, group: Group) -> Sample:
    """Of several plain suffixes the first in the tar is the image; of several dotted ones none is."""
    images = _images_of(group)
    image = group.members[images[0]] if images else None
    sample = Sample(group.key, member=image.name if image else "")
    if group.duplicate:
        return replace(sample, status="duplicate_key", reason="an earlier sample of this shard has the same key")
    if image is None:
        return _without_image(sample, group)
    if len(images) > 1 and "." in images[0]:
        why = f"several images, none with a plain suffix: {some(images)}; a key ends at the first dot of the name"
        return replace(sample, status="incomplete", reason=why)
    sample = _with_data(file, sample, image)
    return replace(sample, metadata=to_text(_metadata(file, group))) if sample.status == "ok" else sample


def _without_image(sample: Sample, group: Group) -> Sample:
    """The row of a sample that has no image that could be read, or none at all."""
    unread = next((each for suffix, each in group.members.items() if _last(suffix) in UNREAD_SUFFIXES), None)
    if unread is None:
        return replace(sample, status="incomplete", reason=f"no image among its members: {some(group.members)}")
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
    """The sidecars as one object; those that cannot be read are named in it, each with the reason."""
    metadata: dict[str, object] = {}
    problems = []
    for suffix, parse in SIDECARS.items():
        member = group.members.get(suffix)
        if member is not None:
            try:
                metadata |= parse(_read_sidecar(file, member))
            except ValueError as error:
                problems.append(f"{member.name}: {error}")
    return metadata | ({PROBLEM: "; ".join(problems)} if problems else {})


def _read_sidecar(file: BinaryIO, member: Member) -> bytes:
    if not member.regular:
        raise ValueError("a link, a device or a sparse file, which are not read")
    if member.size > MAX_BYTES:
        raise ValueError(f"{member.size} bytes; at most {MAX_BYTES}")
    data = read_member(file, member)
    if len(data) != member.size:
        raise ValueError(f"the archive ends inside it: {len(data)} of {member.size} bytes")
    return data
