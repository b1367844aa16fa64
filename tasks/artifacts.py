"""Fitted editors in the store: editors/<fit_id>.safetensors holds what was learned, and beside it a .json says so.

Both are create-only. The tensors come first and carry recipe and losses in their own metadata, but no times, so that
equal fits are equal bytes. The .json is derived from them: whoever finds tensors without it (a process died in between)
adopts them instead of fitting again.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import safetensors.torch

from coral_core.editors import Editor, FitScope, spec
from coral_core.fit import FitReport
from coral_core.models import Models
from coral_core.types import Prompt
from coral_core.weights import load_strict
from manifests.store import Store
from tasks.requests import EditSpec, FitRequest

PREFIX = "editors/"


@dataclass(frozen=True)
class Artifact:
    """What is known of one fitted editor."""

    fit_id: str
    sha256: str  # of the tensors' file
    size: int  # bytes
    request: Mapping[str, Any]
    steps: int
    losses: Mapping[str, float]
    seconds: float | None  # of the fit; unknown where the tensors were adopted


@dataclass(frozen=True)
class Fitted:
    """An editor ready for use, and which one it is."""

    editor: Editor
    digest: str  # of its artifact; empty for a method that keeps none


def fitted(store: Store) -> frozenset[str]:
    """The fit ids whose artifact is complete, from one listing."""
    keys = (info.key for info in store.list(PREFIX))
    return frozenset(key.removeprefix(PREFIX).removesuffix(".json") for key in keys if key.endswith(".json"))


def read_artifact(store: Store, fit_id: str) -> Artifact | None:
    """The record of a fit, or None; tensors that lack one are adopted."""
    try:
        return Artifact(**json.loads(store.read(f"{PREFIX}{fit_id}.json")))
    except FileNotFoundError:
        pass
    if store.head(_tensors(fit_id)) is None:
        return None
    return _record(store, fit_id, None)


def save_artifact(store: Store, request: FitRequest, editor: Editor, report: FitReport) -> Artifact:
    """Store a fitted editor. What was there first stays, and is what is returned."""
    state = {name: value.detach().cpu().contiguous() for name, value in editor.state_dict().items()}
    notes = {"request": asdict(request), "steps": report.steps, "losses": dict(report.losses)}
    metadata = {"fit": json.dumps(notes, sort_keys=True)}  # one entry: safetensors writes several in a random order
    created = store.put_new(_tensors(request.id), safetensors.torch.save(state, metadata=metadata))
    return _record(store, request.id, report.seconds if created else None)


class Editors:
    """The editors of a run, loaded on first use and kept."""

    def __init__(self, store: Store, models: Models) -> None:
        self.store, self.models = store, models
        self._loaded: dict[str, Fitted] = {}

    def __getitem__(self, edit: EditSpec) -> Fitted:
        if edit.edit_id not in self._loaded:
            self._loaded[edit.edit_id] = load_editor(self.store, edit, self.models)
        return self._loaded[edit.edit_id]


def load_editor(store: Store, edit: EditSpec, models: Models) -> Fitted:
    """Build the editor of an edit and load what its fit learned. ValueError when the artifact is missing or altered."""
    method = spec(edit.method)
    prompt = Prompt(edit.target, edit.source) if method.scope is FitScope.PROMPT else None
    editor = method.build(edit.options, prompt, models).eval()
    if not edit.fit_id:
        return Fitted(editor, "")
    artifact = read_artifact(store, edit.fit_id)
    if artifact is None:
        raise ValueError(f"edit {edit.slug!r} needs the artifact {_tensors(edit.fit_id)}, which was not fitted yet")
    data = store.read(_tensors(edit.fit_id))
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise ValueError(f"{_tensors(edit.fit_id)} is not what its .json says; remove both, and the fit is done again")
    load_strict(editor, safetensors.torch.load(data), _tensors(edit.fit_id))
    return Fitted(editor, artifact.sha256)


def _record(store: Store, fit_id: str, seconds: float | None) -> Artifact:
    """Write the .json of stored tensors."""
    data = store.read(_tensors(fit_id))
    size = struct.unpack("<Q", data[:8])[0]
    notes = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fit"])
    artifact = Artifact(
        fit_id=fit_id,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        seconds=seconds,
        **notes,
    )
    store.put_new(f"{PREFIX}{fit_id}.json", json.dumps(asdict(artifact), indent=1, sort_keys=True).encode())
    return artifact


def _tensors(fit_id: str) -> str:
    return f"{PREFIX}{fit_id}.safetensors"
