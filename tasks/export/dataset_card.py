"""The README.md of an export: what the export contains, and code that loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

import yaml

from tasks.export.destination import ExportedFile
from tasks.export.features import features_of, merged_members
from tasks.export.files import Kind, file_name

LOADING: Mapping[Kind, str] = {
    "webdataset": """\
import webdataset
samples = webdataset.WebDataset("coral-{000000..$last}.tar", shardshuffle=100).shuffle(1000).decode("pil")
# each has the image ("png", "jpg" or "webp") and "json": the labels, and under "coral" where the image comes from
# or datasets.load_dataset(FOLDER), also with streaming=True: the folder by its name, for this file declares the types
""",
    "parquet": """\
import datasets
rows = datasets.load_dataset("parquet", data_files="data/*.parquet", split="train")  # rows[0]["image"] is a PIL image
# the table as it is: pandas.read_parquet("data"), pyarrow.dataset.dataset("data"), polars.scan_parquet("data/")
# without pixels: duckdb.sql("SELECT edit, avg(direction) FROM 'data/*.parquet' GROUP BY edit")
""",
}
CARD = """\
---
$settings---
# $samples edited images

Written by `coral export`. Every image here is synthetic: an edit of a source image, made from a text prompt. Chosen
were the rows where

```sql
$where
```

| edit | prompt |
|---|---|
$edits

```python
$loading```

`_export.json` lists the files with their sizes and digests; it was written last.
"""


def card_of(kind: Kind, where: str, edits: Sequence[Mapping[str, Any]], files: Sequence[ExportedFile]) -> str:
    """The card of an export. Each mapping of `edits` has the keys edit and prompt."""
    return Template(CARD).substitute(
        settings=yaml.safe_dump(_settings(kind, files), sort_keys=False, allow_unicode=True),
        samples=sum(file.samples for file in files),
        where=where,
        edits="\n".join(f"| {_cell(edit['edit'])} | {_cell(edit['prompt'])} |" for edit in edits),
        loading=Template(LOADING[kind]).substitute(last=f"{len(files) - 1:06d}"),
    )


def _settings(kind: Kind, files: Sequence[ExportedFile]) -> dict[str, Any]:
    """The header that Hugging Face `datasets` reads: the files, and for tars the types of the columns."""
    settings: dict[str, Any] = {"configs": [{"config_name": "default", "data_files": file_name(kind, "*")}]}
    if kind == "webdataset":
        settings["dataset_info"] = {"features": features_of(merged_members(file.members for file in files))}
    return settings


def _cell(text: str) -> str:
    """The text as one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
