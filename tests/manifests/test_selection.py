"""Chosen rows come in the order of their images, each once, however many rows a query returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manifests import query
from manifests.selection import select
from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import open_manifest
from tests.published import publish_rows

SOURCES = ("file:///c.tar", "file:///a's.tar", "file:///b.tar")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two edits of three sources with three samples each, published in an order of their own; one row has no image."""
    found = open_store(tmp_path / "out")
    for source in SOURCES:
        for edit in ("smile-1", "red-1"):
            publish_rows(found, tmp_path, [row(source, edit, index) for index in (2, 0, 1)])
    return found


def row(source: str, edit: str, index: int) -> dict[str, Any]:
    good = (source, edit, index) != (SOURCES[0], "red-1", 1)
    where = {"image_uri": f"data/{source[-5]}-{edit}", "row_group": index // 2, "row": index % 2} if good else {}
    status = "ok" if good else "undecodable"
    return {
        "key": f"{index}", "source_uri": source, "edit": edit, "status": status, "request_id": f"{source[-5]}-{edit}",
        "metadata": "{}", "direction": 0.1 * index, **where,
    }  # fmt: skip


def places(rows: Any) -> list[tuple[Any, ...]]:
    return [tuple(each[name] for name in ("source_uri", "edit", "image_uri", "row_group", "row")) for each in rows]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_rows_with_an_image_come_once_in_the_order_of_the_images(
    store: Store, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(query, "BATCH_ROWS", at_once)
    with select(store, open_manifest(store), "true") as chosen:
        found = places(chosen.rows())
        assert (chosen.total, len(found)) == (17, 17)
        assert found == sorted(found)
        for skip in (1, 6, 16, 17):
            assert places(chosen.rows(skip)) == found[skip:]


def test_rows_come_from_the_given_version(store: Store, tmp_path: Path) -> None:
    before = open_manifest(store)
    with select(store, before, "true") as chosen:
        publish_rows(store, tmp_path, [row("file:///d.tar", "red-1", 0)])
        assert len(list(chosen.rows())) == 17
    with select(store, before, "true") as chosen:
        assert chosen.total == 17
    with select(store, open_manifest(store), "true") as chosen:
        assert chosen.total == 18


def test_a_condition_may_use_every_column_and_a_comment(store: Store) -> None:
    with select(store, open_manifest(store), "direction > 0.05 AND edit LIKE 'red%' -- good ones") as chosen:
        assert chosen.count_by("key") == [{"key": "1", "rows": 2}, {"key": "2", "rows": 3}]


def test_every_condition_holds_whatever_the_others_say(store: Store) -> None:
    with select(store, open_manifest(store), "key = '1' -- one", "true OR key = '2' /* (more) */ --") as chosen:
        assert chosen.count_by("key") == [{"key": "1", "rows": 5}]


@pytest.mark.parametrize(
    "condition",
    ["true) OR (true", "true)) OR ((true", "true) --", "true /*", "')", "(true", "true; SELECT 1", "", "-- nothing"],
)
def test_a_condition_stays_between_its_parentheses(store: Store, condition: str) -> None:
    with (
        pytest.raises(ValueError, match=r"by itself is no condition .*, as direction > 0\.1 .*query"),
        select(store, open_manifest(store), "false", condition),
    ):
        pass


@pytest.mark.parametrize(
    "condition",
    ["key =", "nothing = 1", "true) ; DROP TABLE manifest; --", "1 = 1 ORDER BY key;", "true;", "true LIMIT 1"],
)
def test_invalid_conditions_are_an_error(store: Store, condition: str) -> None:
    with pytest.raises(ValueError, match="query"), select(store, open_manifest(store), condition):
        pass


def test_a_selection_of_an_empty_manifest_is_empty(tmp_path: Path) -> None:
    with select(open_store(tmp_path), open_manifest(open_store(tmp_path)), "true") as chosen:
        assert (chosen.total, list(chosen.rows())) == (0, [])
