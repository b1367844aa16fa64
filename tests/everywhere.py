"""The demo job in a folder and in a bucket, on one Ray node and on two, and check that the rows are the same.

    python -m tests.everywhere [--fit-steps 5] [--shards 4] [--samples 64]

Every run has an output of its own and fits its editors itself. The bucket is an emulator's; the nodes are of one CPU
each, on this machine. Rows are compared up to timings and to what names a place or an attempt.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.s3_options import AMBIENT, S3Options
from pipelines.cli.demo_data import Portraits, write_demo_data
from tests.chaos import run, timed, write_job
from tests.emulator import ENVIRONMENT, EmulatorProcess
from tests.processes import Coral

ROWS = """SELECT * EXCLUDE (image_uri, request_id, source_uri), parse_filename(source_uri) AS shard
    FROM manifest ORDER BY edit, shard, key"""
"""A shard's address is part of its requests' ids."""

Rows = list[dict[str, Any]]


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """The address of a Ray cluster of so many nodes of one CPU."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(nodes - 1):
        found.add_node(num_cpus=1)
    try:
        yield str(found.address)
    finally:
        found.shutdown()


def rows_in(output: str, s3: S3Options = AMBIENT) -> Rows:
    """What a run has published."""
    return query(open_store(output, s3), ROWS).to_pylist()


def in_a_folder(coral: Coral, folder: Path, name: str, fit_steps: int) -> Rows:
    """The job on the local store."""
    job = write_job(folder, folder / name, fit_steps)
    assert timed(name, lambda: run(coral, job, None))[0] == 0
    return rows_in(str(folder / name))


def in_a_bucket(coral: Coral, folder: Path, name: str, fit_steps: int) -> Rows:
    """The same with tars and output in a bucket."""
    emulator = EmulatorProcess()
    try:
        bucket, options = f"s3://{emulator.bucket()}", S3Options(endpoint=emulator.endpoint, region="us-east-1")
        for path in sorted((folder / "data").glob("*.tar")):
            open_store(bucket, options).put_file(f"in/{path.name}", path)
        job = write_job(folder, folder / name, fit_steps)
        there = {"input": f"{bucket}/in/*.tar", "output": f"{bucket}/{name}"}
        section = {"endpoint": options.endpoint, "region": options.region}
        job.write_text(yaml.safe_dump(yaml.safe_load(job.read_text()) | there | {"s3": section}))
        assert timed(name, lambda: run(coral, job, None))[0] == 0
        return rows_in(there["output"], options)
    finally:
        emulator.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if the rows of two places differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit-steps", type=int, default=5)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--samples", type=int, default=64, help="in each shard")
    given = parser.parse_args(arguments)
    os.environ |= ENVIRONMENT | {"RAY_worker_niceness": "0"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_demo_data(folder / "data", given.shards, given.samples, "test", Portraits())
        found = {}
        for nodes in (1, 2):
            with cluster(nodes) as address:
                coral = Coral(folder / "prefect")
                coral.environment["RAY_ADDRESS"] = address
                for run_in in (in_a_folder, in_a_bucket):
                    place = f"{run_in.__name__}-on-{nodes}-nodes"
                    found[place] = run_in(coral, folder, place, given.fit_steps)
    first = next(iter(found.values()))
    for place, rows in found.items():
        different = sum(row != other for row, other in zip(first, rows, strict=False))
        print(f"{place}: {len(rows)} rows, {different} of them unlike those of the first")
    return int(not first or any(rows != first for rows in found.values()))


if __name__ == "__main__":
    sys.exit(main())
