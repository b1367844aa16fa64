"""Output of the commands without a run: help, versions, errors, query results."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from manifests.stores.store import CommitConflict, CommitUnknown
from pipelines.cli import app
from pipelines.cli.tables import write_rows
from pipelines.cli.version import DISTRIBUTION, version
from tests.processes import Coral
from tests.terminal import Terminal


def test_help_answers_in_under_half_a_second(coral: Coral) -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        printed = coral.run("--help")
        seconds.append(time.perf_counter() - started)
    assert all(command in printed for command in ("demo-data", "plan", "run", "status", "query", "zoo"))
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "nowhere.yaml"), "coral: cannot read the job nowhere.yaml"),
        (("status", "{tmp}"), "coral: no run was ever planned there"),
        (("query", "http://host/out", "SELECT 1"), "coral: cannot open"),
        (("query", "{tmp}/typo", "SELECT count(*) FROM manifest"), "coral: no run was ever planned there"),
        (("gates", "{tmp}/typo", "--json"), "coral: no run was ever planned there"),
        (("report", "{tmp}/typo"), "coral: no run was ever planned there"),
        (("export", "{tmp}/typo", "{tmp}/to"), "coral: no run was ever planned there"),
        (("gc", "{tmp}/typo", "--delete"), "coral: no run was ever planned there"),
        (("demo-data", "{tmp}/data", "--split", "trian"), "coral: no split 'trian'; choose one of train"),
        (("zoo", "train", "everything"), "coral: no recipe 'everything'; the recipes are"),
        (("zoo", "curve", "everything"), "coral: no recipe 'everything'; the recipes are"),
        (("zoo", "curve", "clip", "--folder", "{tmp}"), "coral: no training of clip has ended in"),
    ],
)
def test_an_error_that_the_user_can_correct_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["coral", *(each.format(tmp=tmp_path) for each in arguments)])
    monkeypatch.delenv("CORAL_TRACEBACK", raising=False)
    with pytest.raises(SystemExit, match="1"):
        app.main()
    printed = "".join(capsys.readouterr())
    assert printed.startswith(says) and len(printed.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_command_prints_that_line_alone(coral: Coral, tmp_path: Path) -> None:
    (printed,) = coral.run("run", tmp_path / "nowhere.yaml", code=1).splitlines()
    assert printed.startswith(f"coral: cannot read the job {tmp_path}")


def test_the_version_is_known_in_a_package_and_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(app.app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"coral {metadata.version(DISTRIBUTION)}\n")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    declared = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert (DISTRIBUTION, version()) == (declared["name"], declared["version"])


@pytest.mark.parametrize("outcome", [CommitConflict, CommitUnknown])
def test_a_lost_race_is_one_line_too(
    outcome: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose() -> None:
        raise outcome("others keep winning; publish again")

    monkeypatch.setattr(app, "app", lose)
    monkeypatch.delenv("CORAL_TRACEBACK", raising=False)
    with pytest.raises(SystemExit, match="1"):
        app.main()
    assert capsys.readouterr().err == "coral: others keep winning; publish again\n"


def test_numbers_are_rounded_only_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    third, tiny, large = 1 / 3, 1.2345678901234567e-300, 123456.789
    rows = [{"key": 'a,\n"b"', "score": third, "areas": [tiny, large]}, {"key": None, "score": large, "areas": []}]
    columns = list(rows[0])
    write_rows(columns, rows, "json")
    assert json.loads(capsys.readouterr().out) == rows
    write_rows(columns, rows, "csv")
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert (first["key"], float(first["score"]), json.loads(first["areas"])) == ('a,\n"b"', third, [tiny, large])
    assert (second["key"], float(second["score"])) == ("", large)
    write_rows(columns, rows, "table")
    assert "0.3333 " in capsys.readouterr().out


def test_a_query_result_wider_than_the_terminal_is_shown_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [f"column_{number}" for number in range(30)]
    rows = [{name: f"{name} of {row} " + "x" * 100 for name in columns} for row in range(2)]
    terminal = Terminal.of(monkeypatch, width=60)
    write_rows(columns, rows, "table")
    assert max(map(len, terminal.lines)) <= 60 and "row 2" in terminal.lines
    printed = "".join("".join(terminal.lines).split())
    assert all("".join(row["column_29"].split()) in printed for row in rows)
    write_rows(["n"], [{"n": 1}], "table")
    assert terminal.lines[-2:] == ["n", "1"]


def test_demo_data_is_the_same_every_time(coral: Coral, tmp_path: Path) -> None:
    from tasks.inputs.archive import read_samples

    for name in ("one", "two"):
        coral.run("demo-data", tmp_path / name, "--shards", 2, "--samples", 3, "--size", 32)
    paths = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in paths] == ["portraits-000000.tar", "portraits-000001.tar"]
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in sorted((tmp_path / "two").iterdir())]
    samples = [sample for path in paths for sample in read_samples(path)]
    assert len({sample.key for sample in samples}) == 6 and {sample.status for sample in samples} == {"ok"}
    assert all('"caption"' in sample.metadata for sample in samples)
