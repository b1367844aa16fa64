from __future__ import annotations

from typing import Any

from manifests.stores.store import Store
from tasks.artifacts.stored import fitted, read_artifact
from tasks.plan.plan import Plan
from tasks.worker.fit import fit_editor


def test_tensors_without_record_are_adopted(plan: Plan, store: Store, models: Any) -> None:
    first = fit_editor(plan.fits[0], models, store)
    store.delete(f"editors/{first.fit_id}.json")
    assert fitted(store) == frozenset()
    adopted = read_artifact(store, first.fit_id)
    assert adopted is not None and adopted.sha256 == first.sha256 and adopted.losses == first.losses
    assert fitted(store) == {first.fit_id}
