"""The benchmark report: a folder with one Markdown page and a picture per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    if all(record.figures["success_second"] is None for record in records):
        notes.append("The bundle has no second judge (judge2.safetensors): that column is empty.")
    path = folder / "index.md"
    path.write_text(page(f"Benchmark on {name}", " ".join(notes), records, pictures), encoding="utf-8")
    return path
