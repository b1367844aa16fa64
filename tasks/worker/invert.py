"""Inverting one shard: the latents of every sample, computed and committed."""

from __future__ import annotations

from functools import partial

from coral_core.bundle.models import Models
from coral_core.inversion import invert
from manifests.commit import read_commit
from manifests.parquet.schema import inversion_schema
from manifests.stores.store import Store
from tasks.shards.background import BackgroundWriter
from tasks.shards.batch import Batch
from tasks.shards.output import ShardReport, open_inversion
from tasks.shards.reading import open_shard
from tasks.shards.rows import Row, inversion_rows
from tasks.spec.callbacks import ignore
from tasks.spec.requests import InvertRequest
from tasks.worker.pulse import NOTHING, TRANSFER, OnPulse, Pulse


def invert_shard(
    request: InvertRequest, models: Models, store: Store, max_failure_rate: float = 1.0, pulse: OnPulse = ignore
) -> ShardReport:
    """Compute and commit the latents of every sample of one shard. A second call returns the commit of the first."""
    record = read_commit(store, request.id)
    if record is not None:
        return ShardReport.of(record, reused=True)
    schema = inversion_schema(models.generator.num_ws, models.generator.w_dim)
    samples = 0
    with open_inversion(request, schema) as output:
        pulse(TRANSFER)
        with open_shard(request, models.image_size) as shard, BackgroundWriter() as writer:
            pulse(NOTHING)
            for batch in shard.batches:
                with output.timing("invert"):
                    rows = invert_batch(request, batch, models)
                writer.submit(partial(output.write, rows))
                samples += len(batch.items)
                pulse(Pulse(samples, samples / shard.total))
        pulse(Pulse(samples, 1.0, transfers=True))
        info = {"name": request.shard.uri, "shard": request.shard.content}
        return output.commit(store, info, shard.total, max_failure_rate)


def invert_batch(request: InvertRequest, batch: Batch, models: Models) -> list[Row]:
    """One pass of the encoder over the usable samples."""
    if not batch.usable:
        return inversion_rows(request.shard, batch, None, None)
    inversion = invert(models, batch.keys, batch.images(models.device))
    error_B = (inversion.recon_BCHW - inversion.image_BCHW).abs().mean((1, 2, 3))
    return inversion_rows(request.shard, batch, inversion.ws_BLD.cpu(), error_B.cpu())
