"""The hostile data set by the real command: the run ends, with exit code 2, and no sample is lost."""

from __future__ import annotations

from pathlib import Path

import yaml

from coral_core.zoo.random_bundle import write_random_bundle
from manifests.query import query
from manifests.stores.open import open_store
from tests.hostile import SPRUNG, write_hostile
from tests.processes import Coral


def test_a_hostile_data_set_ends_with_exit_code_2_and_every_sample_accounted_for(tmp_path: Path, coral: Coral) -> None:
    expected = write_hostile(tmp_path / "in")
    job = {
        "name": "hostile",
        "input": str(tmp_path / "in" / "*.tar"),
        "output": str(tmp_path / "out"),
        "bundle": str(write_random_bundle(tmp_path / "bundle")),
        "batch_size": 4,
        "fit_source": {"samples": 2},
        "max_failure_rate": 1.0,
        "edits": [
            {
                "id": "red",
                "target": "red hair",
                "method": "coral-mapper-attention",
                "options": {"start": "regression", "embedding": 0, "fit": {"steps": 1, "batch_size": 2}},
            }
        ],
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    printed = coral.run("run", path, code=2)
    assert "Traceback" not in printed
    columns = "source_uri, key, status, reason, image_uri"
    rows = query(open_store(str(tmp_path / "out")), f"SELECT {columns} FROM manifest").to_pylist()
    for tar, wanted in expected.items():
        found = [row for row in rows if row["source_uri"].endswith(f"/{tar}")]
        assert len(found) == len(wanted), tar
        for want in wanted:
            assert any(want.fits(row) for row in found), (tar, want)
        assert all((row["image_uri"] is not None) == (row["status"] == "ok") for row in found)
    assert not SPRUNG.exists()
