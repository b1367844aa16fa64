"""The wishes of edits as `coral plan`, the report and the resolved job show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.stores.open import open_store
from pipelines.cli.plan_tables import wishes_lines
from pipelines.report.gather import gather, page_of
from pipelines.report.resolved_job import resolved_yaml
from pipelines.report.wishes import combined_wishes
from tasks.plan.plan import Plan, make_plan
from tests.tars import write_shards

SENTENCE = "a smiling person with red hair"
SMILE, RED = "a person who is smiling", "a person with red hair"


@pytest.fixture
def plan(tmp_path: Path, make_job: Callable[..., Any]) -> Plan:
    """Edits whose wishes are divided by the rule, said, one alone, and ignored because the method combines none."""
    write_shards(tmp_path, 1, 1)
    job = make_job()
    first = replace(job.edits[0], method="transport", options={}, target=SENTENCE)
    edits = (
        replace(first, id="divided"),
        replace(first, id="said", target="<b>", all_of=(RED, SMILE)),
        replace(first, id="one", target="a photo of one", all_of=("a person with <i>",)),
        replace(first, id="undivided", target=RED),
        replace(first, id="ignored", method="styleclip-directions"),
    )
    return make_plan(replace(job, edits=edits))


def test_wishes_are_those_that_the_edit_applies(plan: Plan) -> None:
    assert [combined_wishes(edit) for edit in plan.edits] == [
        (SMILE, RED),
        (SMILE, RED),
        ("a person with <i>",),
        (),
        (),
    ]


def test_plan_has_a_line_for_each_edit_that_combines_wishes(plan: Plan) -> None:
    divided, said, one = (edit.edit_id for edit in plan.edits[:3])
    assert [line.plain for line in wishes_lines(plan)] == [
        f"{divided} combines: {SMILE}; {RED}",
        f"{said} combines: {SMILE}; {RED}",
        f"{one} combines: a person with <i>",
    ]


def test_the_page_and_the_resolved_job_have_them(plan: Plan) -> None:
    page = page_of(gather(open_store(plan.output), plan))
    assert page.count(f"combines \u201c{SMILE}\u201d, \u201c{RED}\u201d") == 2 and page.count("· combines") == 3
    assert "combines \u201ca person with &lt;i&gt;\u201d" in page
    edits = yaml.safe_load(resolved_yaml(plan, {}))["edits"]
    assert [edit["all_of"] for edit in edits] == [[], [SMILE, RED], ["a person with <i>"], [], []]
