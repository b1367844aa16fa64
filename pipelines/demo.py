"""`make demo`: write tars of portraits, run three edits end to end, and compare every edit with the ground truth.

A user's job ends with `coral run`. Only the demo uses the judge, which knows the embedded domain.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import RenderableType

from coral_core.bundle.models import Models, load_models
from coral_core.zoo.measure.ground_truth import is_case, success_rate, unchanged_rate
from coral_core.zoo.measure.judge import Judge, load_judge
from coral_core.zoo.measure.rightness import ENOUGH, exact_answers, right_rate, right_shares
from coral_core.zoo.portraits.domain import Scene, scene_from_record
from manifests.commit import CommitRecord, read_commit
from manifests.parquet.reader import read_row_group, read_rows
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.cli.console import grid, show
from pipelines.cli.demo_data import Portraits, write_demo_data
from pipelines.cli.tables import HAS_IMAGE, report_line, run_tables, write_rows
from pipelines.flow.start import run_flow
from pipelines.jobfile.load import load_job
from tasks.images.contact_sheet import contact_sheet
from tasks.images.decode import pixels_of
from tasks.images.encode import encode
from tasks.images.tensors import tensor_of, to_pixels
from tasks.plan.plan import Plan, read_plans

FOLDER = Path("runs/demo")
JOB = Path(__file__).parent / "jobs" / "portraits-demo.yaml"
SHARDS, SAMPLES = 4, 64
SHEET_SAMPLES, ZOOM = 5, 2
WANTS: Mapping[str, Mapping[str, str]] = {
    "red-hair": {"hair_color": "red"},
    "earrings": {"earrings": "gold"},
    "smile": {"mouth": "smile"},
}
"""Edit of the job -> the attribute values that it asks for, as the lexicon names them."""
JUDGED = (
    "judged: lacked the wanted value; "
    f"right: {ENOUGH:.0%} of the truly changed pixels as in the exact answer; "
    "unchanged: other visible attributes"
)
QUERIES = (
    "SELECT edit, count(*) AS ok, avg(direction) AS direction, avg(identity) AS identity, avg(area) AS area\n"
    "FROM manifest WHERE status = 'ok' GROUP BY edit ORDER BY edit",
    "SELECT key, edit, direction, image_uri, row FROM manifest ORDER BY direction DESC LIMIT 5",
    "SELECT metadata->>'$.attributes.hair_style' AS hair_style, count(*) AS rows, avg(outside) AS change_off_mask\n"
    "FROM manifest WHERE edit LIKE 'red-hair%' GROUP BY ALL ORDER BY ALL",
)


@dataclass(frozen=True)
class Edited:
    """One edited portrait and the scene it was made from."""

    key: str
    scene: Scene
    image_HWC: np.ndarray  # uint8
    mask_HW: np.ndarray  # uint8


@dataclass(frozen=True)
class EditedSet:
    """All portraits of one edit."""

    edit_id: str
    records: tuple[CommitRecord, ...]

    @property
    def wants(self) -> Mapping[str, str]:
        return next(wants for slug, wants in WANTS.items() if self.edit_id.startswith(slug))

    @property
    def counts(self) -> Counter[str]:
        """Rows by status, as they were committed: before any gate."""
        return sum((Counter(record.counts) for record in self.records), Counter())

    @property
    def edited(self) -> int:
        """Rows with an edited image, before any gate."""
        return sum(self.counts[status] for status in HAS_IMAGE)

    @property
    def images_per_second(self) -> float:
        """Speed of one worker in editing, compositing and scoring; encoding and writing run in parallel."""
        return sum(self.counts.values()) / sum(record.seconds["edit"] for record in self.records)

    def samples(self, store: Store) -> list[Edited]:
        """The edited images, in the order of their keys."""
        rows = [row for record in self.records for row in _data_rows(store, record) if row["status"] == "ok"]
        return [_edited(row) for row in sorted(rows, key=lambda row: row["key"])]


class Demo:
    """The demo's output, its figures and its pictures."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.store = open_store(str(output))

    @cached_property
    def judge(self) -> Judge:
        return load_judge()

    @cached_property
    def models(self) -> Models:
        return load_models("portraits")

    @cached_property
    def plan(self) -> Plan:
        return next(read_plans(self.store, newest=1))

    @cached_property
    def edits(self) -> list[EditedSet]:
        """The edits of the newest plan, each with the records of all its shards."""
        records = self._records(request.id for requests in self.plan.edit_requests() for request in requests)
        ids = sorted({record.info["edit"] for record in records})
        return [EditedSet(id_, tuple(record for record in records if record.info["edit"] == id_)) for id_ in ids]

    def _records(self, ids: Iterable[str]) -> list[CommitRecord]:
        return [record for id_ in ids if (record := read_commit(self.store, id_))]

    def report(self) -> RenderableType:
        """Per edit: rows, rows with an image, judged success, right images, unchanged attributes, speed."""
        columns = ("edit", "rows", "edited", "judged", "success", "right", "unchanged", "images/s")
        return grid(f"edited images before gates, against the ground truth ({JUDGED})", columns, self._figures())

    def _figures(self) -> Iterator[tuple[str, ...]]:
        for edit in self.edits:
            scored = [sample for sample in edit.samples(self.store) if is_case(sample.scene, edit.wants)]
            reads = self.judge.read(tensor_of([sample.image_HWC for sample in scored]))
            success = success_rate(reads, edit.wants)
            right = self._right(scored, edit.wants)
            kept = unchanged_rate(reads, [sample.scene for sample in scored], edit.wants)
            counts = (str(edit.counts.total()), str(edit.edited), str(len(scored)))
            yield (
                edit.edit_id,
                *counts,
                f"{success:.1%}",
                f"{right:.1%}",
                f"{kept:.1%}",
                f"{edit.images_per_second:.0f}",
            )

    @torch.no_grad()
    def _right(self, scored: Sequence[Edited], wants: Mapping[str, str]) -> float:
        """Share of the images that are right, compared with the exact answers pixel by pixel."""
        output_NHWC = np.stack([sample.image_HWC for sample in scored])
        labels_NHW = self.models.segmenter(tensor_of(list(output_NHWC))).argmax(1).numpy()
        exact = exact_answers([sample.scene for sample in scored], wants, self.models.image_size)
        return right_rate(right_shares(output_NHWC, labels_NHW, exact))

    def sheet(self) -> Path:
        """Write a contact sheet: for each edit a block of rows with source, inversion, edit and mask."""
        inversions = self._inversions()
        blocks = [self._block(edit, inversions) for edit in self.edits]
        rows = [[tile for block in blocks for tile in block[line]] for line in range(SHEET_SAMPLES)]
        path = self.output / "contact-sheet.png"
        path.write_bytes(encode(contact_sheet(rows, ZOOM), "png"))
        return path

    def _block(self, edit: EditedSet, inversions: Mapping[str, np.ndarray]) -> list[list[np.ndarray]]:
        cases = [each for each in edit.samples(self.store) if is_case(each.scene, edit.wants)]
        chosen = cases[:: max(1, len(cases) // SHEET_SAMPLES)][:SHEET_SAMPLES]
        return [[each.scene.image(), inversions[each.key], each.image_HWC, each.mask_HW] for each in chosen]

    @torch.no_grad()
    def _inversions(self) -> dict[str, np.ndarray]:
        """Every reconstruction, from the stored latents."""
        models = self.models
        shape = (1, models.generator.num_ws, models.generator.w_dim)
        images = {}
        for record in self._records(request.id for request in self.plan.invert_requests()):
            for row in (row for ref in record.objects for row in read_rows(self.store, ref.key)):
                ws_BLD = torch.tensor(row["ws"]).view(shape)
                images[row["key"]] = to_pixels(models.generator.render(models.generator.styles(ws_BLD)))[0]
        return images


def main() -> int:
    """Write the data, run the job, print figures and queries, write the picture. Returns the run's exit code."""
    data = FOLDER / "data"
    if len(list(data.glob("*.tar"))) < SHARDS:
        write_demo_data(data, SHARDS, SAMPLES, "test", Portraits())
    summary = run_flow(load_job(JOB), None)
    show(*run_tables(summary))
    if summary.exit_code == 1:
        return 1
    demo = Demo(FOLDER / "output")
    show(demo.report())
    for sql in QUERIES:
        print(f'\n$ coral query {demo.output} "{sql}"')
        result = query(demo.store, sql)
        write_rows(result.column_names, result.to_pylist(), "table")
    print(f"\nsource, inversion, edit and mask of each edit: {demo.sheet()}")
    show(report_line(summary.report))
    return summary.exit_code


def _data_rows(store: Store, record: CommitRecord) -> list[dict[str, Any]]:
    columns = ("key", "status", "metadata", "image", "mask")
    objects: Sequence[Any] = [ref for ref in record.objects if ref.key.startswith("data/")]
    groups = [(ref.key, group) for ref in objects for group in range(len(ref.row_groups))]
    return [row for key, group in groups for row in read_row_group(store, key, group, columns)]


def _edited(row: Mapping[str, Any]) -> Edited:
    scene = scene_from_record(json.loads(row["metadata"]))
    return Edited(row["key"], scene, pixels_of(row["image"]["bytes"]), pixels_of(row["mask"]["bytes"]))


if __name__ == "__main__":
    sys.exit(main())
