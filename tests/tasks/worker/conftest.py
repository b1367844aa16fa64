"""A plan whose shard holds two samples that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.plan.plan import Plan, make_plan
from tests.tars import members_of, write_tar
from tests.tasks.worker.edited import BROKEN


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Eleven samples in batches of four; the third and the last cannot be used."""
    good = [members_of(number) for number in range(9)]
    order = [*good[:2], BROKEN[:1], *good[2:], BROKEN[1:]]
    write_tar(tmp_path / "in-000.tar", [member for sample in order for member in sample])
    return make_plan(make_job())
