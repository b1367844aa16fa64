"""Quarantine of a shard: one row without a result per sample, written without any decoder or network.

A shard whose work killed its worker SHARD_ATTEMPTS times, or stalled in it, is not tried again. Its samples are
committed as quarantined, with the reason: the number of rows still equals the number of samples, and later runs skip
the shard. A sample that already had a problem of its own (no image, or bytes that are no picture) keeps that status.
Nothing is computed, so that all of this work counts as a transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from manifests.commit import read_commit
from manifests.parquet.schema import inversion_schema
from manifests.stores.store import Store
from tasks.images.decode import UnusableError
from tasks.inputs.archive import read_samples
from tasks.inputs.local_copy import local_copy
from tasks.shards.batch import Batch, Item
from tasks.shards.commits import commit_info, inversion_of, split_committed
from tasks.shards.output import ShardReport, open_inversion, open_outputs
from tasks.shards.reading import stored_inversions
from tasks.shards.rows import edit_rows, inversion_rows
from tasks.spec.callbacks import ignore
from tasks.spec.requests import EditRequest, InvertRequest
from tasks.worker.pulse import TRANSFER, OnPulse

NO_LATENTS = inversion_schema(0, 0)
"""No row of the file has latents, so that the sizes of the networks are not needed."""
ROWS_AT_ONCE = 256


def quarantine_inversion(request: InvertRequest, store: Store, reason: str, pulse: OnPulse = ignore) -> ShardReport:
    """Commit the samples that the tar lists, each without latents. An earlier commit is kept and returned."""
    pulse(TRANSFER)
    record = read_commit(store, request.id)
    if record is not None:
        return ShardReport.of(record, reused=True)
    with open_inversion(request, NO_LATENTS) as output, local_copy(request.shard) as path:
        items = (Item(sample) for sample in read_samples(path, request.shard.limit))
        total = 0
        for batch in _without_pixels(items, reason):
            output.write(inversion_rows(request.shard, batch, None, None))
            total += len(batch.items)
        info = {"name": request.shard.uri, "shard": request.shard.content, "quarantined": reason}
        return output.commit(store, info, total, max_failure_rate=1.0)


def quarantine_edits(
    requests: Sequence[EditRequest], store: Store, reason: str, pulse: OnPulse = ignore
) -> list[ShardReport]:
    """Commit the samples of the shard's inversion, each without an image, for every edit that is not committed yet."""
    pulse(TRANSFER)
    reports, pending = split_committed(store, requests)
    if not pending:
        return reports
    record = inversion_of(store, pending)
    with open_outputs(pending) as outputs:
        for batch in _without_pixels(stored_inversions(store, record), reason):
            for request in pending:
                outputs[request.id].write(edit_rows(request, "", batch, None))
        total = sum(record.counts.values())
        for request in pending:
            info = {**commit_info(request), "quarantined": reason}
            reports.append(outputs[request.id].commit(store, info, total, max_failure_rate=1.0))
    return reports


def _without_pixels(items: Iterable[Item], reason: str) -> Iterator[Batch]:
    """The items in batches, without pixels; those that had the status ok fail with the reason."""
    unusable = UnusableError("quarantined", reason)
    failed = (item.failed(unusable) if item.sample.status == "ok" else item for item in items)
    while chunk := tuple(islice(failed, ROWS_AT_ONCE)):
        yield Batch(chunk, ROWS_AT_ONCE)
