from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from coral_core.editors import spec
from coral_core.types import Prompt
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.artifacts.loaded import load_editor
from tasks.artifacts.stored import fitted_ids
from tasks.plan.plan import Plan
from tasks.worker.fit import fit_editor


@pytest.fixture
def store(plan: Plan) -> Store:
    return open_store(plan.output)


def test_a_fit_is_stored_once_and_loaded_exactly(plan: Plan, store: Store, models: Any) -> None:
    first = fit_editor(plan.fits[0], models, store)
    etags = [info.etag for info in store.list("editors/")]
    assert fit_editor(plan.fits[0], models, store) == first
    assert [info.etag for info in store.list("editors/")] == etags
    assert fitted_ids(store) == {plan.fits[0].id}
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
