from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from coral_core.editors import spec
from coral_core.fit import FitReport
from coral_core.types import Prompt
from manifests.stores.store import Store
from tasks.artifacts.stored import encode_artifact, fitted_ids, read_artifact, read_notes
from tasks.plan.plan import Plan
from tasks.worker.fit import fit_editor


def test_tensors_without_record_are_adopted(plan: Plan, store: Store, models: Any) -> None:
    first = fit_editor(plan.fits[0], models, store)
    store.delete(f"editors/{first.fit_id}.json")
    assert fitted_ids(store) == frozenset()
    adopted = read_artifact(store, first.fit_id)
    assert adopted is not None and adopted.sha256 == first.sha256 and adopted.losses == first.losses
    assert fitted_ids(store) == {first.fit_id}


def test_an_artifact_whose_values_overflow_in_its_type_is_refused_by_the_tensors_name(plan: Plan, models: Any) -> None:
    fit = plan.fits[0]
    editor = spec(fit.method).build(fit.options, Prompt(fit.target, fit.source), models)
    name, tensor = next((name, each) for name, each in editor.state_dict().items() if each.is_floating_point())
    tensor.view(-1)[0] = 1e5
    report = FitReport(steps=1, seconds=0.0, losses={})
    with pytest.raises(ValueError, match=rf"'{re.escape(name)}' has a value of magnitude 100000; .*torch\.float32"):
        encode_artifact(fit, editor, report, torch.float16)
    assert read_notes(encode_artifact(fit, editor, report))["steps"] == 1
