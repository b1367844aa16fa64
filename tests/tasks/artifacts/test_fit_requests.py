"""The fits that edits need: their captions, and what they build upon."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coral_core.bundle.catalog import read_bundle
from coral_core.editors import EDITORS, spec
from coral_core.types import Prompt
from tasks.artifacts.fit_requests import base_levels, fits_of
from tasks.plan.plan import make_plan
from tasks.spec.job import JobSpec
from tasks.spec.requests import Shard
from tests.inverters import ABOVE, BASE, COMBINING, digest_of, own_fit, ship_small
from tests.tars import members_of, write_tar


def test_captions_enter_by_their_content(edit_job: Callable[..., JobSpec], tmp_path: Path) -> None:
    one, other = own_fit(edit_job(BASE, captions="captions.tar")), own_fit(edit_job(BASE, captions="others.tar"))
    both = own_fit(edit_job(BASE, captions="*s.tar"))
    assert len({one.id, other.id, both.id}) == 3
    assert [Path(shard.uri).name for shard in both.captions] == ["captions.tar", "others.tar"]
    write_tar(tmp_path / "captions.tar", members_of(9))
    assert own_fit(edit_job(BASE, captions="captions.tar")).id != one.id


def test_the_modification_time_of_a_tar_of_captions_does_not_enter(
    edit_job: Callable[..., JobSpec], tmp_path: Path
) -> None:
    before = own_fit(edit_job(BASE, captions="captions.tar"))
    os.utime(tmp_path / "captions.tar", (1, 1))
    after = own_fit(edit_job(BASE, captions="captions.tar"))
    assert before.captions[0].stamp != after.captions[0].stamp
    assert before.id == after.id


def test_a_method_that_learns_from_captions_needs_them(edit_job: Callable[..., JobSpec]) -> None:
    with pytest.raises(ValueError, match=rf"edit 'red': {BASE} learns from captioned images, .*fit_source: captions"):
        make_plan(edit_job(BASE))


def test_a_method_that_builds_upon_it_needs_them_too(edit_job: Callable[..., JobSpec]) -> None:
    with pytest.raises(ValueError, match=rf"edit 'red': {BASE} learns from captioned images, .*fit_source: captions"):
        make_plan(edit_job(ABOVE))


def test_with_a_shipped_artifact_no_captions_are_needed(edit_job: Callable[..., JobSpec], shipping: Path) -> None:
    job = edit_job(BASE, bundle=shipping)
    shipped = [digest_of(shipping / "editors" / f"{name}.safetensors") for name in (COMBINING, BASE)]
    assert [fit.shipped for fit in make_plan(job).fits] == shipped
    assert not own_fit(edit_job(BASE, captions="captions.tar", bundle=shipping)).shipped
    with pytest.raises(ValueError, match="ships none for these options"):
        make_plan(edit_job(BASE, bundle=shipping, options={"directional": 3.0}))


def test_captions_for_another_method_leave_a_shipped_artifact_in_use() -> None:
    method, captions = spec("transport"), (Shard(uri="captions.tar", size=1, sha256="0"),)
    alone, beside = (
        fits_of(method, method.resolve({}), Prompt("red"), read_bundle("portraits"), given) for given in ((), captions)
    )
    assert alone[0].shipped and alone == beside


def test_a_base_comes_before_the_fit_that_builds_upon_it_and_enters_its_id(edit_job: Callable[..., JobSpec]) -> None:
    one, other = (make_plan(edit_job(ABOVE, captions=f"{name}.tar")) for name in ("captions", "others"))
    for plan in (one, other):
        lowest, base, own = plan.fits
        assert (lowest.method, lowest.base, base.method, base.base) == (COMBINING, "", BASE, lowest.id)
        assert (own.method, own.base) == (ABOVE, base.id)
        assert (base.target, own.target, own.captions) == ("", "red hair", ())
        assert plan.edits[0].fit_id == own.id
    assert one.fits[0].id == other.fits[0].id and one.fits[1].id != other.fits[1].id and one.fits[2] != other.fits[2]
    assert one.edits[0].edit_id != other.edits[0].edit_id


def test_fits_are_done_level_by_level(edit_job: Callable[..., JobSpec]) -> None:
    above = edit_job(ABOVE, captions="captions.tar")
    plain = replace(above.edits[0], id="plain", method="styleclip-mapper", options={})
    fits = make_plan(replace(above, edits=(*above.edits, plain))).fits
    assert [[fit.method for fit in level] for level in base_levels(fits)] == [
        [COMBINING, "styleclip-mapper"],
        [BASE],
        [ABOVE],
    ]
    assert [[fit.method for fit in level] for level in base_levels(fits[1:3])] == [[BASE], [ABOVE]]


def test_a_shipped_artifact_is_used_with_the_shipped_base_that_it_was_fitted_upon(
    edit_job: Callable[..., JobSpec], shipping: Path
) -> None:
    job = edit_job(BASE, bundle=shipping)
    base, own = make_plan(job).fits
    assert base.shipped and own.base == base.id
    ship_small(shipping, COMBINING, seed=1)
    with pytest.raises(ValueError, match=f"ships none for these options and its {COMBINING}"):
        make_plan(job)


def test_a_base_has_its_default_options_and_serves_those_who_ask_for_it_themselves(
    edit_job: Callable[..., JobSpec],
) -> None:
    above = edit_job(ABOVE, captions="captions.tar", options={"area": 0.5})
    direct = replace(above.edits[0], id="direct", method=BASE, options={})
    _, base, own = make_plan(replace(above, edits=(*above.edits, direct))).fits
    assert base.options == EDITORS[BASE].fit_options(EDITORS[BASE].resolve({}))
    assert own.options["area"] == 0.5


def test_the_wishes_that_a_job_says_enter_the_id_of_a_fit_for_one_prompt(edit_job: Callable[..., JobSpec]) -> None:
    job = edit_job("coral-mapper-attention", options={})
    said = [replace(job, edits=(replace(job.edits[0], all_of=wishes),)) for wishes in (("a", "b"), ("b", "a"), ("c",))]
    base, plain = make_plan(job).fits
    for one, other in zip(make_plan(said[0]).fits, make_plan(said[1]).fits, strict=True):
        assert one == other
    (same, wishing), (_, third) = make_plan(said[0]).fits, make_plan(said[2]).fits
    assert same == base and wishing.wishes == ("a", "b")
    assert len({plain.id, wishing.id, third.id}) == 3


def test_a_fit_has_a_base_only_if_its_options_start_there(edit_job: Callable[..., JobSpec]) -> None:
    base, own = make_plan(edit_job("coral-mapper-attention", options={"start": "transport"})).fits
    assert (base.method, own.base, base.target) == ("transport", base.id, "")
    (alone,) = make_plan(edit_job("coral-mapper-attention", options={"start": "none", "embedding": 0})).fits
    assert alone.base == "" and alone.id != own.id
