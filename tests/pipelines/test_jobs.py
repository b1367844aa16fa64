"""The job files that ship: each is complete, and each runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from coral_core.editors import EDITORS
from manifests.query import query
from manifests.stores.open import open_store
from pipelines.interactive.preview import shortened
from pipelines.jobfile.load import load_job
from tests.inverters import ABOVE, BASE, COMBINING, shorten_fits, shorten_search
from tests.tars import write_shards

JOBS = sorted((Path(__file__).parents[2] / "pipelines" / "jobs").glob("*.yaml"))
every_job = pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)


@every_job
def test_shipped_jobs_are_complete(path: Path) -> None:
    job = load_job(path)
    assert job.name == path.stem == yaml.safe_load(path.read_text())["name"]
    for edit in job.edits:
        EDITORS[edit.method].resolve(edit.options)


@every_job
def test_shipped_jobs_run(
    path: Path,
    tmp_path: Path,
    make_job: Callable[..., Any],
    run_job: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a small random bundle, a few images and steps a fit. It ships no artifact: the images have captions."""
    write_shards(tmp_path, 1, 3)
    shorten_fits(monkeypatch, BASE, ABOVE, COMBINING)
    shorten_search(monkeypatch)
    asked, small = load_job(path).spec(), make_job(fit_captions=(str(tmp_path / "in-*.tar"),))
    kept = ("inputs", "output", "bundle", "fit_samples", "fit_captions")
    here = {name: getattr(small, name) for name in kept}
    plan, summaries = run_job(shortened(replace(asked, **here), 2))
    assert not any(summary.failures for summary in summaries)
    rows = query(open_store(plan.output), "SELECT count(*) AS n, count(direction) AS scored FROM manifest").to_pylist()
    assert rows == [{"n": 3 * len(asked.edits), "scored": 3 * len(asked.edits)}]


def test_every_method_has_a_shipped_job() -> None:
    used = {edit.method for path in JOBS for edit in load_job(path).edits}
    assert used == set(EDITORS)
