"""Values that the sections of a job file accept and refuse."""

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
from tests.pipelines.jobfile.written import GOOD, error_of, write


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
def test_invalid_gates_and_labels_are_refused(tmp_path: Path, addition: str, says: str) -> None:
    assert says in error_of(tmp_path, GOOD + addition + "\n")


def test_labels_follow_yaml_1_2(tmp_path: Path) -> None:
    labels = "{country: NO, taken_at: 12:30:45, zip: 01234, born: 2020-01-01, married: true, size: 1e3}"
    (edit,) = load_job(write(tmp_path, f"{GOOD}    labels: {labels}\n")).spec().edits
    texts = {"country": "NO", "taken_at": "12:30:45", "zip": "01234", "born": "2020-01-01"}
    assert edit.rules.labels == {**texts, "married": True, "size": 1000.0}


NUMBERS = [
    *((name, "") for name in ("seed", "batch_size", "max_failure_rate", "max_hours", "publish_every_minutes")),
    *((name, "resources") for name in ("actors", "num_cpus", "num_gpus", "memory", "price_per_actor_hour")),
    *((name, "deadlines") for name in DeadlinesSection.model_fields),
    *((name, "gates") for name in GatesSection.model_fields),
    *((name, "regions") for name in ("threshold", "layers", "difference")),
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
def test_invalid_regions_are_refused(tmp_path: Path, regions: str, says: str) -> None:
    assert says in error_of(tmp_path, GOOD + f"    regions: {regions}\n")


def test_memory_is_read_with_its_unit(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD + "resources: {actors: 3, memory: 2GiB, num_gpus: 0.5}\n"))
    resources = job.worker_resources()
    assert (resources.actors, resources.memory, resources.device) == (3, 2 * 2**30, "cuda")


def test_deadlines_that_are_not_given_are_the_pools_own(tmp_path: Path) -> None:
    deadlines = load_job(write(tmp_path, GOOD + "deadlines: {stall_minutes: 2.5}\n")).deadlines.spec()
    assert deadlines == Deadlines(stall_minutes=2.5)
