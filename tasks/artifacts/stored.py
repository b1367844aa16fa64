"""Fitted editors in the store: editors/<fit_id>.safetensors holds the tensors, editors/<fit_id>.json the record.

Both are create-only. The tensors are written first. Their metadata holds the request and the losses, but no times, so
that equal fits are equal bytes. The .json is derived from the tensors: if a process died before it wrote the .json, the
next reader writes it from the tensors instead of fitting again ("adopts" them).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
import torch

from coral_core.bundle.weights import stored_as
from coral_core.editors import Editor
from coral_core.fit import FitReport
from manifests.stores.store import Store
from tasks.spec.requests import FitRequest

PREFIX = "editors/"


@dataclass(frozen=True)
class Artifact:
    """The record of one fitted editor."""

    fit_id: str
    sha256: str  # of the tensors' file
    size: int  # bytes
    request: Mapping[str, Any]
    steps: int
    losses: Mapping[str, float]
    seconds: float | None  # duration of the fit; None if the tensors were adopted
    trainings: Sequence[Mapping[str, Any]] = field(default_factory=list)  # every training, if there were earlier ones


def fitted_ids(store: Store) -> frozenset[str]:
    """The ids of the fits whose artifact is complete, from one listing."""
    keys = (info.key for info in store.list(PREFIX))
    return frozenset(key.removeprefix(PREFIX).removesuffix(".json") for key in keys if key.endswith(".json"))


def read_artifact(store: Store, fit_id: str) -> Artifact | None:
    """The record of a fit, or None; tensors without a record are adopted."""
    try:
        return Artifact(**json.loads(store.read(f"{PREFIX}{fit_id}.json")))
    except FileNotFoundError:
        pass
    if store.head(tensors_key(fit_id)) is None:
        return None
    return write_record(store, fit_id, None)


def save_artifact(store: Store, request: FitRequest, editor: Editor, report: FitReport) -> Artifact:
    """Store a fitted editor. If the store already has one, that one is kept and returned."""
    created = store.put_new(tensors_key(request.id), encode_artifact(request, editor, report))
    return write_record(store, request.id, report.seconds if created else None)


def encode_artifact(
    request: FitRequest,
    editor: Editor,
    report: FitReport,
    dtype: torch.dtype = torch.float32,
    trainings: Sequence[Mapping[str, object]] = (),
) -> bytes:
    """A fitted editor as a safetensors file; `trainings` lists all its trainings, if there was more than this fit.

    Errors: ValueError for a value that overflows in `dtype`.
    """
    state = {
        name: stored_as(dtype if value.is_floating_point() else value.dtype, name, value)
        for name, value in editor.state_dict().items()
    }
    notes = {"request": request.content, "steps": report.steps, "losses": dict(report.losses)}
    history = {"trainings": list(trainings)} if trainings else {}
    # one metadata entry, because safetensors writes several in a random order
    return safetensors.torch.save(state, metadata={"fit": json.dumps({**notes, **history}, sort_keys=True)})


def write_record(store: Store, fit_id: str, seconds: float | None) -> Artifact:
    """Write the .json of stored tensors, create-only."""
    data = store.read(tensors_key(fit_id))
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
    """The metadata of an artifact's file: request, steps, losses and, if present, trainings."""
    size = struct.unpack("<Q", data[:8])[0]
    notes: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fit"])
    return notes


def tensors_key(fit_id: str) -> str:
    """The object name of a fit's tensors."""
    return f"{PREFIX}{fit_id}.safetensors"
