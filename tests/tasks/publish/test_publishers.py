"""Several publishers of one output, killed ones too: nothing is lost, nothing is twice, no file is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests import table_files
from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import Manifest, open_manifest
from tasks.plan.plan import Plan
from tasks.publish import publish
from tasks.publish.publish import publish_edits
from tasks.spec.gates import Gates
from tests.commits import commit_all, small_plan
from tests.tasks.publish.test_publish import by_rules, counts, gated, manifest
from tests.wrapped import Wrapped


def test_who_publishes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    store, done = open_store(plan.output), sorted(commit_all(plan))
    others = [frozenset(done[:2])]

    class Slow(Wrapped):
        def put_file(self, key: str, path: Path) -> None:
            store.put_file(key, path)
            if others:
                publish_edits(store, plan, others.pop())

    publish_edits(Slow(store), plan, frozenset(done))  # type: ignore[arg-type]
    assert counts(store) == {"red": 40, "smile": 40}


def test_many_small_files_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "SMALL_FILES", 3)
    plan = small_plan(tmp_path, shards=6, edits=("red",))
    store, done = open_store(plan.output), sorted(commit_all(plan, samples=3))
    counted = []
    for number in range(1, 7):
        publish_edits(store, plan, frozenset(done[:number]))
        counted.append(len(open_manifest(store).files))
    assert counted == [1, 2, 3, 4, 1, 2]
    assert query(store, "SELECT count(DISTINCT (source_uri, key)) AS n, count(*) AS m FROM manifest").to_pylist() == [
        {"n": 18, "m": 18}
    ]


def test_full_files_are_not_written_again_for_new_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "SMALL_FILES", 1)
    monkeypatch.setattr(publish, "FULL_ROWS", 12)
    monkeypatch.setattr(table_files, "FULL_ROWS", 12)
    plan = small_plan(tmp_path, shards=8, edits=("red",))
    store, done = open_store(plan.output), sorted(commit_all(plan, samples=6))
    sizes = []
    for number in (2, 4, 6, 8):
        publish_edits(store, plan, frozenset(done[:number]))
        sizes.append(sorted(file.rows for file in open_manifest(store).files.values()))
    assert sizes == [[12], [12, 12], [12, 12, 12], [12, 12, 12, 12]]


@pytest.mark.parametrize("step", ["files", "log"])
def test_a_publisher_that_is_killed_publishes_once_by_the_next(tmp_path: Path, step: str) -> None:
    plan = small_plan(tmp_path)
    store, done = open_store(plan.output), commit_all(plan)
    child = multiprocessing.get_context("spawn").Process(target=publish_and_die, args=(store, plan, done, step))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    before = open_manifest(store)
    assert before.rows == (80 if step == "log" else 0)
    publish_edits(store, plan, done)
    after = open_manifest(store)
    assert (after.version, after.rows, len(after.requests)) == (1, 80, 4)


def publish_and_die(store: Store, plan: Plan, done: frozenset[str], step: str) -> None:
    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    commit = Manifest.commit

    def commit_and_die(*given: Any) -> Any:
        if step == "log":
            commit(*given)
        die()

    Manifest.commit = commit_and_die  # type: ignore[method-assign]
    publish_edits(store, plan, done)


def test_publishers_of_different_edits_and_of_different_shards_all_succeed(store: Store, tmp_path: Path) -> None:
    plan = replace(small_plan(tmp_path, shards=6), output="unused")
    done = commit_all(plan, samples=3, store=store)
    shares = [sorted(done)[number::4] for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        publications = list(pool.map(lambda share: publish_edits(store, plan, frozenset(share)), shares))
    assert sum(each.published for each in publications) == 12
    assert sorted(each.version for each in publications) == [1, 2, 3, 4]
    assert query(
        store, "SELECT count(*) AS n, count(DISTINCT (edit, source_uri, key)) AS d FROM manifest"
    ).to_pylist() == [{"n": 36, "d": 36}]
    named = {f"manifest/{path}" for path in open_manifest(store).files}
    assert {info.key for info in store.list("manifest/edit=")} == named


def test_readers_see_one_of_two_publishers_and_see_it_whole(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, shards=6)
    store, _ = open_store(plan.output), commit_all(plan)
    wholes = []
    for threshold in (0.3, 0.6):
        by_rules(plan, **gated(Gates(min_direction=threshold)))
        wholes.append(manifest(store))
    seen, over = [], threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(manifest(store))

    def publish_often(threshold: float) -> None:
        for _ in range(4):
            by_rules(plan, **gated(Gates(min_direction=threshold)))

    with ThreadPoolExecutor(3) as pool:
        reading = pool.submit(read)
        for publishing in [pool.submit(publish_often, threshold) for threshold in (0.3, 0.6)]:
            publishing.result()
        over.set()
        reading.result()
    assert seen and all(each in wholes for each in [*seen, manifest(store)])
    assert open_manifest(store).version > 2
