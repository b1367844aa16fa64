"""Jobs whose edits need no fit of their own: one artifact for all prompts, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coral_core.editors import EDITORS, FitScope
from manifests.query import query
from manifests.stores.open import open_store
from tasks.plan.plan import make_plan
from tasks.spec.job import EditEntry
from tests.inverters import shorten_fits, shorten_search
from tests.tars import write_shards

SERVE_ALL = [name for name, row in EDITORS.items() if row.scope is not FitScope.PROMPT]


@pytest.fixture
def entry(make_job: Callable[..., Any]) -> Callable[..., EditEntry]:
    def make(name: str, target: str, method: str, **options: object) -> EditEntry:
        return replace(make_job().edits[0], id=name, target=target, method=method, options=options)

    return make


@pytest.fixture
def edits(entry: Callable[..., EditEntry]) -> tuple[EditEntry, ...]:
    """Two prompts of every method that serves any prompt."""
    prompts = {"red": "red hair", "smile": "a smile"}
    return tuple(entry(f"{method}-{slug}", target, method) for method in SERVE_ALL for slug, target in prompts.items())


def test_a_job_of_all_of_them_runs_end_to_end(
    tmp_path: Path,
    edits: tuple[EditEntry, ...],
    make_job: Callable[..., Any],
    run_job: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_shards(tmp_path, 1, 3)
    shorten_fits(monkeypatch)
    shorten_search(monkeypatch)
    plan, summaries = run_job(make_job(edits=edits, fit_captions=(str(tmp_path / "in-*.tar"),)))
    assert not any(summary.failures for summary in summaries)
    assert {fit.method for fit in plan.fits} == {name for name in SERVE_ALL if EDITORS[name].scope is FitScope.DOMAIN}
    assert len(plan.fits) == len({fit.method for fit in plan.fits}), "one fit serves both prompts"
    rows = query(open_store(plan.output), "SELECT edit, status, area, direction FROM manifest").to_pylist()
    assert len(rows) == 3 * len(edits)
    assert {row["status"] for row in rows} == {"ok"}
    regions = [name for name in SERVE_ALL if EDITORS[name].scope is FitScope.BASE]
    assert all(row["area"] == 1 for row in rows if not row["edit"].startswith(tuple(regions)))
    assert all(row["direction"] is not None for row in rows)


def test_another_length_is_another_edit_of_the_same_fit(
    tmp_path: Path, entry: Callable[..., EditEntry], make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 1)
    lengths = tuple(entry(f"red-{alpha}", "red hair", "styleclip-directions", alpha=alpha) for alpha in (2.0, 4.0))
    other = entry("red-other", "red hair", "styleclip-directions", relevance="channels")
    plan = make_plan(make_job(edits=(*lengths, other)))
    first, second, third = plan.edits
    assert first.fit_id == second.fit_id != third.fit_id
    assert first.edit_id != second.edit_id


def test_fit_settings_change_no_edit_that_is_not_fitted(
    tmp_path: Path, entry: Callable[..., EditEntry], make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 1)
    edits = tuple(entry(name, "red hair", name) for name in SERVE_ALL if EDITORS[name].scope is FitScope.IMAGE)
    one, other = (make_plan(make_job(edits=edits, fit_samples=samples)) for samples in (8, 9))
    assert [edit.edit_id for edit in one.edits] == [edit.edit_id for edit in other.edits]
    assert [fit.method for fit in one.fits] == ["transport"] and one.fits == other.fits  # what it starts at
