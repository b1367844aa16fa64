"""The defects of tests/hostile.py in the waves: every sample gets the row that the table states."""

from __future__ import annotations

import importlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from manifests.commit import read_commit
from manifests.parquet.reader import read_rows
from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.images.decode import pixels_of
from tasks.inputs.archive import read_samples
from tasks.inputs.sidecars import ERROR_KEY
from tasks.plan.plan import make_plan
from tasks.spec.geometry import Geometry
from tasks.spec.job import EditEntry, JobSpec
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tests.damaged import ARCHIVES, Row
from tests.hostile import IMAGES, MEMBERS, SPRUNG, write_hostile

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Row, ...]]]:
    folder = tmp_path_factory.mktemp("hostile")
    return folder, write_hostile(folder)


@pytest.fixture(scope="module")
def edited(hostile: tuple[Path, dict[str, tuple[Row, ...]]], bundle: Path, models: Any) -> dict[str, Rows]:
    """Name of a tar -> the rows of its edit."""
    plan = make_plan(job(hostile[0], bundle))
    store = open_store(plan.output)
    fit_editor(plan.fits[0], models, store)
    editors, found = Editors(store, models), {}
    for (request,) in plan.edit_requests():
        invert_shard(request.inversion, models, store)
        edit_shard([request], editors, models, store)
        record = read_commit(store, request.id)
        assert record is not None
        keys = [ref.key for ref in record.objects if ref.key.startswith("data/")]
        found[Path(request.shard.uri).name] = [row for key in keys for row in read_rows(store, key)]
    return found


def job(folder: Path, bundle: Path) -> JobSpec:
    """One quick edit, pasted back into sources that are padded."""
    entry = EditEntry(
        id="red",
        target="red hair",
        source="a person",
        method="coral-direction-attention",
        options={"start": "regression", "embedding": 0, "fit": {"steps": 1, "batch_size": 2}},
        strength=1.0,
        onto="source",
        image_format="png",
    )
    return JobSpec(
        name="hostile",
        inputs=(str(folder / "*.tar"),),
        output=str(folder / "out"),
        bundle=str(bundle),
        seed=0,
        batch_size=4,
        geometry=Geometry(fit="pad", output="source"),
        edits=(entry,),
        fit_samples=2,
        max_failure_rate=1.0,
    )


def test_there_are_enough_defects() -> None:
    assert len(IMAGES) + len(MEMBERS) + len(ARCHIVES) >= 40


def test_every_sample_is_accounted_for_by_status_and_reason(
    edited: dict[str, Rows], hostile: tuple[Path, dict[str, tuple[Row, ...]]]
) -> None:
    assert edited.keys() == hostile[1].keys()
    wrong = []
    for tar, expected in hostile[1].items():
        assert [row["key"] for row in edited[tar]] == [row.key for row in expected], tar
        wrong += [
            (tar, want, row["status"], row["reason"])
            for row, want in zip(edited[tar], expected, strict=True)
            if not want.fits(row)
        ]
    assert not wrong


def test_what_can_be_edited_is_edited_at_its_own_size(edited: dict[str, Rows]) -> None:
    for row in (row for rows in edited.values() for row in rows):
        assert (row["image"] is not None) == (row["status"] == "ok")
        if row["image"] is not None:
            assert pixels_of(row["image"]["bytes"]).shape == (row["height"], row["width"], 3)
            assert pixels_of(row["mask"]["bytes"]).shape == (row["height"], row["width"])


def test_a_sidecar_that_cannot_be_read_costs_its_labels_and_says_so(edited: dict[str, Rows]) -> None:
    metadata = {row["key"]: json.loads(row["metadata"]) for row in edited["members.tar"]}
    broken = {key for key, found in metadata.items() if ERROR_KEY in found}
    assert broken == {"json-broken", "json-huge", "json-deep", "json-latin"}
    assert metadata["json-not-a-number"] == {"a": "NaN", "b": "-Infinity", "c": "1e999"}
    assert metadata["json-array"] == {"json": [1, 2]} and metadata["not-adjacent"] == {"label": 1}


def test_no_label_is_truncated(edited: dict[str, Rows]) -> None:
    (row,) = (row for row in edited["cut-in-a-sidecar-far-from-its-image.tar"] if row["key"] == "a")
    metadata = json.loads(row["metadata"])
    assert metadata.keys() == {"label", ERROR_KEY} and "a.txt: the archive ends inside it" in metadata[ERROR_KEY]


def test_no_name_points_outside_a_folder(edited: dict[str, Rows]) -> None:
    paths = [row[column]["path"] for row in edited["members.tar"] if row["image"] for column in ("image", "mask")]
    assert {"etc/absolute.png", "parent.mask.png"} <= set(paths)
    assert not any(path.startswith("/") or ".." in path.split("/") for path in paths)


def test_nothing_is_unpickled_and_webdataset_opens_nothing(
    hostile: tuple[Path, dict[str, tuple[Row, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **settings: Any) -> None:
        raise AssertionError(f"called with {arguments}")

    for place, name in ((pickle, "loads"), (pickle, "load"), (torch, "load")):
        monkeypatch.setattr(place, name, refuse)
    for module, name in (("", "WebDataset"), (".gopen", "gopen"), (".tariterators", "url_opener")):
        monkeypatch.setattr(importlib.import_module("webdataset" + module), name, refuse)
    samples = [sample for path in sorted(hostile[0].glob("*.tar")) for sample in read_samples(path)]
    assert len(samples) == sum(map(len, hostile[1].values()))
    assert not SPRUNG.exists()
