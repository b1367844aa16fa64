"""The versions of the manifest: shown, queried, restored, by the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from manifests.commit import committed
from manifests.stores.open import open_store
from pipelines.cli.app import app
from tasks.plan.plan import Plan, record_plan
from tasks.publish.publish import publish_edits
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, small_plan

STRICT = PublishRules(gates=Gates(min_direction=0.5))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """An output with two versions: published, and published again with a gate for one of its edits."""
    plan = small_plan(tmp_path)
    store = open_store(plan.output)
    record_plan(store, plan)
    commit_all(plan, samples=10)
    publish_edits(store, plan, committed(store))
    publish_edits(store, replace(plan, run_id="night-2", publish={"red": STRICT}), committed(store))
    return plan


@pytest.fixture
def coral(plan: Plan) -> Callable[..., str]:
    def run(command: str, *given: str) -> str:
        result = CliRunner().invoke(app, [command, plan.output, *given])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


def test_the_history_says_when_by_which_run_and_what_changed(coral: Callable[..., str]) -> None:
    newest, first, created = json.loads(coral("history", "--json"))
    assert (newest["version"], newest["run_id"], first["run_id"]) == (2, "night-2", "run")
    assert newest["requests"] == {"published": 0, "republished": 2, "removed": 0, "marked": 0}
    assert newest["rows"] == {"added": 20, "removed": 20, "all": 40} and first["rows"]["added"] == 40
    assert list(newest["rules"].values()) == [[STRICT.text]] and created["version"] == 0
    lines = [line.split() for line in coral("history", "--limit", "1").splitlines()]
    assert [line[3:] for line in lines if line[:1] == ["2"]] == [["night-2", "0", "2", "0", "0", "20", "20", "40"]]


def rejected(coral: Callable[..., str], *given: str) -> int:
    sql = "SELECT count(*) AS n FROM manifest WHERE status = 'rejected'"
    return json.loads(coral("query", sql, "--format", "json", *given))[0]["n"]


def test_a_query_may_ask_an_earlier_version(coral: Callable[..., str]) -> None:
    newest, first, _ = json.loads(coral("history", "--json"))
    assert rejected(coral) == rejected(coral, "--version", "2") == rejected(coral, "--at", newest["time"]) > 0
    assert rejected(coral, "--version", "1") == rejected(coral, "--at", first["time"]) == 0
    with pytest.raises(ValueError, match="not both"):
        rejected(coral, "--version", "1", "--at", "2026-01-01")
    with pytest.raises(ValueError, match="is no moment"):
        rejected(coral, "--at", "yesterday")
    with pytest.raises(ValueError, match="no version of 2001"):
        rejected(coral, "--at", "2001-01-01")


def test_a_version_is_restored_and_the_next_publish_begins_there(coral: Callable[..., str], plan: Plan) -> None:
    assert "version 3 of the manifest is version 1: 40 rows" in coral("restore", "--version", "1")
    assert rejected(coral) == 0
    store = open_store(plan.output)
    assert publish_edits(store, plan, committed(store)).version == 3
    assert publish_edits(store, replace(plan, publish={"red": STRICT}), committed(store)).republished == 2
