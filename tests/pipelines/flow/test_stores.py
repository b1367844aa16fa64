"""Two real runs of one job at once, on every kind of store: the same rows, each once, and nothing left behind.

By chance they might never commit at the same time. So their workers wait before each commit until both have uploaded
their objects: two processes attempt every commit, and one of them fails.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.commit import committed, read_commit
from manifests.parquet.reader import read_rows
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.s3_options import AMBIENT, S3Options
from manifests.stores.store import Store
from tasks.plan.plan import read_plans
from tasks.publish.gc import find_leftovers
from tests.emulator import ENVIRONMENT, EmulatorProcess
from tests.processes import Coral
from tests.tars import write_shards

SHARDS, SAMPLES, EDITS = 2, 3, 2
SECRETS = [ENVIRONMENT[f"AWS_{name}"].encode() for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
RACE = """
import sys, time
from pathlib import Path

if "default_worker" in " ".join(sys.orig_argv):
    import manifests.commit

    put_record, line = manifests.commit._put_record, Path({line!r})

    def put_together(store, record):
        (line / f"{{record.request_id}}-{{record.attempt}}").touch()
        late = time.monotonic() + 120
        while len(list(line.glob(f"{{record.request_id}}-*"))) < 2 and time.monotonic() < late:
            time.sleep(0.01)
        return put_record(store, record)

    manifests.commit._put_record = put_together
"""
"""Every Python process imports a module of the name sitecustomize first; workers know by it what to wait for."""
PLACES = "* EXCLUDE (image_uri, request_id, source_uri, source_version), parse_filename(source_uri) AS shard"
"""The columns without what names a place or an attempt: a shard's address is part of its requests' ids."""


@dataclass(frozen=True)
class Site:
    """Where the tars lie and the output goes."""

    inputs: str
    output: str
    s3: S3Options

    def section(self) -> dict[str, Any]:
        """The job's keys for it."""
        named = {"endpoint": self.s3.endpoint, "region": self.s3.region}
        return {"input": self.inputs, "output": self.output} | ({"s3": named} if self.s3 != AMBIENT else {})


