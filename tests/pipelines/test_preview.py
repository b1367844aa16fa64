from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.job import Job
from pipelines.preview import PreviewOptions, preview
from tasks.plan import make_plan
from tests.tars import members_of, write_tar

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def job(tmp_path: Path, bundle: Path) -> Job:
    members = [member for index in range(5) for member in members_of(index)]
    write_tar(tmp_path / "in-0.tar", [*members, (f"bad{HOSTILE.replace('/', '')}.png", b"no image")])
    return Job.model_validate(
        {
            "name": HOSTILE,
            "input": str(tmp_path / "in-*.tar"),
            "output": str(tmp_path / "out"),
            "bundle": str(bundle),
            "batch_size": 4,
            "gates": {"max_outside": 0.0},
            "edits": [
                {"id": "one", "target": HOSTILE, "strength": 2, "options": {"fit": {"steps": 3, "batch_size": 2}}},
                {"id": "two", "target": "a smile", "method": "styleclip-mapper", "options": {"fit": {"steps": 3}}},
            ],
            "fit_source": {"samples": 8},
        }
    )


def files(folder: Path) -> set[str]:
    return {path.parts[-2] for path in folder.rglob("*") if path.is_file() and ".staging" not in path.parts}


def test_full_fits_are_kept_for_the_run_and_nothing_else(job: Job, tmp_path: Path, run_job: Callable[..., Any]) -> None:
    said: list[str] = []
    page = preview(job, PreviewOptions(samples=4), said.append)
    assert files(tmp_path / "out") == {"editors"}
    assert said[0] == "4 samples" and any("3/3" in line for line in said)
    assert page.count("<tr>\n<td>") == 2 * 4
    assert all(f">{strength}" in page for strength in ("1", "2, the job's", "3", "4"))
    _, (_, fitted, _) = run_job(job.spec())
    assert (fitted.done, fitted.reused) == (0, 2)


def test_short_fits_leave_no_trace(job: Job, tmp_path: Path) -> None:
    page = preview(job, PreviewOptions(samples=9, steps=1, seed=3, factors=(1.0,)), lambda line: None)
    assert not (tmp_path / "out").exists()
    assert "1 steps only" in page and "Random samples" in page


def test_the_ids_are_those_of_the_whole_job(job: Job, tmp_path: Path) -> None:
    write_tar(tmp_path / "in-1.tar", members_of(7))
    preview(job, PreviewOptions(samples=1, factors=(1.0,)), lambda line: None)
    plan = make_plan(job.spec())
    stored = {path.stem for path in (tmp_path / "out" / "editors").glob("*.json")}
    assert stored == {fit.id for fit in plan.fits}


def test_hostile_text_and_broken_samples_are_shown_as_text(job: Job) -> None:
    page = preview(job, PreviewOptions(samples=6, factors=(1.0,)), lambda line: None)
    assert "<img src=x" not in page and HOSTILE not in page
    assert "<strong>5</strong> of 6 samples" in page and "undecodable" in page
    assert "pass the gates" in page and "max_outside" in page
