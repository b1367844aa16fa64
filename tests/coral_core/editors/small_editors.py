"""Editors of every method for the tiny networks, with small fits."""

from __future__ import annotations

from typing import Any

import torch

from coral_core.bundle.models import Models
from coral_core.editors import FitScope, spec
from coral_core.editors.base import Editor
from coral_core.inversion import no_samples
from coral_core.types import Inversion, Prompt

RED = Prompt("red")
WEIGHTS = {
    "directional": 4.0,
    "clip": 3.0,
    "perceptual": 0.3,
    "l2": 1.0,
    "norm": 0.1,
    "cycle": 1.0,
    "adapter_rate": 2e-3,
}
"""Options with which CLIPInverter learns an edit that it has to make itself (`start: regression`)."""
DRAWN: dict[Any, dict[str, torch.Tensor]] = {}
"""What bases that draw their samples themselves learned, by the sizes of the generator."""


def resolved(method: str, **fit: Any) -> dict[str, Any]:
    """Default options, with a small fit, or a short search for a method that is not fitted."""
    if spec(method).scope is FitScope.IMAGE:
        return spec(method).resolve({"steps": 6, "guess_samples": 64})
    changes = {"difference": 0.001} if cuts(method) else {}  # edits of tiny networks change little
    if not spec(method).is_fitted:
        return spec(method).resolve(changes)
    if spec(method).sourceless:
        return spec(method).resolve({"bank": 64, "fit": {"batch_size": 64, **fit, "steps": 3, "source_samples": 64}})
    return spec(method).resolve({**changes, "fit": {"steps": 3, "batch_size": 4, "source_samples": 8, **fit}})


def cuts(method: str) -> bool:
    """Whether edits are cut by default where they change the image little."""
    return bool(getattr(spec(method).config, "difference", 0.0))


def build(method: str, models: Models, source: Inversion | None = None, prompt: Prompt = RED, **fit: Any) -> Editor:
    """An editor that is not fitted; its base editor, if it has one, is fitted on `source`, if given.

    A base that draws its samples itself is fitted in any case, once for all tests with the same networks.
    """
    fitted_for = prompt if spec(method).scope is FitScope.PROMPT else None
    base = None
    if below := spec(method).base_of(resolved(method)):
        base = build(below, models, **fit)
        config = spec(below).fit_config(resolved(below, **fit))
        if spec(below).sourceless:
            sizes = models.generator.config
            if sizes not in DRAWN:
                base.fit(no_samples(models), config)
                DRAWN[sizes] = {name: value.clone() for name, value in base.state_dict().items()}
            base.load_state_dict(DRAWN[sizes])
        elif source is not None:
            base.fit(source, config)
        base.requires_grad_(False)
    return spec(method).build(resolved(method, **fit), fitted_for, models, base)
