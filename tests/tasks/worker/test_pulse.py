from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from tasks.plan.plan import Plan, make_plan
from tasks.shards import output as output_module
from tasks.shards import reading
from tasks.worker import edit as edit_module
from tasks.worker import invert as invert_module
from tasks.worker.edit import edit_shard
from tasks.worker.invert import invert_shard
from tasks.worker.pulse import Pulse
from tests.tars import members_of, write_tar
from tests.tasks.worker.edited import prepare


def test_pulses_report_the_progress(plan: Plan, models: Any) -> None:
    store, (requests,), editors = prepare(plan, models)
    pulses: list[Pulse] = []
    edit_shard(requests, editors, models, store, pulse=pulses.append)
    assert [pulse.samples for pulse in pulses] == sorted(pulse.samples for pulse in pulses)
    assert (pulses[-1].samples, pulses[-1].fraction) == (22, 1.0)


def test_pulses_distinguish_transfers_from_computation(
    plan: Plan, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (requests,), editors = prepare(plan, models)
    pulses: list[Pulse] = []
    seen: set[tuple[str, bool]] = set()

    def watched(module: Any, name: str) -> None:
        whole = getattr(module, name)

        def look(*arguments: Any, **options: Any) -> Any:
            seen.add((name, pulses[-1].transfers))
            return whole(*arguments, **options)

        monkeypatch.setattr(module, name, look)

    for module, name in (
        (reading, "local_copy"),
        (edit_module, "edit_batch"),
        (invert_module, "invert_batch"),
        (output_module, "commit"),
    ):
        watched(module, name)
    edit_shard(requests, editors, models, store, pulse=pulses.append)
    other = open_store(f"{plan.output}-again")
    invert_shard(requests[0].inversion, models, other, pulse=pulses.append)
    assert seen == {("local_copy", True), ("edit_batch", False), ("invert_batch", False), ("commit", True)}


def test_an_edit_that_optimises_for_each_image_sends_a_pulse_per_step(
    tmp_path: Path, make_job: Callable[..., Any], models: Any
) -> None:
    """Because a batch may take longer than the stall deadline."""
    write_tar(tmp_path / "in-0.tar", members_of(3))
    options = {"steps": 6, "settled": 0.0, "start": "none", "embedding": 0}
    slow = replace(make_job().edits[0], method="styleclip-optimization", options=options)
    store, (requests,), editors = prepare(make_plan(make_job(edits=(slow,))), models)
    pulses: list[Pulse] = []
    edit_shard(requests, editors, models, store, pulse=pulses.append)
    during = [pulse.fraction for pulse in pulses if pulse.samples == 0 and pulse.fraction > 0]
    assert len(set(during)) == 6 and during == sorted(during)
