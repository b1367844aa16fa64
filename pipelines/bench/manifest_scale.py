"""How the manifest and its commits scale: an output with many commits, made without networks, and each step timed.

The tars are empty files, and the edits of a shard have equal rows without pixels; records, object names and Parquet
files are those of a run. Objects are written without a sync to the disk, which a real run spreads over hours. Each step
runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.commit import PREFIX, CommitRecord, ObjectRef, committed
from manifests.parquet.reader import read_batches
from manifests.parquet.schema import ROWS_SCHEMA
from manifests.parquet.writer import PartWriter
from manifests.query import query
from manifests.stores.local import LocalStore
from manifests.stores.store import ObjectInfo, Store
from tasks.plan.plan import Plan, make_plan, record_plan
from tasks.plan.status import output_status, plan_status
from tasks.publish.gc import find_leftovers
from tasks.publish.publish import publish_edits
from tasks.shards.commits import commit_info
from tasks.spec.gates import GATED_SCORES
from tasks.spec.geometry import Geometry
from tasks.spec.job import EditEntry, JobSpec
from tasks.spec.requests import EditRequest, InvertRequest

EDITS = 20
PAGE = 1000
"""Objects of one page of a listing in a bucket."""
NIGHTLY = 0.01
"""Share of the shards that come new in the nightly increment."""
ATTEMPT = "0123456789ab"


@dataclass(frozen=True)
class ScaleConfig:
    """What is measured."""

    folder: Path
    requests: int  # edits of shards; shards are a twentieth of it
    rows: int  # of each request
    processes: int = 2  # that make the commits


@dataclass(frozen=True)
class StepCost:
    """The cost of one step."""

    requests: int
    step: str
    seconds: float
    cpu_seconds: float  # of all threads: on an idle machine with two cores, at least half of it passes
    list_pages: int  # of a thousand objects, through the store
    gets: int  # reads of objects through the store; not those of the table's files
    peak_mb: float  # resident memory of the process
    note: str = ""


class CountingStore(LocalStore):
    """A local store that counts what would be requests to a bucket."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        object.__setattr__(self, "counts", Counter())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.counts["pages"] += 1  # type: ignore[attr-defined]
        for number, info in enumerate(super().list(prefix), 1):
            self.counts["pages"] += number % PAGE == 0  # type: ignore[attr-defined]
            yield info

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self.counts["gets"] += 1  # type: ignore[attr-defined]
        return super().read(key, start, length)


def measure_scale(config: ScaleConfig, on_step: Callable[[StepCost], object]) -> list[StepCost]:
    """Make the output, time every step on it, and call on_step after each."""
    make_output(config, first=0, last=shards_of(config))
    costs = []

    def time_step(step: str) -> None:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            costs.append(pool.submit(run_step, config, step).result())
        on_step(costs[-1])

    for step in ("plan", "subtract", "publish", "publish again", "query", "status", "gc"):
        time_step(step)
    more = max(1, round(NIGHTLY * shards_of(config)))
    make_output(config, first=shards_of(config), last=shards_of(config) + more)
    time_step("publish 1 % more")
    return costs


def shards_of(config: ScaleConfig) -> int:
    return max(1, config.requests // EDITS)


def run_step(config: ScaleConfig, step: str) -> StepCost:
    """One step in this process."""
    store = CountingStore(config.folder / "out")
    begun, cpu = time.perf_counter(), time.process_time()
    note = str(STEPS[step](config, store) or "")
    seconds, cpu, counts = time.perf_counter() - begun, time.process_time() - cpu, store.counts  # type: ignore[attr-defined]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return StepCost(
        config.requests, step, round(seconds, 2), round(cpu, 2), counts["pages"], counts["gets"], round(peak), note
    )


def _plan(config: ScaleConfig, store: Store) -> str:
    plan = plan_of(config)
    record_plan(store, plan)
    return f"{len(plan.shards)} shards"


def _subtract(config: ScaleConfig, store: Store) -> str:
    """What every run does before it begins: the commits listed once, the plan's requests subtracted."""
    share = plan_status(store, plan_of(config), done=committed(store)).edited
    return f"{share.done} of {share.total} done"


def _publish(config: ScaleConfig, store: Store) -> str:
    publication = publish_edits(store, plan_of(config), committed(store))
    return f"{publication.published} requests, {publication.rows} rows"


def _query(config: ScaleConfig, store: Store) -> str:
    found = query(store, "SELECT edit, status, count(*) AS n, avg(direction) AS d FROM manifest GROUP BY ALL")
    return f"{found.num_rows} groups"


def _status(config: ScaleConfig, store: Store) -> str:
    return f"{output_status(store).rows} rows"


def _gc(config: ScaleConfig, store: Store) -> str:
    return f"{len(find_leftovers(store, 24.0, time.time() + 25 * 3600).objects)} leftovers"


