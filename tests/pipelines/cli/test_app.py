"""What the commands say when there is nothing to run, or something to put right."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest

from manifests.stores.store import CommitConflict, CommitUnknown
from pipelines.cli import app
from pipelines.cli.tables import write_rows
from tests.processes import Coral


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
        (("run", "nowhere.yaml"), "coral: cannot read the job nowhere.yaml"),
        (("status", "{tmp}"), "coral: no run was ever planned there"),
        (("query", "http://host/out", "SELECT 1"), "coral: cannot open"),
        (("query", "{tmp}", "DROP TABLE manifest"), "coral: a query is one SELECT"),
        (("demo-data", "{tmp}/data", "--split", "trian"), "coral: no split 'trian'; choose one of train"),
        (("zoo", "train", "everything"), "coral: no recipe 'everything'; the recipes are"),
        (("zoo", "curve", "everything"), "coral: no recipe 'everything'; the recipes are"),
        (("zoo", "curve", "clip", "--folder", "{tmp}"), "coral: no training of clip has ended in"),
    ],
)
def test_what_the_user_has_to_put_right_is_one_line(
    coral: Coral, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    printed = coral.run(*(each.format(tmp=tmp_path) for each in arguments), code=1)
    assert printed.startswith(says) and len(printed.splitlines()) == 1


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


def test_only_the_table_rounds_numbers(capsys: pytest.CaptureFixture[str]) -> None:
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
