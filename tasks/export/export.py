"""Export of the rows that a condition selects, with their images, as training files.

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
from manifests.stores.s3_options import AMBIENT, S3Options
from manifests.stores.store import Store
from manifests.table import Manifest, open_manifest
from tasks.export.dataset_card import card_of
from tasks.export.destination import Destination, ExportedFile, claim
from tasks.export.files import FileOptions, local_files
from tasks.export.samples import SampleOptions, TrainingSample, training_samples
from tasks.shards.output import scratch_folder
from tasks.spec.callbacks import ignore
from tasks.spec.requests import content_id

FORMAT = 4
"""Version of _export.json; increase it when the same selection gives different files."""
GOOD = "status = 'ok'"
NOT_REMOVED = "source_state <> 'removed'"
OF_SOURCE = {"removed": " of sources that are gone (--with-removed)"}
"""source_state -> what a message says of such rows."""

OnFiles = Callable[[int, int], None]
"""Called with (samples exported so far, samples in all)."""


@dataclass(frozen=True, kw_only=True)
class ExportSpec:
    """The selection of rows and the form of the files."""

    where: str = "true"  # SQL over the manifest's columns
    with_rejected: bool = False  # also rows that a gate rejected; rows without an image are never exported
    with_removed: bool = False  # also rows whose source is gone and that the job marks
    limit: int | None = None  # at most this many rows, the first ones
    with_sidecars: bool = True  # text members of the sources; read for tars only
    files: FileOptions = field(default_factory=lambda: FileOptions(kind="webdataset"))

    @property
    def conditions(self) -> tuple[str, ...]:
        """SQL conditions that every exported row fulfils."""
        status = HAS_IMAGE if self.with_rejected else GOOD
        return (status, self.where) if self.with_removed else (status, NOT_REMOVED, self.where)

    @property
    def reads_sidecars(self) -> bool:
        """Whether text members of the sources are read: only tars have a place for them."""
        return self.with_sidecars and self.files.kind == "webdataset"


@dataclass(frozen=True)
class ExportReport:
    """The contents of the destination after the export."""

    files: tuple[ExportedFile, ...]
    samples: int
    reused: int  # files that earlier attempts had finished
    version: int  # of the manifest
    without_texts: int = 0  # samples whose text members could not be copied: their sources are gone or changed


def export(
    store: Store, destination: Store, spec: ExportSpec, on_files: OnFiles = ignore, s3: S3Options = AMBIENT
) -> ExportReport:
    """Export the rows that `spec` selects into a destination. A second call continues an interrupted export.

    `s3`: access to the buckets of the sources.
    Errors: ValueError for a wrong condition, a destination that holds something else, a source that is gone.
    """
    manifest = open_manifest(store)
    with select(store, manifest, *spec.conditions) as selection:
        total = min(selection.total, spec.limit or selection.total)
        if not total:
            raise ValueError(_nothing_selected(store, manifest, spec))
        version = {"snapshot": manifest.version, "manifest": content_id(sorted(manifest.files))}
        target = claim(destination, {**_selection_fields(spec), **version})
        of_sources = {row["source_state"]: row["rows"] for row in selection.count_by("source_state")}
        files = list(target.files)
        if not target.complete:
            options = SampleOptions(with_masks=spec.files.with_masks, with_texts=spec.reads_sidecars, s3=s3)
            rows = islice(selection.rows(skip=target.samples), total - target.samples)
            files += _write(target, spec.files, training_samples(store, rows, options), total, on_files)
            target.finish(files, card_of(spec.files.kind, spec.where, selection.count_by("edit", "prompt"), files))
    lost = sum(rows for state, rows in of_sources.items() if state != "present") if spec.reads_sidecars else 0
    return ExportReport(tuple(files), total, len(target.files), manifest.version, min(lost, total))


def _write(
    target: Destination, options: FileOptions, samples: Iterable[TrainingSample], total: int, on_files: OnFiles
) -> list[ExportedFile]:
    """Write the files that are not in the destination yet."""
    written: list[ExportedFile] = []
    done, first = target.samples, len(target.files)
    on_files(done, total)
    with scratch_folder() as folder:
        for number, local in enumerate(local_files(samples, options, folder, first), first):
            written.append(target.add(local, number))
            done += local.samples
            on_files(done, total)
    assert done == total, f"{done} samples exported, {total} selected"
    return written


def _selection_fields(spec: ExportSpec) -> dict[str, Any]:
    """The fields of the spec that change the files, as plain JSON."""
    return {"format": FORMAT, **asdict(spec), "with_sidecars": spec.reads_sidecars}


def _nothing_selected(store: Store, manifest: Manifest, spec: ExportSpec) -> str:
    """The error message if no row is selected: the reason, and the number of rows by status."""
    if not manifest.files:
        return "nothing is published in this output yet; run its job first"
    with select(store, manifest) as everything:
        groups = everything.count_by("status", "source_state")
    counts = ", ".join(f"{row['rows']} {row['status']}{OF_SOURCE.get(row['source_state'], '')}" for row in groups)
    return f"no row with an image fulfils {spec.where!r}; of all rows with one: {counts or 'there is none'}"
