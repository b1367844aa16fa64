"""An artifact that comes with a bundle: a fit whose id names no captions, because they were chosen with the bundle.

Its file is what adopt_shipped() copies. Tensors are float16, and the metadata lists every training since the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch

from coral_core.bundle.catalog import read_bundle
from coral_core.bundle.models import load_models
from coral_core.bundle.weights import load_strict
from coral_core.editors import spec
from coral_core.fit import FitReport, Progress
from coral_core.types import Prompt
from manifests.stores.s3_options import AMBIENT, S3Options
from tasks.artifacts.bundled import SHIPPED
from tasks.artifacts.captioned_source import captioned
from tasks.artifacts.fit_requests import fit_request
from tasks.artifacts.stored import encode_artifact, read_notes
from tasks.inputs.find import find_shards
from tasks.spec.callbacks import ignore


def ship(
    bundle_name: str,
    method_name: str,
    captions: Sequence[str],
    changes: Mapping[str, object],
    device: str,
    warm_start: bool,
    progress: Progress,
    s3: S3Options = AMBIENT,
) -> tuple[Path, FitReport]:
    """Fit a method on captioned images and write it into the bundle, in the place of what is there.

    `changes` are options of this training that differ from those the artifact is for, as a job would have them. A warm
    start goes on from the bundle's artifact. Errors: ValueError.
    """
    method, bundle, models = spec(method_name), read_bundle(bundle_name), load_models(bundle_name, device)
    if not method.captioned:
        raise ValueError(f"{method_name} does not learn from captions; a run fits it itself")
    options = method.resolve(changes)
    path = bundle.path / SHIPPED / f"{method_name}.safetensors"
    goes_on = warm_start and path.exists()
    editor = method.build(options, None, models)
    trainings = []
    if goes_on:
        stored = path.read_bytes()
        load_strict(editor, {key: each.float() for key, each in safetensors.torch.load(stored).items()}, str(path))
        trainings = read_notes(stored).get("trainings", [])
    path.parent.mkdir(exist_ok=True)  # before hours of training are lost for want of it
    source = captioned(models, find_shards(captions, {}, s3), ignore)
    report = editor.fit(source, method.fit_config(options), progress)
    told = {"images": len(source.keys), "options": dict(changes), "steps": report.steps, "warm_start": goes_on}
    request = fit_request(method, method.resolve({}), Prompt(""), bundle)
    partial = path.with_suffix(".partial")
    partial.write_bytes(encode_artifact(request, editor, report, torch.float16, [*trainings, told]))
    return partial.replace(path), report
