"""Rows put into a manifest directly, without commits."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.stores.store import Store
from manifests.table import FOLDER, Manifest, open_manifest
from manifests.table_files import TableFile, write_files

Row = Mapping[str, Any]


def put_rows(store: Store, folder: Path, rows: Iterable[Row]) -> list[TableFile]:
    """One file per edit ("e-1" in rows without one), which no version names yet."""
    by_edit: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_edit[row.get("edit", "e-1")].append({"status": "ok", "source_state": "present", "rules": "", **row})
    files: list[TableFile] = []
    for edit, own in by_edit.items():
        batch = pa.RecordBatch.from_pylist([dict(row) for row in own], MANIFEST_SCHEMA)
        files += write_files(store, FOLDER, edit, iter([[(batch, {})]]), folder / "scratch")
    return files


def publish_rows(store: Store, folder: Path, rows: Sequence[Row]) -> Manifest:
    """One transaction, in which the rows replace every file that has one of their requests."""
    manifest = open_manifest(store)
    requests = {row["request_id"] for row in rows}
    replaced = {each.file for each in manifest.requests.values() if each.request_id in requests}
    assert manifest.commit(uuid.uuid4().hex, put_rows(store, folder, rows), replaced, {"run_id": "test"})
    return open_manifest(store)
