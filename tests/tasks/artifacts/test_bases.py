"""Methods that build upon the artifact of another method: order of the fits, sharing, and a missing base."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.inversion import generator_samples
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.s3_options import S3Options
from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors, load_editor
from tasks.artifacts.stored import fitted_ids, read_artifact, read_notes
from tasks.plan.plan import Plan, make_plan
from tasks.spec.job import EditEntry, JobSpec
from tasks.spec.requests import FitRequest
from tasks.worker.fit import fit_editor
from tests.inverters import ABOVE, BASE, COMBINING, equal, shipping_copy, shorten_fits
from tests.tars import image_bytes, members_of, write_shards, write_tar


@pytest.fixture
def entry(make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., EditEntry]:
    shorten_fits(monkeypatch)
    return partial(entry_of, make_job())


def entry_of(job: JobSpec, name: str, target: str, method: str = ABOVE, **changes: Any) -> EditEntry:
    """An edit like those of the job, by another method."""
    return replace(job.edits[0], **{"id": name, "target": target, "method": method, "options": {}, **changes})


def job_on_one_base(folder: Path, job_in: Callable[..., JobSpec]) -> JobSpec:
    """Two prompts in regions on one base, fitted on the input itself."""
    write_shards(folder, 1, 3)
    edits = tuple(entry_of(job_in(folder), *each) for each in (("red", "red hair"), ("smile", "a smile")))
    return job_in(folder, edits=edits, fit_captions=(str(folder / "in-*.tar"),))


@pytest.fixture
def job(tmp_path: Path, job_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    shorten_fits(monkeypatch)
    return job_on_one_base(tmp_path, job_in)


@dataclass(frozen=True)
class Finished:
    """A job that was run, and what its waves said."""

    job: JobSpec
    plan: Plan
    fits: Any
    edits: Any


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, job_in: Callable[..., Any], run_job: Callable[..., Any]
) -> Finished:
    with pytest.MonkeyPatch.context() as patch:
        shorten_fits(patch)
        job = job_on_one_base(tmp_path_factory.mktemp("finished"), job_in)
        plan, (_, fits, edits) = run_job(job)
    return Finished(job, plan, fits, edits)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    """The job that was run, with a copy of its output: no id depends on where that is."""
    shorten_fits(monkeypatch)
    output = shutil.copytree(finished.job.output, tmp_path / "out")
    return replace(finished.job, output=str(output))


def statuses(plan: Plan) -> dict[str, int]:
    """Slug of an edit -> rows that are ok."""
    sql = "SELECT edit, count(*) AS n FROM manifest WHERE status = 'ok' GROUP BY edit"
    counts = {row["edit"]: row["n"] for row in query(open_store(plan.output), sql).to_pylist()}
    return {edit.slug: counts.get(edit.edit_id, 0) for edit in plan.edits}


def test_two_prompts_share_one_base_that_is_fitted_first(finished: Finished) -> None:
    plan, fits, edits = finished.plan, finished.fits, finished.edits
    assert [fit.method for fit in plan.fits] == [COMBINING, BASE, ABOVE, ABOVE]
    assert [fit.base for fit in plan.fits] == ["", plan.fits[0].id, plan.fits[1].id, plan.fits[1].id]
    assert (fits.done, fits.reused, fits.left, fits.failures, edits.failures) == (4, 0, 0, [], [])
    assert statuses(plan) == {"red": 3, "smile": 3}
    assert fitted_ids(open_store(plan.output)) == {fit.id for fit in plan.fits}


def test_a_second_run_has_nothing_to_fit(copied: JobSpec, run_job: Callable[..., Any]) -> None:
    _, (_, fits, edits) = run_job(copied)
    assert (fits.done, fits.reused, edits.done, edits.reused) == (0, 4, 0, 2)


def test_an_edit_that_is_added_finds_the_base(copied: JobSpec, run_job: Callable[..., Any]) -> None:
    plan, (_, fits, _) = run_job(replace(copied, edits=(*copied.edits, entry_of(copied, "hat", "a hat"))))
    assert (fits.done, fits.reused) == (1, 4)
    assert statuses(plan) == {"red": 3, "smile": 3, "hat": 3}


def test_an_artifact_names_its_base_and_holds_none_of_its_tensors(finished: Finished, models: Any) -> None:
    plan, store = finished.plan, open_store(finished.plan.output)
    base, own = (read_artifact(store, fit.id) for fit in plan.fits[1:3])
    assert base is not None and own is not None
    assert base.request["base"] == plan.fits[0].id and own.request["base"] == base.fit_id
    assert read_notes(store.read(f"editors/{own.fit_id}.safetensors"))["request"] == own.request
    assert fit_editor(plan.fits[2], models, store) == own
    names = set(load_editor(store, plan.edits[0], models).editor.state_dict())
    assert names and not any("adapter" in name or "remapper" in name for name in names)


def delete_artifact(store: Store, fit: FitRequest) -> None:
    """Delete an artifact."""
    for ending in (".json", ".safetensors"):
        store.delete(f"editors/{fit.id}{ending}")


def test_fitting_upon_a_base_does_not_change_it(copied: JobSpec, models: Any) -> None:
    plan = make_plan(copied)
    store = open_store(plan.output)
    _, base, own, _ = plan.fits
    before = store.read(f"editors/{base.id}.safetensors")
    delete_artifact(store, own)
    fit_editor(own, models, store)
    assert store.read(f"editors/{base.id}.safetensors") == before


def test_without_its_base_nothing_is_built(copied: JobSpec, models: Any) -> None:
    plan = make_plan(copied)
    store = open_store(plan.output)
    _, base, own, _ = plan.fits
    delete_artifact(store, base)
    with pytest.raises(ValueError, match=f"builds upon the artifact editors/{base.id}"):
        load_editor(store, plan.edits[0], models)
    delete_artifact(store, own)
    with pytest.raises(ValueError, match=rf"{ABOVE} builds upon the artifact editors/{base.id}.*not fitted yet"):
        fit_editor(own, models, store)


def test_a_base_is_loaded_with_its_own_base(copied: JobSpec, models: Any) -> None:
    plan = make_plan(copied)
    store = open_store(plan.output)
    lowest, base, _, _ = plan.fits
    editor = Editors(store, models).base(ABOVE, base.id)
    assert isinstance(editor, ClipInverter)
    (transport,) = editor._base
    assert transport is not None
    stored = safetensors.torch.load(store.read(f"editors/{lowest.id}.safetensors"))
    assert equal(stored, transport.state_dict())
    assert not any(parameter.requires_grad for parameter in (*editor.parameters(), *transport.parameters()))
    delete_artifact(store, lowest)
    with pytest.raises(ValueError, match=rf"{BASE} builds upon the artifact editors/{lowest.id}"):
        load_editor(store, plan.edits[0], models)


def test_an_altered_base_is_not_used(copied: JobSpec, models: Any) -> None:
    plan = make_plan(copied)
    store = open_store(plan.output)
    _, base, own, _ = plan.fits
    delete_artifact(store, own)
    key = f"editors/{base.id}.safetensors"
    data = store.read(key)
    store.delete(key)
    store.put_new(key, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"not what its \.json says"):
        fit_editor(own, models, store)


def test_a_fit_whose_base_failed_is_reported_and_other_edits_are_not_affected(
    job: JobSpec, entry: Callable[..., EditEntry], run_job: Callable[..., Any], tmp_path: Path
) -> None:
    silent = write_tar(tmp_path / "silent.tar", [("a.png", image_bytes(0))])
    options = {"start": "none", "embedding": 0, "fit": {"steps": 1, "batch_size": 2}}
    plain = entry("plain", "a hat", "coral-direction-attention", options=options)
    plan, (_, fits, edits) = run_job(replace(job, edits=(*job.edits, plain), fit_captions=(str(silent),)))
    assert [(failure.work, failure.error.partition(" in ")[0]) for failure in fits.failures] == [
        (f"fit {BASE}", "ValueError: no captioned image"),
        ("fit red hair", "not fitted, because what it builds upon was not fitted"),
        ("fit a smile", "not fitted, because what it builds upon was not fitted"),
    ]
    assert (fits.done, fits.left) == (2, 0)
    assert [failure.work for failure in edits.failures] == ["edit red", "edit smile"]
    assert statuses(plan) == {"red": 0, "smile": 0, "plain": 3}


def test_a_shipped_base_needs_no_captions(
    job: JobSpec, run_job: Callable[..., Any], bundle: Path, tmp_path: Path
) -> None:
    folder = shipping_copy(bundle, tmp_path / "shipping")
    plan, (_, fits, edits) = run_job(replace(job, bundle=str(folder), fit_captions=()))
    assert (fits.done, fits.failures, edits.failures) == (4, [], [])
    store = open_store(plan.output)
    for fit in plan.fits[:2]:
        stored = store.read(f"editors/{fit.id}.safetensors")
        assert stored == (folder / "editors" / f"{fit.method}.safetensors").read_bytes()
    assert statuses(plan) == {"red": 3, "smile": 3}


def test_on_another_base_an_edit_is_another(job: JobSpec, models: Any, tmp_path: Path) -> None:
    """The base is the one that the artifact names, and not any of its method."""
    others = write_tar(tmp_path / "others.tar", [member for number in range(50, 54) for member in members_of(number)])
    source, images = generator_samples(models, 2, seed=0), []
    for captions in (job.fit_captions, (str(others),)):
        plan = make_plan(replace(job, fit_captions=captions))
        store = open_store(plan.output)
        for fit in plan.fits:
            fit_editor(fit, models, store)
        found = load_editor(store, plan.edits[0], models)
        images.append(found.editor.edit(source, [found.prompt] * 2).image_BCHW)
    assert not torch.equal(images[0], images[1])


def test_a_plan_with_captions_bases_and_references_goes_through_its_file(
    job: JobSpec, entry: Callable[..., EditEntry], tmp_path: Path
) -> None:
    (picture := tmp_path / "look.png").write_bytes(image_bytes(3))
    shown = entry("shown", "a hat", BASE, reference=str(picture))
    plan = make_plan(replace(job, edits=(*job.edits, shown)))
    assert Plan.from_json(plan.to_json()) == replace(plan, job=Plan.from_json(plan.to_json()).job)
    s3 = S3Options(endpoint="https://objects.example", region="here")
    far = replace(
        plan,
        s3=s3,
        shards=tuple(replace(shard, s3=s3) for shard in plan.shards),
        fits=tuple(replace(fit, captions=tuple(replace(shard, s3=s3) for shard in fit.captions)) for fit in plan.fits),
        edits=tuple(
            edit if edit.reference is None else replace(edit, reference=replace(edit.reference, s3=s3))
            for edit in plan.edits
        ),
    )
    read = Plan.from_json(far.to_json())
    assert (read.shards, read.fits, read.edits, read.s3) == (far.shards, far.fits, far.edits, s3)
    assert far.to_json().count(b"objects.example") == 1
