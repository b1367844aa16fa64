"""What one attempt at a request writes: temporary files while it runs, and one commit at its end."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.commit import CommitRecord, ObjectRef, commit
from manifests.parquet.schema import EDIT_SCHEMA, PAYLOAD, ROWS_SCHEMA
from manifests.parquet.writer import MIB, LocalPart, PartWriter
from manifests.stores.disk_errors import TEMPORARY, naming_full_disk
from manifests.stores.store import Store
from manifests.stores.temporary import owned_folder, sweep
from tasks.shards.refusals import Refusal, record_refusal
from tasks.shards.rows import Row
from tasks.spec.requests import EditRequest, InvertRequest

ROW_GROUP_BUDGET = 512 * MIB
"""Memory that the open row groups of one shard share, however many edits it gets."""
SCALAR_SHARE = 32
"""A table without payload gets this fraction of a row group's budget: its metadata may be as large as the images."""
CHUNK_BYTES = 16 * MIB
"""Encoded pixels that are converted to Arrow columns at once."""
PIXELS = frozenset({"image", "mask"})
SCRATCH = "coral-scratch-"


@dataclass(frozen=True)
class ShardReport:
    """The result of one request."""

    request_id: str
    name: str  # for people: the shard, and the edit
    counts: Mapping[str, int]  # status -> samples
    seconds: Mapping[str, float]  # phase -> wall clock
    reused: bool = False  # it was committed before
    refused: str = ""  # why it was not committed; empty if it was

    @classmethod
    def of(cls, record: CommitRecord, reused: bool) -> ShardReport:
        """The report of a committed request."""
        return cls(record.request_id, str(record.info["name"]), record.counts, record.seconds, reused)


class Output:
    """The files of one request: `tables` maps the name of each Parquet file to its Arrow schema."""

    def __init__(self, request_id: str, kind: str, tables: Mapping[str, Any], folder: Path, group_bytes: int):
        self.request_id, self.kind = request_id, kind
        self.attempt = secrets.token_hex(6)
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._started = time.perf_counter()
        self._first_reason = ""
        self._writers = {
            name: PartWriter(
                schema,
                folder / self.attempt / str(number),
                "part",
                row_group_bytes=group_bytes if PAYLOAD.intersection(schema.names) else group_bytes // SCALAR_SHARE,
            )
            for number, (name, schema) in enumerate(tables.items())
        }

    @contextmanager
    def timing(self, phase: str) -> Iterator[None]:
        """Count the block's time towards a phase."""
        started = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - started

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows to every table, in chunks, without their pixels if the table has no columns for them."""
        for chunk in row_chunks(rows):
            self._write(chunk)

    def _write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.counts[str(row["status"])] += 1
            if row["status"] != "ok" and not self._first_reason:
                self._first_reason = f"{row['key']}: {row['reason']}"
        for writer in self._writers.values():
            absent = PIXELS.difference(writer.schema.names)
            writer.write([{name: value for name, value in row.items() if name not in absent} for row in rows])

    def commit(self, store: Store, info: Mapping[str, object], total: int, max_failure_rate: float) -> ShardReport:
        """Make the request visible, unless too many of its `total` samples failed.

        `info` goes into the record and has a "name".
        """
        assert total == sum(self.counts.values()), f"{info['name']}: {dict(self.counts)} for {total} samples"
        refusal = Refusal(self.request_id, total - self.counts["ok"], total)
        if refusal.exceeds(max_failure_rate):
            why = f"not committed: {refusal.reason(max_failure_rate)}; the first: {self._first_reason}"
            record_refusal(store, refusal, why)
            return ShardReport(self.request_id, str(info["name"]), dict(self.counts), dict(self.seconds), refused=why)
        parts = [(key, part) for name in self._writers for key, part in self._finished(name)]
        for name, writer in self._writers.items():
            rows = sum(part.rows for part in writer.close())
            assert rows == total, f"{name}: {rows} rows for {total} samples"
        self.seconds["total"] = time.perf_counter() - self._started
        record = CommitRecord(
            request_id=self.request_id,
            kind=self.kind,
            attempt=self.attempt,
            objects=tuple(ObjectRef.of(key, part) for key, part in parts),
            counts=dict(self.counts),
            seconds={phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
            info=info,
        )
        winner = commit(store, record, {key: part.path for key, part in parts})
        return ShardReport.of(winner, reused=winner.attempt != self.attempt)

    def _finished(self, name: str) -> Iterator[tuple[str, LocalPart]]:
        for number, part in enumerate(self._writers[name].close()):
            yield f"{name}-{self.attempt}-{number:04d}.parquet", part


def row_chunks(rows: Iterable[Row], max_bytes: int = CHUNK_BYTES) -> Iterator[list[Row]]:
    """The rows in their order; a chunk ends when its images and masks reach `max_bytes` bytes."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += sum(len(image["bytes"]) for name in PIXELS if isinstance(image := row.get(name), dict))
        if size >= max_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@contextmanager
def open_outputs(requests: Sequence[EditRequest]) -> Iterator[dict[str, Output]]:
    """One output per edit of a shard, by request id. After the block only committed objects remain."""
    group_bytes = max(4 * MIB, min(64 * MIB, ROW_GROUP_BUDGET // max(1, len(requests))))
    with scratch_folder() as folder:
        yield {
            request.id: Output(
                request.id,
                "edit",
                {f"data/edit={request.spec.edit_id}/{request.id}": EDIT_SCHEMA, f"rows/{request.id}": ROWS_SCHEMA},
                folder,
                group_bytes,
            )
            for request in requests
        }


@contextmanager
def open_inversion(request: InvertRequest, schema: Any) -> Iterator[Output]:
    """The output of inverting one shard."""
    name = f"inversions/{request.spec.invert_id}/{request.shard.id}"
    with scratch_folder() as folder:
        yield Output(request.id, "invert", {name: schema}, folder, 64 * MIB)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files of this process; old folders of killed processes are removed first.

    DiskFull if the disk is full.
    """
    temporary = Path(tempfile.gettempdir())
    sweep(temporary.glob(f"{SCRATCH}*"))
    with naming_full_disk(temporary, TEMPORARY), owned_folder(temporary, SCRATCH) as folder:
        yield folder
