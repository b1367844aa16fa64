"""What an edit of a job needs, and which of it enters which id."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from coral_core.editors import EDITORS, Limits
from tasks.plan.plan import make_plan
from tasks.spec.job import JobSpec
from tasks.spec.requests import EDIT_VERSION, FIT_VERSION, EditSpec, FitRequest, content_id
from tests.inverters import ABOVE, BASE, digest_of, shipping_copy, shorten_fits
from tests.tars import image_bytes, members_of, write_shards, write_tar

LEARNED = "styleclip-mapper"


@pytest.fixture
def make(tmp_path: Path, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobSpec]:
    """A job with one edit by a method, with what else is given of the edit, over a tar; captions.tar is another."""
    shorten_fits(monkeypatch)
    write_shards(tmp_path, 1, 1)
    write_tar(tmp_path / "captions.tar", members_of(7))
    write_tar(tmp_path / "others.tar", members_of(8))

    def job(method: str, captions: str = "", bundle: Path | None = None, **edit: Any) -> JobSpec:
        small = make_job(**({} if bundle is None else {"bundle": str(bundle)}))
        entry = replace(small.edits[0], **{"method": method, "options": {}, **edit})
        given = (str(tmp_path / captions),) if captions else ()
        return replace(small, edits=(entry,), fit_captions=given)

    return job


@pytest.fixture
def shipping(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle, with an artifact of BASE."""
    shorten_fits(monkeypatch)
    return shipping_copy(bundle, tmp_path / "shipping")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "look.png"
    path.write_bytes(image_bytes(3))
    return path


def own_fit(job: JobSpec) -> FitRequest:
    return make_plan(job).fits[-1]


def only_edit(job: JobSpec) -> EditSpec:
    (edit,) = make_plan(job).edits
    return edit


@pytest.mark.parametrize("method", [LEARNED, "styleclip-directions"])
def test_a_fit_without_captions_and_base_has_the_id_it_had_before_there_were_any(
    make: Callable[..., JobSpec], method: str
) -> None:
    fit = own_fit(make(method, captions="captions.tar"))
    told = {name: getattr(fit, name) for name in ("method", "options", "target", "source", "digests")}
    assert (fit.captions, fit.base) == ((), "")
    assert fit.id == content_id({"kind": "fit", "version": FIT_VERSION, **told})


def test_captions_enter_by_their_content(make: Callable[..., JobSpec], tmp_path: Path) -> None:
    one, other = own_fit(make(BASE, captions="captions.tar")), own_fit(make(BASE, captions="others.tar"))
    both = own_fit(make(BASE, captions="*s.tar"))
    assert len({one.id, other.id, both.id}) == 3
    assert [Path(shard.uri).name for shard in both.captions] == ["captions.tar", "others.tar"]
    write_tar(tmp_path / "captions.tar", members_of(9))
    assert own_fit(make(BASE, captions="captions.tar")).id != one.id


def test_when_a_tar_of_captions_was_touched_is_no_matter(make: Callable[..., JobSpec], tmp_path: Path) -> None:
    before = own_fit(make(BASE, captions="captions.tar"))
    os.utime(tmp_path / "captions.tar", (1, 1))
    after = own_fit(make(BASE, captions="captions.tar"))
    assert before.captions[0].stamp != after.captions[0].stamp
    assert before.id == after.id


def test_what_learns_from_captions_asks_for_them(make: Callable[..., JobSpec]) -> None:
    with pytest.raises(ValueError, match=rf"edit 'red': {BASE} learns from captioned images, .*fit_source: captions"):
        make_plan(make(BASE))


def test_what_builds_upon_it_asks_for_them_too(make: Callable[..., JobSpec]) -> None:
    with pytest.raises(ValueError, match=rf"edit 'red': {BASE} learns from captioned images, .*fit_source: captions"):
        make_plan(make(ABOVE))


def test_a_shipped_artifact_stands_for_captions(make: Callable[..., JobSpec], shipping: Path) -> None:
    job = make(BASE, bundle=shipping)
    assert [fit.shipped for fit in make_plan(job).fits] == [digest_of(shipping / "editors" / f"{BASE}.safetensors")]
    assert not own_fit(make(BASE, captions="captions.tar", bundle=shipping)).shipped
    with pytest.raises(ValueError, match="ships none for these options"):
        make_plan(make(BASE, bundle=shipping, options={"directional": 3.0}))


def test_options_of_the_edit_alone_need_no_other_artifact(make: Callable[..., JobSpec], shipping: Path) -> None:
    weaker = make_plan(make(BASE, bundle=shipping, options={"remapping": 0.5, "residual": 2.0}))
    assert [fit.id for fit in weaker.fits] == [own_fit(make(BASE, bundle=shipping)).id]
    assert weaker.edits[0].edit_id != only_edit(make(BASE, bundle=shipping)).edit_id


