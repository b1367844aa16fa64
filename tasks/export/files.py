"""The files of an export, written one after another: WebDataset tars, or Parquet with image columns.

Equal samples give equal bytes: no times, no names of users, members in a fixed order.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from manifests.parquet.schema import ROW_PLACE_COLUMNS, export_schema
from manifests.parquet.writer import MIB, PartWriter
from tasks.export.features import MemberTypes, member_types
from tasks.export.json_types import JsonType, merged_fields
from tasks.export.samples import TrainingSample

Kind = Literal["webdataset", "parquet"]

MEMBER_BYTES = 1024
"""Approximate bytes of a tar member besides its content: the header and the padding of the last block."""
ROW_BYTES = 1024
"""Approximate bytes of a Parquet row besides image and mask."""
ROW_GROUP_BYTES = 64 * MIB
ROWS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How an export is split into files, and what they contain."""

    kind: Kind
    with_masks: bool = False
    max_bytes: int = 256 * MIB  # a file is full as soon as it has about this many
    max_samples: int | None = None


@dataclass(frozen=True)
class LocalExport:
    """A finished file on the local disk, not uploaded yet."""

    path: Path
    name: str  # in the destination
    samples: int
    size: int  # bytes
    sha256: str
    members: MemberTypes = field(default_factory=dict)  # of tars; a Parquet file contains its schema


class SampleWriter(Protocol):
    """Writes one file; leaving the block without an exception finishes it."""

    size: int  # approximate bytes so far
    members: dict[str, JsonType]  # of the samples so far

    def __enter__(self) -> SampleWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, sample: TrainingSample) -> None:
        """Append a sample."""
        ...


class TarWriter:
    """<key>.json, <key>.<image suffix> and so on, the members of a sample next to each other."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        self.size = 0
        self.members: dict[str, JsonType] = {}
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def write(self, sample: TrainingSample) -> None:
        """Append the sample's members, sorted by suffix."""
        self.members = merged_fields(self.members, member_types(sample))
        members = {**sample.texts, sample.suffix: sample.image, "json": _json(sample.labels())}
        if sample.mask is not None:
            members["mask.png"] = sample.mask
        for suffix, data in sorted(members.items()):
            info = tarfile.TarInfo(f"{sample.key}.{suffix}")
            info.size, info.mode = len(data), 0o444
            self._tar.addfile(info, io.BytesIO(data))
            self.size += len(data) + MEMBER_BYTES


class TableWriter:
    """Parquet rows: id, the manifest's columns, image, and mask if it is asked for."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        self.size, self.path = 0, path
        self.members: dict[str, JsonType] = {}
        self._rows: list[Mapping[str, object]] = []
        self._parts = PartWriter(
            export_schema(options.with_masks),
            path.parent,
            path.stem,
            max_part_bytes=1 << 40,  # one part: the caller decides when a file is full
            row_group_bytes=ROW_GROUP_BYTES,
        )

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._parts.discard()
            return
        self._parts.write(self._rows)
        (part,) = self._parts.close()
        part.path.replace(self.path)

    def write(self, sample: TrainingSample) -> None:
        """Append the sample's row."""
        row = {name: value for name, value in sample.row.items() if name not in ROW_PLACE_COLUMNS}
        row |= {"id": sample.key, "image": {"bytes": sample.image, "path": f"{sample.key}.{sample.suffix}"}}
        if sample.mask is not None:
            row["mask"] = {"bytes": sample.mask, "path": f"{sample.key}.mask.png"}
        self.size += len(sample.image) + len(sample.mask or b"") + ROW_BYTES
        self._rows.append(row)
        if len(self._rows) == ROWS_AT_ONCE:
            self._parts.write(self._rows)
            self._rows = []


WRITERS: Mapping[Kind, type[TarWriter] | type[TableWriter]] = {"webdataset": TarWriter, "parquet": TableWriter}
SUFFIXES: Mapping[Kind, str] = {"webdataset": "tar", "parquet": "parquet"}
FOLDERS: Mapping[Kind, str] = {"webdataset": "", "parquet": "data/"}
"""Tables have a folder of their own, because pandas, pyarrow and polars read every file of a given folder."""


def local_files(
    samples: Iterable[TrainingSample], options: FileOptions, folder: Path, first: int = 0
) -> Iterator[LocalExport]:
    """Write the samples to files in `folder`, numbered from `first`; each file is finished when it is yielded.

    The caller removes each file, so that the disk holds one at a time.
    """
    rest = iter(samples)
    for number in count(first):
        sample = next(rest, None)
        if sample is None:
            return
        yield _write_file(folder, file_name(options.kind, f"{number:06d}"), options, chain([sample], rest))


def file_name(kind: Kind, number: str) -> str:
    """The name of a file in the destination; `number` may be a pattern."""
    return f"{FOLDERS[kind]}coral-{number}.{SUFFIXES[kind]}"


def _write_file(folder: Path, name: str, options: FileOptions, samples: Iterator[TrainingSample]) -> LocalExport:
    """Write samples until the file is full or none is left."""
    path = folder / Path(name).name
    with WRITERS[options.kind](path, options) as writer:
        written = 0
        for sample in samples:
            writer.write(sample)
            written += 1
            if writer.size >= options.max_bytes or written == options.max_samples:
                break
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return LocalExport(path, name, written, path.stat().st_size, digest, writer.members)


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