@dataclass(frozen=True)
class Finished:
    """A job that was run twice at once."""

    job: Path
    site: Site
    home: Path  # of Prefect
    line: Path  # where the workers noted what they were about to commit
    printed: tuple[str, ...]
    pids: tuple[int, ...]

    @property
    def store(self) -> Store:
        return open_store(self.site.output, self.site.s3)

    @property
    def attempts(self) -> dict[str, set[str]]:
        """Request -> the attempts that were about to commit it at the same time."""
        found = defaultdict[str, set[str]](set)
        for path in self.line.glob("*-*"):
            request, _, attempt = path.name.partition("-")
            found[request].add(attempt)
        return found

    def rows(self) -> list[dict[str, Any]]:
        return query(self.store, f"SELECT {PLACES} FROM manifest ORDER BY edit, shard, key").to_pylist()


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """An emulator in a process of its own, and the credentials it takes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        server = EmulatorProcess()
        yield server
        server.stop()


def local_site(folder: Path, emulator: EmulatorProcess) -> Site:
    return Site(f"{folder}/in-{{000..{SHARDS - 1:03d}}}.tar", f"{folder}/out", AMBIENT)


def s3_site(folder: Path, emulator: EmulatorProcess) -> Site:
    bucket, options = f"s3://{emulator.bucket()}", S3Options(endpoint=emulator.endpoint, region="us-east-1")
    for path in folder.glob("in-*.tar"):
        open_store(bucket, options).put_file(f"in/{path.name}", path)
    return Site(f"{bucket}/in/in-{{000..{SHARDS - 1:03d}}}.tar", f"{bucket}/some/out", options)


SITES: Mapping[str, Callable[[Path, EmulatorProcess], Site]] = {"local": local_site, "s3": s3_site}


@pytest.fixture(scope="module")
def run_twice(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, emulator: EmulatorProcess
) -> Iterator[Callable[[str], Finished]]:
    """Finished jobs by kind of store, each run by two processes that begin together."""
    folder, done = tmp_path_factory.mktemp("stores"), dict[str, Finished]()
    write_shards(folder, SHARDS, SAMPLES)
    coral = Coral(folder / "prefect")
    coral.environment |= ENVIRONMENT

    def run(kind: str) -> Finished:
        if kind not in done:
            site = SITES[kind](folder, emulator)
            job = folder / f"{kind}.yaml"
            job.write_text(yaml.safe_dump({"bundle": str(bundle), **JOB, **site.section()}))
            line = folder / f"{kind}-line"
            line.mkdir()
            (line / "sitecustomize.py").write_text(RACE.format(line=str(line)))
            coral.environment["PYTHONPATH"] = str(line)
            processes = [coral.start("run", job) for _ in range(2)]
            printed = tuple(process.communicate(timeout=600)[0] for process in processes)
            assert [process.returncode for process in processes] == [0, 0], printed
            pids = tuple(process.pid for process in processes)
            done[kind] = Finished(job, site, folder / "prefect", line, printed, pids)
        return done[kind]

    yield run
    coral.close()


@pytest.fixture(params=SITES)
def finished(request: pytest.FixtureRequest, run_twice: Callable[[str], Finished]) -> Finished:
    return run_twice(request.param)


FIT = {"steps": 2, "batch_size": 4}


CLIP_TERMS = {"embedding": 0, "clip": 2, "directional": 3}


def edit(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "target": name,
        "method": "coral-mapper-attention",
        "options": {"start": "regression", **CLIP_TERMS, "difference": 0, "fit": FIT},
        **more,
    }


JOB = {
    "name": "stores",
    "batch_size": 4,
    "fit_source": {"samples": 8},
    "edits": [
        edit("red-hair"),
        edit("smile", method="styleclip-mapper", options={"start": "none", **CLIP_TERMS, "fit": FIT}),
    ],
    "resources": {"actors": 1},
}


def test_of_two_attempts_at_every_request_one_commits_and_the_other_leaves_no_orphan(finished: Finished) -> None:
    plans = list(read_plans(finished.store))
    assert len(plans) == 2 and plans[0].shards == plans[1].shards
    requests = {request.id for shard in plans[0].edit_requests() for request in shard}
    requests |= {each.id for each in plans[0].invert_requests()}
    assert committed(finished.store) == finished.attempts.keys() == requests
    for request, attempts in finished.attempts.items():
        record = read_commit(finished.store, request)
        assert len(attempts) == 2 and record is not None and record.attempt in attempts
    rows = finished.rows()
    assert len(rows) == SHARDS * SAMPLES * EDITS and {row["status"] for row in rows} == {"ok"}
    found = find_leftovers(finished.store, hours=0, now=time.time() + 60)
    assert found.objects == () and found.uploads == ()
    editors = sorted(info.key for info in finished.store.list("editors/"))
    assert editors == sorted(f"editors/{fit.id}.{end}" for fit in plans[0].fits for end in ("json", "safetensors"))


def test_every_kind_of_store_gives_the_same_rows(run_twice: Callable[[str], Finished]) -> None:
    local, bucket = run_twice("local"), run_twice("s3")
    assert local.rows() == bucket.rows()
    assert images_of(local) == images_of(bucket)


def test_the_commands_read_a_bucket(run_twice: Callable[[str], Finished], tmp_path: Path) -> None:
    there = run_twice("s3")
    coral = Coral(tmp_path)
    coral.environment |= ENVIRONMENT | {"CORAL_S3_ENDPOINT": str(there.site.s3.endpoint)}
    status = json.loads(coral.run("status", there.site.output, "--json"))
    assert status["work"]["published"] == {"done": SHARDS * EDITS, "total": SHARDS * EDITS, "refused": 0}
    sql = "SELECT count(*) AS n FROM manifest"
    assert json.loads(coral.run("query", there.site.output, sql, "--format", "json")) == [{"n": len(there.rows())}]
    printed = [line.split() for line in coral.run("plan", there.job).splitlines()]
    assert ["edits", "of", "shards", "published", *(str(SHARDS * EDITS),) * 2, "0"] in printed
    assert "0 objects, 0.0 MB; 0 unfinished uploads; --delete removes them" in coral.run("gc", there.site.output)
    assert "coral: cannot list" in coral.run("status", "s3://no-such-bucket/out", code=1)


def test_no_secret_is_in_anything_that_is_kept_or_shown(run_twice: Callable[[str], Finished]) -> None:
    there = run_twice("s3")
    texts = {info.key: there.store.read(info.key) for info in there.store.list("")}
    texts |= {"rows": json.dumps(there.rows(), default=str).encode(), "printed": "".join(there.printed).encode()}
    logs = [folder for pid in there.pids for folder in Path("/tmp/ray").glob(f"session_*_{pid}")]  # Ray's default
    for folder in (there.home, *logs):
        texts |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert logs and {"plans", "commits", "manifest", "rows", "editors"} <= {name.partition("/")[0] for name in texts}
    assert [name for name, text in texts.items() for secret in SECRETS if secret in text] == []
    assert not [line for text in there.printed for line in text.splitlines() if "credentials" in line]


def images_of(finished: Finished) -> list[tuple[Any, ...]]:
    """Every edited image and mask as it was written."""
    columns = ["edit", "source_sha256", "image", "mask"]
    keys = [info.key for info in finished.store.list("data/")]
    rows = (row for key in keys for row in read_rows(finished.store, key, columns))
    return sorted((row["edit"], row["source_sha256"], row["image"]["bytes"], row["mask"]["bytes"]) for row in rows)
