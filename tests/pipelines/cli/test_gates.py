"""Gates and labels from the command line: applied to finished work, without workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.cli.gates import read_effects, snippet
from pipelines.jobfile.load import load_job
from tasks.plan.plan import Plan, record_plan
from tasks.publish.publish import publish_edits
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, small_plan
from tests.processes import Coral, run_here
from tests.tars import write_shards


def test_a_job_is_published_again_without_workers(
    tmp_path: Path, bundle: Path, coral: Coral, run_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 2, 4)
    job = {
        "name": "test",
        "input": str(tmp_path / "in-*.tar"),
        "output": str(tmp_path / "out"),
        "bundle": str(bundle),
        "batch_size": 4,
        "fit_source": {"samples": 8},
        "edits": [
            {
                "id": "red",
                "target": "red hair",
                "method": "coral-mapper-attention",
                "options": {"start": "regression", "embedding": 0, "fit": {"steps": 2, "batch_size": 4}},
            }
        ],
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    run_job(load_job(path).spec())
    store = open_store(job["output"])
    before = {info.key: info.etag for info in store.list("commits/")}

    job["edits"][0] |= {"gates": {"min_direction": 1.0}, "labels": {"hair.color": "red", "caption": None}}
    path.write_text(yaml.safe_dump(job))
    assert "0 published, 2 published again" in coral.run("publish", path)
    assert {info.key: info.etag for info in store.list("commits/")} == before
    rows = query(store, "SELECT status, gate, metadata FROM manifest").to_pylist()
    assert {(row["status"], row["gate"]) for row in rows} == {("rejected", "min_direction")}
    assert all(json.loads(row["metadata"]).keys() == {"label", "hair"} for row in rows)

    write_shards(tmp_path, 3, 4)
    printed = run_here("publish", path)
    assert "edits of shards: 0 published" in printed and "1 of 3 edits of shards are still to do" in printed
    (shown,) = json.loads(run_here("gates", job["output"], "--json"))
    assert shown["gates"] == {"min_direction": {"threshold": 1.0, "rejects": 8, "alone": 8}}
    (suggested,) = yaml.safe_load(run_here("gates", job["output"], "--suggest", "--keep", "0.5"))["edits"]
    assert suggested["id"] == "red" and suggested["gates"]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """Two edits, one of them with a gate."""
    plan = small_plan(tmp_path, rules={"red": PublishRules(gates=Gates(min_identity=0.5))})
    return published(plan)


def published(plan: Plan) -> Store:
    """The output of a run of the plan."""
    store = open_store(plan.output)
    record_plan(store, plan)
    commit_all(plan, samples=50)
    publish_edits(store, plan, committed(store))
    return store


def test_a_suggestion_can_be_pasted_into_a_job(store: Any, tmp_path: Path) -> None:
    effects = read_effects(store, 0.8, None)
    suggestion = yaml.safe_load("\n".join(snippet(effects, 0.8)))
    job = {"name": "n", "input": "in.tar", "output": "out"}
    job["edits"] = [{**edit, "target": edit["id"]} for edit in suggestion["edits"]]
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    entries = load_job(tmp_path / "job.yaml").spec().edits
    assert [(entry.id, entry.rules.gates) for entry in entries] == [
        ("red", effects[0].gates),
        ("smile", effects[1].gates),
    ]


def test_a_changed_edit_gets_one_suggestion(store: Any, tmp_path: Path) -> None:
    before = {effect.edit for effect in read_effects(store, 0.8, None)}
    plan = small_plan(tmp_path)
    stronger = tuple(replace(edit, strength=1.5) for edit in plan.edits)
    published(replace(plan, run_id="run2", edits=stronger))
    assert {effect.edit for effect in read_effects(store, 0.8, None)} == {edit.edit_id for edit in stronger}
    assert {effect.edit for effect in read_effects(store, None, None)} == before | {edit.edit_id for edit in stronger}
    assert {read_effects(store, 0.8, edit)[0].edit for edit in before} == before


def test_one_edit_is_chosen_by_its_id_in_the_job_or_the_manifest(store: Any) -> None:
    (red,) = read_effects(store, None, "red")
    assert read_effects(store, None, red.edit) == [red] and red.gates == Gates(min_identity=0.5)
    with pytest.raises(ValueError, match=r"no edit 'blue' in the manifest; there are red-\w+, smile-\w+"):
        read_effects(store, None, "blue")


def test_an_output_without_published_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no edited image is published"):
        read_effects(open_store(tmp_path), None, None)
