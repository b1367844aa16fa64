"""What the sections of a job file take and refuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from coral_core.bundle.catalog import read_bundle
from coral_core.editors import UNLIMITED, Limits
from pipelines.jobfile.job import Job
from pipelines.jobfile.load import load_job
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
        ("    labels: {born: 2020-01-01}", "edits[0].labels: the label 'born' is datetime.date(2020, 1, 1)"),
    ],
)
def test_gates_and_labels_that_cannot_be_are_refused(tmp_path: Path, addition: str, says: str) -> None:
    assert says in error_of(tmp_path, GOOD + addition + "\n")


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
    red, smile = Job.model_validate(yaml.safe_load(text)).spec().edits
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
