"""Two edits of two small shards, published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.store import Store
from tests.painted import publish_painted
from tests.tars import write_shards


@pytest.fixture
def output(tmp_path: Path, make_job: Callable[..., Any]) -> Store:
    """Two edits of two shards with three samples each."""
    write_shards(tmp_path, 2, 3)
    return publish_painted(make_job())[1]
