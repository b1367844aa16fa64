"""Shared by the tests of tasks/ and pipelines/: a random bundle, jobs, and waves without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of small random networks at 64 px."""
    from coral_core.zoo.random_bundle import write_random_bundle

    return write_random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def models(bundle: Path) -> Any:
    """Its networks."""
    from coral_core.models import load_models

    return load_models(str(bundle))


@pytest.fixture
def make_job(tmp_path: Path, bundle: Path) -> Callable[..., Any]:
    """A JobSpec with two quick edits over tmp_path/in-*.tar; keywords replace its fields."""
    from tasks.geometry import Geometry
    from tasks.plan import EditEntry, JobSpec

    def entry(name: str, target: str, **changes: Any) -> EditEntry:
        fields: dict[str, Any] = {
            "id": name,
            "target": target,
            "source": "a person",
            "method": "coral-direction-attention",
            "options": {"fit": {"steps": 2, "batch_size": 4}},
            "strength": 1.0,
            "onto": "source",
            "image_format": "png",
        }
        return EditEntry(**{**fields, **changes})

    def make(**changes: Any) -> JobSpec:
        fields: dict[str, Any] = {
            "name": "test",
            "inputs": (str(tmp_path / "in-*.tar"),),
            "output": str(tmp_path / "out"),
            "bundle": str(bundle),
            "seed": 0,
            "batch_size": 4,
            "geometry": Geometry(),
            "edits": (entry("red", "red hair"), entry("smile", "a smile", method="styleclip-mapper")),
            "fit_samples": 8,
            "max_failure_rate": 1.0,
        }
        return JobSpec(**{**fields, **changes})

    return make


@pytest.fixture
def run_job() -> Callable[..., Any]:
    """Run a JobSpec with one worker in this process: the waves without Ray and Prefect. Returns (plan, summaries)."""
    from manifests.commit import committed
    from tasks import waves
    from tasks.actors import Resources, Worker
    from tasks.plan import make_plan, record_plan
    from tasks.pool import Outcome, Work
    from tasks.publish import publish_edits
    from tasks.run import Run

    class InlineRun(Run):
        def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
            worker = Worker(self.worker_config())
            for work in works:
                try:
                    yield Outcome(work, getattr(worker, work.method)(*work.arguments))
                except ValueError as error:
                    yield Outcome(work, error=f"ValueError: {error}")

    def run(job: Any, limit_samples: int | None = None) -> Any:
        plan = make_plan(job, limit_samples)
        with InlineRun(plan, Resources()) as under_way:
            record_plan(under_way.store, plan)
            summaries = [waves.invert(under_way), waves.fit(under_way), waves.edit(under_way)]
            publish_edits(under_way.store, plan, frozenset(committed(under_way.store)))
        return plan, summaries

    return run
