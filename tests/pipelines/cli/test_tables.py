"""Each word of the tables has one meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.cli.console import unwrapped
from pipelines.cli.plan_tables import planned_edits
from pipelines.cli.tables import edits_table, rows_line, status_tables, wave_line
from tasks.plan.status import EditStatus, output_status
from tasks.run.waves import Failure, WaveSummary
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import small_plan
from tests.painted import publish_painted
from tests.tars import write_shards


def test_rows_with_an_image_are_edited_and_those_that_pass_the_gates_ok() -> None:
    red = EditStatus("red-1", "red hair", {"ok": 7, "rejected": 3, "failed": 2}, {"max_area": 1, "min_direction": 2})
    smile = EditStatus("smile-1", "a smile", {"ok": 12})
    _, heading, *rows = unwrapped(edits_table([red, smile], "rows of this job")).splitlines()
    assert "rows edited ok rejected by min_direction by max_area failed" in " ".join(heading.split())
    assert [row.split()[1:8] for row in rows] == [["12", "10", "7", "3", "2", "1", "2"], ["12", "12", "12", *"0000"]]
    assert unwrapped(rows_line([red, smile], 100, 5)) == (
        "manifest: 100 rows of all jobs, 24 of them of this job; version 5"
    )


def test_rows_of_another_job_are_counted_separately(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 3)
    publish_painted(make_job(name="yesterday"))
    job = make_job(name="tonight")
    _, store = publish_painted(replace(job, edits=(replace(job.edits[0], strength=2.0),)))
    status = output_status(store)
    assert (status.job, status.rows, status.job_rows, sum(edit.rows for edit in status.edits)) == ("tonight", 9, 3, 3)
    printed = unwrapped(*status_tables(status))
    assert "job tonight, run" in printed and "manifest: 9 rows of all jobs, 3 of them of this job" in printed


def test_a_wave_names_what_it_counts() -> None:
    found = WaveSummary("edit", done=3, reused=1, samples=6, seconds=2.0, failures=[Failure("edit in.tar", "gone")])
    assert wave_line(found) == "edit    3 edits of shards done, 1 reused, 1 not done, 6 images, 2.0 s, 3.0 img/s"
    assert "2 editors done" in wave_line(WaveSummary("fit", done=2))


def test_a_plan_lists_its_edits_with_method_gates_and_prompt(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, rules={"red": PublishRules(gates=Gates(min_direction=0.1, max_area=0.5))})
    _, _, red, smile = unwrapped(planned_edits(replace(plan, job={"name": "nightly"}))).splitlines()
    first, second = plan.edits
    for line, edit, gates in ((red, first, "min_direction 0.1, max_area 0.5"), (smile, second, "none")):
        assert " ".join(line.split()) == f"{edit.edit_id} {edit.method} {edit.strength:g} {gates} {edit.target}"
