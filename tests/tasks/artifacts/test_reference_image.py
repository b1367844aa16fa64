"""Edits towards an image: the effect of a reference, and of a broken one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coral_core.types import Prompt
from manifests.commit import read_commit
from manifests.parquet.reader import read_rows
from manifests.query import query
from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.artifacts.reference_image import prompt_of
from tasks.images.decode import decode
from tasks.images.tensors import tensor_of
from tasks.inputs.local_copy import ShardChangedError
from tasks.plan.plan import Plan, make_plan
from tasks.spec.geometry import Geometry
from tasks.spec.job import JobSpec
from tasks.spec.requests import EditSpec
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tests.inverters import BASE, shorten_fits
from tests.pictures import BLUE, RED, encoded, plain
from tests.tars import write_shards


@pytest.fixture
def job(
    tmp_path: Path, bundle: Path, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., JobSpec]:
    """A job with an edit for every reference, by name; None is an edit without one."""
    shorten_fits(monkeypatch)
    write_shards(tmp_path, 1, 3)
    captions = (str(tmp_path / "in-*.tar"),)

    def make(**references: Path | None) -> JobSpec:
        first = replace(make_job().edits[0], method=BASE, options={}, target="a hat")
        edits = tuple(
            replace(first, id=name, reference="" if path is None else str(path)) for name, path in references.items()
        )
        return make_job(edits=edits, fit_captions=captions)

    return make


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def red(picture: Callable[..., Path]) -> Path:
    return picture("red.png", encoded(plain(RED)))


def only_edit(job: JobSpec) -> EditSpec:
    (edit,) = make_plan(job).edits
    return edit


def rows_of(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """Slug of an edit -> its rows with their images, in the order of the shard."""
    store = open_store(plan.output)
    (requests,) = plan.edit_requests()
    records = {request.spec.slug: read_commit(store, request.id) for request in requests}
    return {
        slug: [row for ref in record.objects if ref.key.startswith("data/") for row in read_rows(store, ref.key)]
        for slug, record in records.items()
        if record is not None
    }


def test_a_reference_is_its_embedding_in_clip_space(job: Callable[..., JobSpec], models: Any, red: Path) -> None:
    prompt = prompt_of(only_edit(job(red=red)), models)
    pixels = decode(red.read_bytes(), Geometry(), models.image_size).pixels_HWC
    assert (prompt.target, prompt.source) == ("a hat", "a person")
    assert torch.equal(torch.tensor(prompt.look), models.clip.image(tensor_of([pixels]))[0])
    assert prompt_of(only_edit(job(plain=None)), models) == Prompt("a hat", "a person")


def test_the_pixels_of_a_reference_count_and_not_its_file(
    job: Callable[..., JobSpec], models: Any, red: Path, picture: Callable[..., Path]
) -> None:
    image = plain(RED)
    same = picture("red.bmp", encoded(image, "BMP"))
    other = picture("blue.png", encoded(plain(BLUE)))
    embeddings = [prompt_of(only_edit(job(shown=path)), models).look for path in (red, same, other)]
    assert embeddings[0] == embeddings[1] != embeddings[2]


def test_a_reference_changes_the_edit_and_its_row(
    job: Callable[..., JobSpec], run_job: Callable[..., Any], red: Path, picture: Callable[..., Path]
) -> None:
    blue = picture("blue.png", encoded(plain(BLUE)))
    plan, summaries = run_job(job(plain=None, red=red, blue=blue, again=red))
    assert not any(summary.failures for summary in summaries)
    assert len(plan.fits) == 2
    rows = rows_of(plan)
    for without, with_red, with_blue, again in zip(*rows.values(), strict=True):
        assert {row["status"] for row in (without, with_red, with_blue, again)} == {"ok"}
        assert len({row["image"]["bytes"] for row in (without, with_red, with_blue)}) == 3
        assert with_red["image"] == again["image"]
        assert len({row["direction"] for row in (without, with_red, with_blue)}) == 3
        assert {row["prompt"] for row in (without, with_red, with_blue)} == {"a hat"}
        assert without["clip_source"] == with_red["clip_source"], "scores are those of the text"
    assert len({row["edit"] for each in rows.values() for row in each}) == 4


def test_at_strength_zero_a_reference_changes_nothing(
    job: Callable[..., JobSpec], run_job: Callable[..., Any], red: Path
) -> None:
    still = job(plain=None, red=red)
    plan, _ = run_job(replace(still, edits=tuple(replace(edit, strength=0.0) for edit in still.edits)))
    without, with_red = rows_of(plan).values()
    assert [row["image"] for row in without] == [row["image"] for row in with_red]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no image", "no image in a format that is read"),
        (b"", "the file is empty"),
        (encoded(plain(RED, (900, 700)))[:-60], "truncated"),
    ],
    ids=["words", "nothing", "torn"],
)
def test_a_broken_reference_fails_its_own_edit_only_and_the_error_names_it(
    data: bytes, says: str, job: Callable[..., JobSpec], run_job: Callable[..., Any], picture: Callable[..., Path]
) -> None:
    broken = picture("broken.png", data)
    plan, (_, fits, edits) = run_job(job(plain=None, shown=broken, other=None))
    (failure,) = edits.failures
    assert not fits.failures
    assert re.search(rf"edit 'shown': reference file:.*/broken\.png: .*{says}", failure.error)
    sql = "SELECT edit, count(*) AS n FROM manifest WHERE status = 'ok' GROUP BY edit"
    found = {row["edit"]: row["n"] for row in query(open_store(plan.output), sql).to_pylist()}
    assert found == {edit.edit_id: 3 for edit in plan.edits if edit.reference is None}


def test_a_repaired_reference_is_used_in_the_next_run(
    job: Callable[..., JobSpec], run_job: Callable[..., Any], picture: Callable[..., Path]
) -> None:
    path = picture("look.png", b"no image")
    run_job(job(plain=None, shown=path))
    path.write_bytes(encoded(plain(RED)))
    _, (_, _, edits) = run_job(job(plain=None, shown=path))
    assert (edits.done, edits.reused, edits.failures) == (1, 1, [])


def test_a_picture_that_was_changed_after_the_plan_is_refused(
    job: Callable[..., JobSpec], models: Any, red: Path
) -> None:
    plan = make_plan(job(plain=None, shown=red))
    store = open_store(plan.output)
    for inversion in plan.invert_requests():
        invert_shard(inversion, models, store)
    for fit in plan.fits:
        fit_editor(fit, models, store)
    red.write_bytes(encoded(plain(BLUE)))
    with pytest.raises(ShardChangedError, match=r"red\.png was changed after the run was planned"):
        prompt_of(plan.edits[1], models)
    (requests,) = plan.edit_requests()
    with pytest.raises(ValueError, match=r"edit 'shown': .*red\.png was changed after the run was planned"):
        edit_shard(requests, Editors(store, models), models, store)
    assert [read_commit(store, request.id) is not None for request in requests] == [True, False]
