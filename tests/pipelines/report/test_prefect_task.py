"""The last step of a run, and the command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from manifests.commit import committed
from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.cli.app import app
from pipelines.report.prefect_task import ReportAddress, write_report
from pipelines.report.run_record import RunRecord, read_record
from tasks.plan.plan import Plan, record_plan
from tasks.run.waves import Failure, WaveSummary
from tests.pipelines.report.publishedrows import Published
from tests.published import publish_rows

BROKEN = RunRecord(
    waves=(WaveSummary("fit", seconds=3.0, failures=[Failure("fit <x>", "it broke")]),),
    settings={"deadlines": {"stall_minutes": 7.0}, "max_hours": None},
)


@dataclass
class Ended:
    """The part of a run that the report reads."""

    store: Store
    plan: Plan

    @property
    def done(self) -> set[str]:
        return committed(self.store)


def test_the_page_of_a_run_lies_beside_its_data(published: Published) -> None:
    plan = replace(published.plan, run_id="20990101T000000-broken")
    written = write_report.fn(Ended(published.store, plan), BROKEN)
    assert written.address == f"{plan.output}/reports/{plan.run_id}/index.html"
    assert "fit &lt;x&gt;" in Path(written.address).read_text()


def test_a_report_that_fails_says_so_and_fails_nothing_else(published: Published, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "LATEST.json").write_text("damaged")
    written = write_report.fn(Ended(open_store(tmp_path), published.plan), BROKEN)
    assert written == ReportAddress(problem=written.problem) and "is damaged" in written.problem
    assert read_record(open_store(tmp_path), published.plan.run_id) == BROKEN  # for a later report


def test_an_unexpected_error_does_not_fail_the_run_either(published: Published, tmp_path: Path) -> None:
    publish_rows(
        open_store(tmp_path),
        tmp_path,
        [{"key": "k", "request_id": next(published.plan.edit_requests())[0].id, "rules": "{}"}],
    )
    written = write_report.fn(Ended(open_store(tmp_path), published.plan), BROKEN)
    assert written.problem == "KeyError: 'gates'"


def test_the_command_writes_into_the_output_or_to_a_file(published: Published, tmp_path: Path) -> None:
    run: Any = CliRunner().invoke
    said = run(app, ["report", published.plan.output, "--run", published.plan.run_id])
    assert Path(said.output.strip()).read_text().startswith("<!doctype html>")
    said = run(app, ["report", published.plan.output, "--dest", str(tmp_path / "page.html")])
    assert said.output.strip() == str(tmp_path / "page.html")
    assert isinstance(run(app, ["report", str(tmp_path)]).exception, ValueError)
    assert not list(Path(published.plan.output).glob("**/*.partial"))


def test_the_command_shows_the_record_of_the_run_again(published: Published, tmp_path: Path) -> None:
    plan = replace(published.plan, run_id="20200101T000000-again")
    record_plan(published.store, plan)
    first = Path(write_report.fn(Ended(published.store, plan), BROKEN).address).read_text()
    said = CliRunner().invoke(
        app, ["report", plan.output, "--run", plan.run_id, "--dest", str(tmp_path / "again.html")]
    )
    assert said.exit_code == 0 and (tmp_path / "again.html").read_text() == first
    assert "fit &lt;x&gt;" in first and "stall_minutes: 7.0" in first


def test_other_runs_have_pages_of_their_own(published: Published) -> None:
    other = replace(published.plan, run_id="20990101T000000-other")
    one, two = (write_report.fn(Ended(published.store, plan), BROKEN).address for plan in (published.plan, other))
    assert one != two and Path(one).is_file() and Path(two).is_file()
