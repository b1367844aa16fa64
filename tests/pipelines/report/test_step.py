"""The last step of a run, and the command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from manifests.store import Store, open_store
from pipelines.cli import app
from pipelines.report.step import ReportPlace, write_report
from tasks.plan import Plan
from tasks.waves import Failure
from tests.pipelines.report.publishedrows import Published


@dataclass
class Ended:
    """What of a run is left when its waves are over."""

    store: Store
    plan: Plan


def test_the_page_of_a_run_lies_beside_its_data(published: Published) -> None:
    place = write_report.fn(Ended(published.store, published.plan), [Failure("fit <x>", "it broke")])
    assert place.address == f"{published.plan.output}/reports/{published.plan.run_id}/index.html"
    assert "fit &lt;x&gt;" in Path(place.address).read_text()


def test_a_report_that_fails_says_so_and_fails_nothing_else(published: Published, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "LATEST.json").write_text("damaged")
    place = write_report.fn(Ended(open_store(tmp_path), published.plan), [])
    assert place == ReportPlace(problem=place.problem) and "not a snapshot" in place.problem


def test_the_command_writes_into_the_output_or_to_a_file(published: Published, tmp_path: Path) -> None:
    run: Any = CliRunner().invoke
    said = run(app, ["report", published.plan.output, "--run", published.plan.run_id])
    assert Path(said.output.strip()).read_text().startswith("<!doctype html>")
    said = run(app, ["report", published.plan.output, "--dest", str(tmp_path / "page.html")])
    assert said.output.strip() == str(tmp_path / "page.html")
    assert isinstance(run(app, ["report", str(tmp_path)]).exception, ValueError)
    assert not list(Path(published.plan.output).glob("**/*.partial"))


def test_other_runs_have_pages_of_their_own(published: Published) -> None:
    other = replace(published.plan, run_id="20990101T000000-other")
    one, two = (write_report.fn(Ended(published.store, plan), []).address for plan in (published.plan, other))
    assert one != two and Path(one).is_file() and Path(two).is_file()
