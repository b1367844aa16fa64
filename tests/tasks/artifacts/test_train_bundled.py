"""Artifacts that come with a bundle: how they get there, and who uses them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from coral_core.bundle.models import load_models
from coral_core.fit import FitReport
from coral_core.zoo.random_bundle import write_random_bundle
from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.artifacts.stored import read_notes
from tasks.artifacts.train_bundled import ship
from tasks.plan.plan import make_plan
from tasks.spec.job import JobSpec
from tasks.worker.fit import fit_editor
from tasks.worker.pulse import Pulse
from tests.inverters import ABOVE, BASE, digest_of, shorten_fits
from tests.tars import image_bytes, write_shards, write_tar

Ship = Callable[..., tuple[Path, FitReport]]
STILL = {"adapter_rate": 0.0, "remapper_rate": 0.0}
"""Options of a training that learns nothing but statistics."""


@pytest.fixture
def folder(tmp_path: Path, bundle: Path) -> Path:
    """A bundle of its own."""
    return shutil.copytree(bundle, tmp_path / "shipping")


@pytest.fixture
def train(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Ship BASE, after a training of six steps unless the changes say otherwise."""
    shorten_fits(monkeypatch)
    write_shards(tmp_path, 2, 3)

    def call(
        changes: Mapping[str, object] | None = None, warm_start: bool = True, heard: list[int] | None = None
    ) -> tuple[Path, FitReport]:
        def progress(step: int, steps: int, losses: Mapping[str, float]) -> None:
            (heard if heard is not None else []).append(step)

        return ship(str(folder), BASE, [str(tmp_path / "in-*.tar")], changes or {}, "cpu", warm_start, progress)

    return call


@pytest.fixture
def job(folder: Path, make_job: Callable[..., Any]) -> JobSpec:
    """A job with one edit by BASE, without captions."""
    small = make_job(bundle=str(folder))
    return replace(small, edits=(replace(small.edits[0], method=BASE, options={}),))


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(path.read_bytes())


def learned(path: Path) -> dict[str, torch.Tensor]:
    """Without the statistics of the images and captions, which a training takes anew."""
    return {name: each for name, each in tensors_of(path).items() if name.startswith(("adapter", "remapper"))}


def equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(each, other[name]) for name, each in one.items())


def test_it_lies_in_the_bundle_in_half_precision(train: Ship, folder: Path) -> None:
    heard: list[int] = []
    path, report = train(heard=heard)
    assert path == folder / "editors" / f"{BASE}.safetensors"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert {tensor.dtype for tensor in tensors_of(path).values()} == {torch.float16}
    assert report.steps == heard[-1] == 6 and heard == sorted(heard)


def test_a_job_then_needs_no_captions_and_no_training(train: Ship, job: JobSpec, folder: Path) -> None:
    with pytest.raises(ValueError, match="learns from captioned images"):
        make_plan(job)
    path, report = train()
    plan, models, pulses = make_plan(job), load_models(str(folder)), list[Pulse]()
    store = open_store(plan.output)
    artifact = fit_editor(plan.fits[0], models, store, pulses.append)
    assert store.read(f"editors/{artifact.fit_id}.safetensors") == path.read_bytes()
    assert (artifact.steps, artifact.losses, artifact.seconds) == (report.steps, report.losses, None)
    assert not pulses
    state = Editors(store, models)[plan.edits[0]].editor.state_dict()
    assert equal({name: each.half() for name, each in state.items()}, tensors_of(path))


def test_another_shipped_artifact_is_another_fit_and_another_edit(train: Ship, job: JobSpec, folder: Path) -> None:
    path, _ = train()
    plan, models = make_plan(job), load_models(str(folder))
    store = open_store(plan.output)
    first = fit_editor(plan.fits[0], models, store)
    before = path.read_bytes()
    train()
    assert path.read_bytes() != before
    later = make_plan(job)
    assert later.fits[0].id != first.fit_id and later.edits[0].edit_id != plan.edits[0].edit_id
    assert fit_editor(plan.fits[0], models, store) == first
    assert fit_editor(later.fits[0], models, store).sha256 == digest_of(path)


