from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from coral_core.editors import spec
from coral_core.types import Prompt
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors, load_editor
from tasks.artifacts.stored import fitted, read_artifact
from tasks.plan.plan import Plan, make_plan
from tasks.worker.fit import fit_editor
from tests.tars import write_shards


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    write_shards(tmp_path, 1, 1)
    return make_plan(make_job())


@pytest.fixture
def store(plan: Plan) -> Store:
    return open_store(plan.output)


def test_a_fit_is_stored_once_and_loaded_exactly(plan: Plan, store: Store, models: Any) -> None:
    first = fit_editor(plan.fits[0], models, store)
    etags = [info.etag for info in store.list("editors/")]
    assert fit_editor(plan.fits[0], models, store) == first
    assert [info.etag for info in store.list("editors/")] == etags
    assert fitted(store) == {plan.fits[0].id}
    editor = load_editor(store, plan.edits[0], models)
    fresh = spec(plan.edits[0].method).build(plan.fits[0].options, Prompt("red hair", "a person"), models)
    assert editor.digest == first.sha256
    assert any(
        not torch.equal(a, b)
        for a, b in zip(editor.editor.state_dict().values(), fresh.state_dict().values(), strict=True)
    )


def test_equal_fits_are_equal_bytes(plan: Plan, tmp_path: Path, models: Any) -> None:
    found = [fit_editor(plan.fits[0], models, open_store(tmp_path / name)).sha256 for name in ("one", "two")]
    assert found[0] == found[1]


def test_tensors_without_record_are_adopted(plan: Plan, store: Store, models: Any) -> None:
    first = fit_editor(plan.fits[0], models, store)
    store.delete(f"editors/{first.fit_id}.json")
    assert fitted(store) == frozenset()
    adopted = read_artifact(store, first.fit_id)
    assert adopted is not None and adopted.sha256 == first.sha256 and adopted.losses == first.losses
    assert fitted(store) == {first.fit_id}


def test_an_edit_without_its_fit_says_so(plan: Plan, store: Store, models: Any) -> None:
    with pytest.raises(ValueError, match="not fitted yet"):
        load_editor(store, plan.edits[0], models)


def test_altered_tensors_are_not_used(plan: Plan, store: Store, models: Any) -> None:
    first = fit_editor(plan.fits[0], models, store)
    key = f"editors/{first.fit_id}.safetensors"
    data = store.read(key)
    store.delete(key)
    store.put_new(key, data[:-1] + b"\x01")
    with pytest.raises(ValueError, match=r"not what its \.json says"):
        load_editor(store, plan.edits[0], models)


def test_editors_are_loaded_once(plan: Plan, store: Store, models: Any) -> None:
    fit_editor(plan.fits[0], models, store)
    editors = Editors(store, models)
    assert editors[plan.edits[0]] is editors[plan.edits[0]]
