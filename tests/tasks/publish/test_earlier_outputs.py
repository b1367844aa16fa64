"""An output whose manifest was published as parts, by coral before it was a table: it is read, and turned into one.

output_of_parts.tar.xz was made by the code before the table: two edits of two shards of three samples; one edit was
published again with gates and labels, and one shard was tried again. rows.json in it is what a query gave then.
"""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import history, open_manifest
from tasks.plan.plan import Plan, read_plans
from tasks.plan.status import Share, output_status
from tasks.publish.gate_suggestions import gates_in_force
from tasks.publish.gc import find_leftovers
from tasks.publish.publish import publish_edits

ARCHIVE = Path(__file__).with_name("output_of_parts.tar.xz")
ORDER = "edit, source_uri, key"


@pytest.fixture
def earlier(tmp_path: Path) -> Store:
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    return open_store(tmp_path / "out")


def newest(store: Store) -> Plan:
    return replace(next(read_plans(store, newest=1)), output=str(store))


def rows_then(store: Store) -> list[dict[str, Any]]:
    return json.loads(store.read("rows.json"))


def rows_now(store: Store) -> list[dict[str, Any]]:
    columns = "* EXCLUDE (rules, source_version, source_state, effective_area)"  # of later versions
    rows = query(store, f"SELECT {columns} FROM manifest ORDER BY {ORDER}").to_pylist()
    return [{name: "NaN" if value != value else value for name, value in row.items()} for row in rows]


def published(store: Store) -> None:
    publish_edits(store, newest(store), committed(store))


@pytest.mark.parametrize("prepare", [lambda store: None, published], ids=["before", "after"])
def test_its_rows_are_read_before_and_after_the_first_publish(earlier: Store, prepare: Callable[..., None]) -> None:
    prepare(earlier)
    assert rows_now(earlier) == rows_then(earlier)
    status = output_status(earlier)
    assert (status.rows, status.work.published) == (12, Share(4, 4))
    assert [each.gates.active for each in gates_in_force(earlier)] == [{"min_direction": 0.6}, {}]


def test_the_first_publish_makes_the_first_version_and_the_next_nothing(earlier: Store) -> None:
    before = [info for info in earlier.list("") if not info.key.startswith("manifest/")]
    published(earlier)
    published(earlier)
    assert [each["version"] for each in history(earlier)] == [1, 0]
    manifest = open_manifest(earlier)
    assert (manifest.rows, len(manifest.requests)) == (12, 4)
    assert {each.source_version for each in manifest.requests.values()} == {"0", "1"}
    assert [info for info in earlier.list("") if not info.key.startswith("manifest/")] == before


def test_the_old_parts_are_left_to_gc(earlier: Store) -> None:
    parts = [info.key for info in earlier.list("manifest/part-")]
    day = 86400
    assert len(parts) == 4
    named = {part["key"] for part in json.loads(earlier.read("snapshots/LATEST.json"))["parts"]}
    assert {info.key for info in find_leftovers(earlier, 24, time.time() + 9 * day).objects} == set(parts) - named
    published(earlier)
    assert find_leftovers(earlier, 24, time.time() + 0.9 * day).objects == ()
    assert [info.key for info in find_leftovers(earlier, 24, time.time() + 1.1 * day).objects] == parts
