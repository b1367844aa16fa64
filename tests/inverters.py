"""Methods that learn from captions, and those that build upon them, made small: fits, and bundles that ship one."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coral_core.bundle.catalog import read_bundle
from coral_core.bundle.models import load_models
from coral_core.editors import EDITORS, spec
from coral_core.fit import FitConfig, FitReport
from coral_core.types import Prompt
from tasks.artifacts.bundled import SHIPPED
from tasks.artifacts.fit_requests import fit_request
from tasks.artifacts.stored import encode_artifact

BASE, ABOVE = "clipinverter", "coral-inverter-attention"
"""One that learns from captions, and one that builds upon it."""
TINY = FitConfig(steps=6, batch_size=2, source_samples=4)


def shorten_fits(monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    """Give methods, of those here unless they are named, default fits of a few steps, for the rest of the test."""
    for name in methods or (BASE, ABOVE):
        monkeypatch.setitem(EDITORS, name, replace(EDITORS[name], fit=TINY))


def digest_of(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shipping_copy(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle that ships an artifact of BASE for its default options, one that has learned nothing."""
    copy = shutil.copytree(bundle, folder)
    method = spec(BASE)
    options = method.resolve({})
    request = fit_request(method, options, Prompt(""), read_bundle(str(copy)))
    editor = method.build(options, None, load_models(str(copy)))
    (copy / SHIPPED).mkdir()
    report = FitReport(steps=0, seconds=0.0, losses={})
    (copy / SHIPPED / f"{BASE}.safetensors").write_bytes(encode_artifact(request, editor, report, torch.float16))
    return copy
