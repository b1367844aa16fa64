"""One job on one node and on two, with workers that are killed, and with a sample that kills them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.cluster_utils import Cluster

from manifests.commit import committed
from pipelines.jobfile.load import load_job
from tasks.cluster.connection import disconnect
from tasks.plan.plan import make_plan
from tasks.publish.publish import publish_edits
from tasks.run import waves
from tasks.run.run import Run
from tasks.spec.job import JobSpec
from tasks.spec.resources import Resources
from tests.chaos import Killer, rows_of
from tests.processes import Coral
from tests.tars import image_bytes, members_of, write_shards, write_tar

POISON = b"this picture kills the worker that opens it"
DEADLY_DECODER = f"""
import os, signal, sys

def deadly(file, *arguments, **options):
    if {POISON!r} in file.getvalue():
        os.kill(os.getpid(), signal.SIGKILL)
    return harmless(file, *arguments, **options)

if "default_worker" in " ".join(sys.orig_argv):
    from PIL import Image

    harmless, Image.open = Image.open, deadly
"""
"""Every Python process imports a module of the name sitecustomize first."""
SICK_NODE = """
import os, pathlib, signal, sys, time

def deaths():
    return list(pathlib.Path(os.environ["DEATHS"]).iterdir())

def sick(file, *arguments, **options):
    time.sleep(0.2)
    (pathlib.Path(os.environ["DEATHS"]) / str(os.getpid())).touch()
    os.kill(os.getpid(), signal.SIGKILL)

def patient(file, *arguments, **options):
    while len(deaths()) < 3:
        time.sleep(0.1)
    return harmless(file, *arguments, **options)

if "default_worker" in " ".join(sys.orig_argv):
    from PIL import Image

    harmless, Image.open = Image.open, sick if os.environ.get("SICK") else patient
"""
"""On a node with SICK every image kills the process that opens it, after a moment; others wait for three deaths."""


@contextmanager
def started_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that RAY_ADDRESS names, with one CPU; add_node(num_cpus=1) gives it another node."""
    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    disconnect()
    cluster.shutdown()


@pytest.fixture
def one_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with started_cluster(monkeypatch) as cluster:
        yield cluster


@pytest.fixture
def make_job_file(tmp_path: Path, bundle: Path) -> Callable[[str], Path]:
    """A job over tmp_path/in-*.tar that writes into a folder of the given name."""

    def make(name: str) -> Path:
        job = {
            "name": name,
            "input": str(tmp_path / "in-*.tar"),
            "output": str(tmp_path / name),
            "bundle": str(bundle),
            "batch_size": 2,
            "fit_source": {"samples": 8},
            "edits": [
                {
                    "id": "red",
                    "target": "red hair",
                    "method": "coral-mapper-attention",
                    "options": {"start": "regression", "embedding": 0, "fit": {"steps": 3, "batch_size": 2}},
                }
            ],
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(job))
        return path

    return make


@pytest.fixture
def poisoned_coral(tmp_path: Path) -> Iterator[Coral]:
    """Commands whose workers die of POISON."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY_DECODER)
    coral = Coral(tmp_path / "prefect")
    coral.environment["PYTHONPATH"] = str(tmp_path / "site")
    yield coral
    coral.close()


def run_on_the_cluster(job: JobSpec) -> set[str]:
    """Run a job where RAY_ADDRESS says; the nodes its workers were on."""
    plan = make_plan(job)
    with Run(plan, Resources()) as run:
        run.start()
        assert not [failure for wave in (waves.invert, waves.fit, waves.edit) for failure in wave(run).failures]
        assert run._pool is not None
        nodes = {worker.info.node for worker in run._pool.workers if worker.info}
        publish_edits(run.store, plan, committed(run.store))
    return nodes


def test_two_nodes_give_the_rows_of_one(
    tmp_path: Path, one_node: Cluster, make_job_file: Callable[[str], Path]
) -> None:
    write_shards(tmp_path, 4, 3)
    assert len(run_on_the_cluster(load_job(make_job_file("one")).spec())) == 1
    one_node.add_node(num_cpus=1)
    assert len(run_on_the_cluster(load_job(make_job_file("two")).spec())) == 2
    rows = rows_of(tmp_path / "two")
    assert [row["status"] for row in rows] == 12 * ["ok"]
    assert rows == rows_of(tmp_path / "one")


def test_one_faulty_node_does_not_stop_a_run(
    tmp_path: Path, make_job_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every shard that is tried on the second node kills its worker; the first one does them all."""
    for name in ("site", "deaths"):
        (tmp_path / name).mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SICK_NODE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    monkeypatch.setenv("DEATHS", str(tmp_path / "deaths"))
    write_shards(tmp_path, 8, 2)
    with started_cluster(monkeypatch) as cluster:
        cluster.add_node(num_cpus=1, env_vars={"SICK": "1"})
        plan = make_plan(load_job(make_job_file("sick")).spec())
        with Run(plan, Resources()) as run:
            run.start()
            summaries = [wave(run) for wave in (waves.invert, waves.fit, waves.edit)]
            publish_edits(run.store, plan, committed(run.store))
    assert not [failure for found in summaries for failure in found.failures]
    assert [row["status"] for row in rows_of(tmp_path / "sick")] == 16 * ["ok"]
    (out,) = run.excluded
    assert "is taken out of the run: 3 workers were lost on it in a row" in out
    assert len(list((tmp_path / "deaths").iterdir())) == 3


def test_killed_workers_change_nothing(
    tmp_path: Path, make_job_file: Callable[[str], Path], coral: Coral, run_job: Callable[..., Any]
) -> None:
    """Two of them, so that no shard can have lost three."""
    write_shards(tmp_path, 4, 6)
    run_job(load_job(make_job_file("calm")).spec())
    process = coral.start("run", make_job_file("rough"))
    with Killer(process, every=0.5, at_most=2) as killer:
        printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed
    assert len(killer.killed) == 2
    assert rows_of(tmp_path / "rough") == rows_of(tmp_path / "calm")


def test_a_shard_that_kills_its_workers_is_quarantined_and_may_be_tried_again(
    tmp_path: Path, make_job_file: Callable[[str], Path], poisoned_coral: Coral, coral: Coral
) -> None:
    write_shards(tmp_path, 3, 4)
    poisoned = write_tar(tmp_path / "in-001.tar", [*members_of(1), ("poison.png", image_bytes(2) + POISON)])
    printed = poisoned_coral.run("run", make_job_file("job"), code=2)
    assert "given up after 3 attempts: ActorDiedError" in printed
    found = {(Path(row["source_uri"]).name, row["key"]): row["status"] for row in rows_of(tmp_path / "job")}
    assert len(found) == 10
    assert {key for (tar, key), status in found.items() if status == "quarantined"} == {"0001", "poison"}
    assert {tar for (tar, _), status in found.items() if status == "quarantined"} == {poisoned.name}
    coral.run("run", make_job_file("job"), "--retry", "quarantined")
    assert [row["status"] for row in rows_of(tmp_path / "job")] == 10 * ["ok"]
