"""`coral edit`: one image, one text, one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from coral_core.bundle.models import Models
from coral_core.inversion import invert
from manifests.stores.open import open_store
from pipelines.cli.app import app
from pipelines.interactive.edit_image import OneEdit, edit_image
from tasks.artifacts.stored import fitted_ids
from tasks.images.decode import decode, pixels_of
from tasks.images.tensors import tensor_of, to_pixels
from tasks.spec.geometry import Geometry
from tests.inverters import BASE, COMBINING, shipping_copy, shorten_fits
from tests.pictures import BLUE, encoded, plain
from tests.tars import image_bytes, write_shards

FIT = {"steps": 1, "batch_size": 2, "source_samples": 2}
OPTIONS = {"start": "regression", "embedding": 0, "fit": FIT}
WIDE = (100, 70)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG file of another shape than the generator's images."""
    path = tmp_path / "photo.JPG"
    path.write_bytes(image_bytes(3, WIDE, "JPEG"))
    return path


@pytest.fixture
def wanted(photo: Path, bundle: Path) -> Callable[..., OneEdit]:
    """A short edit of the image; keywords replace its fields."""

    def make(**changes: Any) -> OneEdit:
        fields = {"image": photo, "texts": ("red hair",), "bundle": str(bundle), "method": "styleclip-mapper"}
        return OneEdit(**{**fields, "options": OPTIONS, **changes})

    return make


def unheard(line: str) -> None:
    """Ignore a message."""


def test_the_result_is_a_png_of_the_generators_size_with_its_mask_and_row(wanted: Callable[..., OneEdit]) -> None:
    said: list[str] = []
    found = edit_image(wanted(), said.append)
    assert found.image.startswith(b"\x89PNG") and found.mask.startswith(b"\x89PNG")
    assert pixels_of(found.image).shape == (64, 64, 3) and pixels_of(found.mask).shape == (64, 64)
    assert (found.row["status"], found.row["prompt"]) == ("ok", "red hair")
    assert (found.row["width"], found.row["height"]) == WIDE
    assert all(isinstance(found.row[name], float) for name in ("direction", "identity", "outside", "area"))
    assert any("red hair: 1/1" in line for line in said)


def test_the_same_edit_is_the_same_file(wanted: Callable[..., OneEdit]) -> None:
    one, other = (edit_image(wanted(), unheard) for _ in range(2))
    assert (one.image, one.mask) == (other.image, other.mask)


def test_at_the_sources_size_it_has_that_size(wanted: Callable[..., OneEdit]) -> None:
    found = edit_image(wanted(output="source"), unheard)
    assert pixels_of(found.image).shape == (WIDE[1], WIDE[0], 3)
    assert pixels_of(found.mask).shape == (WIDE[1], WIDE[0])


def test_no_strength_gives_back_what_the_inversion_makes_of_the_image_where_the_mask_is(
    wanted: Callable[..., OneEdit], photo: Path, models: Models
) -> None:
    """A method without regions changes the whole image; one with regions keeps the source's pixels elsewhere."""
    source = decode(photo.read_bytes(), Geometry(), 64).pixels_HWC
    recon = to_pixels(invert(models, ["photo"], tensor_of([source])).recon_BCHW)[0]
    for method in ("styleclip-mapper", "coral-direction-attention"):
        found = edit_image(wanted(strength=0.0, method=method), unheard)
        share = pixels_of(found.mask)[..., None] / 255
        expected = share * recon + (1 - share) * source
        assert np.abs(pixels_of(found.image) - expected).max() <= 2
        assert (share.min() == 1) == (method == "styleclip-mapper")


def test_strength_moves_further(wanted: Callable[..., OneEdit]) -> None:
    still, one, ten = (pixels_of(edit_image(wanted(strength=each), unheard).image) for each in (0.0, 1.0, 10.0))
    near, far = (np.abs(each.astype(int) - still).mean() for each in (one, ten))
    assert 0 < near < far


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("none.png", None, r"cannot read .*none\.png: No such file"),
        ("words.txt", b"words", r"words\.txt has no suffix of an image; give one of png, jpg"),
        ("words", b"words", r"words has no suffix of an image"),
        ("broken.png", b"words", r"broken\.png: undecodable: no image in a format that is read"),
        ("empty.png", b"", r"empty\.png: undecodable: the file is empty"),
    ],
)
def test_what_is_no_image_is_said(
    name: str, data: bytes | None, says: str, wanted: Callable[..., OneEdit], tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=says):
        edit_image(wanted(image=tmp_path / name), unheard)


