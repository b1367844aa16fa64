from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.commit import committed
from manifests.parquet.reader import read_row_group
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import open_manifest
from tasks.plan.plan import Plan
from tasks.plan.status import Share, edit_statuses, plan_status, published_requests
from tasks.publish.publish import Publication, publish_edits
from tasks.spec.gates import BOUNDS, Gates
from tasks.spec.labels import flat_labels
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, labels_of, small_plan
from tests.tars import write_shards

STRICT = Gates(
    min_direction=0.3, min_identity=0.2, max_outside=0.8, max_inversion_error=0.9, min_area=0.1, max_area=0.9
)


def counts(store: Any) -> dict[str, int]:
    rows = query(store, "SELECT edit, count(*) AS n FROM manifest GROUP BY edit").to_pylist()
    return {row["edit"].split("-")[0]: row["n"] for row in rows}


def test_every_sample_is_published_once_per_edit(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 2, 3)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    assert counts(store) == {"red": 6, "smile": 6}
    version = open_manifest(store).version
    publish_edits(store, plan, frozenset(committed(store)))
    assert open_manifest(store).version == version


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
    limited, _ = run_job(make_job(), limit_samples=6)
    assert counts(store) == {"red": 12, "smile": 12}
    assert plan_status(store, limited).published == Share(4, 4)
    assert [edit.counts for edit in edit_statuses(store, limited)] == [{"ok": 8}, {"ok": 8}]


@pytest.mark.parametrize("limits", [(2, 3), (3, 2), (2, 3, 1)])
def test_of_several_limits_the_largest_stands(
    limits: tuple[int, ...], tmp_path: Path, make_job: Any, run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 4)
    for limit in limits:
        plan, _ = run_job(make_job(), limit_samples=limit)
        store = open_store(plan.output)
        assert len(published_requests(store, plan, open_manifest(store).requests)) == 2
    assert counts(open_store(plan.output)) == {"red": 3, "smile": 3}


def by_rules(plan: Plan, **rules: PublishRules) -> Publication:
    """Publish the committed requests with these rules (id of an edit -> rules)."""
    store = open_store(plan.output)
    return publish_edits(store, replace(plan, publish=rules), committed(store))


def gated(gates: Gates) -> Mapping[str, PublishRules]:
    return dict.fromkeys(("red", "smile"), PublishRules(gates=gates))


