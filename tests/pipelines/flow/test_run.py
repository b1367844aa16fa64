"""A whole job at 128 px with 12 w-layers by the real command, Prefect and Ray: undisturbed, killed and continued,
stopped by a signal."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from coral_core.zoo.random_bundle import write_random_bundle
from manifests.commit import CommitRecord, committed
from manifests.parquet.reader import read_row_group
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import AMBIENT, S3Options
from manifests.stores.store import Store
from tasks.publish.gc import find_leftovers, remove
from tests.processes import Coral, descendants, is_running, run_here, wait_until
from tests.tars import write_shards

SHARDS, SAMPLES = 4, 6
COLUMNS = "* EXCLUDE (image_uri)"  # the name of a data object holds the attempt


@dataclass(frozen=True)
class Place:
    """A job and where it writes."""

    job: Path
    output: str
    s3: S3Options = AMBIENT

    @property
    def store(self) -> Store:
        return open_store(self.output, self.s3)


@pytest.fixture(scope="module")
def make_place(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Place]:
    """A job of a name, with its output in a folder of that name or where it is said."""
    folder = tmp_path_factory.mktemp("job")
    bundle = write_random_bundle(folder / "bundle", image_size=128, w_dim=20, z_dim=12, width=12)
    write_shards(folder, SHARDS, SAMPLES)
    options = {"start": "regression", "embedding": 0, "fit": {"steps": 3, "batch_size": 2}}

    def make(name: str, output: str = "", s3: S3Options = AMBIENT) -> Place:
        place = Place(folder / f"{name}.yaml", output or str(folder / name), s3)
        job = {
            "name": name,
            "input": str(folder / f"in-{{000..{SHARDS - 1:03d}}}.tar"),
            "output": place.output,
            "s3": {"endpoint": s3.endpoint},
            "bundle": str(bundle),
            "batch_size": 4,
            "fit_source": {"samples": 8},
            "edits": [
                {"id": "red", "target": "red hair", "method": "coral-mapper-attention", "options": options},
                {"id": "smile", "target": "a smile", "method": "coral-mapper-attention", "options": options},
            ],
        }
        place.job.write_text(yaml.safe_dump(job))
        return place

    return make


@pytest.fixture(scope="module")
def undisturbed(make_place: Callable[..., Place], coral: Coral) -> Place:
    place = make_place("undisturbed")
    coral.run("run", place.job)
    return place


def manifest(store: Store) -> list[dict[str, Any]]:
    return query(store, f"SELECT {COLUMNS} FROM manifest ORDER BY edit, source_uri, key").to_pylist()


def test_rows_out_are_samples_in(undisturbed: Place) -> None:
    rows = manifest(undisturbed.store)
    assert len(rows) == 2 * SHARDS * SAMPLES
    assert {row["status"] for row in rows} == {"ok"}
    assert len({(row["edit"], row["source_uri"], row["key"]) for row in rows}) == len(rows)


def test_images_have_the_size_of_the_bundle(undisturbed: Place) -> None:
    from tasks.images.decode import pixels_of

    (row,) = query(undisturbed.store, "SELECT image_uri, row_group, row FROM manifest LIMIT 1").to_pylist()
    found = read_row_group(undisturbed.store, row["image_uri"], row["row_group"], ["image", "mask", "layer_areas"])
    image = found[row["row"]]
    assert pixels_of(image["image"]["bytes"]).shape == (128, 128, 3)
    assert pixels_of(image["mask"]["bytes"]).shape == (128, 128)
    assert len(image["layer_areas"]) == 11


def test_the_commands_read_the_output(undisturbed: Place, coral: Coral) -> None:
    status = json.loads(coral.run("status", undisturbed.output, "--json"))
    assert status["work"]["published"] == {"done": 2 * SHARDS, "total": 2 * SHARDS, "refused": 0}
    assert [edit["counts"] for edit in status["edits"]] == [{"ok": SHARDS * SAMPLES}] * 2
    assert "edits of shards" in run_here("status", undisturbed.output)
    sql = "SELECT prompt, count(*) AS n, avg(box[3]) AS right FROM manifest GROUP BY prompt ORDER BY prompt"
    assert json.loads(run_here("query", undisturbed.output, sql, "--format", "json")) == [
        {"prompt": "a smile", "n": SHARDS * SAMPLES, "right": 64.0},
        {"prompt": "red hair", "n": SHARDS * SAMPLES, "right": 64.0},
    ]
    assert run_here("query", undisturbed.output, sql, "--format", "csv").splitlines()[1] == "a smile,24,64.0"
    assert "red hair" in coral.run("query", undisturbed.output, sql)
    assert "coral: the query failed" in run_here("query", undisturbed.output, "SELECT nothing FROM manifest", code=1)
    assert ["edits", "of", "shards", "published", "8", "8", "0"] in [
        line.split() for line in coral.run("plan", undisturbed.job).splitlines()
    ]


def test_a_run_ends_with_its_report(undisturbed: Place) -> None:
    (plan,) = undisturbed.store.list("plans/")
    folder = plan.key.replace("plans/", "reports/").removesuffix(".json")
    page = undisturbed.store.read(f"{folder}/index.html").decode()
    assert f"<strong>{2 * SHARDS * SAMPLES}</strong> of {2 * SHARDS * SAMPLES} rows are ok" in page
    assert "data:image/" in page
    assert json.loads(undisturbed.store.read(f"{folder}/run.json"))["waves"]


def test_after_a_kill_at_any_moment_a_run_continues_and_does_nothing_twice(
    undisturbed: Place, make_place: Callable[..., Place], coral: Coral
) -> None:
    place = make_place("killed")
    rng = random.Random()
    moments: list[Callable[[], bool]] = [
        lambda: len(committed(place.store)) >= rng.randint(1, SHARDS - 1),
        lambda: any(place.store.list("editors/")),
        lambda: len(committed(place.store)) >= SHARDS + rng.randint(1, 2 * SHARDS - 1),
    ]
    for moment in moments:
        before = done(place.store)
        process = coral.start("run", place.job)
        wait_until(moment, process)
        time.sleep(rng.uniform(0, 0.3))
        coral.kill(process)
        assert before.items() <= done(place.store).items()
        what_is_visible_is_true(place.store)
    before = done(place.store)
    coral.run("run", place.job)
    assert before.items() <= done(place.store).items()
    assert manifest(place.store) == manifest(undisturbed.store)


@pytest.fixture
def make_place_there(store: Store, make_place: Callable[..., Place]) -> Callable[[str], Place]:
    """A job of a name that writes into a store of every kind."""
    if isinstance(store, S3Store):
        return lambda name: make_place(name, f"{store.uri}/{name}", store.options)
    return lambda name: make_place(name, f"{store}/{name}")


@pytest.fixture
def coral_there(store: Store, coral: Coral) -> Iterator[Coral]:
    """Commands that have the credentials of the store: they are in the environment now."""
    there = Coral(Path(coral.environment["PREFECT_HOME"]))
    yield there
    there.close()


def test_after_sigterm_all_processes_are_gone_within_three_seconds(
    make_place_there: Callable[[str], Place], coral_there: Coral
) -> None:
    """In the second attempt, if something else took the processors in the first."""
    place = make_place_there("stopped")
    seconds = stop_in_the_middle(coral_there, place)
    if seconds >= 3:
        place = make_place_there("stopped-again")
        seconds = stop_in_the_middle(coral_there, place)
    assert seconds < 3
    what_is_visible_is_true(place.store)
    before = done(place.store)
    remove(place.store, find_leftovers(place.store, hours=0, now=time.time() + 60))
    assert done(place.store) == before
    what_is_visible_is_true(place.store)


def stop_in_the_middle(coral: Coral, place: Place) -> float:
    """Seconds from SIGTERM to the end of the run and of everything that it had started."""
    process = coral.start("run", place.job)
    wait_until(lambda: any(place.store.list("commits/")), process)
    family = {process.pid, *descendants(process.pid)}
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    while left := [pid for pid in family if is_running(pid)]:
        assert time.monotonic() < told + 60, left
        time.sleep(0.02)
        family.update(descendants(process.pid))
    seconds = time.monotonic() - told
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 143, printed
    assert printed.count("run the same command again") == 1 and "Traceback" not in printed
    print(f"all processes were gone {seconds:.1f} s after the signal")  # shown by pytest -rP
    return seconds


def done(store: Store) -> dict[str, str]:
    """Everything that is committed, with the etags of the objects that say so and of the data."""
    found = {info.key: info.etag for info in store.list("commits/")} | {
        info.key: info.etag for info in store.list("editors/") if info.key.endswith(".json")
    }
    for key in [key for key in found if key.startswith("commits/")]:
        for ref in CommitRecord.from_json(store.read(key)).objects:
            info = store.head(ref.key)
            found[ref.key] = info.etag if info else "missing"
    return found


def what_is_visible_is_true(store: Store) -> None:
    for key in [info.key for info in store.list("commits/")]:
        for ref in CommitRecord.from_json(store.read(key)).objects:
            info = store.head(ref.key)
            assert info is not None and info.size == ref.size
    rows = manifest(store)
    assert len(rows) in (0, 2 * SHARDS * SAMPLES)
