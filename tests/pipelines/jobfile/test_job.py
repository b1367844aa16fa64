from __future__ import annotations

import re
from pathlib import Path

import pytest

from coral_core.bundle.catalog import read_bundle
from coral_core.editors import UNLIMITED, Limits
from pipelines.jobfile.job import EditSection, Job
from pipelines.jobfile.load import load_job
from pipelines.jobfile.sections import DeadlinesSection, GatesSection, RegionsSection, Section
from pipelines.jobfile.yaml_text import read_yaml
from tasks.spec.resources import Deadlines

GOOD = """
name: test
input: in-*.tar
output: out
edits:
  - id: red
    target: red hair
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return path


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ValueError) as raised:
        load_job(write(tmp_path, text))
    return str(raised.value)


def test_a_short_job_has_defaults_for_the_rest(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD))
    assert (job.input, job.bundle, job.max_failure_rate) == (["in-*.tar"], "portraits", 0.5)
    spec = job.spec()
    assert (spec.edits[0].method, spec.edits[0].source) == ("coral-mapper-attention", "a photo")
    assert job.worker_resources().actors is None


def test_the_shipped_jobs_are_good() -> None:
    folder = Path(__file__).parents[3] / "pipelines" / "jobs"
    names = {load_job(path).name for path in folder.glob("*.yaml")}
    assert "portraits-demo" in names


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name: test", "nmae: test"), "unknown key 'nmae'; did you mean 'name'?"),
        (("target: red", "targt: red"), "edits[0]: unknown key 'targt'; did you mean 'target'?"),
        (("output: out", "output: out\ngeometry: {fitt: crop}"), "geometry: unknown key 'fitt'; did you mean 'fit'?"),
        (("output: out", "output: out\nresources: {num_cpu: 1}"), "did you mean 'num_cpus'?"),
        (("output: out", "output: out\nfit_source: {zebra: 1}"), "fit_source: unknown key 'zebra'; known: samples"),
        (
            ("target: red hair", "target: red hair\n    regions: {layer: [3]}"),
            "edits[0].regions: unknown key 'layer'; did you mean 'layers'?",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_at_every_level(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert says in error_of(tmp_path, GOOD.replace(*change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("output: out", ""), "output: is missing"),
        (("id: red", "id: Red Hair"), "edits[0].id: 'Red Hair' is no id"),
        (
            ("output: out", "output: out\nbatch_size: 0"),
            "batch_size: Input should be greater than or equal to 1; given 0",
        ),
        (("output: out", "output: out\ngeometry: {fit: stretch}"), "geometry.fit:"),
        (("output: out", "output: out\nresources: {num_gpus: 1.5}"), "resources.num_gpus: 1.5 is neither a share of"),
        (
            ("output: out", "output: out\ndeadlines: {stall_minutes: 0}"),
            "deadlines.stall_minutes: Input should be greater",
        ),
        (("target: red hair", "target: red hair\n  - {id: red, target: x}"), "['red'] occur more than once"),
    ],
)
def test_problems_say_where_they_are(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert says in error_of(tmp_path, GOOD.replace(*change))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("output: out", "batch_size: x").replace("id: red", "id: '!'")
    assert len(error_of(tmp_path, text).splitlines()) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("output: out", "output: out\noutput: other"),
            "the key 'output' is given twice, in line 4 and in line 5;",
        ),
        (("target: red", "target: blue\n    target: red"), "the key 'target' is given twice, in line 7 and in line 8"),
        (("target: red hair", "target: red\nedits: []"), "the key 'edits' is given twice, in line 5 and in line 8"),
        (
            ("output: out", "output: out\ngates: {max_area: 1, max_area: 0.5}"),
            "the key 'max_area' is given twice, both",
        ),
    ],
)
def test_a_key_that_is_given_twice_is_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert says in error_of(tmp_path, GOOD.replace(*change))


def test_what_is_no_job_at_all_is_said(tmp_path: Path) -> None:
    assert "is no mapping" in error_of(tmp_path, "- a\n- b\n")
    assert "is not YAML" in error_of(tmp_path, "a: [")
    (tmp_path / "job.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(ValueError, match="is not YAML: it is no UTF-8"):
        load_job(tmp_path / "job.yaml")
    with pytest.raises(ValueError, match="cannot read the job"):
        load_job(tmp_path / "nowhere.yaml")


def test_the_gates_of_an_edit_go_over_those_of_the_job_key_by_key(tmp_path: Path) -> None:
    text = GOOD + "    gates: {min_direction: 0.3, max_area: null}\n  - {id: plain, target: x}\n"
    text += "gates: {min_direction: 0.1, min_identity: 0.5, max_area: 0.8}\n"
    red, plain = (edit.rules.gates for edit in load_job(write(tmp_path, text)).spec().edits)
    assert red.active == {"min_direction": 0.3, "min_identity": 0.5}
    assert plain.active == {"min_direction": 0.1, "min_identity": 0.5, "max_area": 0.8}


def test_labels_may_be_dotted_or_nested(tmp_path: Path) -> None:
    text = GOOD + "    labels: {hair_color: red, attributes.smile: true, attributes: {age: null}}\n"
    (edit,) = load_job(write(tmp_path, text)).spec().edits
    assert edit.rules.labels == {"hair_color": "red", "attributes.smile": True, "attributes.age": None}


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        ("gates: {min_direktion: 0.1}", "gates: unknown key 'min_direktion'; did you mean 'min_direction'?"),
        ("gates: {min_direction: 3}", "gates: min_direction is 3.0; give a number from -1 to 1, or null"),
        ("gates: {min_direction: high}", "gates.min_direction: Input should be a valid number"),
        ("    gates: {max_area: 2}", "edits[0].gates: max_area is 2.0"),
        ("    labels: {split: train}", "edits[0].labels: the label 'split' is inherited"),
        (
            "    labels: {born: !!timestamp 2020-01-01}",
            "edits[0].labels: the label 'born' is datetime.date(2020, 1, 1)",
        ),
        ("    labels: {width: .inf}", "edits[0].labels: the label 'width' is inf"),
        ("gates: {min_direction: yes}", "gates.min_direction: Input should be a valid number"),
    ],
)
def test_gates_and_labels_that_cannot_be_are_refused(tmp_path: Path, addition: str, says: str) -> None:
    assert says in error_of(tmp_path, GOOD + addition + "\n")


def test_labels_are_what_yaml_1_2_says(tmp_path: Path) -> None:
    labels = "{country: NO, taken_at: 12:30:45, zip: 01234, born: 2020-01-01, married: true, size: 1e3}"
    (edit,) = load_job(write(tmp_path, f"{GOOD}    labels: {labels}\n")).spec().edits
    texts = {"country": "NO", "taken_at": "12:30:45", "zip": "01234", "born": "2020-01-01"}
    assert edit.rules.labels == {**texts, "married": True, "size": 1000.0}


NUMBERS = [
    *((name, "") for name in ("seed", "batch_size", "max_failure_rate", "max_hours")),
    *((name, "resources") for name in ("actors", "num_cpus", "num_gpus", "memory", "price_per_actor_hour")),
    *((name, "deadlines") for name in DeadlinesSection.model_fields),
    *((name, "gates") for name in GatesSection.model_fields),
    *((name, "regions") for name in ("threshold", "layers")),
    ("samples", "fit_source"),
    ("strength", "edits"),
]


@pytest.mark.parametrize(("name", "section"), NUMBERS)
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e39", str(10**30), str(-(10**30)), "true", "no"])
def test_every_number_has_bounds_and_no_boolean_is_one(tmp_path: Path, name: str, section: str, value: str) -> None:
    given = f"{name}: {f'[{value}]' if name == 'layers' else value}"
    place = {"edits": f"    {given}\n", "regions": f"    regions: {{{given}}}\n", "": f"{given}\n"}
    told = error_of(tmp_path, GOOD + place.get(section, f"{section}: {{{given}}}\n"))
    assert name in told and len(told.splitlines()) <= 2


def test_numbers_are_all_tried() -> None:
    """Of every section of a job: what a field may be, in words."""
    sections = {"": Job, "edits": EditSection, "regions": RegionsSection}
    sections |= {name: type(field.default) for name, field in Job.model_fields.items() if name not in ("edits", "s3")}
    numeric = {
        (name, section)
        for section, model in sections.items()
        if issubclass(model, Section)
        for name, field in model.model_fields.items()
        if re.search(r"\b(int|float|ByteSize)\b", str(field.annotation))
    }
    assert numeric == set(NUMBERS)


def test_gates_that_contradict_each_other_across_job_and_edit_are_refused(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD + "    gates: {min_area: 0.5}\ngates: {max_area: 0.1}\n"))
    with pytest.raises(ValueError, match=r"edit 'red', its gates over the job's: min_area 0\.5 is above"):
        job.spec()


def test_regions_limit_an_edit_and_nothing_else(tmp_path: Path) -> None:
    text = GOOD + "    regions: {threshold: 0.3, layers: [5, 3, 4], mask: .Mask.PNG}\n  - {id: plain, target: x}\n"
    red, plain = load_job(write(tmp_path, text)).spec().edits
    assert (red.limits, red.mask) == (Limits(threshold=0.3, layers=(3, 4, 5)), "mask.png")
    assert (plain.limits, plain.mask) == (UNLIMITED, "")
    (empty,) = load_job(write(tmp_path, GOOD + "    regions: {layers: [], mask: null}\n")).spec().edits
    assert (empty.limits, empty.mask) == (plain.limits, plain.mask)


def test_the_page_on_regions_has_a_job_and_the_sizes_of_the_shipped_generator() -> None:
    page = (Path(__file__).parents[3] / "docs" / "regions.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    red, smile = Job.model_validate(read_yaml(text)).spec().edits
    assert (red.limits.layers, red.mask, smile.mask) == ((3, 4, 5, 6), "mask.png", "")
    rows = re.findall(r"^\| ([\d, ]+) \| (\d+) \| yes \|$", page, re.MULTILINE)
    told = {int(layer): int(size) for layers, size in rows for layer in layers.split(",")}
    assert told == dict(enumerate(read_bundle("portraits").conv_sizes))


@pytest.mark.parametrize(
    ("regions", "says"),
    [
        ("{threshold: 1.5}", "edits[0].regions: threshold is 1.5; give a number from 0"),
        ("{layers: [x]}", "edits[0].regions.layers[0]: Input should be a valid integer"),
        ("{mask: png}", "edits[0].regions.mask: 'png' may be the image itself; give a suffix of its own"),
        ("{mask: ''}", "edits[0].regions.mask: '' is no suffix; give what follows the key: mask.png of"),
        ("{mask: masks/a.png}", "edits[0].regions.mask: 'masks/a.png' is no suffix"),
    ],
)
def test_regions_that_cannot_be_are_refused(tmp_path: Path, regions: str, says: str) -> None:
    assert says in error_of(tmp_path, GOOD + f"    regions: {regions}\n")


def test_memory_is_read_with_its_unit(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD + "resources: {actors: 3, memory: 2GiB, num_gpus: 0.5}\n"))
    resources = job.worker_resources()
    assert (resources.actors, resources.memory, resources.device) == (3, 2 * 2**30, "cuda")


def test_deadlines_that_are_not_given_are_the_pools_own(tmp_path: Path) -> None:
    deadlines = load_job(write(tmp_path, GOOD + "deadlines: {stall_minutes: 2.5}\n")).deadlines.spec()
    assert deadlines == Deadlines(stall_minutes=2.5)
