from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.jobfile.load import load_job
from tests.pipelines.jobfile.written import GOOD, write


def test_a_short_job_has_defaults_for_the_rest(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD))
    assert (job.input, job.bundle, job.max_failure_rate) == (["in-*.tar"], "portraits", 0.5)
    spec = job.spec()
    assert (spec.edits[0].method, spec.edits[0].source) == ("coral-transport-difference", "a photo")
    assert job.worker_resources().actors is None


def test_the_shipped_jobs_are_valid() -> None:
    folder = Path(__file__).parents[3] / "pipelines" / "jobs"
    names = {load_job(path).name for path in folder.glob("*.yaml")}
    assert "portraits-demo" in names


def test_the_gates_of_an_edit_override_those_of_the_job_key_by_key(tmp_path: Path) -> None:
    text = GOOD + "    gates: {min_direction: 0.3, max_area: null}\n  - {id: plain, target: x}\n"
    text += "gates: {min_direction: 0.1, min_identity: 0.5, max_area: 0.8}\n"
    red, plain = (edit.rules.gates for edit in load_job(write(tmp_path, text)).spec().edits)
    assert red.active == {"min_direction": 0.3, "min_identity": 0.5}
    assert plain.active == {"min_direction": 0.1, "min_identity": 0.5, "max_area": 0.8}


def test_labels_may_be_dotted_or_nested(tmp_path: Path) -> None:
    text = GOOD + "    labels: {hair_color: red, attributes.smile: true, attributes: {age: null}}\n"
    (edit,) = load_job(write(tmp_path, text)).spec().edits
    assert edit.rules.labels == {"hair_color": "red", "attributes.smile": True, "attributes.age": None}


def test_gates_that_contradict_each_other_across_job_and_edit_are_refused(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD + "    gates: {min_area: 0.5}\ngates: {max_area: 0.1}\n"))
    with pytest.raises(ValueError, match=r"edit 'red', its gates over the job's: min_area 0\.5 is above"):
        job.spec()


def test_an_edit_may_say_its_wishes_in_any_order_instead_of_a_target(tmp_path: Path) -> None:
    wishes = ["a person with red hair", "a person who is smiling"]
    orders = (f"all_of: [{', '.join(order)}]" for order in (wishes, wishes[::-1]))
    one, other = (load_job(write(tmp_path, GOOD.replace("target: red hair", each))).spec().edits[0] for each in orders)
    assert one.target == other.target == "a person with red hair who is smiling"
    assert set(one.all_of) == set(other.all_of) == set(wishes)
    (given,) = load_job(write(tmp_path, f"{GOOD}    all_of: [{', '.join(wishes)}]\n")).spec().edits
    assert (given.target, given.all_of) == ("red hair", tuple(wishes))
