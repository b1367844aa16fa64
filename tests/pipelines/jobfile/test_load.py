"""The errors for job files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.jobfile.load import load_job
from tests.pipelines.jobfile.written import GOOD, error_of


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
        (("target: red hair", ""), "edits[0].target: is missing"),
        (("target: red hair", "all_of: []"), "edits[0].target: is missing"),
        (("target: red hair", "target: ''\n    all_of: [a hat]"), "edits[0].target: String should have at least 1"),
        (("target: red hair", "all_of: a hat"), "edits[0].all_of: Input should be a valid list; given 'a hat'"),
        (("target: red hair", "all_of: [a hat, '']"), "edits[0].all_of: the wish '' says nothing"),
        (("target: red hair", "all_of: [a hat, A  hat]"), "edits[0].all_of: the wishes 'a hat' and 'A  hat' say the"),
        (("target: red hair", "all_of: ['1', '2', '3', '4', '5', '6', '7', '8', '9']"), "all_of: 9 wishes; give at"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert says in error_of(tmp_path, GOOD.replace(*change))


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
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


def test_a_file_that_is_no_job_is_an_error(tmp_path: Path) -> None:
    assert "is no mapping" in error_of(tmp_path, "- a\n- b\n")
    assert "is not YAML" in error_of(tmp_path, "a: [")
    (tmp_path / "job.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(ValueError, match="is not YAML: it is no UTF-8"):
        load_job(tmp_path / "job.yaml")
    with pytest.raises(ValueError, match="cannot read the job"):
        load_job(tmp_path / "nowhere.yaml")
