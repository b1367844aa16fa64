from __future__ import annotations

from typing import Any

import pytest

from pipelines.report import spent
from pipelines.report.spent import time_spent


def test_a_huge_plan_is_measured_on_some_of_its_commits(published: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = time_spent(published.store, published.plan)
    assert (everything.commits, everything.read) == (3, 3)
    monkeypatch.setattr(spent, "COMMITS", 2)
    some = time_spent(published.store, published.plan)
    assert (some.commits, some.read) == (3, 2)
    rates = {phase.name: phase.rate for phase in everything.phases}
    assert {phase.name: phase.rate for phase in some.phases}.items() <= rates.items()
