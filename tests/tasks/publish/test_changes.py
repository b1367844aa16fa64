"""One truth per source: rows of a replaced content leave when those of the new one come, and rows of a source that is
gone are kept, marked or dropped. Real files as sources, and commits without networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from manifests.table import open_manifest
from tasks.inputs.find import describe
from tasks.inputs.present import is_present, named_by
from tasks.plan.plan import Plan
from tasks.publish.publish import Publication, publish_edits
from tests.commits import commit_all, small_plan
from tests.emulator import Emulator


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, ...]:
    """Two files that a plan takes for tars."""
    folder = tmp_path / "in [x]"
    folder.mkdir()
    paths = (folder / "a.tar", folder / "b.tar")
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def plan_of(paths: Sequence[Path], **changes: Any) -> Plan:
    """A plan for the files that are there now."""
    folder = paths[0].parent
    shards = tuple(describe(path) for path in paths if path.exists())
    job = {"inputs": [f"{str(folder).replace('[x]', '[[]x]')}/*.tar"]}
    return replace(small_plan(folder.parent), shards=shards, job=job, **changes)


def published(plan: Plan, edits: Sequence[str] = ("red", "smile"), samples: int = 3) -> Publication:
    """Commit what the plan asks for of these edits, and publish it."""
    some = replace(plan, edits=tuple(edit for edit in plan.edits if edit.slug in edits))
    store = open_store(plan.output)
    missing = {request.id for shard in some.edit_requests() for request in shard} - committed(store)
    if missing:
        commit_all(some, samples)
    return publish_edits(store, plan, committed(store))


def states(plan: Plan) -> dict[tuple[str, str, str], int]:
    """Number of rows by edit, source and state."""
    rows = query(open_store(plan.output), "SELECT edit, source_uri, source_state FROM manifest")
    return Counter((row["edit"].split("-")[0], row["source_uri"][-5], row["source_state"]) for row in rows.to_pylist())


BOTH = {(edit, source, "present"): 3 for edit in ("red", "smile") for source in "ab"}


def test_rows_of_a_new_content_replace_those_of_the_old(sources: tuple[Path, ...]) -> None:
    published(plan_of(sources))
    sources[0].write_bytes(b"other")
    again = plan_of(sources)
    publication = published(again)
    assert (publication.published, publication.removed) == (2, 2)
    assert states(again) == BOTH
    versions = {each.source_version for each in open_manifest(open_store(again.output)).requests.values()}
    assert versions == {shard.sha256 for shard in again.shards}


def test_until_the_new_content_has_rows_the_old_ones_stay_and_say_so(sources: tuple[Path, ...]) -> None:
    published(plan_of(sources))
    sources[0].write_bytes(b"other")
    again = plan_of(sources)
    assert published(again, edits=()) == Publication(2, 0, 0, 12, marked=2)
    assert states(again) == {
        (edit, source, "changed" if source == "a" else "present"): rows for (edit, source, _), rows in BOTH.items()
    }
    published(again, edits=("red",))  # the old rows of every edit leave
    assert states(again) == {("red", "a", "present"): 3, ("red", "b", "present"): 3, ("smile", "b", "present"): 3}


def test_a_content_that_comes_back_is_published_again_from_its_commits(sources: tuple[Path, ...]) -> None:
    first = plan_of(sources)
    published(first)
    sources[0].write_bytes(b"other")
    published(plan_of(sources))
    sources[0].write_bytes(b"a.tar")
    back = plan_of(sources)
    assert published(back).published == 2
    assert states(back) == BOTH


def test_a_plan_that_is_older_than_the_content_changes_nothing(sources: tuple[Path, ...]) -> None:
    slow = plan_of(sources)
    commit_all(slow, 3)
    sources[0].write_bytes(b"other")
    quick = plan_of(sources)
    published(quick)
    assert published(slow) == Publication(1, 0, 0, 12)
    assert states(quick) == BOTH


@pytest.mark.parametrize(("policy", "state"), [("keep", "kept"), ("mark", "removed"), ("drop", None)])
def test_rows_of_a_source_that_is_gone(sources: tuple[Path, ...], policy: Any, state: str | None) -> None:
    published(plan_of(sources))
    sources[0].unlink()
    later = plan_of(sources, removed_inputs=policy)
    published(later)
    gone = {(edit, "a", state): 3 for edit in ("red", "smile") if state}
    assert states(later) == {("red", "b", "present"): 3, ("smile", "b", "present"): 3, **gone}
    version = open_manifest(open_store(later.output)).version
    assert published(later).version == version
    sources[0].write_bytes(b"a.tar")
    published(plan_of(sources, removed_inputs=policy))
    assert states(later) == BOTH


def test_a_source_that_is_there_or_that_no_pattern_names_is_not_gone(sources: tuple[Path, ...]) -> None:
    published(plan_of(sources))
    one = plan_of(sources[1:])
    assert published(one).version == 1  # a plan of an earlier moment does not know the other tar yet
    sources[0].unlink()
    for changes in ({"job": {"inputs": [str(sources[1])]}}, {"limit_samples": 3}):
        assert published(replace(one, **changes)).version == 1
    assert published(one).version == 2


def test_equal_contents_under_two_names_are_two_sources(sources: tuple[Path, ...]) -> None:
    sources[1].write_bytes(sources[0].read_bytes())
    plan = plan_of(sources)
    published(plan)
    assert states(plan) == BOTH


def test_patterns_name_what_a_plan_would_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = named_by(["in-{0..1}.tar", "sub/*.tar", "s3://bucket/a/**/x-?.tar", (tmp_path / "a b%.tar").as_uri()])
    for path in ("in-0.tar", "in-1.tar", "sub/x.tar", "a b%.tar"):
        assert named((tmp_path / path).as_uri())
    assert named("s3://bucket/a/b/c/x-1.tar") and named("s3://bucket/a/x-1.tar")
    for path in ("in-2.tar", "sub/.x.tar", "sub/y/x.tar", "other/sub/x.tar"):
        assert not named((tmp_path / path).as_uri())
    assert not named("s3://bucket/a/x-11.tar") and not named("s3://other/a/x-1.tar")


def test_a_source_in_a_bucket_is_looked_for(emulator: Emulator) -> None:
    store = emulator.store()
    store.put_new("a.tar", b"x")
    assert is_present(f"{store.uri}/a.tar", store.options) and not is_present(f"{store.uri}/b.tar", store.options)
