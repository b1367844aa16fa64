"""Fitted editors in the store: editors/<fit_id>.safetensors holds what was learned, and beside it a .json says so.

Both are create-only. The tensors come first and carry recipe and losses in their own metadata, but no times, so that
equal fits are equal bytes. The .json is derived from them: whoever finds tensors without it (a process died in between)
adopts them instead of fitting again.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from coral_core.editors import Editor, FitScope, spec
from coral_core.fit import FitReport
from coral_core.models import Models
from coral_core.types import Prompt
from coral_core.weights import load_strict
from manifests.store import Store
from tasks.references import prompt_of
from tasks.requests import EditSpec, FitRequest, content_id

PREFIX = "editors/"
SHIPPED = "editors"
"""The folder of a bundle with artifacts of its own."""


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
    trainings: Sequence[Mapping[str, Any]] = field(default_factory=list)  # where there were others before this fit


@dataclass(frozen=True)
class Fitted:
    """An editor ready for use, which one it is, and what for."""

    editor: Editor
    digest: str  # of its artifact; empty for a method that keeps none
    prompt: Prompt


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
    created = store.put_new(_tensors(request.id), encode_artifact(request, editor, report))
    return _record(store, request.id, report.seconds if created else None)


def encode_artifact(
    request: FitRequest,
    editor: Editor,
    report: FitReport,
    dtype: torch.dtype = torch.float32,
    trainings: Sequence[Mapping[str, object]] = (),
) -> bytes:
    """A fitted editor as a safetensors file; `trainings` tell how it came about, where there was more than this fit."""
    state = {name: value.detach().cpu().to(dtype).contiguous() for name, value in editor.state_dict().items()}
    notes = {"request": request.content, "steps": report.steps, "losses": dict(report.losses)}
    told = {"trainings": list(trainings)} if trainings else {}
    # one entry: safetensors writes several in a random order
    return safetensors.torch.save(state, metadata={"fit": json.dumps({**notes, **told}, sort_keys=True)})


def shipped(folder: Path, request: FitRequest) -> str:
    """sha256 of the artifact that comes with a bundle for a fit; empty if there is none.

    ValueError for a file in its place that is none.
    """
    path = _shipped_path(folder, request.method)
    if not path.is_file():
        return ""
    answered, digest = _answer(path, path.stat().st_mtime_ns)
    return digest if answered == content_id(request.content) else ""


def adopt_shipped(store: Store, folder: Path, request: FitRequest) -> Artifact | None:
    """Store the bundle's own artifact, byte for byte, if that is what a fit asks for.

    ValueError when the bundle here does not have it: another copy of it was planned with.
    """
    if not request.shipped:
        return None
    path = _shipped_path(folder, request.method)
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != request.shipped:
        raise ValueError(f"{path} is not the artifact that was planned with; give all machines the same bundle")
    store.put_new(_tensors(request.id), data)
    return _record(store, request.id, None)


@lru_cache(maxsize=8)
def _answer(path: Path, stamp: int) -> tuple[str, str]:
    """Content id of the request that a bundle's artifact answers, and its sha256; read again when the stamp changes."""
    data = path.read_bytes()
    try:
        return content_id(read_notes(data)["request"]), hashlib.sha256(data).hexdigest()
    except (KeyError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is no artifact of a bundle ({error!r}); write it by `coral zoo fit`") from None


def _shipped_path(folder: Path, method: str) -> Path:
    return folder / SHIPPED / f"{method}.safetensors"


class Editors:
    """The editors of a run, loaded on first use and kept. Edits that differ in prompt alone share one that can."""

    def __init__(self, store: Store, models: Models) -> None:
        self.store, self.models = store, models
        self._loaded: dict[str, Fitted] = {}
        self._editors: dict[str, tuple[Editor, str]] = {}
        self._bases: dict[str, Editor] = {}

    def __getitem__(self, edit: EditSpec) -> Fitted:
        if edit.edit_id not in self._loaded:
            kind = content_id([edit.method, dict(edit.options), edit.fit_id])
            if kind not in self._editors:
                self._editors[kind] = self._load(edit)
            self._loaded[edit.edit_id] = Fitted(*self._editors[kind], prompt_of(edit, self.models))
        return self._loaded[edit.edit_id]

    def base(self, method: str, fit_id: str) -> Editor | None:
        """The fitted editor that a method builds upon, the same one for all that do; None for a method that does not.

        ValueError when it was not fitted.
        """
        if not spec(method).base:
            return None
        if fit_id not in self._bases:
            artifact, below = _stored(self.store, fit_id, f"{method} builds upon"), spec(spec(method).base)
            editor = below.build(below.resolve({}), None, self.models).eval().requires_grad_(False)
            _fill(self.store, artifact, editor)
            self._bases[fit_id] = editor
        return self._bases[fit_id]

    def _load(self, edit: EditSpec) -> tuple[Editor, str]:
        """Build the editor of an edit and load what its fit learned."""
        row = spec(edit.method)
        prompt = Prompt(edit.target, edit.source) if row.scope is FitScope.PROMPT else None
        if not edit.fit_id:
            return row.build(edit.options, prompt, self.models).eval(), ""
        artifact = _stored(self.store, edit.fit_id, f"edit {edit.slug!r} needs")
        base = self.base(edit.method, str(artifact.request.get("base", "")))
        editor = row.build(edit.options, prompt, self.models, base).eval()
        _fill(self.store, artifact, editor)
        return editor, artifact.sha256


def load_editor(store: Store, edit: EditSpec, models: Models) -> Fitted:
    """The editor of one edit. ValueError when its artifact is missing or altered."""
    return Editors(store, models)[edit]


def _stored(store: Store, fit_id: str, who: str) -> Artifact:
    """The artifact of a fit. ValueError, which says who wants it, while there is none."""
    artifact = read_artifact(store, fit_id)
    if artifact is None:
        raise ValueError(f"{who} the artifact {_tensors(fit_id)}, which was not fitted yet")
    return artifact


def _fill(store: Store, artifact: Artifact, editor: Editor) -> None:
    """Load exactly what was learned, or a ValueError."""
    name = _tensors(artifact.fit_id)
    data = store.read(name)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise ValueError(f"{name} is not what its .json says; remove both, and the fit is done again")
    stored = safetensors.torch.load(data)
    load_strict(editor, {key: each.float() for key, each in stored.items()}, name)  # a bundle's own are float16


def _record(store: Store, fit_id: str, seconds: float | None) -> Artifact:
    """Write the .json of stored tensors."""
    data = store.read(_tensors(fit_id))
    notes = read_notes(data)
    artifact = Artifact(
        fit_id=fit_id,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        seconds=seconds,
        **{name: notes[name] for name in ("request", "steps", "losses", "trainings") if name in notes},
    )
    store.put_new(f"{PREFIX}{fit_id}.json", json.dumps(asdict(artifact), indent=1, sort_keys=True).encode())
    return artifact


def read_notes(data: bytes) -> dict[str, Any]:
    """What an artifact's file says of its fit."""
    size = struct.unpack("<Q", data[:8])[0]
    notes: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fit"])
    return notes


def _tensors(fit_id: str) -> str:
    return f"{PREFIX}{fit_id}.safetensors"
