"""A whole output has no problems, and each damage of it is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import open_manifest
from pipelines.cli.app import app
from tasks.plan.plan import Plan, record_plan
from tasks.publish.publish import publish_edits
from tasks.publish.verify import verify
from tests.commits import commit_all, small_plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = small_plan(tmp_path, shards=1)
    record_plan(open_store(plan.output), plan)
    publish_edits(open_store(plan.output), plan, commit_all(plan, samples=4))
    return plan


def first(store: Store, prefix: str) -> Path:
    key = next(info.key for info in store.list(prefix) if "_delta_log" not in info.key)
    return Path(str(store)) / key


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_a_whole_output_has_no_problems(plan: Plan) -> None:
    store = open_store(plan.output)
    for deep in (False, True):
        found = verify(store, deep)
        assert (found.commits, found.objects, found.rows, found.problems) == (3, 5 + 2, 8, ())
    said = CliRunner().invoke(app, ["verify", plan.output, "--deep"])
    assert said.exit_code == 0 and "7 objects read, 8 rows in the manifest: no problems" in said.output


@pytest.mark.parametrize(
    ("prefix", "damage", "problem"),
    [
        ("data/", Path.unlink, "is missing"),
        ("rows/", cut, "its commit says"),
        ("inversions/", Path.unlink, "is missing"),
        ("manifest/", Path.unlink, "is missing, the manifest names it"),
        ("manifest/", cut, "the manifest says"),
        ("commits/", lambda path: path.write_text("{"), "not a commit record"),
    ],
)
def test_every_damage_is_found(plan: Plan, prefix: str, damage: Callable[[Path], None], problem: str) -> None:
    store = open_store(plan.output)
    damage(first(store, prefix))
    assert problem in verify(store).problems[0]
    said = CliRunner().invoke(app, ["verify", plan.output])
    assert said.exit_code == 1 and problem in said.output


@pytest.mark.parametrize("prefix", ["data/", "rows/", "inversions/"])
def test_other_bytes_of_the_same_size_are_found_by_reading(plan: Plan, prefix: str) -> None:
    store = open_store(plan.output)
    flip(first(store, prefix))
    assert verify(store).problems == ()
    (problem,) = verify(store, deep=True).problems
    assert prefix in problem and "has other bytes than were committed" in problem


def test_rows_without_a_commit_are_found(plan: Plan) -> None:
    store = open_store(plan.output)
    for request in open_manifest(store).requests:
        store.delete(f"commits/{request}.json")
    assert [problem.partition(": ")[2] for problem in verify(store).problems] == [
        "is missing, its rows are in the manifest"
    ] * 2
