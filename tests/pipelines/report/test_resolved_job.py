from __future__ import annotations

from typing import Any

import yaml

from pipelines.report.gather import gather, page_of
from pipelines.report.resolved_job import resolved_yaml
from pipelines.report.run_record import RunRecord


def test_what_the_user_did_not_write_is_there_with_what_it_was(published: Any) -> None:
    found = yaml.safe_load(resolved_yaml(published.plan, {"max_hours": 2.0}))
    hostile, tame = found["edits"]
    assert hostile["options"]["total_variation"] == 0.1 and hostile["options"]["region_rate"] == 0.015
    assert (
        hostile["options"]["fit"] | {"steps": 2, "source_samples": 8, "precision": "bfloat16"}
        == (hostile["options"]["fit"])
    )
    assert tame["options"]["latent_rate"] == 0.2 and tame["strength"] == 1.0
    assert (tame["composite"], tame["format"], tame["labels"]) == ("source", "png", {})
    assert hostile["fit_id"] == published.plan.fits[0].id and hostile["seed"] == 0
    assert hostile["gates"]["min_direction"] is not None and hostile["gates"]["max_area"] is None
    assert found["geometry"] == {"fit": "resize", "output": "generator"}
    assert (found["batch_size"], found["limit_samples"], found["max_hours"]) == (4, None, 2.0)


def test_it_is_on_the_page_with_what_only_the_run_knows(published: Any) -> None:
    page = page_of(gather(published.store, published.plan))
    assert "region_rate: 0.015" in page and "composite: source" in page and "stall_minutes" not in page
    assert "Resources, deadlines and max_hours are not known" in page
    record = RunRecord(settings={"deadlines": {"stall_minutes": 30.0}})
    page = page_of(gather(published.store, published.plan, record))
    assert "stall_minutes: 30.0" in page and "max_hours are not known" not in page


def test_no_credential_is_asked_for_and_none_is_shown(published: Any) -> None:
    found = yaml.safe_load(resolved_yaml(published.plan, {}))
    assert set(found["s3"]) <= {
        *("endpoint", "region", "path_style", "encryption", "kms_key_id", "connect_timeout", "read_timeout"),
    }
