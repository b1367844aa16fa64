from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from coral_core.bundle.catalog import read_bundle
from coral_core.editors import EDITORS, Limits
from manifests.stores.open import open_store
from tasks.plan.plan import Plan, make_plan, read_plans, record_plan
from tasks.spec.geometry import Geometry, OutputSize
from tests.tars import members_of, write_shards, write_tar


@pytest.fixture
def job(tmp_path: Path, make_job: Callable[..., Any]) -> Any:
    write_shards(tmp_path, 3, 4)
    return make_job()


def ids(plan: Plan) -> list[str]:
    return [request.id for requests in plan.edit_requests() for request in requests]


def changed(job: Any, **changes: Any) -> Any:
    """The job with its first edit changed."""
    return replace(job, edits=(replace(job.edits[0], **changes), *job.edits[1:]))


def test_one_job_has_one_set_of_ids(job: Any) -> None:
    one, two = make_plan(job), make_plan(job)
    assert ids(one) == ids(two) and len(set(ids(one))) == 3 * 2
    assert one.run_id != two.run_id
    assert [fit.id for fit in one.fits] == [edit.fit_id for edit in one.edits]


def test_a_plan_survives_its_file(job: Any) -> None:
    plan = make_plan(job)
    store = open_store(plan.output)
    record_plan(store, plan)
    (read,) = read_plans(store)
    assert ids(read) == ids(plan) and read.shards == plan.shards and read.to_json() == plan.to_json()
    with pytest.raises(ValueError, match="exists already"):
        record_plan(store, plan)


def test_a_plan_names_skipped_inputs_and_its_file_does_not(job: Any, tmp_path: Path) -> None:
    write_tar(tmp_path / ".x.tar", members_of(9))
    hidden = replace(job, inputs=(f"{tmp_path}/*.tar",), fit_captions=())
    plan = make_plan(hidden)
    (told,) = plan.passed_over
    assert f"passes over the hidden file {tmp_path}/.x.tar" in told
    assert Plan.from_json(plan.to_json()).passed_over == () and b"passed_over" not in plan.to_json()


def test_a_plan_writes_nothing(job: Any) -> None:
    make_plan(job)
    assert not Path(job.output).exists()


def test_a_change_of_one_edit_changes_no_id_of_the_others(job: Any) -> None:
    before, after = make_plan(job), make_plan(changed(job, target="green hair"))
    assert before.edits[0].edit_id != after.edits[0].edit_id and before.edits[1] == after.edits[1]
    assert before.invert == after.invert and before.fits[1] == after.fits[1]


def test_another_way_to_invert_makes_other_edits_and_no_other_fits(job: Any) -> None:
    """Otherwise one edit_id would have two images of every sample, and queries and exports would mix them."""
    before, after = make_plan(job), make_plan(replace(job, geometry=Geometry(fit="crop")))
    assert {edit.edit_id for edit in before.edits}.isdisjoint(edit.edit_id for edit in after.edits)
    assert before.fits == after.fits


def test_the_strength_does_not_enter_the_fit(job: Any) -> None:
    before, after = make_plan(job), make_plan(changed(job, strength=0.5))
    assert before.fits == after.fits and before.edits[0].edit_id != after.edits[0].edit_id


@pytest.mark.parametrize(
    "change", [{"limits": Limits(threshold=0.3)}, {"limits": Limits(layers=(3,))}, {"mask": "a.png"}]
)
def test_limits_of_an_edit_enter_neither_its_fit_nor_the_inversion(job: Any, change: dict[str, Any]) -> None:
    before, after = make_plan(job), make_plan(changed(job, **change))
    assert before.fits == after.fits and before.invert == after.invert
    assert before.edits[0].edit_id != after.edits[0].edit_id and before.edits[1] == after.edits[1]


def test_a_plan_with_limits_survives_its_file(job: Any) -> None:
    plan = make_plan(changed(job, limits=Limits(threshold=0.3, layers=(4, 3)), mask="mask.png"))
    read = Plan.from_json(plan.to_json())
    assert read.edits == plan.edits and ids(read) == ids(plan)


def test_the_layers_that_may_be_limited_are_those_of_the_bundle(job: Any, models: Any) -> None:
    layers = len(models.generator.conv_sizes)
    assert read_bundle(job.bundle).conv_sizes == models.generator.conv_sizes
    assert make_plan(changed(job, limits=Limits(layers=tuple(range(layers))))).edits
    with pytest.raises(ValueError, match=rf"edit 'red': layers has {layers}; .*0 \(4 px\), 1 \(8 px\).*\(64 px\)$"):
        make_plan(changed(job, limits=Limits(layers=(1, layers))))


