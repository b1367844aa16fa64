"""Source tars as samples: every sample is a row with a status, whatever state the archive is in.

Samples are grouped by webdataset's own key rule (everything before the first dot of the base name; names without one,
hidden and __meta__ names are no samples). Where webdataset would give half samples (members of one key that are not
adjacent) the members are brought together, because the headers are read first and the data at their offsets; where it
would raise (one name twice) the second becomes a sample of its own with the status duplicate_key. Nothing in a tar is
ever executed: members are bytes, and only JSON and text are parsed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from manifests.schema import Status

IMAGE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm")
MAX_IMAGE_BYTES = 256 * 2**20
MAX_SIDECAR_BYTES = 16 * 2**20
END_OF_ARCHIVE = bytes(1024)
BLOCK = 512


@dataclass(frozen=True)
class Sample:
    """One sample as its shard has it."""

    key: str
    member: str = ""  # the image's name in the tar
    sha256: str = ""  # of the image's bytes
    metadata: str = "{}"  # JSON object: the sample's json member, and its txt member as "caption"
    status: Status = "ok"
    reason: str = ""
    image: bytes = field(default=b"", repr=False)  # encoded, as in the tar; empty unless ok


@dataclass(frozen=True)
class Member:
    """Where one file of a sample lies in the tar."""

    name: str
    offset: int
    size: int
    regular: bool  # a file; links and devices are not followed


@dataclass
class Group:
    """The members of one sample, by their suffix in lower case."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    duplicate: bool = False  # another sample of the shard had this key, and a member of this suffix, first


@dataclass(frozen=True)
class Archive:
    """What the headers of a tar say."""

    groups: tuple[Group, ...]
    damage: str  # why the end of the archive was not reached; empty when it was
    unread: int  # bytes after the damage that nobody could make sense of


def read_samples(path: Path, limit: int | None = None) -> Iterator[Sample]:
    """Every sample of a local tar in the order of first appearance, at most `limit` of them.

    What is broken is a row too: a sample that the archive ends in, and one row for a stretch that cannot be read.
    """
    return islice(_all_samples(path), limit)


def count_samples(path: Path) -> int:
    """How many rows read_samples gives, from the headers alone."""
    archive = read_archive(path)
    return len(archive.groups) + _has_rest(archive)


def read_archive(path: Path) -> Archive:
    """Groups the members of a tar without reading their data."""
    groups: list[Group] = []
    newest: dict[str, Group] = {}
    damage, position = _check_end(path), 0
    with path.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    _add(groups, newest, info)
                    position = tar.offset
                    tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            damage = damage or f"the archive is damaged: {error}"
        unread = _unread(file, position)
    if unread and not damage:
        damage = "the archive goes on after its end, as concatenated tars do"
    return Archive(tuple(groups), damage, unread)


def write_shard(path: Path, samples: Iterable[Mapping[str, object]]) -> None:
    """A WebDataset tar of {"__key__": ..., suffix: bytes}; equal samples give equal bytes."""
    from webdataset import TarWriter

    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as writer:
        for sample in samples:
            writer.write(dict(sample))


def _all_samples(path: Path) -> Iterator[Sample]:
    archive = read_archive(path)
    with path.open("rb") as file:
        for number, group in enumerate(archive.groups):
            sample = _sample(file, group)
            if archive.damage and number == len(archive.groups) - 1 and sample.status in ("ok", "undecodable"):
                sample = replace(sample, status="incomplete", reason=archive.damage, image=b"")
            yield sample
    if _has_rest(archive):
        key = f"{path.name}@end" if archive.groups else path.name
        yield Sample(key, status="undecodable", reason=f"{archive.damage}; {archive.unread} bytes not read")


def _has_rest(archive: Archive) -> bool:
    """Whether one more row stands for what could not be read."""
    return bool(archive.damage) and (archive.unread > 0 or not archive.groups)


def _unread(file: BinaryIO, position: int) -> int:
    """Bytes from the last good member on, unless they are the zeros that every archive ends in."""
    file.seek(position)
    rest, something = 0, False
    while chunk := file.read(1 << 20):
        rest += len(chunk)
        something = something or any(chunk)
    return rest if something else 0


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


def _add(groups: list[Group], newest: dict[str, Group], info: tarfile.TarInfo) -> None:
    from webdataset.tariterators import base_plus_ext

    name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    key, suffix = base_plus_ext(name)
    if key is None or info.isdir() or re.match(r"__[^/]*__($|/)", name):
        return
    suffix = suffix.lower()
    group = newest.get(key)
    if group is None or suffix in group.members:
        newest[key] = group = Group(key, duplicate=group is not None)
        groups.append(group)
    group.members[suffix] = Member(name, info.offset_data, info.size, info.isreg())


def _image_of(group: Group) -> Member | None:
    """The sample's image: a plain suffix before a dotted one ("jpg" before "seg.png"), then the order of the tar."""
    images = [suffix for suffix in group.members if suffix.rpartition(".")[2] in IMAGE_SUFFIXES]
    return group.members[min(images, key=lambda suffix: "." in suffix)] if images else None


def _sample(file: BinaryIO, group: Group) -> Sample:
    image = _image_of(group)
    sample = Sample(group.key, member=image.name if image else "")
    if group.duplicate:
        return replace(sample, status="duplicate_key", reason="an earlier sample of this shard has the same key")
    if image is None:
        return replace(sample, status="incomplete", reason=f"no image among its members: {', '.join(group.members)}")
    if not image.regular:
        return replace(
            sample, status="incomplete", reason=f"{image.name} is a link or a device, which are not followed"
        )
    if image.size > MAX_IMAGE_BYTES:
        return replace(sample, status="too_large", reason=f"{image.size} bytes; at most {MAX_IMAGE_BYTES}")
    data = _read(file, image)
    if len(data) != image.size:
        return replace(sample, status="incomplete", reason=f"the archive ends inside {image.name}")
    sample = replace(sample, sha256=hashlib.sha256(data).hexdigest())
    try:
        return replace(sample, metadata=_metadata(file, group), image=data)
    except (ValueError, RecursionError) as error:
        return replace(sample, status="undecodable", reason=str(error))


def _metadata(file: BinaryIO, group: Group) -> str:
    """The json and txt members as one JSON object. ValueError names the member that cannot be read."""
    metadata: dict[str, object] = {}
    if (member := group.members.get("json")) is not None:
        try:
            found = json.loads(_read_sidecar(file, member), parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{member.name} is not valid JSON: {error}") from None
        metadata |= found if isinstance(found, dict) else {"json": found}
    if (member := group.members.get("txt")) is not None:
        metadata["caption"] = _read_sidecar(file, member).decode("utf-8", "replace").strip()
    return json.dumps(metadata, ensure_ascii=False)


def _read_sidecar(file: BinaryIO, member: Member) -> bytes:
    if not member.regular:
        raise ValueError(f"{member.name} is a link or a device, which are not followed")
    if member.size > MAX_SIDECAR_BYTES:
        raise ValueError(f"{member.name} has {member.size} bytes; a sidecar may have {MAX_SIDECAR_BYTES}")
    return _read(file, member)


def _read(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)
