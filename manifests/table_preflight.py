"""The test of an output's store before a run: what commits need, and what the log of the manifest's table needs.

The log is written by another client than all else, delta-rs, which also finds its own way to the bucket. So it is tried
too: several writers commit on top of the same version of a table that is removed again.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from manifests.stores.preflight import CONDITIONS, PREFIX, WRITERS, UnfitStore, preflight
from manifests.stores.store import Store, StoreRefused

SCHEMA = pa.schema([("key", pa.string())])


def preflight_output(store: Store) -> None:
    """As preflight(), and the same for the manifest's table. On a local disk both clients use the same hard links."""
    preflight(store)
    if not store.client().options:
        return
    folder = f"{PREFIX}{uuid.uuid4().hex}"
    try:
        _check_log(store, folder)
    finally:
        with suppress(Exception):  # the first error is the one to report
            for info in list(store.list(f"{folder}/")):
                store.delete(info.key)


def _check_log(store: Store, folder: str) -> None:
    client = store.client()
    uri, options = f"{client.uri}/{folder}", dict(client.options)
    try:
        DeltaTable.create(uri, SCHEMA, storage_options=options)
        tables = [DeltaTable(uri, storage_options=options) for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            winners = sum(pool.map(_commits, tables))
    except (DeltaError, OSError) as error:
        reason = " ".join(str(error).split())
        raise StoreRefused(f"the log of the manifest cannot be written in {store} by delta-rs: {reason}") from None
    if winners != 1:
        raise UnfitStore(
            f"{store} let {winners} of {WRITERS} simultaneous writers of delta-rs create one object. {CONDITIONS}"
        )


def _commits(table: DeltaTable) -> bool:
    """Whether this writer may write the next version of the table."""
    try:
        table.create_write_transaction(
            [], "append", table.schema(), commit_properties=CommitProperties(max_commit_retries=0)
        )
    except CommitFailedError:
        return False
    return True
