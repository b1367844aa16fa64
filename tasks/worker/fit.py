"""Fitting one editor: train and store it, unless it is stored already or ships with the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from coral_core.bundle.models import Models
from coral_core.editors import FitScope, spec
from coral_core.inversion import generator_samples, no_samples
from coral_core.types import Prompt
from manifests.stores.store import Store
from tasks.artifacts.bundled import adopt_shipped
from tasks.artifacts.captioned_source import captioned
from tasks.artifacts.loaded import Editors
from tasks.artifacts.stored import Artifact, read_artifact, save_artifact
from tasks.spec.callbacks import ignore
from tasks.spec.requests import FitRequest
from tasks.worker.pulse import OnPulse, Pulse


def fit_editor(request: FitRequest, models: Models, store: Store, pulse: OnPulse = ignore) -> Artifact:
    """Train and store one editor, or return its artifact if it is stored already or ships with the bundle."""
    artifact = read_artifact(store, request.id) or adopt_shipped(store, models.folder, request)
    if artifact is not None:
        return artifact
    method = spec(request.method)
    config = method.fit_config(request.options)
    prompt = Prompt(request.target, request.source, wishes=request.wishes) if method.scope is FitScope.PROMPT else None
    editor = method.build(request.options, prompt, models, Editors(store, models).base(request.method, request.base))
    if method.sourceless:
        source = no_samples(models)
    elif request.captions:
        source = captioned(models, request.captions, partial(_pulse_of_captions, pulse))
    else:
        source = generator_samples(models, config.source_samples, config.source_seed, config.source_truncation)

    def progress(step: int, steps: int, losses: Mapping[str, float]) -> None:
        loss = f", loss {losses['total']:.3f}" if losses else ""
        pulse(Pulse(0, step / steps, f"{request.target or request.method}: {step}/{steps}{loss}"))

    return save_artifact(store, request, editor, editor.fit(source, config, progress))


def _pulse_of_captions(pulse: OnPulse, tar: str, samples: int) -> None:
    """Report the reading of a captioned source: the tar that is fetched (`samples` 0), or the samples read so far."""
    pulse(Pulse(0, 0.0, f"captions: {samples} samples" if samples else f"captions: {tar}", transfers=not samples))
