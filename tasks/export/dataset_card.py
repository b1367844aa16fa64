"""The README.md of an export: what it is, and the lines that load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from tasks.export.destination import ExportedFile
from tasks.export.files import SUFFIXES, Kind

LOADING: Mapping[Kind, str] = {
    "webdataset": """\
import webdataset
samples = webdataset.WebDataset("coral-{000000..$last}.tar", shardshuffle=100).shuffle(1000).decode("pil")
# each has the image ("png", "jpg" or "webp") and "json": the labels, and under "coral" where the image comes from
""",
    "parquet": """\
import datasets
rows = datasets.load_dataset("parquet", data_files="coral-*.parquet", split="train")  # rows[0]["image"] is a PIL image
# or without pixels: duckdb.sql("SELECT edit, avg(direction) FROM 'coral-*.parquet' GROUP BY edit")
""",
}
CARD = """\
---
configs:
- config_name: default
  data_files: "coral-*.$suffix"
---
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
    """The card of an export: `edits` have edit and prompt."""
    return Template(CARD).substitute(
        suffix=SUFFIXES[kind],
        samples=sum(file.samples for file in files),
        where=where,
        edits="\n".join(f"| {_cell(each['edit'])} | {_cell(each['prompt'])} |" for each in edits),
        loading=Template(LOADING[kind]).substitute(last=f"{len(files) - 1:06d}"),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