def manifest(store: Store, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
    """Rows in the order of their places; NaN as text, so that rows can be compared."""
    sql = f"SELECT {columns} FROM manifest WHERE {where} ORDER BY edit, source_uri, key"
    rows = query(store, sql).to_pylist()
    return [{name: "NaN" if value != value else value for name, value in row.items()} for row in rows]


def test_without_gates_and_labels_rows_are_as_they_were_committed(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    commit_all(plan)
    assert by_rules(plan) == Publication(1, 4, 0, 80)
    rows = manifest(open_store(plan.output))
    assert {(row["status"], row["synthetic"]) for row in rows} == {("ok", True), ("failed", False)}
    assert [row["key"] for row in rows if row["status"] == "failed"] == ["0006", "0013"] * 4
    assert all(row["metadata"] == labels_of(int(row["key"])) for row in rows)
    assert {(row["gate"], row["original"], row["split"]) for row in rows} == {(None, None, None)}


def test_publishing_by_the_same_rules_again_writes_nothing(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, rules={"red": PublishRules(gates=STRICT, labels={"hair.color": "red"})})
    done, store = commit_all(plan), open_store(plan.output)
    first = publish_edits(store, plan, done)
    objects = list(store.list(""))
    assert publish_edits(store, plan, done) == replace(first, published=0)
    assert list(store.list("")) == objects


def test_every_verdict_is_the_rule_on_the_rows_scores(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    commit_all(plan, samples=300)
    by_rules(plan, **gated(STRICT))
    cases = " ".join(
        f"WHEN NOT coalesce({bound.score} {'<=' if bound.upper else '>='} {threshold}::FLOAT "
        f"AND NOT isnan({bound.score}), false) THEN '{gate}'"
        for gate, threshold in STRICT.active.items()
        for bound in [BOUNDS[gate]]
    )
    rows = manifest(open_store(plan.output), f"status, gate, reason, CASE {cases} END AS expected")
    edited = [row for row in rows if row["status"] != "failed"]
    assert [row["gate"] for row in edited] == [row["expected"] for row in edited]
    assert [row["status"] for row in edited] == ["rejected" if row["gate"] else "ok" for row in edited]
    assert {row["gate"] for row in rows} == {None, *STRICT.active}
    assert all((row["gate"] or "") in row["reason"] for row in rows)
    assert {(row["gate"], row["reason"]) for row in rows if row["status"] == "failed"} == {
        (None, "the edit gave pixels that are not finite")
    }


def test_other_gates_are_another_publish_and_touch_no_commit(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    store, _ = open_store(plan.output), commit_all(plan, samples=100)
    kept, truth = [], [info for info in store.list("") if not info.key.startswith("manifest/")]
    thresholds = (0.0, 0.2, 0.5, 0.2, 0.0)
    for version, threshold in enumerate(thresholds, 1):
        assert by_rules(plan, **gated(Gates(min_direction=threshold))).version == version
        rows = manifest(store, "edit, source_uri, key, image_uri", "status = 'ok'")
        kept.append({tuple(row.values()) for row in rows})
    assert kept[0] > kept[1] > kept[2] and kept[3:] == [kept[1], kept[0]]
    assert [info for info in store.list("") if not info.key.startswith("manifest/")] == truth


def test_a_rejected_row_keeps_its_image(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, shards=1)
    commit_all(plan)
    by_rules(plan, **gated(Gates(min_direction=0.9)))
    store = open_store(plan.output)
    rejected = manifest(store, where="status = 'rejected'")
    for row in rejected:
        found = read_row_group(store, row["image_uri"], row["row_group"], ["key", "image"])[row["row"]]
        assert (found["key"], found["image"]["bytes"], row["synthetic"]) == (row["key"], b"image", True)
    assert rejected


def test_labels_are_those_of_the_edit_and_the_source_stays_known(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    commit_all(plan)
    labels = flat_labels({"hair": {"color": "red"}, "smile": None, "caption": None})
    by_rules(plan, red=PublishRules(labels=labels, gates=Gates(min_direction=0.5)))
    rows = manifest(open_store(plan.output))
    for row in rows:
        source = labels_of(int(row["key"]))
        if row["edit"].startswith("red") and row["status"] in ("ok", "rejected"):
            assert json.loads(row["metadata"]) == {"hair": {"color": "red"}, "number": int(row["key"])}
            assert row["original"] == source
        else:
            assert (row["metadata"], row["original"]) == (source, None)
    assert {row["status"] for row in rows} == {"ok", "rejected", "failed"}


def test_an_edit_is_in_the_split_of_its_source(tmp_path: Path) -> None:
    def metadata(index: int) -> str | None:
        return json.dumps({"split": "holdout"}) if index % 2 else None if index % 3 else "{}"

    plan = small_plan(tmp_path, uri="file:///data/val/{:03d}.tar")
    commit_all(plan, metadata=metadata)
    by_rules(plan, red=PublishRules(labels={"smile": True}))
    for row in manifest(open_store(plan.output), "key, split"):
        assert row["split"] == ("holdout" if int(row["key"]) % 2 else "val")


def test_only_what_has_other_rules_is_published_again(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    store, _ = open_store(plan.output), commit_all(plan)
    by_rules(plan)
    smile = manifest(store, where="edit LIKE 'smile%'")
    strict = PublishRules(gates=STRICT)
    assert by_rules(plan, red=strict) == Publication(2, 0, 2, 80)
    assert manifest(store, where="edit LIKE 'smile%'") == smile
    files = set(open_manifest(store).files)
    assert by_rules(plan, red=strict, smile=PublishRules(labels={"a": 1})).republished == 2
    assert {path.partition("-")[0] for path in files & open_manifest(store).files.keys()} == {"edit=red"}


def test_who_publishes_a_request_last_decides_its_rules_and_no_others(tmp_path: Path) -> None:
    mine, yours = small_plan(tmp_path, shards=3), small_plan(tmp_path, shards=2)
    store, _ = open_store(mine.output), commit_all(mine)
    by_rules(mine, **gated(STRICT))
    before = manifest(store, where="source_uri LIKE '%002.tar'")
    by_rules(yours)
    assert manifest(store, where="source_uri LIKE '%002.tar'") == before
    assert not manifest(store, where="status = 'rejected' AND NOT source_uri LIKE '%002.tar'")
    assert by_rules(mine, **gated(STRICT)).republished == 4
    assert manifest(store, where="source_uri LIKE '%002.tar'") == before
