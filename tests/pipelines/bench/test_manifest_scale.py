"""The benchmark of the manifest measures real steps on an output that a run could have made."""

from __future__ import annotations

from pathlib import Path

from manifests.stores.open import open_store
from manifests.table import open_manifest
from pipelines.bench.manifest_scale import STEPS, ScaleConfig, make_output, run_step, table
from tasks.publish.verify import verify


def test_every_step_runs_on_what_was_made(tmp_path: Path) -> None:
    config = ScaleConfig(tmp_path, requests=40, rows=5, processes=1)
    make_output(config, first=0, last=2)
    costs = {step: run_step(config, step) for step in STEPS}
    assert costs["publish"].note == "40 requests, 200 rows" and costs["publish again"].note == "0 requests, 200 rows"
    assert costs["subtract"].note == "40 of 40 done" and costs["gc"].note == "0 leftovers"
    assert costs["publish"].gets == 40 + 2 + 1 and costs["publish again"].gets == 0
    store = open_store(tmp_path / "out")
    assert verify(store).problems == () and len(open_manifest(store).requests) == 40
    assert table(list(costs.values())).count("\n") == len(STEPS) + 1
