"""Training of an artifact that ships with a bundle. The id of such a fit names no captions.

adopt_shipped() copies its file. Tensors are float16, and the metadata lists every training since the first.
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
from coral_core.inversion import no_samples
from coral_core.types import Prompt
from manifests.stores.s3_options import AMBIENT, S3Options
from tasks.artifacts.bundled import SHIPPED
from tasks.artifacts.captioned_source import captioned
from tasks.artifacts.fit_requests import fit_request
from tasks.artifacts.stored import encode_artifact, read_notes
from tasks.inputs.find import find_shards
from tasks.spec.callbacks import ignore


def train_bundled(
    bundle_name: str,
    method_name: str,
    captions: Sequence[str],
    changes: Mapping[str, object],
    device: str,
    warm_start: bool,
    progress: Progress,
    s3: S3Options = AMBIENT,
) -> tuple[Path, FitReport]:
    """Fit a method and write the artifact into the bundle, replacing an existing one.

    A method that learns from captions needs `captions`, the addresses of captioned tars; others must get none.

    The artifact is for the method's default options; `changes` are options, named as in a job, of this training alone.
    A warm start continues from the bundle's artifact, if there is one.
    Errors: ValueError for a method that a run fits itself, an unknown option, an option that changes the sizes of the
    artifact, captions without need, or no captioned image.
    """
    method, bundle, models = spec(method_name), read_bundle(bundle_name), load_models(bundle_name, device)
    if not (method.captioned or method.sourceless):
        raise ValueError(f"{method_name} is fitted by each run itself; a bundle ships no artifact of it")
    if captions and not method.captioned:
        raise ValueError(f"{method_name} does not learn from captions; leave them out")
    options = method.resolve(changes)
    path = bundle.path / SHIPPED / f"{method_name}.safetensors"
    continued = warm_start and path.exists()
    editor = method.build(options, None, models)
    usual = method.build(method.resolve({}), None, models)
    load_strict(usual, editor.state_dict(), f"{method_name} with the options {dict(changes)}")  # before hours are spent
    trainings = []
    if continued:
        stored = path.read_bytes()
        load_strict(editor, {key: value.float() for key, value in safetensors.torch.load(stored).items()}, str(path))
        trainings = read_notes(stored).get("trainings", [])
    path.parent.mkdir(exist_ok=True)  # first, so that a training of hours cannot fail at its end
    source = captioned(models, find_shards(captions, {}, s3), ignore) if method.captioned else no_samples(models)
    report = editor.fit(source, method.fit_config(options), progress)
    images = len(source.keys) or method.fit_config(options).source_samples
    training = {"images": images, "options": dict(changes), "steps": report.steps, "warm_start": continued}
    request = fit_request(method, method.resolve({}), Prompt(""), bundle)
    partial = path.with_suffix(".partial")
    partial.write_bytes(encode_artifact(request, editor, report, torch.float16, [*trainings, training]))
    return partial.replace(path), report
