from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.interactive import preview as previews
from pipelines.interactive.preview import PreviewOptions, preview
from pipelines.jobfile.job import Job
from tasks.plan.plan import make_plan
from tests.tars import mask_bytes, members_of, write_tar

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def job(tmp_path: Path, bundle: Path) -> Job:
    mapped = {"start": "regression", "embedding": 0, "fit": {"steps": 3}}
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
                {
                    "id": "one",
                    "target": HOSTILE,
                    "strength": 2,
                    "method": "coral-mapper-attention",
                    "options": {"start": "regression", "embedding": 0, "fit": {"steps": 3, "batch_size": 2}},
                },
                {"id": "two", "target": "a smile", "method": "styleclip-mapper", "options": mapped},
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
    assert page.count('<tr class="sample"') == 2 * 4 and page.count('alt="difference"') == 2 * 4
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


def test_every_edit_is_summed_up_by_the_medians_of_its_scores(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(previews, "render", lambda template, **content: found.update(content) or template)
    preview(job, PreviewOptions(samples=3), lambda line: None)
    for edit in found["edits"]:
        assert [each.value / edit.spec.strength for each in edit.strengths] == [0.5, 1, 1.5, 2]
        assert edit.strengths[edit.shown].own
        for index, strength in enumerate(edit.strengths):
            values = sorted(sample.cells[index].scores["direction"] for sample in edit.samples)
            assert strength.medians["direction"] == values[1]
        (outside,) = [curve.chart for curve in edit.curves if curve.score.column == "outside"]
        assert len(outside.points) == 3 * 4 and [gate.title for gate in outside.gates] == ["max_outside 0"]


def test_the_command_writes_a_page_and_says_where(job: Job, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job.model_dump(mode="json")))
    page = tmp_path / "pages" / "look.html"
    said = CliRunner().invoke(
        app, ["preview", str(tmp_path / "job.yaml"), "-n", "2", "--steps", "1", "--dest", str(page)]
    )
    assert said.exit_code == 0 and said.stdout.strip() == str(page)
    assert "2 samples" in said.stderr and "one: editing at strengths 1, 2, 3, 4" in said.stderr
    assert page.read_text().count('<tr class="sample"') == 2 * 2 and not (tmp_path / "out").exists()


def test_samples_without_the_mask_are_listed_for_the_edit_that_asks_for_it(job: Job, tmp_path: Path) -> None:
    content = job.model_dump(mode="json")
    content["edits"][1]["regions"] = {"mask": "mask.png", "layers": [4, 3], "threshold": 0.25}
    masks = [(f"{number:04d}.mask.png", mask_bytes((0, 0, 32, 64))) for number in range(3)]
    write_tar(tmp_path / "in-0.tar", [member for number in range(5) for member in members_of(number)] + masks)
    page = preview(Job.model_validate(content), PreviewOptions(samples=5, factors=(1.0,)), lambda line: None)
    assert page.count('<tr class="sample"') == 5 + 3
    assert page.count("no mask mask.png among its members: png, json, txt (2 samples)") == 1
    assert page.count("· masks cut below 0.25 · layers 3, 4 · within mask.png") == 1
