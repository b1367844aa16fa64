from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.plan.plan import make_plan
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tests.tars import write_shards


def test_a_shard_must_be_inverted_first(tmp_path: Path, models: Any, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 2)
    plan = make_plan(make_job())
    store = open_store(plan.output)
    for fit in plan.fits:
        fit_editor(fit, models, store)
    with pytest.raises(ValueError, match="not inverted yet"):
        edit_shard(next(plan.edit_requests()), Editors(store, models), models, store)
