"""`coral edit`: edits one image. It is a run with a single sample, to try prompts and methods."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coral_core.bundle.models import load_models
from manifests.commit import read_commit
from manifests.parquet.reader import read_rows
from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.interactive.preview import OnMessage, fit_messages
from pipelines.jobfile.job import Job
from pipelines.jobfile.load import parse_job
from pipelines.jobfile.s3_environment import open_output
from tasks.artifacts.loaded import Editors
from tasks.inputs.archive import write_shard
from tasks.inputs.grouping import IMAGE_SUFFIXES
from tasks.plan.plan import make_plan
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard


@dataclass(frozen=True, kw_only=True)
class OneEdit:
    """An image, and how to edit it."""

    image: Path
    texts: tuple[str, ...]  # one says what the result should show; of several, each says one change
    source: str = "a photo"
    method: str = "clipinverter"
    options: Mapping[str, object] = field(default_factory=dict)
    strength: float = 1.0
    reference: str | None = None  # address of an image that the result should resemble
    output: str = "generator"  # "generator" or "source": the size of the result
    bundle: str = "portraits"
    device: str = "cpu"
    editors: str | None = None  # output with fitted editors, to which new ones are added; None: new ones are deleted


@dataclass(frozen=True)
class EditedImage:
    """The result: PNG files, and the row that a run would write."""

    image: bytes
    mask: bytes
    row: Mapping[str, Any]


def edit_image(wanted: OneEdit, on_message: OnMessage) -> EditedImage:
    """Fit what the method needs, and edit. ValueError for settings that a job refuses, and for an unreadable image."""
    with tempfile.TemporaryDirectory(prefix="coral-edit-") as folder:
        plan = make_plan(_job(wanted, Path(folder)).spec())
        store = open_store(plan.output)
        editors = open_output(wanted.editors or plan.output)
        models = load_models(plan.bundle, wanted.device)
        (inversion,), ((edit,),) = plan.invert_requests(), plan.edit_requests()
        invert_shard(inversion, models, store)
        _row(wanted, store, inversion.id)
        for fit in plan.fits:
            fit_editor(fit, models, editors, fit_messages(on_message))
        edit_shard([edit], Editors(editors, models), models, store)
        row = _row(wanted, store, edit.id)
    return EditedImage(row["image"]["bytes"], row["mask"]["bytes"], row)


def _row(wanted: OneEdit, store: Store, request_id: str) -> Mapping[str, Any]:
    """The only row of a committed request. ValueError with status and reason unless its status is ok."""
    record = read_commit(store, request_id)
    assert record is not None, "a completed request is committed"
    (row,) = read_rows(store, record.objects[0].key)
    if row["status"] != "ok":
        raise ValueError(f"{wanted.image}: {row['status']}: {row['reason']}")
    return row


def _job(wanted: OneEdit, folder: Path) -> Job:
    """A job whose input is a tar with the image. ValueError for a file that is no image or cannot be read."""
    suffix = wanted.image.suffix.lower().removeprefix(".")
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{wanted.image} has no suffix of an image; give one of {', '.join(IMAGE_SUFFIXES)}")
    try:
        data = wanted.image.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {wanted.image}: {error.strerror}") from None
    write_shard(folder / "image.tar", [{"__key__": "image", suffix: data}])
    edit = {
        "id": "edit",
        **({"target": wanted.texts[0]} if len(wanted.texts) == 1 else {"all_of": list(wanted.texts)}),
        "source": wanted.source,
        "method": wanted.method,
        "options": dict(wanted.options),
        "strength": wanted.strength,
        "reference": wanted.reference,
    }
    content = {
        "name": "edit",
        "input": str(folder / "image.tar"),
        "output": str(folder / "output"),
        "bundle": wanted.bundle,
        "batch_size": 1,
        "max_failure_rate": 1.0,
        "geometry": {"output": wanted.output},
        "edits": [edit],
    }
    return parse_job(content, "coral edit")
