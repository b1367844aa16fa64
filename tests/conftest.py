"""Shared by all tests: stores, a random bundle, jobs, and waves without Ray."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from manifests.stores.open import open_store
from manifests.stores.store import Store

if TYPE_CHECKING:
    from tests.emulator import Emulator

STORES: Mapping[str, Callable[[pytest.FixtureRequest, Path], Store]] = {
    "local": lambda request, folder: open_store(folder / "store"),
    "s3": lambda request, folder: request.getfixturevalue("emulator").store(),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store; a test that takes it runs on every kind. It can be pickled, for child processes to open."""
    return STORES[request.param](request, tmp_path)


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """An emulator of S3, and the credentials it takes, in the environment of this process and its children."""
    from tests.emulator import ENVIRONMENT, Emulator

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        server = Emulator()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of small random networks at 64 px."""
    from coral_core.zoo.random_bundle import write_random_bundle

    return write_random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def models(bundle: Path) -> Any:
    """Its networks."""
    from coral_core.bundle.models import load_models

    return load_models(str(bundle))


@pytest.fixture(scope="session")
def job_in(bundle: Path) -> Callable[..., Any]:
    """A JobSpec with two quick edits over folder/in-*.tar into folder/out; keywords replace its fields."""
    from tasks.spec.geometry import Geometry
    from tasks.spec.job import EditEntry, JobSpec

    def entry(name: str, target: str, **changes: Any) -> EditEntry:
        fields: dict[str, Any] = {
            "id": name,
            "target": target,
            "source": "a person",
            "method": "coral-direction-attention",
            "options": {"start": "regression", "embedding": 0, "fit": {"steps": 2, "batch_size": 4}},
            "strength": 1.0,
            "onto": "source",
            "image_format": "png",
        }
        return EditEntry(**{**fields, **changes})

    def make(folder: Path, **changes: Any) -> JobSpec:
        fields: dict[str, Any] = {
            "name": "test",
            "inputs": (str(folder / "in-*.tar"),),
            "output": str(folder / "out"),
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
def make_job(job_in: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """The same in the folder of the test."""
    return partial(job_in, tmp_path)


@pytest.fixture(scope="session")
def run_job() -> Callable[..., Any]:
    """Run a JobSpec with one worker in this process: the waves without Ray and Prefect. Returns (plan, summaries).

    The works whose names are in `deadly` count as having killed their workers.
    """
    from manifests.stores.open import open_store
    from tasks.cluster.actor import Worker
    from tasks.cluster.backlog import Outcome
    from tasks.cluster.pooled_worker import Work
    from tasks.plan.plan import make_plan, record_plan
    from tasks.plan.retry import Retryable, record_retries, with_retries
    from tasks.publish.publish import publish_edits
    from tasks.run import waves
    from tasks.run.run import Run
    from tasks.spec.resources import Resources

    class InlineRun(Run):
        deadly: Collection[str] = ()

        def outcomes(self, wave: str, works: Sequence[Work], samples_of: Callable[[Any], int]) -> Iterator[Outcome]:
            worker = Worker(self.worker_config())
            for work in works:
                if work.name in self.deadly:
                    yield Outcome(work, error="given up after 3 attempts: it died", attempts=3, deadly=True)
                    continue
                try:
                    yield Outcome(work, getattr(worker, work.method)(*work.arguments))
                except ValueError as error:
                    yield Outcome(work, error=f"ValueError: {error}")

    def run(
        job: Any, limit_samples: int | None = None, deadly: Collection[str] = (), retry: Collection[Retryable] = ()
    ) -> Any:
        plan = make_plan(job, limit_samples)
        plan = with_retries(open_store(plan.output), plan, retry)
        with InlineRun(plan, Resources()) as under_way:
            under_way.deadly = deadly
            record_plan(under_way.store, plan)
            record_retries(under_way.store, plan)
            summaries = [waves.invert(under_way), waves.fit(under_way), waves.edit(under_way)]
            publish_edits(under_way.store, plan, frozenset(under_way.done))
        return plan, summaries

    return run
