from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tars import write_shards

from manifests.commit import committed
from manifests.query import query
from manifests.reader import read_row_group
from manifests.snapshot import read_snapshot
from manifests.store import open_store
from tasks import publish
from tasks.publish import publish_edits


def counts(store: Any) -> dict[str, int]:
    rows = query(store, "SELECT edit, count(*) AS n FROM manifest GROUP BY edit").to_pylist()
    return {row["edit"].split("-")[0]: row["n"] for row in rows}


def test_every_sample_is_published_once_per_edit(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 2, 3)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    assert counts(store) == {"red": 6, "smile": 6}
    version = read_snapshot(store).version
    publish_edits(store, plan, frozenset(committed(store)))
    assert read_snapshot(store).version == version


def test_a_published_row_leads_to_its_image(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 3)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    for row in query(store, "SELECT key, edit, image_uri, row_group, row, synthetic FROM manifest").to_pylist():
        found = read_row_group(store, row["image_uri"], row["row_group"], ["key", "edit", "image"])[row["row"]]
        assert (found["key"], found["edit"], row["synthetic"]) == (row["key"], row["edit"], True)
        assert found["image"]["bytes"]


def test_new_shards_and_new_edits_are_added(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 3)
    job = make_job()
    run_job(make_job(edits=job.edits[:1]))
    write_shards(tmp_path, 2, 3)
    plan, (inverted, fitted, edited) = run_job(job)
    assert (inverted.done, inverted.reused, fitted.reused, edited.done, edited.reused) == (1, 1, 1, 3, 1)
    assert counts(open_store(plan.output)) == {"red": 6, "smile": 6}


def test_a_limited_run_does_the_first_samples_and_makes_way_for_the_whole(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 3, 4)
    plan, _ = run_job(make_job(), limit_samples=6)
    store = open_store(plan.output)
    assert [shard.limit for shard in plan.shards] == [None, 2]
    assert counts(store) == {"red": 6, "smile": 6}
    _, (inverted, _, edited) = run_job(make_job())
    assert (inverted.reused, edited.reused) == (1, 2)
    assert counts(store) == {"red": 12, "smile": 12}
    assert sum(each.rows for each in read_snapshot(store).superseded) == 4
    run_job(make_job(), limit_samples=6)
    assert counts(store) == {"red": 12, "smile": 12}


def test_who_publishes_meanwhile_is_not_lost(
    tmp_path: Path, make_job: Any, run_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path, 2, 2)
    job = make_job()
    plan, _ = run_job(job)
    store = open_store(plan.output)
    store.delete("snapshots/LATEST.json")
    done = sorted(request.id for requests in plan.edit_requests() for request in requests)
    write, others = publish.write_parts, [frozenset(done[:2])]

    def interrupted(*arguments: Any) -> Any:
        parts = write(*arguments)
        if others:
            publish_edits(store, plan, others.pop())
        return parts

    monkeypatch.setattr(publish, "write_parts", interrupted)
    publish_edits(store, plan, frozenset(done))
    assert counts(store) == {"red": 4, "smile": 4}
