from __future__ import annotations

from pathlib import Path

import pytest

from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.jobfile.job import Job
from pipelines.report.run_record import RunRecord, put_record, read_record
from tasks.run.waves import Failure, WaveSummary

RUN = "20260101T000000-ab"
JOB = {
    "name": "priced",
    "input": "in.tar",
    "output": "out",
    "edits": [{"id": "one", "target": "red hair"}],
    "resources": {"memory": "4GiB", "price_per_actor_hour": 2.0},
    "max_hours": 3,
}


def test_a_record_comes_back_as_it_was_but_for_tracebacks(store: Store) -> None:
    failure = Failure("edit s", "KeyError: 1", "Traceback of /home/somebody")
    waves = (
        WaveSummary("invert", done=2, reused=1, samples=30, seconds=4.5, counts={"ok": 30}, left=1),
        WaveSummary("edit", failures=[failure]),
    )
    out = "GPU 3 of host a is taken out of the run: 3 workers were lost on it in a row"
    record = RunRecord.of(Job.model_validate(JOB), waves, 1.5, [out])
    put_record(store, RUN, record)
    found = read_record(store, RUN)
    assert found is not None and found.waves[0] == waves[0]
    assert (found.cost, found.left, found.failures) == ("3.00 USD", 1, [Failure("edit s", "KeyError: 1")])
    assert b"somebody" not in store.read(f"reports/{RUN}/run.json")
    assert found.settings == record.settings and found.settings["resources"]["memory"] == 4 * 2**30
    assert found.excluded == (out,)
    assert found.settings["max_hours"] == 3 and found.settings["deadlines"]["stall_minutes"] == 30


def test_a_run_that_did_not_end_has_no_record_and_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert read_record(store, RUN) is None
    store.put_new(f"reports/{RUN}/run.json", b'{"waves": [{"wave": "edit"}]}')
    with pytest.raises(ValueError, match=f"not the record of a run.*remove reports/{RUN}/run.json"):
        read_record(store, RUN)
