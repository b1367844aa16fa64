"""SQL sees exactly the published rows, and no file or network address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest

from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import open_manifest
from tests.published import publish_rows, put_rows


def test_an_empty_manifest_has_columns_and_no_rows(store: Store) -> None:
    assert query(store, "SELECT * FROM manifest").schema.names == MANIFEST_SCHEMA.names
    assert query(store, "SELECT count(*) AS n FROM manifest").to_pylist() == [{"n": 0}]
    assert list(store.list("")) == []


def test_queries_see_the_rows_of_every_part(store: Store, tmp_path: Path) -> None:
    publish_rows(store, tmp_path, rows_of("r1", 3))
    publish_rows(store, tmp_path, rows_of("r2", 4))
    counted = query(
        store, "SELECT request_id, count(*) AS n, avg(direction) AS mean FROM manifest GROUP BY 1 ORDER BY 1"
    )
    assert counted.to_pylist() == [
        {"request_id": "r1", "n": 3, "mean": 1.0},
        {"request_id": "r2", "n": 4, "mean": 1.5},
    ]
    assert query(store, "SELECT key FROM manifest WHERE direction = 3").to_pylist() == [{"key": "r2-3"}]
    whole = query(store, "FROM manifest")
    assert whole.column_names == MANIFEST_SCHEMA.names and whole.num_rows == 7


def test_many_queries_over_many_parts_do_not_deadlock(tmp_path: Path) -> None:
    """In a separate process, because a deadlock of Arrow's threads and ours stops the whole process."""
    store = open_store(tmp_path / "out")
    for number in range(12):
        publish_rows(store, tmp_path, rows_of(f"r{number}", 200))
    again = f"""
from manifests.query import asking
from manifests.stores.open import open_store
with asking(open_store({str(store)!r})) as ask:
    for _ in range(200):
        assert ask("SELECT count(DISTINCT key) AS n FROM manifest").to_pylist() == [{{"n": 2400}}]
        assert ask("SELECT * FROM manifest LIMIT 3").num_rows == 3
"""
    subprocess.run([sys.executable, "-c", again], check=True, timeout=120)


def test_only_files_of_the_version_count(store: Store, tmp_path: Path) -> None:
    before = publish_rows(store, tmp_path, rows_of("r1", 3))
    put_rows(store, tmp_path, rows_of("stray", 9))
    assert query(store, "SELECT count(*) AS n FROM manifest").to_pylist() == [{"n": 3}]
    publish_rows(store, tmp_path, rows_of("r1", 2))
    assert query(store, "SELECT count(*) AS n FROM manifest", before).to_pylist() == [{"n": 3}]
    assert query(store, "SELECT count(*) AS n FROM manifest").to_pylist() == [{"n": 2}]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT metadata->>'$.hair' AS hair FROM manifest LIMIT 1", [{"hair": "red"}]),
        ("SELECT list_max(layer_areas) AS most FROM manifest LIMIT 1", [{"most": 0.5}]),
        ("WITH good AS (FROM manifest WHERE status = 'ok') SELECT count(*) AS n FROM good;", [{"n": 2}]),
        ("PIVOT manifest ON status USING count(*) GROUP BY request_id", [{"request_id": "r1", "ok": 2}]),
        ("SELECT count(*) AS n FROM manifest WHERE strength = 1.1", [{"n": 2}]),
    ],
)
def test_sql_works_as_people_write_it(store: Store, tmp_path: Path, sql: str, expected: list[dict[str, Any]]) -> None:
    publish_rows(store, tmp_path, rows_of("r1", 2))
    assert query(store, sql).to_pylist() == expected


def test_describe_and_explain_are_allowed(store: Store) -> None:
    assert query(store, "DESCRIBE manifest")["column_name"].to_pylist() == MANIFEST_SCHEMA.names
    assert query(store, "EXPLAIN FROM manifest").num_rows > 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT colour FROM manifest", 'Referenced column "colour" not found'),
        ("SELECT * FROM manifests", "manifests does not exist"),
        ("SELECT 1/'x'", "Could not convert|Conversion Error"),
        ("", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("DROP VIEW manifest", "one SELECT.*DROP"),
        ("CREATE TABLE t AS FROM manifest", "one SELECT.*CREATE"),
        ("SET threads = 1", "one SELECT.*SET"),
        ("COPY manifest TO 'stolen.csv'", "one SELECT.*COPY"),
        ("ATTACH 'other.db'", "one SELECT.*ATTACH"),
        ("INSTALL httpfs", "one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", "does not exist"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SELECT * FROM keys", "keys does not exist"),
    ],
)
def test_wrong_sql_and_statements_that_write_are_a_value_error(store: Store, sql: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        query(store, sql)


def test_files_are_skipped_by_statistics_and_none_with_nan_is(store: Store, tmp_path: Path) -> None:
    """DuckDB's order has NaN above every number, so a file with NaN may have rows above its largest number."""
    publish_rows(store, tmp_path, rows_of("r1", 3))
    publish_rows(store, tmp_path, [{**row, "direction": float("nan")} for row in rows_of("r2", 1)] + rows_of("r3", 2))
    sql = "SELECT key FROM manifest WHERE direction {} ORDER BY key"
    for condition, keys in {"> 1.5": ["r1-2", "r2-0"], "< 0.5": ["r1-0", "r3-0"], "IS NULL": []}.items():
        assert query(store, sql.format(condition))["key"].to_pylist() == keys
    dataset = open_manifest(store).dataset
    assert len(list(dataset.get_fragments(pads.field("direction") > 2.5))) == 1
    assert dataset.to_table(filter=pads.field("direction") == 1)["key"].to_pylist() == ["r3-1", "r1-1"]


def rows_of(request: str, rows: int) -> list[dict[str, Any]]:
    """Rows with direction 0, 1, 2, ..."""
    return [
        {
            "key": f"{request}-{index}",
            "request_id": request,
            "direction": index,
            "strength": 1.1,
            "metadata": '{"hair": "red"}',
            "layer_areas": [0.25, 0.5],
        }
        for index in range(rows)
    ]
