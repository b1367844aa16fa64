"""Shared by the tests of an export: options, the samples of its tars, publishing rules for a job's edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import webdataset

from tasks.export.files import FileOptions
from tasks.spec.publish_rules import PublishRules

TARS = FileOptions(kind="webdataset", with_masks=True)
TABLE = FileOptions(kind="parquet", with_masks=True)


def read_tars(folder: Path) -> list[dict[str, Any]]:
    """Every sample, as webdataset reads it."""
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    return list(webdataset.WebDataset(urls, shardshuffle=False))


def edited(job: Any, **rules: PublishRules) -> Any:
    """The job with other publishing rules for its edits."""
    return replace(job, edits=tuple(replace(edit, rules=rules.get(edit.id, edit.rules)) for edit in job.edits))
