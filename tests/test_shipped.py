"""The artifacts that ship with the bundle portraits: they are those that jobs ask for, small, and good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch

from coral_core.bundle.catalog import Bundle, read_bundle
from coral_core.bundle.models import Models, load_models
from coral_core.editors import EDITORS
from coral_core.zoo.measure.ground_truth import success_rate
from manifests.stores.open import open_store
from pipelines.bench.cases import Cases, SceneSelection, cases_of, select_scenes
from pipelines.bench.fits import edit_spec, fits_behind
from pipelines.bench.judges import load_judges
from pipelines.bench.outcome import edit_cases
from pipelines.bench.prompts import BenchPrompt
from pipelines.interactive.edit_image import OneEdit, edit_image
from tasks.artifacts.bundled import SHIPPED
from tasks.artifacts.loaded import load_editor
from tasks.artifacts.stored import read_notes
from tasks.images.encode import encode
from tasks.images.tensors import tensor_of
from tasks.worker.fit import fit_editor

MOST_BYTES = 50 * 10**6
SHIPPED_METHODS = [name for name, row in EDITORS.items() if row.captioned or row.sourceless]
SUNGLASSES = BenchPrompt(
    id="sunglasses",
    kind="add",
    source="a person",
    target="a person with sunglasses",
    wants={"glasses": "sunglasses"},
)
SCENES = 6


@pytest.fixture(scope="module")
def portraits() -> Bundle:
    return read_bundle("portraits")


@pytest.fixture(scope="module")
def artifacts(portraits: Bundle) -> Mapping[str, Path]:
    return {path.stem: path for path in (portraits.path / SHIPPED).iterdir()}


@pytest.fixture(scope="module")
def networks() -> Models:
    return load_models("portraits")


@pytest.fixture(scope="module")
def cases(networks: Models) -> Cases:
    """Photos of scenes without sunglasses."""
    found = cases_of(*select_scenes(networks, SceneSelection(split="dev", scenes=12)), SUNGLASSES.wants, SCENES)
    assert found is not None and len(found.scenes) == SCENES
    return found


@pytest.mark.parametrize("method", SHIPPED_METHODS)
def test_what_a_run_cannot_fit_itself_or_not_soon_comes_with_the_bundle(method: str, portraits: Bundle) -> None:
    """For the default options and these networks; after a change of either it has to be shipped anew."""
    for fit in fits_behind(portraits, method, SUNGLASSES):
        assert fit.shipped, f"coral zoo fit {fit.method}"


@pytest.mark.parametrize("method", EDITORS)
def test_every_method_can_be_asked_for_without_captions(method: str, portraits: Bundle) -> None:
    fits_behind(portraits, method, SUNGLASSES)


def test_nothing_else_is_shipped(artifacts: Mapping[str, Path]) -> None:
    assert sorted(artifacts) == sorted(SHIPPED_METHODS)


def test_artifacts_are_small_finite_and_say_how_they_came_about(artifacts: Mapping[str, Path]) -> None:
    for path in artifacts.values():
        tensors = safetensors.torch.load(path.read_bytes())
        assert {tensor.dtype for tensor in tensors.values()} <= {torch.float16, torch.uint8}
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        assert read_notes(path.read_bytes())["steps"] > 0


def test_a_bundle_is_a_small_download(portraits: Bundle) -> None:
    sizes = {path.name: path.stat().st_size for path in portraits.path.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


@pytest.mark.parametrize("method", SHIPPED_METHODS)
def test_its_edits_are_seen_by_both_judges(
    method: str, portraits: Bundle, networks: Models, cases: Cases, tmp_path: Path
) -> None:
    judges, store = load_judges(portraits.path, networks.device), open_store(tmp_path)
    fits = fits_behind(portraits, method, SUNGLASSES)
    for fit in fits:
        fit_editor(fit, networks, store)
    editor = load_editor(store, edit_spec(method, SUNGLASSES, fits), networks).editor
    outcome = edit_cases(editor, EDITORS[method], cases, SUNGLASSES.prompt, networks)
    output_NCHW = tensor_of(list(outcome.output_NHWC))
    assert judges.second is not None
    found = {judge: judge.read(output_NCHW) for judge in (judges.first, judges.second)}
    for reads in found.values():
        assert success_rate(reads, cases.wants) >= 2 / 3
    before = judges.first.read(cases.inversion.recon_BCHW)
    assert success_rate(before, cases.wants) == 0


def test_an_image_is_edited_with_nothing_but_a_sentence(cases: Cases, tmp_path: Path) -> None:
    (photo := tmp_path / "photo.png").write_bytes(encode(cases.scenes[0].image(64), "png"))
    said: list[str] = []
    found = edit_image(OneEdit(image=photo, texts=(SUNGLASSES.target,), source=SUNGLASSES.source), said.append)
    assert said == [] and found.row["status"] == "ok"
    assert found.row["clip_edit"] > found.row["clip_source"]
