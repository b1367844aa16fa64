"""Training of the artifacts that ship with a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coral_core.bundle.catalog import read_bundle
from coral_core.editors import spec
from coral_core.types import Prompt
from tasks.artifacts.fit_requests import fits_of
from tasks.artifacts.stored import read_notes
from tasks.artifacts.train_bundled import train_bundled
from tests.inverters import ABOVE, BASE, COMBINING, Ship, equal, tensors_of
from tests.tars import image_bytes, write_tar

STILL = {"adapter_rate": 0.0, "remapper_rate": 0.0}
"""Options of a training that learns nothing but statistics."""


def learned(path: Path) -> dict[str, torch.Tensor]:
    """Without the statistics of the images and captions, which a training takes anew."""
    return {name: each for name, each in tensors_of(path).items() if name.startswith(("adapter", "remapper"))}


def test_the_artifact_is_written_into_the_bundle_in_half_precision(train: Ship, folder: Path) -> None:
    heard: list[int] = []
    path, report = train(heard=heard)
    assert path == folder / "editors" / f"{BASE}.safetensors"
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{COMBINING}.safetensors"]
    assert {tensor.dtype for tensor in tensors_of(path).values()} == {torch.float16}
    assert report.steps == heard[-1] == 6 and heard == sorted(heard)


def test_options_of_a_training_are_recorded_and_do_not_enter_the_id(train: Ship, folder: Path) -> None:
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


def test_a_warm_start_continues_from_the_artifact_and_is_recorded(train: Ship) -> None:
    path, _ = train()
    first = learned(path)
    train(STILL)
    assert equal(learned(path), first)
    assert [each["warm_start"] for each in read_notes(path.read_bytes())["trainings"]] == [False, True]
    train()
    assert not equal(learned(path), first)
    assert len(read_notes(path.read_bytes())["trainings"]) == 3


def test_a_cold_start_ignores_the_artifact(train: Ship) -> None:
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


def test_a_training_that_fails_does_not_change_the_artifact(train: Ship, folder: Path, tmp_path: Path) -> None:
    path, _ = train()
    before = path.read_bytes()
    silent = write_tar(tmp_path / "silent.tar", [("a.png", image_bytes(0))])
    with pytest.raises(ValueError, match="no captioned image"):
        train_bundled(str(folder), BASE, [str(silent)], {}, "cpu", True, lambda step, steps, losses: None)
    with pytest.raises(ValueError, match=r"nowhere\.tar is not there"):
        train_bundled(
            str(folder), BASE, [str(tmp_path / "nowhere.tar")], {}, "cpu", True, lambda step, steps, losses: None
        )
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("method", "captions", "message"),
    [
        (ABOVE, [], "is fitted by each run itself"),
        ("styleclip-mapper", [], "is fitted by each run itself"),
        ("styleclip-optimization", [], "is fitted by each run itself"),
        ("transport", ["in.tar"], "does not learn from captions; leave them out"),
    ],
)
def test_a_method_whose_artifact_does_not_ship_or_needs_no_captions_is_refused(
    method: str, captions: list[str], message: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=f"{method} {message}"):
        train_bundled(str(folder), method, captions, {}, "cpu", True, lambda step, steps, losses: None)
    assert not (folder / "editors").exists()


def test_a_method_that_draws_its_samples_ships_what_its_default_options_ask_for(folder: Path) -> None:
    few = {"fit": {"steps": 5, "batch_size": 8, "source_samples": 40}}
    path, report = train_bundled(str(folder), "transport", [], few, "cpu", False, lambda step, steps, losses: None)
    wanted = fits_of(spec("transport"), spec("transport").resolve({}), Prompt("red"), read_bundle(str(folder)))
    assert report.steps == 5 and wanted[0].shipped
    assert read_notes(path.read_bytes())["trainings"][0]["images"] == 40


def test_an_option_that_changes_the_sizes_of_the_artifact_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="does not fit Transport"):
        train_bundled(str(folder), "transport", [], {"bank": 8}, "cpu", False, lambda step, steps, losses: None)
    assert not (folder / "editors").exists()


def test_an_unknown_option_of_a_training_is_refused(train: Ship, folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown option 'perceptul'; did you mean 'perceptual'"):
        train({"perceptul": 1.0})
    assert not (folder / "editors" / f"{BASE}.safetensors").exists()


def test_the_artifact_is_for_the_base_that_ships_beside_it(train: Ship, folder: Path) -> None:
    path, _ = train()
    fits = fits_of(spec(BASE), spec(BASE).resolve({}), Prompt("red"), read_bundle(str(folder)))
    assert [fit.method for fit in fits] == [COMBINING, BASE] and all(fit.shipped for fit in fits)
    assert read_notes(path.read_bytes())["request"]["base"] == fits[0].id


def test_without_its_base_in_the_bundle_nothing_is_trained(train: Ship, folder: Path) -> None:
    path, _ = train()
    before = path.read_bytes()
    (folder / "editors" / f"{COMBINING}.safetensors").unlink()
    with pytest.raises(ValueError, match=f"{BASE} builds upon {COMBINING}, and .*`coral zoo fit {COMBINING}` makes it"):
        train_bundled(str(folder), BASE, ["unread.tar"], {}, "cpu", True, lambda step, steps, losses: None)
    assert path.read_bytes() == before
