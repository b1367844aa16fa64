"""Which edits of a run share a loaded editor, and that sharing changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coral_core.inversion import generator_samples
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors, load_editor
from tasks.plan.plan import Plan, make_plan
from tasks.worker.fit import fit_editor
from tests.inverters import ABOVE, BASE, shorten_fits
from tests.pictures import encoded, plain
from tests.tars import write_shards

MAPPER, SEARCH = "styleclip-mapper", "styleclip-optimization"
ALONE: dict[str, Any] = {"options": {"start": "none", "embedding": 0}}
"""A mapper or a search that builds upon no other method."""


@pytest.fixture
def prepare(
    tmp_path: Path, models: Any, make_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Plan, Store]]:
    """The plan of edits, each a method with other fields, and the store with their artifacts."""
    shorten_fits(monkeypatch, BASE, ABOVE, MAPPER)
    write_shards(tmp_path, 1, 4)
    captions = (str(tmp_path / "in-*.tar"),)

    def make(*wanted: dict[str, Any]) -> tuple[Plan, Store]:
        first = replace(make_job().edits[0], options={})
        edits = tuple(replace(first, id=f"edit-{index}", **each) for index, each in enumerate(wanted))
        plan = make_plan(make_job(edits=edits, fit_captions=captions))
        store = open_store(plan.output)
        for fit in plan.fits:
            fit_editor(fit, models, store)
        return plan, store

    return make


def test_edits_of_one_artifact_for_any_prompt_share_it_and_not_their_prompts(
    prepare: Callable[..., Any], models: Any
) -> None:
    plan, store = prepare(
        {"method": BASE, "target": "red hair"}, {"method": BASE, "target": "a smile", "strength": 0.5}
    )
    editors = Editors(store, models)
    one, other = (editors[edit] for edit in plan.edits)
    assert one.editor is other.editor and one.digest == other.digest
    assert (one.prompt.target, other.prompt.target) == ("red hair", "a smile")


def test_edits_of_prompts_that_are_fitted_each_share_nothing(prepare: Callable[..., Any], models: Any) -> None:
    for method in (MAPPER, ABOVE):
        same = {"method": method, **(ALONE if method == MAPPER else {})}
        plan, store = prepare({**same, "target": "red hair"}, {**same, "target": "a smile"})
        editors = Editors(store, models)
        one, other = (editors[edit] for edit in plan.edits)
        assert one.editor is not other.editor and one.digest != other.digest
        for found in (one, other):
            found.editor.check([found.prompt])


def test_edits_of_one_prompt_that_differ_in_strength_share(prepare: Callable[..., Any], models: Any) -> None:
    plan, store = prepare({"method": MAPPER, **ALONE}, {"method": MAPPER, "strength": 0.5, **ALONE})
    editors = Editors(store, models)
    one, other = (editors[edit] for edit in plan.edits)
    assert plan.edits[0].edit_id != plan.edits[1].edit_id
    assert one.editor is other.editor


def test_options_of_edits_alone_share_the_artifact_and_not_the_editor(prepare: Callable[..., Any], models: Any) -> None:
    plan, store = prepare({"method": BASE}, {"method": BASE, "options": {"remapping": 0.0}})
    editors = Editors(store, models)
    one, other = (editors[edit] for edit in plan.edits)
    assert plan.edits[0].fit_id == plan.edits[1].fit_id and one.digest == other.digest
    assert one.editor is not other.editor


def test_edits_without_artifact_share_the_editor_that_optimises_them(prepare: Callable[..., Any], models: Any) -> None:
    same = {"method": SEARCH, **ALONE}
    plan, store = prepare({**same, "target": "red hair"}, {**same, "target": "a smile"})
    editors = Editors(store, models)
    one, other = (editors[edit] for edit in plan.edits)
    assert one.editor is other.editor and one.digest == ""
    assert one.prompt != other.prompt


def test_an_edit_with_a_reference_shares_the_editor_and_not_the_embedding(
    prepare: Callable[..., Any], models: Any, tmp_path: Path
) -> None:
    (picture := tmp_path / "look.png").write_bytes(encoded(plain()))
    plan, store = prepare({"method": BASE, "reference": str(picture)}, {"method": BASE})
    editors = Editors(store, models)
    shown, told = (editors[edit] for edit in plan.edits)
    assert shown.editor is told.editor
    assert shown.prompt.look and not told.prompt.look


def test_a_shared_editor_edits_as_one_of_its_own(prepare: Callable[..., Any], models: Any) -> None:
    """In turn on the same images, as a shard's edits are, and whatever was edited before."""
    plan, store = prepare(*({"method": BASE, "target": target} for target in ("red hair", "a smile", "a hat")))
    source, editors = generator_samples(models, 3, seed=1), Editors(store, models)
    for edit in (*plan.edits, *reversed(plan.edits)):
        shared, own = editors[edit], load_editor(store, edit, models)
        images = [each.editor.edit(source, [each.prompt] * 3).image_BCHW for each in (shared, own)]
        assert torch.equal(*images)


def test_an_editor_is_loaded_once(prepare: Callable[..., Any], models: Any) -> None:
    plan, store = prepare({"method": BASE})
    editors = Editors(store, models)
    assert editors[plan.edits[0]] is editors[plan.edits[0]]
