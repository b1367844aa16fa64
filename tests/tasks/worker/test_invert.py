from __future__ import annotations

from typing import Any

import pyarrow as pa

from manifests.commit import read_commit
from tasks.plan.plan import Plan
from tests.tasks.worker.edited import prepare


def test_inversions_keep_their_shape(plan: Plan, models: Any) -> None:
    from manifests.parquet.reader import open_parquet
    from manifests.parquet.schema import ws_shape

    store, _, _ = prepare(plan, models)
    (record,) = [read_commit(store, request.id) for request in plan.invert_requests()]
    assert record is not None
    with open_parquet(store, record.objects[0].key) as file:
        assert ws_shape(file.schema_arrow) == (models.generator.num_ws, models.generator.w_dim)
        assert isinstance(file.read().column("ws"), pa.ChunkedArray)
