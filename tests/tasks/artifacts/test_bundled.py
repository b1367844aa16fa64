"""Artifacts that ship with a bundle: for which fits they are used, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coral_core.bundle.models import load_models
from coral_core.zoo.random_bundle import write_random_bundle
from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.plan.plan import make_plan
from tasks.spec.job import JobSpec
from tasks.worker.fit import fit_editor
from tasks.worker.pulse import Pulse
from tests.inverters import Ship, digest_of, equal, tensors_of


def test_a_job_then_needs_no_captions_and_no_training(train: Ship, job: JobSpec, folder: Path) -> None:
    with pytest.raises(ValueError, match="learns from captioned images"):
        make_plan(job)
    path, report = train()
    plan, models, pulses = make_plan(job), load_models(str(folder)), list[Pulse]()
    store = open_store(plan.output)
    artifact = [fit_editor(fit, models, store, pulses.append) for fit in plan.fits][-1]
    assert store.read(f"editors/{artifact.fit_id}.safetensors") == path.read_bytes()
    assert (artifact.steps, artifact.losses, artifact.seconds) == (report.steps, report.losses, None)
    assert not pulses
    state = Editors(store, models)[plan.edits[0]].editor.state_dict()
    assert equal({name: each.half() for name, each in state.items()}, tensors_of(path))


def test_another_shipped_artifact_is_another_fit_and_another_edit(train: Ship, job: JobSpec, folder: Path) -> None:
    path, _ = train()
    plan, models = make_plan(job), load_models(str(folder))
    store = open_store(plan.output)
    first = fit_editor(plan.fits[1], models, store)
    before = path.read_bytes()
    train()
    assert path.read_bytes() != before
    later = make_plan(job)
    assert later.fits[1].id != first.fit_id and later.edits[0].edit_id != plan.edits[0].edit_id
    assert fit_editor(plan.fits[1], models, store) == first
    assert fit_editor(later.fits[1], models, store).sha256 == digest_of(path)


def test_another_copy_of_the_bundle_on_a_machine_is_an_error(train: Ship, job: JobSpec, folder: Path) -> None:
    train()
    plan = make_plan(job)
    train()
    with pytest.raises(ValueError, match="not the artifact that was planned with; give all machines the same"):
        fit_editor(plan.fits[1], load_models(str(folder)), open_store(plan.output))


@pytest.mark.parametrize("part", ["generator", "encoder", "clip", "identity", "perceptual", "segmenter"])
def test_the_artifact_is_one_of_these_networks(part: str, train: Ship, job: JobSpec, folder: Path) -> None:
    """Of another network of those that its fit reads it is not used."""
    train()
    other = write_random_bundle(folder.parent / "other", seed=1)
    shutil.copy(other / f"{part}.safetensors", folder)
    if part == "segmenter":
        assert all(fit.shipped for fit in make_plan(job).fits)
        return
    with pytest.raises(ValueError, match="bundle shipping ships none for these options"):
        make_plan(job)
