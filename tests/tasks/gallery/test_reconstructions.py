from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coral_core.zoo.random_bundle import write_random_bundle
from manifests.query import query
from manifests.stores.open import open_store
from tasks.gallery import reconstructions
from tasks.gallery.missing import Missing
from tasks.gallery.reconstructions import Reconstructions
from tasks.gallery.stored_latents import StoredLatents, name_of
from tasks.plan.plan import make_plan
from tests.tars import write_shards


@pytest.fixture
def finished(tmp_path: Path, make_job: Any, run_job: Callable[..., Any]) -> Any:
    write_shards(tmp_path, 1, 3)
    plan, _ = run_job(make_job())
    store = open_store(plan.output)
    return store, plan, query(store, "SELECT * FROM manifest ORDER BY edit, key").to_pylist()


def test_another_generator_is_not_taken_for_the_runs_own(finished: Any) -> None:
    store, plan, rows = finished
    other = replace(plan, digests={**plan.digests, "generator": "another"})
    found = Reconstructions(StoredLatents(store), other).of(rows)
    assert all("is not the one of this run" in str(each) for each in found.values()) and len(found) == 3


def test_a_plan_that_knows_no_generator_is_a_reason(finished: Any) -> None:
    store, plan, rows = finished
    found = Reconstructions(StoredLatents(store), replace(plan, digests={})).of(rows)
    assert set(found.values()) == {Missing("KeyError: 'generator'")}


def test_latents_of_another_shape_are_a_reason_and_the_others_are_drawn(finished: Any, tmp_path: Path) -> None:
    store, plan, rows = finished
    latents = StoredLatents(store)
    odd = name_of(rows[0])
    latents.of(rows)
    latents._found[odd] = np.zeros((3, 5), np.float32)
    found = Reconstructions(latents, plan).of(rows)
    assert "(3, 5)" in str(found.pop(odd))
    assert all(isinstance(each, np.ndarray) and each.shape == (64, 64, 3) for each in found.values())


def test_a_generator_that_fails_on_every_sample_gives_reasons(finished: Any) -> None:
    store, plan, rows = finished
    drawing = Reconstructions(StoredLatents(store), plan)
    assert not isinstance(drawing.generator, Missing)
    drawing.generator.styles = lambda ws_BLD: {}["layer"]  # type: ignore[method-assign]
    assert set(drawing.of(rows).values()) == {Missing("KeyError: 'layer'")}


def test_a_page_has_a_largest_number_of_pixels_of_inversions(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, plan, rows = finished
    monkeypatch.setattr(reconstructions, "MAX_PIXELS", 2 * 64**2)
    found = list(Reconstructions(StoredLatents(store), plan).of(rows).values())
    assert all(isinstance(each, np.ndarray) for each in found[:2]) and isinstance(found[2], Missing)
    assert found[2].reason == "not rendered: the inversions of one page have at most 0.0082 million pixels"


def test_a_bundle_whose_file_is_damaged_is_a_reason(finished: Any, tmp_path: Path, make_job: Any) -> None:
    store, _, rows = finished
    bundle = write_random_bundle(tmp_path / "bundle")
    plan = make_plan(make_job(bundle=str(bundle)))
    (bundle / "generator.safetensors").write_bytes(b"no tensors")
    (missing,) = set(Reconstructions(StoredLatents(store), plan).of(rows).values())
    assert isinstance(missing, Missing) and missing.reason
