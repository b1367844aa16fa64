"""Exports work whatever became of the sources: replaced with other labels, changed and not done yet, deleted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.commit import committed
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.export.export import ExportReport, ExportSpec, export
from tasks.plan.plan import make_plan
from tasks.publish.publish import publish_edits
from tests.painted import publish_painted
from tests.tars import image_bytes, write_shards, write_tar
from tests.tasks.export.exported import TARS, read_tars


@pytest.fixture
def job(make_job: Any, tmp_path: Path) -> Any:
    write_shards(tmp_path, 2, 3)
    return make_job(edits=make_job().edits[:1])


def replace_labels(path: Path, label: int) -> None:
    """The tar with the same keys and images and other labels."""
    members = [(f"{key:04d}.png", image_bytes(key)) for key in range(3)]
    labels = [(f"{key:04d}.json", json.dumps({"label": label}).encode()) for key in range(3)]
    texts = [(f"{key:04d}.txt", b"new") for key in range(3)]
    write_tar(path, [member for sample in zip(members, labels, texts, strict=True) for member in sample])


def publish_again(job: Any) -> None:
    """Publish what is committed by a plan of what is there now."""
    plan = make_plan(job)
    store = open_store(plan.output)
    publish_edits(store, plan, committed(store))


def exported(store: Store, dest: Path, **options: Any) -> tuple[ExportReport, list[dict[str, Any]]]:
    report = export(store, open_store(dest), ExportSpec(files=TARS, **options))
    return report, read_tars(dest)


def test_a_replaced_tar_gives_its_new_labels_once(job: Any, tmp_path: Path) -> None:
    publish_painted(job)
    replace_labels(tmp_path / "in-000.tar", 99)
    _, store = publish_painted(job)
    report, samples = exported(store, tmp_path / "dest")
    labels = Counter(json.loads(sample["json"])["label"] for sample in samples)
    assert (report.samples, labels) == (6, {99: 3, 100: 1, 101: 1, 102: 1})
    assert report.without_texts == 0 and sum(sample.get("txt") == b"new" for sample in samples) == 3


def test_a_tar_whose_new_content_is_not_done_is_exported_as_it_was(job: Any, tmp_path: Path) -> None:
    """Without text members, which no tar has any more."""
    _, store = publish_painted(job)
    replace_labels(tmp_path / "in-000.tar", 99)
    publish_again(job)
    report, samples = exported(store, tmp_path / "dest")
    labels = {json.loads(sample["json"])["label"]: "txt" in sample for sample in samples}
    assert labels == {0: False, 1: False, 2: False, 100: True, 101: True, 102: True}
    assert report.without_texts == 3


@pytest.mark.parametrize(("policy", "by_default", "on_request"), [("keep", 6, 6), ("mark", 3, 6), ("drop", 3, 3)])
def test_a_deleted_tar(job: Any, tmp_path: Path, policy: Any, by_default: int, on_request: int) -> None:
    _, store = publish_painted(job)
    (tmp_path / "in-000.tar").unlink()
    publish_again(replace(job, removed_inputs=policy))
    assert len(exported(store, tmp_path / "dest")[1]) == by_default
    report, samples = exported(store, tmp_path / "all", with_removed=True)
    assert len(samples) == on_request and report.without_texts == on_request - 3
    assert Counter("txt" in sample for sample in samples)[True] == 3


def test_if_nothing_but_such_rows_is_left_the_error_says_so(job: Any, tmp_path: Path) -> None:
    _, store = publish_painted(job)
    (tmp_path / "in-000.tar").unlink()
    publish_again(job)
    with pytest.raises(ValueError, match=r"3 ok, 3 ok of sources that are gone \(--with-removed\)"):
        exported(store, tmp_path / "dest", where="source_uri LIKE '%000.tar'")