def test_what_a_job_says_of_generator_samples_is_none_of_a_captioned_fit(make: Callable[..., JobSpec]) -> None:
    job = make(BASE, captions="captions.tar")
    assert own_fit(replace(job, seed=7, fit_samples=99)).id == own_fit(job).id
    options = own_fit(replace(job, edits=(replace(job.edits[0], options={"fit": {"seed": 3}}),))).options["fit"]
    assert isinstance(options, dict) and options["seed"] == 3
    assert own_fit(replace(make(LEARNED), seed=7)).id != own_fit(make(LEARNED)).id


def test_a_base_comes_before_what_builds_upon_it_and_its_id_enters(make: Callable[..., JobSpec]) -> None:
    one, other = (make_plan(make(ABOVE, captions=f"{name}.tar")) for name in ("captions", "others"))
    for plan in (one, other):
        base, own = plan.fits
        assert (base.method, own.method, own.base) == (BASE, ABOVE, base.id)
        assert (base.target, own.target, own.captions) == ("", "red hair", ())
        assert plan.edits[0].fit_id == own.id
    assert one.fits[1].id != other.fits[1].id
    assert one.edits[0].edit_id != other.edits[0].edit_id


def test_a_base_has_its_default_options_and_serves_those_who_ask_for_it_themselves(
    make: Callable[..., JobSpec],
) -> None:
    above = make(ABOVE, captions="captions.tar", options={"area": 0.5})
    direct = replace(above.edits[0], id="direct", method=BASE, options={})
    base, own = make_plan(replace(above, edits=(*above.edits, direct))).fits
    assert base.options == EDITORS[BASE].fit_options(EDITORS[BASE].resolve({}))
    assert own.options["area"] == 0.5


def test_an_edit_has_another_id_when_its_reference_is_another_picture(
    make: Callable[..., JobSpec], shipping: Path, picture: Path
) -> None:
    plain = only_edit(make(BASE, bundle=shipping))
    shown = only_edit(make(BASE, bundle=shipping, reference=str(picture)))
    os.utime(picture, (1, 1))
    touched = only_edit(make(BASE, bundle=shipping, reference=str(picture)))
    picture.write_bytes(image_bytes(4))
    other = only_edit(make(BASE, bundle=shipping, reference=str(picture)))
    assert len({plain.edit_id, shown.edit_id, other.edit_id}) == 3
    assert shown.edit_id == touched.edit_id
    assert plain.fit_id == shown.fit_id == other.fit_id


@pytest.mark.parametrize("change", [{}, {"limits": Limits(threshold=0.3)}, {"mask": "mask.png"}])
def test_an_edit_without_reference_has_the_id_it_had_before_there_were_any(
    make: Callable[..., JobSpec], change: dict[str, Any]
) -> None:
    edit = only_edit(make(LEARNED, **change))
    fields = asdict(edit)
    assert fields.pop("reference") is None
    regions = {name: fields.pop(name) for name in ("limits", "mask")}
    assert edit.digest == content_id({"version": EDIT_VERSION, **fields, **({"regions": regions} if change else {})})


def test_a_method_that_cannot_follow_a_reference_names_those_that_can(
    make: Callable[..., JobSpec], picture: Path
) -> None:
    with pytest.raises(ValueError, match=rf"edit 'red': {LEARNED} cannot follow a reference image; {BASE} can$"):
        make_plan(make(LEARNED, reference=str(picture)))


def test_a_reference_is_one_image_that_is_there(make: Callable[..., JobSpec], shipping: Path, tmp_path: Path) -> None:
    for name in ("one.gif", "two.gif"):
        (tmp_path / name).write_bytes(image_bytes(0, form="GIF"))
    with pytest.raises(ValueError, match=r"edit 'red': reference .*\*\.gif names 2 files; give one image"):
        make_plan(make(BASE, bundle=shipping, reference=str(tmp_path / "*.gif")))
    with pytest.raises(ValueError, match=r"none\.png.* is not there"):
        make_plan(make(BASE, bundle=shipping, reference=str(tmp_path / "none.png")))


LONG = "red hair and " * 12  # twice this is more than CLIP reads


@pytest.mark.parametrize(
    "change",
    [
        {"target": LONG * 2},
        {"source": LONG * 2},
        {"method": "styleclip-directions", "target": LONG.strip(), "options": {"templates": ["{}", f"{LONG}{{}}"]}},
        {"method": BASE, "options": {"neutral": LONG * 2}},
    ],
)
def test_a_text_that_is_not_read_to_its_end_is_refused(make: Callable[..., JobSpec], change: dict[str, Any]) -> None:
    long = {"method": LEARNED, "captions": "captions.tar", **change}
    with pytest.raises(ValueError, match=r"edit 'red': the text 'red hair.* tokens, and the bundle's CLIP reads 126"):
        make_plan(make(**long))


def test_texts_that_differ_in_capitals_and_spaces_only_are_the_same(make: Callable[..., JobSpec]) -> None:
    with pytest.raises(ValueError, match="target and source say the same"):
        make_plan(make(LEARNED, target="Red  hair", source="red hair "))
