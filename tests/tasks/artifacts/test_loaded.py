from __future__ import annotations

from typing import Any

import pytest

from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors, load_editor
from tasks.plan.plan import Plan
from tasks.worker.fit import fit_editor


def test_an_edit_whose_fit_is_missing_is_an_error(plan: Plan, store: Store, models: Any) -> None:
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
