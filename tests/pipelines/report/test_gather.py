from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from manifests.stores.open import open_store
from manifests.stores.store import Store
from manifests.table import open_manifest
from pipelines.report.gather import find_plan, gather, page_of, published_gates
from pipelines.report.run_record import RunRecord
from tasks.plan.plan import Plan, record_plan
from tasks.run.waves import Failure, WaveSummary
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.pipelines.report.publishedrows import GOOD
from tests.tars import write_shards


def test_every_row_is_in_the_numbers_and_chosen_ones_have_their_pictures(published: Any) -> None:
    report = gather(published.store, published.plan)
    hostile, tame = report.edits
    assert dict(hostile.figures.statuses) == {"ok": GOOD / 2, "rejected": GOOD / 2, "undecodable": 1}
    assert dict(tame.figures.statuses) == {"ok": GOOD, "undecodable": 1}
    assert report.gates == ["min_direction"]
    assert [(each.status, each.rows, each.edits) for each in report.reasons] == [("undecodable", 2, 2)]
    for shown in (*hostile.samples, *tame.samples):
        tiles = [getattr(shown.example, name) for name in ("source", "inversion", "edit", "mask", "difference")]
        assert all(bool(tile.missing) == (shown.example.row["status"] == "undecodable") for tile in tiles)
    assert hostile.heat_map is not None and tame.heat_map is None  # only the first one has regions
    assert not hostile.heat_map.missing and hostile.heat_map.samples == GOOD
    (gated,) = [panel for panel in hostile.panels if panel.gates]
    assert gated.score.column == "direction" and gated.gates[0].rejected == GOOD // 2


def test_the_requests_in_force_are_reported(
    tmp_path: Path, make_job: Callable[..., Any], run_job: Callable[..., Any]
) -> None:
    """A run with a limit after a run without one: the edit of the whole shard is in force."""
    write_shards(tmp_path, 1, 3)
    run_job(make_job())
    plan, _ = run_job(make_job(), limit_samples=2)
    report = gather(open_store(plan.output), plan)
    assert [dict(edit.figures.statuses) for edit in report.edits] == [{"ok": 3}, {"ok": 3}]


def test_the_work_is_accounted_for(published: Any) -> None:
    report = gather(published.store, published.plan)
    phases = {phase.name: phase.count for phase in report.timings.phases if phase.unit == "images"}
    assert phases == dict.fromkeys(("invert", "edit hostile", "edit tame", "write hostile", "write tame"), GOOD + 1)
    assert all(phase.rate for phase in report.timings.phases if phase.name.startswith("edit"))
    assert all(edit.artifact is not None and edit.artifact.steps == 2 for edit in report.edits)


def test_missing_pictures_have_a_reason(published: Any, tmp_path: Path) -> None:
    plan: Plan = published.plan
    elsewhere = replace(plan, bundle=str(tmp_path))
    with moved(Path(unquote(urlsplit(plan.shards[0].uri).path))):
        edits = gather(published.store, elsewhere).edits
    shown = [each for edit in edits for each in edit.samples]
    assert edits[0].heat_map is not None and "lacks" in edits[0].heat_map.missing
    assert all(row.bar is not None and not row.cells for row in edits[0].heat_map.rows)
    good = [each.example for each in shown if each.example.row["status"] == "ok"]
    assert len(good) >= GOOD
    for example in good:
        assert "is gone" in example.source.missing and "bundle" in example.inversion.missing
        assert example.difference.missing and example.edit.data and example.mask.data


@contextmanager
def moved(path: Path) -> Iterator[None]:
    """The file has another name inside this block."""
    away = path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        away.rename(path)


def test_a_run_of_which_nothing_came_out_has_a_page(published: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record_plan(store, published.plan)
    wave = WaveSummary("invert", failures=[Failure("invert <b>", "ValueError: it broke")])
    page = page_of(gather(store, published.plan, RunRecord(waves=(wave,))))
    assert "Nothing is published yet" in page and "it broke" in page and "<b>" not in page
    assert "No row of this edit is published" in page


def test_a_bucket_gives_the_same_page(published: Any, store: Store) -> None:
    folder = Path(published.plan.output)
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and ".staging" not in each.parts):
        store.put_file(path.relative_to(folder).as_posix(), path)
    assert page_of(gather(store, published.plan)) == page_of(gather(published.store, published.plan))


def test_the_waves_are_on_the_page_of_a_run_that_ended(published: Any) -> None:
    assert "the run did not end normally" in page_of(gather(published.store, published.plan))
    waves = (WaveSummary("edit", done=3, reused=2, samples=50, seconds=20.0, left=4), WaveSummary("fit", done=1))
    page = page_of(gather(published.store, published.plan, RunRecord(waves=waves, actor_hours=0.25, cost="1.50 EUR")))
    cells = [re.findall(r">([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    assert ["edit", "20 s", "3", "2", "–", "50", "2.5"] in cells and ["fit", "0.0 s", "1", "0", "–", "–", "–"] in cells
    assert "0.25 actor hours, 1.50 EUR" in page and "4 works were not begun" in page


def test_a_run_is_found_by_its_id(published: Any, tmp_path: Path) -> None:
    newest = published.plan.run_id
    assert find_plan(published.store, None).run_id == find_plan(published.store, newest).run_id == newest
    with pytest.raises(ValueError, match=f"no run 'x' there; the newest are {newest}"):
        find_plan(published.store, "x")
    with pytest.raises(ValueError, match="no run was ever planned"):
        find_plan(open_store(tmp_path), None)


def test_the_gates_shown_are_those_the_rows_were_published_by(published: Any) -> None:
    plan: Plan = published.plan
    strict = PublishRules(gates=Gates(min_identity=0.5))
    later = replace(plan, publish={edit.slug: strict for edit in plan.edits})
    requests = open_manifest(published.store).requests
    assert published_gates(requests, later) == published_gates(requests, plan)
    assert Counter(published_gates({}, later).values()) == {strict.gates: 2}