def test_a_folder_is_no_image(wanted: Callable[..., OneEdit], tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"cannot read .*folder\.png"):
        edit_image(wanted(image=tmp_path / "folder.png"), unheard)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "styleclip"}, "edit 'edit': unknown method 'styleclip'; known: .*styleclip-mapper"),
        ({"texts": ("a photo",)}, "target and source say the same"),
        ({"options": {"clp": 1.0}}, "unknown option 'clp'; did you mean 'clip'"),
        ({"bundle": "portrait"}, "no bundle 'portrait'"),
        ({"method": BASE, "options": {}}, f"{BASE} learns from captioned images, and bundle .* ships none"),
        (
            {"texts": ("red hair", "a hat")},
            "can combine the wishes of all_of only with start: transport",
        ),
        ({"texts": ("red hair", "Red hair")}, r"coral edit: edits\[0\].all_of: the wishes .* say the same"),
        ({"reference": "look.png"}, f"styleclip-mapper cannot follow a reference image; {BASE} can"),
    ],
)
def test_what_a_job_would_refuse_is_refused(changes: dict[str, Any], says: str, wanted: Callable[..., OneEdit]) -> None:
    with pytest.raises(ValueError, match=says):
        edit_image(wanted(**changes), unheard)


def test_several_texts_are_wishes_that_are_combined_in_any_order(
    wanted: Callable[..., OneEdit], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_fits(monkeypatch, COMBINING)
    texts = ("a person with red hair", "a person who is smiling")
    said = (wanted(texts=each, method=COMBINING, options={}) for each in (texts, texts[::-1], texts[:1]))
    both, turned, one = (edit_image(each, unheard) for each in said)
    assert both.image == turned.image != one.image
    assert both.row["edit"] == turned.row["edit"] != one.row["edit"]
    assert both.row["prompt"] == "a person with red hair who is smiling"


def test_editors_are_kept_where_the_user_says_and_are_not_fitted_again(
    wanted: Callable[..., OneEdit], tmp_path: Path
) -> None:
    place = str(tmp_path / "kept")
    first = edit_image(wanted(editors=place), unheard)
    store = open_store(place)
    before = {info.key: info.etag for info in store.list("")}
    assert len(fitted_ids(store)) == 1 and all(key.startswith("editors/") for key in before)
    said: list[str] = []
    second = edit_image(wanted(editors=place, strength=2.0), said.append)
    assert said == [] and {info.key: info.etag for info in store.list("")} == before
    assert first.image != second.image


def test_what_a_run_has_fitted_is_used(
    wanted: Callable[..., OneEdit], make_job: Callable[..., Any], run_job: Callable[..., Any], tmp_path: Path
) -> None:
    write_shards(tmp_path, 1, 1)
    run_job(make_job())
    said: list[str] = []
    options = {"start": "regression", "embedding": 0, "fit": {"steps": 2, "batch_size": 4, "source_samples": 8}}
    smile = wanted(texts=("a smile",), source="a person", options=options, editors=str(tmp_path / "out"))
    edit_image(smile, said.append)
    assert said == []


def test_what_the_bundle_ships_is_used_with_and_without_a_reference(
    wanted: Callable[..., OneEdit], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_fits(monkeypatch)
    folder = shipping_copy(bundle, tmp_path / "shipping")
    (look := tmp_path / "look.png").write_bytes(encoded(plain(BLUE)))
    said: list[str] = []
    for reference in (None, str(look)):
        edit = wanted(method=BASE, options={}, bundle=str(folder), reference=reference)
        assert edit_image(edit, said.append).row["status"] == "ok"
    assert said == []


def test_nothing_is_left_behind(
    wanted: Callable[..., OneEdit], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    edit_image(wanted(), unheard)
    photo.write_bytes(b"words")
    with pytest.raises(ValueError, match="undecodable"):
        edit_image(wanted(), unheard)
    assert list(scratch.iterdir()) == []


def test_the_command_writes_the_image_and_its_mask(photo: Path, bundle: Path, tmp_path: Path) -> None:
    options = {"start": "regression", "embedding": 0, **FIT}
    fit = [each for name, value in options.items() for each in ("--option", f"{name}={value}")]
    common = ["edit", str(photo), "--text", "red hair", "--method", "styleclip-mapper", "--bundle", str(bundle), *fit]
    result = CliRunner().invoke(app, common, catch_exceptions=False)
    assert result.exit_code == 0
    edited = tmp_path / "photo-edited.png"
    assert pixels_of(edited.read_bytes()).shape == (64, 64, 3)
    assert pixels_of((tmp_path / "photo-edited.mask.png").read_bytes()).shape == (64, 64)
    assert result.stdout.startswith(f"{edited}: direction ") and "area 1.000" in result.stdout
    there = tmp_path / "there.png"
    CliRunner().invoke(app, [*common, "--size", "source", "--to", str(there)], catch_exceptions=False)
    assert pixels_of(there.read_bytes()).shape == (WIDE[1], WIDE[0], 3)
    assert pixels_of((tmp_path / "there.mask.png").read_bytes()).shape == (WIDE[1], WIDE[0])
