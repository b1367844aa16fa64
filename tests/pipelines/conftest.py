from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import Coral


@pytest.fixture(scope="session")
def coral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coral]:
    running = Coral(tmp_path_factory.mktemp("prefect"))
    yield running
    running.close()
