"""Every test that takes `store` runs on every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from manifests.store import Store, open_store

STORES: Mapping[str, Callable[[Path], Store]] = {
    "local": lambda folder: open_store(folder / "store"),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store. It can be pickled, so that child processes open the same one."""
    return STORES[request.param](tmp_path)
