"""What is committed is published, whatever becomes of the run, and while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.local import LocalStore
from manifests.stores.open import open_store
from manifests.table import open_manifest
from tasks.plan.plan import Plan
from tasks.run.publishing import RegularPublishing, published_at_last
from tasks.run.run import Run
from tasks.spec.resources import Resources
from tests.commits import commit_all, small_plan
from tests.tars import write_shards


@pytest.fixture
def run(tmp_path: Path) -> Run:
    plan = small_plan(tmp_path)
    commit_all(plan, samples=3)
    return Run(plan, Resources())


def rows(plan: Plan) -> int:
    return open_manifest(open_store(plan.output)).rows


@pytest.mark.parametrize("error", [ValueError("broken"), ChildProcessError(), KeyboardInterrupt(), SystemExit(143)])
def test_a_run_that_ends_early_publishes_what_is_committed(run: Run, error: BaseException) -> None:
    with pytest.raises(type(error)), published_at_last(run):
        raise error
    assert rows(run.plan) == 12


def test_an_error_of_that_publish_does_not_hide_the_first(run: Run) -> None:
    run.done.add("a request that no store has")
    run.store.delete(next(run.store.list("rows/")).key)
    with pytest.raises(ChildProcessError), published_at_last(run):
        raise ChildProcessError
    assert rows(run.plan) == 0


def test_a_run_that_ends_well_is_published_by_its_last_wave(run: Run) -> None:
    with published_at_last(run):
        pass
    assert rows(run.plan) == 0


def test_a_long_wave_publishes_whenever_it_is_time(run: Run) -> None:
    now, late = 0.0, [each.id for each in next(run.plan.edit_requests())]
    run.done.difference_update(late)
    with RegularPublishing(run, minutes=15, clock=lambda: now) as publishing:
        publishing.remind()
        assert publishing._thread is None
        now = 15 * 60
        publishing.remind()
        first: Any = publishing._thread
        first.join()
        assert rows(run.plan) == 6
        run.done.update(late)
        publishing.remind()
        assert publishing._thread is first
        now *= 2
        publishing.remind()
    assert rows(run.plan) == 12


def test_only_one_publish_goes_on_at_a_time(run: Run) -> None:
    now, free = 0.0, threading.Event()
    with RegularPublishing(run, minutes=1, clock=lambda: now) as publishing:
        waiting = publishing._thread = threading.Thread(target=free.wait)
        waiting.start()
        now = 600
        publishing.remind()
        assert publishing._thread is waiting
        free.set()


def test_a_run_lists_the_commits_once(
    tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, listing = list[str](), LocalStore.list

    def counting(store: LocalStore, prefix: str) -> Any:
        listed.append(prefix)
        return listing(store, prefix)

    monkeypatch.setattr(LocalStore, "list", counting)
    write_shards(tmp_path, 2, 2)
    for _ in range(2):
        plan, _ = run_job(make_job())
    assert (listed.count("commits/"), rows(plan)) == (2, 8)
