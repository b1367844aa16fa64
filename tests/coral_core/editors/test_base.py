from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from coral_core.bundle.models import Models
from coral_core.editors.base import Editor
from coral_core.stages import Stage
from coral_core.types import Inversion, Prompt


def test_models_are_not_in_the_state_dict_of_an_editor(models: Models) -> None:
    editor = Editor(models)
    assert not editor.state_dict()
    assert not list(editor.parameters())
    editor.train()
    assert not models.generator.training


def test_networks_that_would_train_are_refused(models: Models) -> None:
    with pytest.raises(AssertionError, match=r"models\.identity is not frozen"):
        Editor(replace(models, identity=torch.nn.Linear(2, 2).eval()))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=r"models\.clip is in training mode"):
        Editor(replace(models, clip=torch.nn.Dropout()))  # type: ignore[arg-type]


def test_methods_that_are_not_implemented_say_so(models: Models, inversion: Inversion) -> None:
    editor = Editor(models)
    with pytest.raises(NotImplementedError, match="not fitted by gradients"):
        editor.stages()
    with pytest.raises(NotImplementedError, match="not fitted by gradients"):
        editor.losses(inversion, Stage("edit", ()))
    with pytest.raises(NotImplementedError):
        editor.edit(inversion, [Prompt("red")] * 4)
