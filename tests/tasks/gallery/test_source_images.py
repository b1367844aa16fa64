from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.query import query
from manifests.stores.open import open_store
from tasks.gallery.missing import Missing
from tasks.gallery.source_images import Source, SourceReader
from tasks.gallery.stored_latents import name_of
from tasks.images.decode import decode
from tasks.plan.plan import Plan
from tasks.spec.geometry import Geometry
from tasks.spec.requests import Shard
from tests.tars import image_bytes, write_tar

SIZES = [(64, 64), (90, 60), (300, 200)]


@pytest.fixture
def finished(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> tuple[Plan, list[dict[str, Any]]]:
    """A plan and its rows."""
    write_tar(tmp_path / "in-0.tar", [(f"{index}.png", image_bytes(index, size)) for index, size in enumerate(SIZES)])
    plan, _ = run_job(make_job(geometry=Geometry(fit="crop", output="source")))
    return plan, query(open_store(plan.output), "SELECT * FROM manifest ORDER BY key").to_pylist()


def test_squares_are_what_the_generator_saw_and_kept_only_where_they_are_asked_for(finished: Any) -> None:
    plan, rows = finished
    wanted = name_of(rows[0])
    found = SourceReader(plan, 64, {wanted}).read(rows)
    for index, (name, source) in enumerate(found.items()):
        assert isinstance(source, Source) and max(source.tile_HWC.shape) <= 192
        seen = decode(image_bytes(index, SIZES[index]), plan.invert.geometry, 64).pixels_HWC
        assert source.square_HWC is None if name != wanted else np.array_equal(source.square_HWC, seen)


def test_big_tars_in_buckets_are_not_fetched_for_a_picture(finished: Any) -> None:
    plan, rows = finished
    (shard,) = plan.shards
    remote = Shard(uri=shard.uri, size=5 * 10**9, sha256="", etag="e")
    found = SourceReader(replace(plan, shards=(remote,)), 64).read(rows)
    assert set(found.values()) == {Missing("not downloaded: its shard has 5000 MB")}
    found = SourceReader(replace(plan, shards=()), 64).read(rows)
    assert set(found.values()) == {Missing("its shard is not one of this run")}


def test_a_tar_that_changed_gives_no_picture(finished: Any, tmp_path: Path) -> None:
    plan, rows = finished
    write_tar(tmp_path / "in-0.tar", [("0.png", image_bytes(77)), ("1.png", image_bytes(78))])
    (missing,) = set(SourceReader(plan, 64).read(rows).values())
    assert isinstance(missing, Missing) and "was changed" in missing.reason