def test_a_machine_with_another_copy_of_the_bundle_says_so(train: Ship, job: JobSpec, folder: Path) -> None:
    train()
    plan = make_plan(job)
    train()
    with pytest.raises(ValueError, match="not the artifact that was planned with; give all machines the same"):
        fit_editor(plan.fits[0], load_models(str(folder)), open_store(plan.output))


def test_options_of_a_training_are_told_and_are_none_of_the_artifact(train: Ship, folder: Path) -> None:
    path, _ = train({"perceptual": 0.25, "fit": {"steps": 7}})
    answered = read_notes(path.read_bytes())["request"]
    notes = read_notes(path.read_bytes())
    (told,) = notes["trainings"]
    assert told == {
        "images": 6,
        "options": {"perceptual": 0.25, "fit": {"steps": 7}},
        "steps": 7,
        "warm_start": False,
    }
    assert notes["steps"] == 7 and notes["losses"]["total"] > 0
    train(warm_start=False)
    assert read_notes(path.read_bytes())["request"] == answered


def test_a_warm_start_goes_on_from_what_is_there_and_says_so(train: Ship) -> None:
    path, _ = train()
    first = learned(path)
    train(STILL)
    assert equal(learned(path), first)
    assert [each["warm_start"] for each in read_notes(path.read_bytes())["trainings"]] == [False, True]
    train()
    assert not equal(learned(path), first)
    assert len(read_notes(path.read_bytes())["trainings"]) == 3


def test_a_cold_start_begins_anew(train: Ship) -> None:
    path, _ = train()
    first = learned(path)
    train(STILL, warm_start=False)
    assert not equal(learned(path), first)
    assert [each["warm_start"] for each in read_notes(path.read_bytes())["trainings"]] == [False]


def test_the_same_trainings_are_the_same_bytes(train: Ship) -> None:
    found = []
    for _ in range(2):
        path, _ = train(warm_start=False)
        found.append(path.read_bytes())
    assert found[0] == found[1]


def test_a_training_that_fails_leaves_what_is_there(train: Ship, folder: Path, tmp_path: Path) -> None:
    path, _ = train()
    before = path.read_bytes()
    silent = write_tar(tmp_path / "silent.tar", [("a.png", image_bytes(0))])
    with pytest.raises(ValueError, match="no captioned image"):
        ship(str(folder), BASE, [str(silent)], {}, "cpu", True, lambda step, steps, losses: None)
    with pytest.raises(ValueError, match=r"nowhere\.tar is not there"):
        ship(str(folder), BASE, [str(tmp_path / "nowhere.tar")], {}, "cpu", True, lambda step, steps, losses: None)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("method", [ABOVE, "styleclip-mapper", "styleclip-optimization"])
def test_what_does_not_learn_from_captions_cannot_be_shipped(method: str, folder: Path, tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 1)
    with pytest.raises(ValueError, match=f"{method} does not learn from captions"):
        ship(str(folder), method, [str(tmp_path / "in-*.tar")], {}, "cpu", True, lambda step, steps, losses: None)
    assert not (folder / "editors").exists()


def test_an_unknown_option_of_a_training_is_refused(train: Ship, folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown option 'perceptul'; did you mean 'perceptual'"):
        train({"perceptul": 1.0})
    assert not (folder / "editors").exists()


@pytest.mark.parametrize("part", ["generator", "encoder", "clip", "identity", "perceptual", "segmenter"])
def test_the_artifact_is_one_of_these_networks(part: str, train: Ship, job: JobSpec, folder: Path) -> None:
    """Of another network of those that its fit reads it is not used."""
    train()
    other = write_random_bundle(folder.parent / "other", seed=1)
    shutil.copy(other / f"{part}.safetensors", folder)
    if part == "segmenter":
        assert make_plan(job).fits[0].shipped
        return
    with pytest.raises(ValueError, match="bundle shipping ships none for these options"):
        make_plan(job)
