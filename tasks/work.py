"""The work of one actor, as plain functions: invert a shard, fit an editor, edit a shard. Tests call them as they are.

Each looks first whether it was done before, and ends in one commit; doing it again returns the first result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from coral_core.composite import composite
from coral_core.editors import FitScope, spec
from coral_core.inversion import generator_samples, invert, restore
from coral_core.models import Models
from coral_core.scoring import score
from coral_core.types import Inversion, Prompt
from manifests.commit import read_commit
from manifests.schema import inversion_schema
from manifests.store import Store
from tasks.artifacts import Artifact, Editors, Fitted, adopt_shipped, read_artifact, save_artifact
from tasks.batches import Batch, open_inverted, open_source
from tasks.captions import captioned
from tasks.geometry import OutputSize
from tasks.outputs import Output, ShardReport, open_inversion, open_outputs
from tasks.overlap import Behind
from tasks.requests import EditRequest, EditSpec, FitRequest, InvertRequest
from tasks.rows import EditedPixels, Row, edit_rows, inversion_rows


@dataclass(frozen=True)
class Pulse:
    """How far the work at hand is."""

    samples: int  # done
    fraction: float  # of the work
    note: str = ""
    transfers: bool = False  # a shard is fetched or a result stored: if that takes long, no sample is to blame


NOTHING = Pulse(samples=0, fraction=0.0)
TRANSFER = Pulse(samples=0, fraction=0.0, transfers=True)

OnPulse = Callable[[Pulse], None]


def unwatched(pulse: Pulse) -> None:
    """For callers who do not want to know."""


def invert_shard(
    request: InvertRequest, models: Models, store: Store, max_failure_rate: float = 1.0, pulse: OnPulse = unwatched
) -> ShardReport:
    """Find and store the latents of every sample of one shard."""
    record = read_commit(store, request.id)
    if record is not None:
        return ShardReport.of(record, reused=True)
    schema = inversion_schema(models.generator.num_ws, models.generator.w_dim)
    samples = 0
    with open_inversion(request, schema) as output:
        pulse(TRANSFER)
        with open_source(request, models.image_size) as shard, Behind() as behind:
            pulse(NOTHING)
            for batch in shard.batches:
                with output.timing("invert"):
                    rows = invert_batch(request, batch, models)
                behind.call(partial(output.write, rows))
                samples += len(batch.items)
                pulse(Pulse(samples, samples / shard.total))
        pulse(Pulse(samples, 1.0, transfers=True))
        info = {"name": request.shard.uri, "shard": request.shard.content}
        return output.commit(store, info, shard.total, max_failure_rate)


def fit_editor(request: FitRequest, models: Models, store: Store, pulse: OnPulse = unwatched) -> Artifact:
    """Train and store one editor, or return the artifact that is there, or that the bundle ships."""
    artifact = read_artifact(store, request.id) or adopt_shipped(store, models.folder, request)
    if artifact is not None:
        return artifact
    method = spec(request.method)
    config = method.fit_config(request.options)
    prompt = Prompt(request.target, request.source) if method.scope is FitScope.PROMPT else None
    editor = method.build(request.options, prompt, models, Editors(store, models).base(request.method, request.base))
    if request.captions:
        source = captioned(models, request.captions, partial(_pulse_of_captions, pulse))
    else:
        source = generator_samples(models, config.source_samples, config.source_seed, config.source_truncation)

    def progress(step: int, steps: int, losses: Mapping[str, float]) -> None:
        loss = f", loss {losses['total']:.3f}" if losses else ""
        pulse(Pulse(0, step / steps, f"{request.target or request.method}: {step}/{steps}{loss}"))

    return save_artifact(store, request, editor, editor.fit(source, config, progress))


def _pulse_of_captions(pulse: OnPulse, tar: str, samples: int) -> None:
    """Of a captioned source that is read: a tar that is fetched, or so many samples so far."""
    pulse(Pulse(0, 0.0, f"captions: {samples} samples" if samples else f"captions: {tar}", transfers=not samples))


def edit_shard(
    requests: Sequence[EditRequest],
    editors: Editors,
    models: Models,
    store: Store,
    max_failure_rate: float = 1.0,
    pulse: OnPulse = unwatched,
) -> list[ShardReport]:
    """Apply every pending edit to one shard and commit each. Doing it again returns the first commits.

    Errors: ValueError, after the others are committed, for edits whose prompt their editor refuses.
    """
    reports, pending = split_committed(store, requests)
    refused = refusals(pending, editors)
    pending = [request for request in pending if request.id not in refused]
    if pending:
        reports += _edit_pending(pending, editors, models, store, max_failure_rate, pulse)
    if refused:
        raise ValueError("; ".join(dict.fromkeys(refused.values())))
    return reports


def refusals(requests: Sequence[EditRequest], editors: Editors) -> dict[str, str]:
    """Why the editors refuse the prompts of some requests, by request."""
    refused = {}
    for request in requests:
        try:
            fitted = editors[request.spec]
            fitted.editor.check([fitted.prompt])
        except ValueError as error:
            refused[request.id] = f"edit {request.spec.slug!r}: {error}"
    return refused


def _edit_pending(
    pending: Sequence[EditRequest],
    editors: Editors,
    models: Models,
    store: Store,
    max_failure_rate: float,
    pulse: OnPulse,
) -> list[ShardReport]:
    reports: list[ShardReport] = []
    edited = 0
    with open_outputs(pending) as outputs:
        inversion, wanted, masks = pending[0].inversion, whole_or_not(pending), masks_of(pending)
        pulse(TRANSFER)
        with open_inverted(store, inversion, models.image_size, wanted, masks) as shard, Behind() as behind:
            pulse(NOTHING)
            for batch in shard.batches:
                source = restore_batch(batch, pending, models)
                for request in pending:
                    output, fitted = outputs[request.id], editors[request.spec]
                    with output.timing("edit"):
                        ours = within(request.spec, batch, source)
                        done = edit_batch(request.spec, fitted, ours, len(batch.usable), models)
                    behind.call(partial(write_batch, output, request, fitted.digest, batch, done))
                    edited += len(batch.items)
                    pulse(Pulse(edited, edited / (shard.total * len(pending))))
                behind.call_anyway(partial(shard.finish, batch))
        pulse(Pulse(edited, 1.0, transfers=True))
        for request in pending:
            info = commit_info(request)
            reports.append(outputs[request.id].commit(store, info, shard.total, max_failure_rate))
    return reports


def whole_or_not(requests: Sequence[EditRequest]) -> OutputSize:
    """What the edits of a shard need of their sources: "source" as soon as one is laid back into them."""
    return "source" if any(request.spec.output == "source" for request in requests) else "generator"


def masks_of(requests: Sequence[EditRequest]) -> list[str]:
    """Suffixes of the users' masks that the edits of a shard ask for."""
    return sorted({request.spec.mask for request in requests if request.spec.mask})


