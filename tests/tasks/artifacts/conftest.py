"""A small plan with its store, and a bundle that an artifact is trained into."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coral_core.fit import FitReport
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.artifacts.train_bundled import train_bundled
from tasks.plan.plan import Plan, make_plan
from tasks.spec.job import JobSpec
from tests.inverters import BASE, COMBINING, Ship, shorten_fits
from tests.tars import write_shards


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    write_shards(tmp_path, 1, 1)
    return make_plan(make_job())


@pytest.fixture
def store(plan: Plan) -> Store:
    return open_store(plan.output)


@pytest.fixture
def folder(tmp_path: Path, bundle: Path) -> Path:
    """A bundle of its own."""
    return shutil.copytree(bundle, tmp_path / "shipping")


@pytest.fixture
def train(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Ship BASE, after a training of six steps unless the changes say otherwise, beside what it builds upon."""
    shorten_fits(monkeypatch)
    train_bundled(str(folder), COMBINING, [], {}, "cpu", False, lambda step, steps, losses: None)
    write_shards(tmp_path, 2, 3)

    def call(
        changes: Mapping[str, object] | None = None, warm_start: bool = True, heard: list[int] | None = None
    ) -> tuple[Path, FitReport]:
        def progress(step: int, steps: int, losses: Mapping[str, float]) -> None:
            (heard if heard is not None else []).append(step)

        return train_bundled(
            str(folder), BASE, [str(tmp_path / "in-*.tar")], changes or {}, "cpu", warm_start, progress
        )

    return call


@pytest.fixture
def job(folder: Path, make_job: Callable[..., Any]) -> JobSpec:
    """A job with one edit by BASE, without captions."""
    small = make_job(bundle=str(folder))
    return replace(small, edits=(replace(small.edits[0], method=BASE, options={}),))
