"""The fits that an edit of a job needs, and which fields enter which id."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from coral_core.editors import Limits
from tasks.plan.plan import Plan, make_plan
from tasks.spec.job import JobSpec
from tasks.spec.requests import EDIT_VERSION, FIT_VERSION, EditSpec, content_id
from tests.inverters import BASE, COMBINING, own_fit
from tests.tars import image_bytes

LEARNED = "styleclip-mapper"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "look.png"
    path.write_bytes(image_bytes(3))
    return path


def only_edit(job: JobSpec) -> EditSpec:
    (edit,) = make_plan(job).edits
    return edit


@pytest.mark.parametrize(
    ("method", "options"), [(LEARNED, {"start": "none", "embedding": 0}), ("styleclip-directions", {})]
)
def test_a_fit_without_captions_and_base_has_the_id_it_had_before_there_were_any(
    edit_job: Callable[..., JobSpec], method: str, options: dict[str, Any]
) -> None:
    fit = own_fit(edit_job(method, captions="captions.tar", options=options))
    told = {name: getattr(fit, name) for name in ("method", "options", "target", "source", "digests")}
    assert (fit.captions, fit.base) == ((), "")
    assert fit.id == content_id({"kind": "fit", "version": FIT_VERSION, **told})


def test_options_of_the_edit_alone_need_no_other_artifact(edit_job: Callable[..., JobSpec], shipping: Path) -> None:
    weaker = make_plan(edit_job(BASE, bundle=shipping, options={"remapping": 0.5, "residual": 2.0}))
    assert weaker.fits == make_plan(edit_job(BASE, bundle=shipping)).fits
    assert weaker.edits[0].edit_id != only_edit(edit_job(BASE, bundle=shipping)).edit_id


def test_settings_for_generator_samples_do_not_enter_a_captioned_fit(edit_job: Callable[..., JobSpec]) -> None:
    job = edit_job(BASE, captions="captions.tar")
    assert own_fit(replace(job, seed=7, fit_samples=99)).id == own_fit(job).id
    options = own_fit(replace(job, edits=(replace(job.edits[0], options={"fit": {"seed": 3}}),))).options["fit"]
    assert isinstance(options, dict) and options["seed"] == 3
    assert own_fit(replace(edit_job(LEARNED), seed=7)).id != own_fit(edit_job(LEARNED)).id


def test_an_edit_has_another_id_when_its_reference_is_another_picture(
    edit_job: Callable[..., JobSpec], shipping: Path, picture: Path
) -> None:
    plain = only_edit(edit_job(BASE, bundle=shipping))
    shown = only_edit(edit_job(BASE, bundle=shipping, reference=str(picture)))
    os.utime(picture, (1, 1))
    touched = only_edit(edit_job(BASE, bundle=shipping, reference=str(picture)))
    picture.write_bytes(image_bytes(4))
    other = only_edit(edit_job(BASE, bundle=shipping, reference=str(picture)))
    assert len({plain.edit_id, shown.edit_id, other.edit_id}) == 3
    assert shown.edit_id == touched.edit_id
    assert plain.fit_id == shown.fit_id == other.fit_id


@pytest.mark.parametrize("change", [{}, {"limits": Limits(threshold=0.3)}, {"mask": "mask.png"}])
def test_an_edit_without_reference_has_the_id_it_had_before_there_were_any(
    edit_job: Callable[..., JobSpec], change: dict[str, Any]
) -> None:
    edit = only_edit(edit_job(LEARNED, **change))
    fields = asdict(edit)
    assert (fields.pop("reference"), fields.pop("all_of")) == (None, ())
    regions = {name: fields.pop(name) for name in ("limits", "mask")}
    assert regions["limits"].pop("difference") == 0
    assert edit.digest == content_id({"version": EDIT_VERSION, **fields, **({"regions": regions} if change else {})})


def test_a_method_that_cannot_follow_a_reference_names_those_that_can(
    edit_job: Callable[..., JobSpec], picture: Path
) -> None:
    with pytest.raises(ValueError, match=rf"edit 'red': {LEARNED} cannot follow a reference image; {BASE} can$"):
        make_plan(edit_job(LEARNED, reference=str(picture)))


def test_a_reference_is_one_image_that_is_there(
    edit_job: Callable[..., JobSpec], shipping: Path, tmp_path: Path
) -> None:
    for name in ("one.gif", "two.gif"):
        (tmp_path / name).write_bytes(image_bytes(0, form="GIF"))
    with pytest.raises(ValueError, match=r"edit 'red': reference .*\*\.gif names 2 files; give one image"):
        make_plan(edit_job(BASE, bundle=shipping, reference=str(tmp_path / "*.gif")))
    with pytest.raises(ValueError, match=r"none\.png.* is not there"):
        make_plan(edit_job(BASE, bundle=shipping, reference=str(tmp_path / "none.png")))


WISHES = ("a person with red hair", "a person who is smiling")


def test_the_order_of_wishes_changes_no_edit(edit_job: Callable[..., JobSpec]) -> None:
    plain, one, other = (
        only_edit(edit_job(COMBINING, all_of=wishes)) for wishes in ((), WISHES, tuple(reversed(WISHES)))
    )
    assert one == other and one.edit_id == other.edit_id != plain.edit_id
    assert one.prompt.wishes == tuple(sorted(WISHES)) and one.fit_id == plain.fit_id


def test_wishes_survive_the_file_of_a_plan(edit_job: Callable[..., JobSpec]) -> None:
    plan = make_plan(edit_job(COMBINING, all_of=WISHES))
    assert Plan.from_json(plan.to_json()).edits == plan.edits


def test_a_method_that_cannot_combine_wishes_names_those_that_can(edit_job: Callable[..., JobSpec]) -> None:
    says = "edit 'red': styleclip-directions cannot combine the wishes of all_of; coral-.*, transport, .* can$"
    with pytest.raises(ValueError, match=says):
        make_plan(edit_job("styleclip-directions", all_of=WISHES))


def test_a_fit_combines_wishes_only_where_it_starts_at_transport(edit_job: Callable[..., JobSpec]) -> None:
    assert only_edit(edit_job(LEARNED, all_of=WISHES)).prompt.wishes == tuple(sorted(WISHES))
    with pytest.raises(ValueError, match="can combine the wishes of all_of only with start: transport"):
        make_plan(edit_job(LEARNED, all_of=WISHES, options={"start": "none", "embedding": 0}))


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        (("a hat", ""), "the wish '' says nothing"),
        (("a hat", "A hat"), "say the same; leave one out"),
        (tuple(map(str, range(9))), "9 wishes; give at most 8"),
        (("a hat", "a person"), "the wish 'a person' and the source say the same"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(
    edit_job: Callable[..., JobSpec], wishes: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=f"^edit 'red': .*{says}"):
        make_plan(edit_job(COMBINING, all_of=wishes))


LONG = "red hair and " * 12  # twice this is more than CLIP reads


@pytest.mark.parametrize(
    "change",
    [
        {"target": LONG * 2},
        {"source": LONG * 2},
        {"method": "styleclip-directions", "target": LONG.strip(), "options": {"templates": ["{}", f"{LONG}{{}}"]}},
        {"method": BASE, "options": {"neutral": LONG * 2}},
        {"method": COMBINING, "all_of": ("a hat", LONG * 2)},
    ],
)
def test_a_text_that_is_too_long_for_clip_is_refused(edit_job: Callable[..., JobSpec], change: dict[str, Any]) -> None:
    long = {"method": LEARNED, "captions": "captions.tar", **change}
    with pytest.raises(ValueError, match=r"edit 'red': the text 'red hair.* tokens, and the bundle's CLIP reads 126"):
        make_plan(edit_job(**long))


def test_texts_that_differ_in_capitals_and_spaces_only_are_the_same(edit_job: Callable[..., JobSpec]) -> None:
    with pytest.raises(ValueError, match="target and source say the same"):
        make_plan(edit_job(LEARNED, target="Red  hair", source="red hair "))
