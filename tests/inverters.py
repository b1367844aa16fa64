"""Small versions of methods that learn from captions or build upon such a method: fits, and bundles that ship one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from coral_core.bundle.catalog import read_bundle
from coral_core.bundle.models import load_models
from coral_core.editors import EDITORS, spec
from coral_core.editors.styleclip.optimization import OptimizationConfig
from coral_core.fit import FitConfig, FitReport
from coral_core.inversion import no_samples
from coral_core.types import Prompt
from tasks.artifacts.bundled import shipped_path
from tasks.artifacts.fit_requests import fit_request, fits_of
from tasks.artifacts.stored import encode_artifact
from tasks.plan.plan import make_plan
from tasks.spec.job import JobSpec
from tasks.spec.requests import FitRequest

BASE, ABOVE = "clipinverter", "coral-inverter-attention"
"""One that learns from captions, and one that builds upon it."""
COMBINING = "transport"
"""One that draws its own samples and combines wishes."""
SEARCH = "styleclip-optimization"
TINY = FitConfig(steps=6, batch_size=2, source_samples=4)
Ship = Callable[..., tuple[Path, FitReport]]
"""Trains an artifact into a bundle."""


def shorten_fits(monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    """Give methods, of those here unless they are named, default fits of a few steps, for the rest of the test.

    COMBINING is always one of them, because others build upon it.
    """
    for name in (*(methods or (BASE, ABOVE)), COMBINING):
        monkeypatch.setitem(EDITORS, name, replace(EDITORS[name], fit=TINY))


def shorten_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the method that searches every edit a default search of two steps from a small regression."""
    short = OptimizationConfig(steps=2, guess_samples=16)
    monkeypatch.setitem(EDITORS, SEARCH, replace(EDITORS[SEARCH], config=short))


def digest_of(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shipping_copy(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle that ships artifacts of BASE, and of what it builds upon, for their default options.

    BASE is untrained, and the other is fitted on a few samples.
    """
    copy = shutil.copytree(bundle, folder)
    ship_small(copy, COMBINING)
    ship_small(copy, BASE)
    return copy


def ship_small(folder: Path, name: str, seed: int = 0) -> None:
    """Write an artifact into a bundle, which ships that of its base: with the first parameters of a seed, or, of a
    method that draws its samples itself, fitted on a few."""
    method = spec(name)
    options, models, bundle = method.resolve({}), load_models(str(folder)), read_bundle(str(folder))
    base, below = None, method.base_of(options)
    if below:
        lower = spec(below)
        base = lower.build(lower.resolve({}), None, models)
        base.load_state_dict({key: each.float() for key, each in tensors_of(shipped_path(folder, below)).items()})
    base_id = fits_of(lower, lower.resolve({}), Prompt(""), bundle)[-1].id if below else ""
    request = fit_request(method, options, Prompt(""), bundle, base=base_id)
    first = method.resolve({"fit": {"seed": seed}})
    editor = method.build(first, None, models, base)
    if method.sourceless:
        editor.fit(no_samples(models), replace(TINY, seed=seed))
    path = shipped_path(folder, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_artifact(request, editor, FitReport(steps=0, seconds=0.0, losses={}), torch.float16))


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights."""
    return safetensors.torch.load(path.read_bytes())


def equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether both have the same tensors under the same names."""
    return one.keys() == other.keys() and all(torch.equal(each, other[name]) for name, each in one.items())


def own_fit(job: JobSpec) -> FitRequest:
    """The last fit of a job's plan: those it builds upon come before it."""
    return make_plan(job).fits[-1]
