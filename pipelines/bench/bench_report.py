"""The benchmark report: a folder with one Markdown page and a picture per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coral_core.zoo.measure.rightness import ENOUGH
from manifests.stores.open import open_store
from pipelines.bench.grids import columns_line, write_grids
from pipelines.bench.method_quality import QualityConfig
from pipelines.bench.records import Record
from pipelines.bench.table import page


def write_report(config: QualityConfig, name: str, methods: Sequence[str], records: Sequence[Record]) -> Path:
    """Write or replace the report of these prompts and scenes. Returns the path of its page."""
    selection = config.selection
    folder = config.folder / "reports" / f"{name}-{selection.split}-{selection.scenes}-{selection.seed}"
    pictures = write_grids(folder, open_store(str(config.folder)), records)
    notes = [
        f"Bundle {config.bundle}; {selection.scenes} candidate scenes of the {selection.split} range, "
        f"seed {selection.seed}.",
        f"Columns of the pictures: {columns_line(methods)}.",
    ]
    notes += [
        f"A case is right if {ENOUGH:.0%} of the pixels that the exact answer changes have its segment and about its "
        "colour; ghost is the share of these pixels that are mixtures of source and answer. The oracle mask is where "
        "the raw edit differs from the inversion. The rows oracle use the exact answers: the latent of each answer, "
        "an affine function of w, and one direction; all within the true region."
    ]
    if all(record.figures["right"] is None for record in records):
        notes.append("The bundle's segmenter has other segments than the domain: the columns of right are empty.")
    if all(record.figures["success_second"] is None for record in records):
        notes.append("The bundle has no second judge (judge2.safetensors): that column is empty.")
    path = folder / "index.md"
    path.write_text(page(f"Benchmark on {name}", " ".join(notes), records, pictures), encoding="utf-8")
    return path
