"""Editors with their fitted parameters, loaded from the store once and kept in memory."""

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
    """An editor that is ready for use, the digest of its artifact, and the prompt to apply."""

    editor: Editor
    digest: str  # of its artifact; empty for a method without artifact
    prompt: Prompt


class Editors:
    """The editors of a run, loaded on first use and kept.

    Edits that differ only in their prompt share an editor if it is not fitted to one prompt.
    """

    def __init__(self, store: Store, models: Models) -> None:
        self.store, self.models = store, models
        self._loaded: dict[str, Fitted] = {}
        self._editors: dict[str, tuple[Editor, str]] = {}
        self._bases: dict[str, Editor] = {}

    def __getitem__(self, edit: EditSpec) -> Fitted:
        if edit.edit_id not in self._loaded:
            editor_key = content_id([edit.method, dict(edit.options), edit.fit_id])
            if editor_key not in self._editors:
                self._editors[editor_key] = self._load(edit)
            self._loaded[edit.edit_id] = Fitted(*self._editors[editor_key], prompt_of(edit, self.models))
        return self._loaded[edit.edit_id]

    def base(self, method: str, fit_id: str) -> Editor | None:
        """The fitted editor of this fit, which a method builds upon, with its own base if it has one; loaded once.

        None for an empty id. Errors: ValueError if it, or its base, was not fitted.
        """
        if not fit_id:
            return None
        if fit_id not in self._bases:
            artifact = _required_artifact(self.store, fit_id, f"{method} builds upon")
            base_method = spec(spec(method).base)
            below = self.base(base_method.name, str(artifact.request.get("base", "")))
            editor = base_method.build(base_method.resolve({}), None, self.models, below).eval().requires_grad_(False)
            _load_parameters(self.store, artifact, editor)
            self._bases[fit_id] = editor
        return self._bases[fit_id]

    def _load(self, edit: EditSpec) -> tuple[Editor, str]:
        """Build the editor of an edit and load its fitted parameters; with the digest of its artifact."""
        method = spec(edit.method)
        prompt = edit.prompt if method.scope is FitScope.PROMPT else None
        if not edit.fit_id:
            return method.build(edit.options, prompt, self.models).eval(), ""
        artifact = _required_artifact(self.store, edit.fit_id, f"edit {edit.slug!r} needs")
        if not method.is_fitted:
            return method.build(edit.options, prompt, self.models, self.base(edit.method, edit.fit_id)), artifact.sha256
        base = self.base(edit.method, str(artifact.request.get("base", "")))
        editor = method.build(edit.options, prompt, self.models, base).eval()
        _load_parameters(self.store, artifact, editor)
        return editor, artifact.sha256


def load_editor(store: Store, edit: EditSpec, models: Models) -> Fitted:
    """The editor of one edit. Errors: ValueError if its artifact is missing or was altered."""
    return Editors(store, models)[edit]


def _required_artifact(store: Store, fit_id: str, needed_by: str) -> Artifact:
    """The artifact of a fit. Errors: ValueError that begins with `needed_by` if there is none."""
    artifact = read_artifact(store, fit_id)
    if artifact is None:
        raise ValueError(f"{needed_by} the artifact {tensors_key(fit_id)}, which was not fitted yet")
    return artifact


def _load_parameters(store: Store, artifact: Artifact, editor: Editor) -> None:
    """Load the artifact's tensors into an editor. Errors: ValueError if they are not exactly those that it needs."""
    name = tensors_key(artifact.fit_id)
    data = store.read(name)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise ValueError(f"{name} is not what its .json says; remove both, and the fit is done again")
    stored = safetensors.torch.load(data)
    load_strict(editor, {key: tensor.float() for key, tensor in stored.items()}, name)  # shipped ones are float16
