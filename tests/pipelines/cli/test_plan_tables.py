"""Estimate, time limit and cost of a job, by the real command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.s3_options import S3Options
from pipelines.cli.plan_tables import hours_text, size_text
from tests.emulator import ENVIRONMENT, Emulator
from tests.processes import Coral
from tests.tars import write_shards

SHARDS, SAMPLES = 2, 4


def write_job(folder: Path, bundle: Path, **changes: Any) -> Path:
    job = {
        "name": "dear",
        "input": str(folder / "in-*.tar"),
        "output": str(folder / "out"),
        "bundle": str(bundle),
        "batch_size": 4,
        "fit_source": {"samples": 8},
        "edits": [
            {
                "id": "red",
                "target": "red hair",
                "method": "coral-mapper-attention",
                "options": {"start": "regression", "embedding": 0, "fit": {"steps": 3, "batch_size": 2}},
            }
        ],
        "resources": {"actors": 1, "price_per_actor_hour": 36000, "currency": "EUR"},
        **changes,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


def test_a_job_is_measured_stopped_and_accounted_for(tmp_path: Path, bundle: Path, coral: Coral) -> None:
    write_shards(tmp_path, SHARDS, SAMPLES)
    job = write_job(tmp_path, bundle)
    printed = coral.run("plan", job, "--measure", "--pilot-samples", "3")
    assert "by a pilot of 4 samples, with 1 actor" in printed and "for 8 samples, counted" in printed
    assert re.search(r"in all +\d+:\d\d:\d\d", printed)
    money = re.search(r"([\d.]+) EUR", printed)
    assert money is not None and float(money[1]) > 0
    assert not (tmp_path / "out").exists()

    write_job(tmp_path, bundle, max_hours=1e-6)
    printed = coral.run("run", job, code=2)
    assert "max_hours is used up, and 5 pieces of work are left; the same command goes on" in " ".join(printed.split())

    write_job(tmp_path, bundle)
    printed = coral.run("run", job)
    assert re.search(r"[\d.e-]+ actor hours, [\d.]+ EUR", printed)
    assert query(open_store(tmp_path / "out"), "SELECT count(*) AS n FROM manifest").to_pylist() == [{"n": 8}]

    rows = [line.split() for line in coral.run("plan", job, "--measure").splitlines()]
    assert ["samples", "8"] in rows and ["edits", "of", "shards", "2", "2", "0"] in rows
    assert "pilot" not in str(rows)


def test_a_pilot_counts_what_it_fetches_from_a_bucket(tmp_path: Path, bundle: Path, emulator: Emulator) -> None:
    bucket = f"s3://{emulator.bucket()}"
    store = open_store(bucket, S3Options(endpoint=emulator.endpoint))
    for path in write_shards(tmp_path, 3, 40):
        store.put_file(f"in/{path.name}", path)
    places = {"input": f"{bucket}/in/in-*.tar", "output": f"{bucket}/out", "s3": {"endpoint": emulator.endpoint}}
    job = write_job(tmp_path, bundle, **places)
    coral = Coral(tmp_path / "prefect")
    coral.environment |= ENVIRONMENT
    before, measured, after = coral.run("plan", job, "--measure").partition("by a pilot of 36 samples")
    assert measured and "estimated: 100 kB each assumed" in before
    found = re.search(r"for (\d+) samples, estimated: 1 of 3 shards counted", after)
    assert found is not None and abs(int(found[1]) - 3 * 40) <= 3
    assert not any(store.list("out/"))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (2.14e6, "2.14 MB"), (1.5e12, "1.5 TB"), (3e18, "3e+03 PB")]
)
def test_sizes_have_three_digits_and_a_unit(size: float, text: str) -> None:
    assert size_text(size) == text


def test_durations_carry_minutes_into_hours() -> None:
    assert [hours_text(hours) for hours in (0, 0.9999999, 1.5, 100)] == ["0:00:00", "1:00:00", "1:30:00", "100:00:00"]