def test_equal_fits_are_done_once(job: Any) -> None:
    twice = replace(job, edits=(job.edits[0], replace(job.edits[0], id="weak", strength=0.5)))
    plan = make_plan(twice)
    assert len(plan.fits) == 1 and len(plan.edits) == 2


def test_the_options_of_the_fit_come_from_the_job_and_the_edit(job: Any) -> None:
    options = make_plan(replace(job, seed=7)).fits[0].options["fit"]
    assert isinstance(options, dict)
    assert (options["source_samples"], options["seed"], options["steps"]) == (8, 7, 2)


def test_a_new_shard_changes_no_id_of_the_others(job: Any, tmp_path: Path) -> None:
    before = ids(make_plan(job))
    write_tar(tmp_path / "in-0000.tar", members_of(9))  # sorts first
    assert set(before) < set(ids(make_plan(job)))


def test_digests_of_untouched_shards_are_taken_from_the_last_plan(job: Any) -> None:
    plan = make_plan(job)
    forged = replace(plan, shards=tuple(replace(shard, sha256="remembered") for shard in plan.shards))
    record_plan(open_store(plan.output), forged)
    assert {shard.sha256 for shard in make_plan(job).shards} == {"remembered"}


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, [1]), (4, [None]), (6, [None, 2]), (12, [None] * 3), (99, [None] * 3)]
)
def test_a_limit_takes_the_first_samples(job: Any, limit: int, expected: list[int | None]) -> None:
    assert [shard.limit for shard in make_plan(job, limit).shards] == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "coral"}, "edit 'red': unknown method 'coral'; known:"),
        ({"options": {"aera": 1}}, "unknown option 'aera'; did you mean 'area'?"),
        ({"options": {"fit": {"stpes": 1}}}, "unknown option 'stpes'; did you mean 'steps'?"),
        ({"options": {"fit": 3}}, "fit is 3; give a mapping"),
    ],
)
def test_an_edit_that_cannot_be_done_is_refused(job: Any, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as raised:
        make_plan(changed(job, **change))
    assert says in str(raised.value)


def test_an_unknown_bundle_is_refused(job: Any) -> None:
    with pytest.raises(ValueError, match="no bundle 'portrait'"):
        make_plan(replace(job, bundle="portrait"))


def test_plans_of_one_second_are_read_newest_first(job: Any) -> None:
    store, plans = open_store(job.output), [make_plan(job) for _ in range(5)]
    for plan in plans:
        record_plan(store, plan)
    assert [each.run_id for each in read_plans(store)] == [plan.run_id for plan in reversed(plans)]


def test_plans_of_another_format_are_skipped_and_damaged_ones_are_errors(job: Any) -> None:
    store, plan = open_store(job.output), make_plan(job)
    record_plan(store, plan)
    store.put_new("plans/99990101T000000-old.json", b'{"format": 0, "fields": "of another time"}')
    assert [each.run_id for each in read_plans(store)] == [plan.run_id]
    store.put_new("plans/99990102T000000-torn.json", b'{"format": 1, "run')
    with pytest.raises(ValueError, match="not a plan"):
        list(read_plans(store))


@pytest.mark.parametrize("method", EDITORS)
def test_an_edit_without_change_is_refused_before_anything_runs(method: str, job: Any) -> None:
    same = changed(job, target="a person", source="a person", method=method, options={})
    with pytest.raises(ValueError, match=r"edit 'red': .*target and source say the same"):
        make_plan(same)


OUTPUTS = get_args(OutputSize)


def test_the_output_size_enters_the_edit_and_not_the_inversion(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 1)
    one, other = (make_plan(make_job(geometry=Geometry(fit="crop", output=output))) for output in OUTPUTS)
    assert [each.id for each in one.invert_requests()] == [each.id for each in other.invert_requests()]
    assert [fit.id for fit in one.fits] == [fit.id for fit in other.fits]
    assert {edit.edit_id for edit in one.edits}.isdisjoint(edit.edit_id for edit in other.edits)
    padded = make_plan(make_job(geometry=Geometry(fit="pad")))
    assert one.invert_requests()[0].id != padded.invert_requests()[0].id


def test_a_reconstruction_cannot_be_pasted_back(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 1)
    job = make_job(geometry=Geometry(output="source"))
    edits = (replace(job.edits[0], onto="reconstruction"),)
    with pytest.raises(ValueError, match=r"edit 'red': composite: reconstruction cannot be pasted back.*choose"):
        make_plan(replace(job, edits=edits))
