"""Training of an artifact that ships with a bundle. The id of such a fit names no captions.

adopt_shipped() copies its file. Tensors are float16, and the metadata lists every training since the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch

from coral_core.bundle.catalog import Bundle, read_bundle
from coral_core.bundle.models import Models, load_models
from coral_core.bundle.weights import load_strict
from coral_core.editors import Editor, EditorSpec, spec
from coral_core.fit import FitReport, Progress
from coral_core.inversion import no_samples
from coral_core.types import Prompt
from manifests.stores.s3_options import AMBIENT, S3Options
from tasks.artifacts.bundled import shipped_path
from tasks.artifacts.captioned_source import captioned
from tasks.artifacts.fit_requests import fit_request, fits_of
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

    A method that learns from captions needs `captions`, the addresses of captioned tars; others must get none. One that
    builds upon another needs the bundle's artifact of that one, and is fitted again when it is replaced.

    The artifact is for the method's default options; `changes` are options, named as in a job, of this training alone.
    A warm start continues from the bundle's artifact, if there is one.
    Errors: ValueError for a method that a run fits itself, an unknown option, an option that changes the sizes of the
    artifact, captions without need, no captioned image, or no artifact of what the method builds upon.
    """
    method, bundle, models = spec(method_name), read_bundle(bundle_name), load_models(bundle_name, device)
    if not (method.captioned or method.sourceless):
        raise ValueError(f"{method_name} is fitted by each run itself; a bundle ships no artifact of it")
    if captions and not method.captioned:
        raise ValueError(f"{method_name} does not learn from captions; leave them out")
    options = method.resolve(changes)
    path = shipped_path(bundle.path, method_name)
    continued = warm_start and path.exists()
    base, base_id = _base(method, options, bundle, models)
    editor = method.build(options, None, models, base)
    usual = method.build(method.resolve({}), None, models, *_base(method, method.resolve({}), bundle, models)[:1])
    load_strict(usual, editor.state_dict(), f"{method_name} with the options {dict(changes)}")  # before hours are spent
    trainings = []
    if continued:
        trainings = read_notes(_load(path, editor)).get("trainings", [])
    path.parent.mkdir(exist_ok=True)  # first, so that a training of hours cannot fail at its end
    source = captioned(models, find_shards(captions, {}, s3), ignore) if method.captioned else no_samples(models)
    report = editor.fit(source, method.fit_config(options), progress)
    images = len(source.keys) or method.fit_config(options).source_samples
    training = {"images": images, "options": dict(changes), "steps": report.steps, "warm_start": continued}
    request = fit_request(method, method.resolve({}), Prompt(""), bundle, base=base_id)
    partial = path.with_suffix(".partial")
    partial.write_bytes(encode_artifact(request, editor, report, torch.float16, [*trainings, training]))
    return partial.replace(path), report


def _base(
    method: EditorSpec, options: Mapping[str, object], bundle: Bundle, models: Models
) -> tuple[Editor | None, str]:
    """The bundle's fitted editor that a method builds upon with these options, and the id of its fit.

    (None, "") if it builds upon none. Errors: ValueError if the bundle ships none for its default options.
    """
    below = method.base_of(options)
    if not below:
        return None, ""
    base = spec(below)
    request = fits_of(base, base.resolve({}), Prompt(""), bundle)[-1]
    path = shipped_path(bundle.path, below)
    if not request.shipped:
        raise ValueError(
            f"{method.name} builds upon {below}, and {path} is not there; `coral zoo fit {below}` makes it"
        )
    editor = base.build(base.resolve({}), None, models, *_base(base, base.resolve({}), bundle, models)[:1])
    _load(path, editor)
    return editor.eval().requires_grad_(False), request.id


def _load(path: Path, editor: Editor) -> bytes:
    """Load a bundle's artifact into an editor; returns its bytes. ValueError if it does not fit."""
    stored = path.read_bytes()
    load_strict(editor, {key: value.float() for key, value in safetensors.torch.load(stored).items()}, str(path))
    return stored
