from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks.plan.plan import Plan
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import small_plan

RULES = PublishRules(gates=Gates(min_direction=0.1, max_area=0.5), labels={"hair.color": "red", "caption": None})


def test_rules_come_back_from_their_text() -> None:
    assert PublishRules.read(RULES.text) == RULES
    assert PublishRules.read("") == PublishRules() == PublishRules.read(PublishRules().text)


def test_equal_rules_have_equal_texts() -> None:
    assert replace(RULES, labels={"caption": None, "hair.color": "red"}).text == RULES.text
    others = [replace(RULES, gates=Gates()), replace(RULES, labels={}), replace(RULES, labels={"hair.color": "red"})]
    assert len({RULES.text, *(rules.text for rules in others)}) == 4


def test_a_plan_keeps_its_rules_and_no_id_depends_on_them(tmp_path: Path) -> None:
    plan, plain = small_plan(tmp_path, rules={"red": RULES}), small_plan(tmp_path)
    red, smile = Plan.from_json(plan.to_json()).edits
    assert (Plan.from_json(plan.to_json()).rules_of(red), plan.rules_of(smile)) == (RULES, PublishRules())
    ids = [[request.id for shard in each.edit_requests() for request in shard] for each in (plan, plain)]
    assert ids[0] == ids[1] and [edit.edit_id for edit in plan.edits] == [edit.edit_id for edit in plain.edits]
