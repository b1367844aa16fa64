"""Shared by the tests of the edit wave: the waves before it, and the rows that it commits."""

from __future__ import annotations

from typing import Any

from manifests.commit import read_commit
from manifests.parquet.reader import read_rows
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors
from tasks.plan.plan import Plan
from tasks.spec.requests import EditRequest
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard

BROKEN = [("broken.png", b"no image"), ("lonely.json", b"{}")]


def prepare(plan: Plan, models: Any) -> tuple[Store, list[list[EditRequest]], Editors]:
    """Everything before the edit wave."""
    store = open_store(plan.output)
    for inversion in plan.invert_requests():
        invert_shard(inversion, models, store)
    for fit in plan.fits:
        fit_editor(fit, models, store)
    return store, list(plan.edit_requests()), Editors(store, models)


def rows_of(store: Store, request_id: str, prefix: str = "data/") -> list[dict[str, Any]]:
    record = read_commit(store, request_id)
    assert record is not None
    return [row for ref in record.objects if ref.key.startswith(prefix) for row in read_rows(store, ref.key)]