STEPS: Mapping[str, Callable[[ScaleConfig, Store], str]] = {
    "plan": _plan,
    "subtract": _subtract,
    "publish": _publish,
    "publish again": _publish,
    "publish 1 % more": _publish,
    "query": _query,
    "status": _status,
    "gc": _gc,
}


def plan_of(config: ScaleConfig) -> Plan:
    """The plan of the tars that are there."""
    edits = tuple(
        EditEntry(
            id=f"edit-{number:02d}",
            target=f"a person, change {number}",
            source="a person",
            method="clipinverter",
            options={},
            strength=1.0,
            onto="source",
            image_format="png",
        )
        for number in range(EDITS)
    )
    return make_plan(
        JobSpec(
            name="scale",
            inputs=(str(config.folder / "in" / "*.tar"),),
            output=str(config.folder / "out"),
            bundle="portraits",
            seed=0,
            batch_size=32,
            geometry=Geometry(),
            edits=edits,
            fit_samples=8,
            max_failure_rate=1.0,
        )
    )


def make_output(config: ScaleConfig, first: int, last: int) -> None:
    """The tars from `first` to `last`, and the commits of all their requests."""
    (config.folder / "in").mkdir(parents=True, exist_ok=True)
    for number in range(first, last):
        (config.folder / "in" / f"{number:06d}.tar").write_bytes(f"{number}".encode())
    plan, new = plan_of(config), {f"{number:06d}.tar" for number in range(first, last)}
    shards = [each for each in plan.edit_requests() if each[0].shard.uri.rpartition("/")[2] in new]
    with ProcessPoolExecutor(config.processes, multiprocessing.get_context("spawn")) as pool:
        begins = range(0, len(shards), 50)
        list(pool.map(_commit_shards, [config] * len(begins), [shards[begin : begin + 50] for begin in begins]))


def _commit_shards(config: ScaleConfig, shards: list[list[EditRequest]]) -> None:
    scratch = config.folder / f"scratch-{multiprocessing.current_process().pid}"
    with PartWriter(ROWS_SCHEMA, scratch, "template") as writer:
        writer.write([_row(number) for number in range(config.rows)])
        writer.close()
    (batch,) = read_batches(LocalStore(scratch), "template-0000.parquet", batch_rows=config.rows)
    for requests in shards:
        _write_record(config, requests[0].inversion, [], {"name": requests[0].shard.uri})
        with PartWriter(ROWS_SCHEMA, scratch, requests[0].shard.id) as writer:
            writer.write_batch(batch, {"source_uri": [requests[0].shard.uri] * config.rows})
            (part,) = writer.close()
        content = part.path.read_bytes()
        part.path.unlink()
        for request in requests:
            rows = ObjectRef.of(f"rows/{request.id}-{ATTEMPT}-0000.parquet", part)
            data = f"data/edit={request.spec.edit_id}/{request.id}-{ATTEMPT}-0000.parquet"
            _place(config, rows.key).write_bytes(content)
            _place(config, data).touch()
            images = ObjectRef(data, 0, "", rows.rows, rows.row_groups)
            _write_record(config, request, [images, rows], commit_info(request))


def _write_record(
    config: ScaleConfig, request: InvertRequest | EditRequest, objects: list[ObjectRef], info: Mapping[str, Any]
) -> None:
    kind = "edit" if objects else "invert"
    record = CommitRecord(request.id, kind, ATTEMPT, tuple(objects), {"ok": config.rows}, {"total": 1.0}, info)
    _place(config, f"{PREFIX}{request.id}.json").write_bytes(record.to_json())


def _place(config: ScaleConfig, key: str) -> Path:
    path = config.folder / "out" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _row(number: int) -> dict[str, object]:
    return {
        "key": f"{number:09d}",
        "source_member": f"{number:09d}.png",
        "source_sha256": f"{number:064x}",
        "metadata": json.dumps({"hair": {"color": "brown"}, "number": number, "caption": f"picture {number}"}),
        "status": "ok" if number % 50 else "failed",
        "reason": "",
        "source_prompt": "a person",
        "method": "clipinverter",
        "strength": 1.0,
        "seed": number,
        "models_digest": "ab" * 32,
        "editor_digest": "cd" * 32,
        "width": 1024,
        "height": 1024,
        "box": [0.0, 0.0, 1024.0, 1024.0],
        "inverse": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "layer_areas": [number % 7 / 7] * 11,
        **dict.fromkeys(GATED_SCORES, number * 37 % 100 / 100),
    }


def table(costs: list[StepCost]) -> str:
    """The costs as a Markdown table."""
    lines = [
        "| requests | step | seconds | CPU seconds | LIST pages | GETs | peak MB | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(str(value) for value in asdict(cost).values())} |" for cost in costs]
    return "\n".join(lines)
