"""Every test that takes `store` runs on every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from emulator import ENVIRONMENT, Emulator

from manifests.store import Store, open_store

STORES: Mapping[str, Callable[[pytest.FixtureRequest, Path], Store]] = {
    "local": lambda request, folder: open_store(folder / "store"),
    "s3": lambda request, folder: request.getfixturevalue("emulator").store(),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store. It can be pickled, so that child processes open the same one."""
    return STORES[request.param](request, tmp_path)


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """An emulator of S3, and the credentials it takes, in the environment of this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        server = Emulator()
        yield server
        server.stop()
