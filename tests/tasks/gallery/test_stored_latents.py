from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.parquet.reader import read_rows
from manifests.query import query
from manifests.stores.open import open_store
from tasks.gallery.missing import Missing
from tasks.gallery.stored_latents import NO_INVERSION, StoredLatents, name_of
from tests.tars import write_shards


@pytest.fixture
def finished(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> Any:
    """A store, its rows, and its latents by source."""
    write_shards(tmp_path, 2, 3)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    rows = query(store, "SELECT * FROM manifest ORDER BY key DESC").to_pylist()
    objects = [info.key for info in store.list("inversions/")]
    stored = {name_of(row): row["ws"] for key in objects for row in read_rows(store, key)}
    return store, rows, stored


def test_every_row_finds_the_latents_of_its_own_source(finished: Any) -> None:
    store, rows, stored = finished
    found = StoredLatents(store).of(rows)
    assert set(found) == set(stored)
    for name, ws_LD in found.items():
        assert isinstance(ws_LD, np.ndarray) and ws_LD.ndim == 2
        assert np.array_equal(ws_LD.ravel(), np.array(stored[name], np.float32))


def test_what_was_read_is_not_read_again(finished: Any, tmp_path: Path) -> None:
    store, rows, _ = finished
    latents = StoredLatents(store)
    before = latents.of(rows)
    for path in (tmp_path / "out" / "inversions").rglob("*.parquet"):
        path.unlink()
    assert all(latents.of(rows)[name] is ws_LD for name, ws_LD in before.items())


def test_one_damaged_record_is_a_reason_for_its_own_rows_only(finished: Any, tmp_path: Path) -> None:
    store, rows, _ = finished
    path = tmp_path / "out" / "commits" / f"{rows[0]['request_id']}.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "info": {}}))
    other = next(row for row in rows if row["source_uri"] != rows[0]["source_uri"])
    found = StoredLatents(store).of([rows[0], other])
    assert found[name_of(rows[0])] == Missing("KeyError: 'inversion'")
    assert isinstance(found[name_of(other)], np.ndarray)
    path.unlink()
    assert StoredLatents(store).of(rows[:1])[name_of(rows[0])] == NO_INVERSION
