"""Out again: the rows that a condition chooses, with their images, as files to train on.

The export is one pass: a query gives the rows in the order of their images, each row group is read once, each source
tar is opened once for its sidecars, and each file is uploaded as soon as it is full. Memory holds one row group, the
headers of one source tar and some rows of the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from manifests.query import HAS_IMAGE
from manifests.selection import select
from manifests.snapshot import Snapshot, read_snapshot
from manifests.stores.s3_options import AMBIENT, S3Options
from manifests.stores.store import Store
from tasks.export.dataset_card import card_of
from tasks.export.destination import Destination, ExportedFile, claim
from tasks.export.files import FileOptions, packed
from tasks.export.samples import SampleOptions, TrainingSample, training_samples
from tasks.shards.output import scratch_folder
from tasks.spec.callbacks import ignore
from tasks.spec.requests import content_id

FORMAT = 3
"""Of _export.json; raised when the same selection gives other files."""
GOOD = "status = 'ok'"

OnFiles = Callable[[int, int], None]
"""Called with the samples that are there, and those there will be."""


@dataclass(frozen=True, kw_only=True)
class ExportSpec:
    """What to export, and how."""

    where: str = "true"  # SQL over the manifest's columns
    with_rejected: bool = False  # also rows that a gate rejected; those without an image never
    limit: int | None = None  # only the first so many rows
    with_sidecars: bool = True  # text members of the sources; read for tars only
    files: FileOptions = field(default_factory=lambda: FileOptions(kind="webdataset"))

    @property
    def statuses(self) -> str:
        """SQL: the rows that `where` chooses from."""
        return HAS_IMAGE if self.with_rejected else GOOD

    @property
    def reads_sidecars(self) -> bool:
        """Parquet rows have the labels and no place for files."""
        return self.with_sidecars and self.files.kind == "webdataset"


@dataclass(frozen=True)
class ExportReport:
    """What is in the destination now."""

    files: tuple[ExportedFile, ...]
    samples: int
    reused: int  # files that were there before
    snapshot: int  # version of the manifest


def export(
    store: Store, destination: Store, spec: ExportSpec, on_files: OnFiles = ignore, s3: S3Options = AMBIENT
) -> ExportReport:
    """Export what `spec` chooses from an output into a destination; doing it again goes on, or does nothing.

    `s3` says how the buckets of the sources are reached.
    Errors: ValueError for a wrong condition, a destination that holds something else, a source that is gone.
    """
    snapshot = read_snapshot(store)
    with select(store, snapshot, spec.statuses, spec.where) as selection:
        total = min(selection.total, spec.limit or selection.total)
        if not total:
            raise ValueError(_nothing(store, snapshot, spec))
        parts = content_id([part.key for part in snapshot.parts])
        taken = claim(destination, {**_described(spec), "snapshot": snapshot.version, "manifest": parts})
        files = list(taken.files)
        if not taken.complete:
            options = _sample_options(spec, snapshot, s3)
            rows = islice(selection.rows(skip=taken.samples), total - taken.samples)
            files += _write(taken, spec.files, training_samples(store, rows, options), total, on_files)
            taken.finish(files, card_of(spec.files.kind, spec.where, selection.count_by("edit", "prompt"), files))
    return ExportReport(tuple(files), total, len(taken.files), snapshot.version)


def _write(
    taken: Destination, options: FileOptions, samples: Iterable[TrainingSample], total: int, on_files: OnFiles
) -> list[ExportedFile]:
    """The files that are not there yet."""
    fresh: list[ExportedFile] = []
    done, first = taken.samples, len(taken.files)
    on_files(done, total)
    with scratch_folder() as folder:
        for number, local in enumerate(packed(samples, options, folder, first), first):
            fresh.append(taken.add(local, number))
            done += local.samples
            on_files(done, total)
    assert done == total, f"{done} samples exported, {total} chosen"
    return fresh


def _sample_options(spec: ExportSpec, snapshot: Snapshot, s3: S3Options) -> SampleOptions:
    return SampleOptions(with_masks=spec.files.with_masks, with_texts=spec.reads_sidecars, rules=snapshot.rules, s3=s3)


def _described(spec: ExportSpec) -> dict[str, Any]:
    """What of the spec changes a file, as plain JSON."""
    return {"format": FORMAT, **asdict(spec), "with_sidecars": spec.reads_sidecars}


def _nothing(store: Store, snapshot: Snapshot, spec: ExportSpec) -> str:
    """Why there is nothing to export, and what there would be."""
    if not snapshot.parts:
        return "nothing is published in this output yet; run its job first"
    with select(store, snapshot) as everything:
        found = ", ".join(f"{row['rows']} {row['status']}" for row in everything.count_by("status"))
    return f"no row with an image fulfils {spec.where!r}; of all rows with one: {found or 'there is none'}"
