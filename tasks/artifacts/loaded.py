"""Editors with what their fits learned, loaded from the store once and kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import safetensors.torch

from coral_core.bundle.models import Models
from coral_core.bundle.weights import load_strict
from coral_core.editors import Editor, FitScope, spec
from coral_core.types import Prompt
from manifests.stores.store import Store
from tasks.artifacts.reference_image import prompt_of
from tasks.artifacts.stored import Artifact, read_artifact, tensors_key
from tasks.spec.requests import EditSpec, content_id


@dataclass(frozen=True)
class Fitted:
    """An editor ready for use, which one it is, and what for."""

    editor: Editor
    digest: str  # of its artifact; empty for a method that keeps none
    prompt: Prompt


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
        raise ValueError(f"{who} the artifact {tensors_key(fit_id)}, which was not fitted yet")
    return artifact


def _fill(store: Store, artifact: Artifact, editor: Editor) -> None:
    """Load exactly what was learned, or a ValueError."""
    name = tensors_key(artifact.fit_id)
    data = store.read(name)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise ValueError(f"{name} is not what its .json says; remove both, and the fit is done again")
    stored = safetensors.torch.load(data)
    load_strict(editor, {key: each.float() for key, each in stored.items()}, name)  # a bundle's own are float16
