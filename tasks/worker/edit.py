"""Editing one shard: the pending edits of its samples, computed together and committed one by one.

A request that is committed already is not computed again; its commit is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from coral_core.bundle.models import Models
from coral_core.composite import composite
from coral_core.editors.base import EditProgress
from coral_core.inversion import restore
from coral_core.scoring import score
from coral_core.types import Inversion
from manifests.stores.store import Store
from tasks.artifacts.loaded import Editors, Fitted
from tasks.shards.background import BackgroundWriter
from tasks.shards.batch import Batch
from tasks.shards.commits import commit_info, split_committed
from tasks.shards.output import Output, ShardReport, open_outputs
from tasks.shards.reading import open_inverted
from tasks.shards.rows import EditedPixels, edit_rows
from tasks.spec.callbacks import ignore
from tasks.spec.geometry import OutputSize
from tasks.spec.requests import EditRequest, EditSpec
from tasks.worker.pulse import NOTHING, TRANSFER, OnPulse, Pulse


def edit_shard(
    requests: Sequence[EditRequest],
    editors: Editors,
    models: Models,
    store: Store,
    max_failure_rate: float = 1.0,
    pulse: OnPulse = ignore,
) -> list[ShardReport]:
    """Apply every pending edit to one shard and commit each. A second call returns the commits of the first.

    Errors: ValueError for edits whose prompt their editor refuses, after the other edits are committed.
    """
    reports, pending = split_committed(store, requests)
    refused = prompt_errors(pending, editors)
    pending = [request for request in pending if request.id not in refused]
    if pending:
        reports += _edit_pending(pending, editors, models, store, max_failure_rate, pulse)
    if refused:
        raise ValueError("; ".join(dict.fromkeys(refused.values())))
    return reports


def prompt_errors(requests: Sequence[EditRequest], editors: Editors) -> dict[str, str]:
    """The errors of requests whose prompt their editor refuses, by request id."""
    errors = {}
    for request in requests:
        try:
            fitted = editors[request.spec]
            fitted.editor.check([fitted.prompt])
        except ValueError as error:
            errors[request.id] = f"edit {request.spec.slug!r}: {error}"
    return errors


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
        inversion, size, masks = pending[0].inversion, required_output(pending), mask_suffixes(pending)
        pulse(TRANSFER)
        with open_inverted(store, inversion, models.image_size, size, masks) as shard, BackgroundWriter() as writer:
            pulse(NOTHING)
            for batch in shard.batches:
                source = restore_batch(batch, pending, models)
                for request in pending:
                    output, fitted = outputs[request.id], editors[request.spec]
                    with output.timing("edit"):
                        masked = with_user_masks(request.spec, batch, source)
                        on_step = partial(_pulse_of_steps, pulse, edited, len(batch.items), shard.total * len(pending))
                        pixels = edit_batch(request.spec, fitted, masked, len(batch.usable), models, on_step)
                    writer.submit(partial(write_batch, output, request, fitted.digest, batch, pixels))
                    edited += len(batch.items)
                    pulse(Pulse(edited, edited / (shard.total * len(pending))))
                writer.submit_always(partial(shard.finish, batch))
        pulse(Pulse(edited, 1.0, transfers=True))
        for request in pending:
            info = commit_info(request)
            reports.append(outputs[request.id].commit(store, info, shard.total, max_failure_rate))
    return reports


def required_output(requests: Sequence[EditRequest]) -> OutputSize:
    """The size that the edits need: "source" if at least one is pasted back into its source at full size."""
    return "source" if any(request.spec.output == "source" for request in requests) else "generator"


def mask_suffixes(requests: Sequence[EditRequest]) -> list[str]:
    """Suffixes of the user masks that the edits of a shard use."""
    return sorted({request.spec.mask for request in requests if request.spec.mask})


def restore_batch(batch: Batch, requests: Sequence[EditRequest], models: Models) -> Inversion | None:
    """The inversion of the usable samples from the stored latents; None if there are none.

    The encoder runs only if a request reads its features.
    """
    if not batch.usable:
        return None
    source = restore(models, batch.keys, batch.images(models.device), batch.latents(models.device))
    if not any("encoder" in request.spec.digests for request in requests):
        return source
    with torch.no_grad():
        return replace(source, taps=models.encoder.body(source.image_BCHW))


def with_user_masks(edit: EditSpec, batch: Batch, source: Inversion | None) -> Inversion | None:
    """The batch's inversion with the user masks of an edit; `source` itself for an edit without user masks."""
    if source is None or not edit.mask:
        return source
    return replace(source, user_mask_B1HW=batch.masks(edit.mask, source.image_BCHW.device))


def edit_batch(
    edit: EditSpec,
    fitted: Fitted,
    source: Inversion | None,
    count: int,
    models: Models,
    progress: EditProgress | None = None,
) -> EditedPixels | None:
    """Edit, composite and score a batch; returns its first `count` samples, moved to the CPU."""
    if source is None:
        return None
    prompts = [fitted.prompt] * len(source.keys)
    edited = fitted.editor.edit(
        source, prompts, strength=edit.strength, seed=edit.seed, limits=edit.limits, progress=progress
    )
    final = composite(edited, source, edit.onto)
    scores = score(final, source, prompts, models)
    pasted_back = edit.output == "source"  # pasting back composites too, at the source's size
    return EditedPixels.of(edited if pasted_back else final, scores, count)


def _pulse_of_steps(pulse: OnPulse, edited: int, items: int, total: int, share: float) -> None:
    """Report a step of an editor that optimises for each image; `edited` of `total` samples were done before."""
    pulse(Pulse(edited, (edited + share * items) / total))


def write_batch(output: Output, request: EditRequest, digest: str, batch: Batch, pixels: EditedPixels | None) -> None:
    """Encode and write one edited batch; runs while the next batch is computed."""
    with output.timing("write"):
        output.write(edit_rows(request, digest, batch, pixels))
