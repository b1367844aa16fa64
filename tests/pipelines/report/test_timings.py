from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from pipelines.report import timings as timings_module
from pipelines.report.timings import read_timings
from tasks.plan.plan import Plan


def test_fits_are_among_the_work_each_under_the_edits_that_share_it(published: Any) -> None:
    plan: Plan = published.plan
    names = [phase.name for phase in read_timings(published.store, plan).phases]
    assert names == ["invert", "fit hostile", "fit tame", "edit hostile", "edit tame", "write hostile", "write tame"]
    twin = replace(plan.edits[0], slug="strong", strength=2.0)
    timings = read_timings(published.store, replace(plan, edits=(*plan.edits, twin)))
    (fit,) = [phase for phase in timings.phases if phase.name == "fit hostile, strong"]
    assert (fit.count, fit.unit) == (2, "steps")
    assert fit.seconds and fit.rate == pytest.approx(2 / fit.seconds)


def test_the_time_of_an_adopted_fit_is_not_known(published: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fit = published.plan.fits[0]
    key = f"editors/{fit.id}"
    fields = json.loads(published.store.read(f"{key}.json"))
    store.put_new(f"{key}.json", json.dumps({**fields, "seconds": None}).encode())
    (phase,) = read_timings(store, published.plan).phases
    assert phase.seconds is None and phase.rate is None


def test_a_huge_plan_is_measured_on_some_of_its_commits(published: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = read_timings(published.store, published.plan)
    assert (everything.commits, everything.read) == (3, 3)
    monkeypatch.setattr(timings_module, "COMMITS", 2)
    some = read_timings(published.store, published.plan)
    assert (some.commits, some.read) == (3, 2)
    rates = {phase.name: phase.rate for phase in everything.phases}
    assert {phase.name: phase.rate for phase in some.phases}.items() <= rates.items()
