from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.estimate.pilot_shards import PilotShards
from tasks.inputs.find import describe


@pytest.fixture
def pilot_shards(tmp_path: Path) -> Callable[..., PilotShards]:
    """The parts of a local tar; their excerpt becomes tmp_path/excerpt.tar."""

    def put(path: Path) -> Any:
        return describe(Path(shutil.copy(path, tmp_path / "excerpt.tar")))

    def cut(tar: Path, batch: int, samples: int, limit: int | None = None) -> PilotShards:
        return PilotShards.of(replace(describe(tar), limit=limit), batch, samples, put)

    return cut