def split_committed(store: Store, requests: Sequence[EditRequest]) -> tuple[list[ShardReport], list[EditRequest]]:
    """Reports of what is committed, and what is not."""
    records = {request.id: read_commit(store, request.id) for request in requests}
    reports = [ShardReport.of(record, reused=True) for record in records.values() if record is not None]
    return reports, [request for request in requests if records[request.id] is None]


def invert_batch(request: InvertRequest, batch: Batch, models: Models) -> list[Row]:
    """One pass of the encoder over the usable samples."""
    if not batch.usable:
        return inversion_rows(request.shard, batch, None, None)
    found = invert(models, batch.keys, batch.images(models.device))
    error_B = (found.recon_BCHW - found.image_BCHW).abs().mean((1, 2, 3))
    return inversion_rows(request.shard, batch, found.ws_BLD.cpu(), error_B.cpu())


def restore_batch(batch: Batch, requests: Sequence[EditRequest], models: Models) -> Inversion | None:
    """The inversion of the usable samples from the stored latents; None without any. Encoded only for who reads it."""
    if not batch.usable:
        return None
    source = restore(models, batch.keys, batch.images(models.device), batch.latents(models.device))
    if not any("encoder" in request.spec.digests for request in requests):
        return source
    with torch.no_grad():
        return replace(source, taps=models.encoder.body(source.image_BCHW))


def within(edit: EditSpec, batch: Batch, source: Inversion | None) -> Inversion | None:
    """The batch's inversion with the users' masks that an edit asks for; shared by all edits that ask for none."""
    if source is None or not edit.mask:
        return source
    return replace(source, user_mask_B1HW=batch.masks(edit.mask, source.image_BCHW.device))


def edit_batch(
    edit: EditSpec, fitted: Fitted, source: Inversion | None, count: int, models: Models
) -> EditedPixels | None:
    """Edit, composite and score a batch; its first `count` samples, off the device."""
    if source is None:
        return None
    prompts = [fitted.prompt] * len(source.keys)
    edited = fitted.editor.edit(source, prompts, strength=edit.strength, seed=edit.seed, limits=edit.limits)
    final = composite(edited, source, edit.onto)
    scores = score(final, source, prompts, models)
    laid_back = edit.output == "source"  # which composites, at the source's size
    return EditedPixels.of(edited if laid_back else final, scores, count)


def write_batch(output: Output, request: EditRequest, digest: str, batch: Batch, done: EditedPixels | None) -> None:
    """Encode and write one edited batch; runs beside the next batch's computation."""
    with output.timing("write"):
        output.write(edit_rows(request, digest, batch, done))


def commit_info(request: EditRequest) -> dict[str, object]:
    """What the commit says about the request besides its id."""
    return {
        "name": f"{request.spec.edit_id} of {request.shard.uri}",
        "shard": request.shard.content,
        "edit": request.spec.edit_id,
        "inversion": request.inversion.id,
    }
