"""The manifest: a Delta Lake table of the published rows in the folder manifest/ of an output, partitioned by edit.

Each publish is one transaction, which adds and removes data files. It is optimistic: it succeeds only on top of the
version that was read, and whoever comes second reads again and keeps what the other did not touch. The log, written by
delta-rs with create-only writes, declares reader version 1 and writer version 2, which every engine reads. An output
whose manifest an earlier version of coral published, as parts, is read as version 0 of the table.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from manifests.parquet.filesystem import filesystem_of
from manifests.parquet.schema import MANIFEST_SCHEMA
from manifests.stores.store import CommitConflict, ObjectClient, Store, StoreUnavailable
from manifests.table_files import PARTITION, SKIPPING, TableFile, statistics_of

FOLDER = "manifest"
EARLIER = "snapshots/LATEST.json"
"""The list of parts by which earlier versions of coral published."""
LOG = f"{FOLDER}/_delta_log/"
LOG_ENTRY = re.compile(rf"{LOG}\d{{20}}\.json")
HISTORY_DAYS = 30
"""How long the log tells of versions; their files stay as long as gc is told to keep them."""
CONFIGURATION = {
    "delta.dataSkippingStatsColumns": ",".join(SKIPPING),
    "delta.checkpointInterval": "10",
    "delta.logRetentionDuration": f"interval {HISTORY_DAYS} days",
    "delta.deletedFileRetentionDuration": f"interval {HISTORY_DAYS} days",
    "delta.setTransactionRetentionDuration": f"interval {HISTORY_DAYS} days",  # else the ids pile up in checkpoints
}
KEYS = ("request_id", PARTITION, "source_uri", "source_version", "source_state", "rules")


class PublishedRequest(NamedTuple):
    """The rows of one request in the manifest; all of them are in one file."""

    request_id: str
    edit: str
    source_uri: str | None
    source_version: str | None  # None only in rows that an earlier version of coral published
    source_state: str
    rules: str  # text of the PublishRules
    rows: int
    file: str


@dataclass(frozen=True)
class Manifest:
    """The table at one version. Version 0 is empty, or what an earlier version of coral published."""

    store: Store
    version: int
    files: Mapping[str, TableFile]  # by path
    dataset: pads.FileSystemDataset = field(repr=False, compare=False)
    earlier: bool = False  # version 0 of an output that was published as parts
    delta: DeltaTable | None = field(default=None, repr=False, compare=False)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files.values())

    @cached_property
    def requests(self) -> dict[str, PublishedRequest]:
        """Every published request, from the columns KEYS of all files."""
        return self.read_requests({})

    def read_requests(self, known: dict[str, list[PublishedRequest]]) -> dict[str, PublishedRequest]:
        """As `requests`; `known` holds what is known of files by path, and is completed."""
        for path in self.files.keys() - known.keys():
            known[path] = list(_requests_in(self.part([path]), self.files[path]))
        return {each.request_id: each for path in self.files for each in known[path]}

    def part(self, paths: Iterable[str]) -> pads.FileSystemDataset:
        """The rows of some of the files."""
        wanted = set(paths)
        fragments = [each for each in self.dataset.get_fragments() if each.path in wanted]
        return pads.FileSystemDataset(fragments, MANIFEST_SCHEMA, self.dataset.format, self.dataset.filesystem)

    def removed_files(self, hours: float = 0) -> set[str]:
        """Paths of files that were removed from the table more than `hours` ago, as far as its log tells."""
        if self.delta is None:
            return set()
        return set(self.delta.vacuum(int(hours), dry_run=True, enforce_retention_duration=False))

    def restore(self, version: int, info: Mapping[str, Any]) -> None:
        """Make an earlier version the current one, as one version more; this one must be the newest.

        Errors: ValueError if there is no such version, or its files are gone; CommitConflict if this is not the newest.
        """
        if not 0 < version < self.version:
            raise ValueError(f"the manifest in {self.store} has no version {version} before {self.version}")
        files = open_manifest(self.store, version).files
        missing = [path for path in files if self.store.head(f"{FOLDER}/{path}") is None]
        if missing:
            raise ValueError(f"version {version} cannot be restored: {len(missing)} of its files are gone")
        added = [file for path, file in files.items() if path not in self.files]
        if not self.commit(uuid.uuid4().hex, added, self.files.keys() - files.keys(), info):
            raise CommitConflict("another process has published meanwhile; look again, then restore")

    def has(self, transaction: str) -> bool:
        """Whether the transaction of this id is in this version or an earlier one."""
        return self.delta is not None and self.delta.transaction_version(transaction) is not None

    def commit(
        self, transaction: str, added: Sequence[TableFile], removed: Iterable[str], info: Mapping[str, Any]
    ) -> bool:
        """One version more, with `added` and without `removed` (paths); `info` (JSON) is told by history().

        False if nothing is known to be written, because another process committed first or the answer was lost: open
        the manifest again, and look whether it has() the transaction.
        """
        client = self.store.client()  # with new credentials: it may be hours ago that the version was read
        delta = _created(self.store, client) if self.delta is None else _opened(client, self.version)
        if delta.version() != self.version:
            return False
        now = int(time.time() * 1000)
        gone = [self.files[path] for path in removed if not self.earlier]
        actions: list[AddAction | RemoveAction] = [
            *(AddAction(each.path, each.size, {PARTITION: each.edit}, now, True, each.stats) for each in added),
            *(RemoveAction(each.path, True, now, each.size, {PARTITION: each.edit}) for each in gone),
        ]
        properties = CommitProperties(
            custom_metadata=dict(info),
            max_commit_retries=0,  # delta-rs would accept another publisher's rows of the same request
            app_transactions=[Transaction(transaction, 1, now)],
        )
        try:
            delta.create_write_transaction(actions, "append", delta.schema(), [PARTITION], commit_properties=properties)
        except CommitFailedError:
            return False
        except (DeltaError, OSError) as error:  # it may be written: the answer was lost, or a checkpoint failed
            if open_manifest(self.store).version == self.version:
                raise StoreUnavailable(f"the manifest in {self.store} could not be written: {_plain(error)}") from None
            return False
        if not client.options:
            _sync(Path(client.uri) / LOG / f"{self.version + 1:020}.json")
        return True


def open_manifest(store: Store, version: int | None = None) -> Manifest:
    """The manifest at a version, by default the newest. ValueError if there is no such version any more."""
    client = store.client()
    try:
        delta = _opened(client, version)
    except TableNotFoundError:
        if version:
            raise ValueError(f"the manifest in {store} has no version yet but the current one") from None
        return _earlier(store, client)
    except (DeltaError, OSError) as error:
        if version is not None and isinstance(error, DeltaError):
            raise ValueError(f"the manifest in {store} has no version {version}: {_plain(error)}") from None
        raise StoreUnavailable(f"the manifest in {store} could not be read: {_plain(error)}") from None
    files = (
        TableFile(
            each["path"], each[f"partition.{PARTITION}"], each["num_records"], each["size_bytes"], statistics_of(each)
        )
        for each in pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    )
    dataset = delta.to_pyarrow_dataset(filesystem=filesystem_of(client, FOLDER), schema=MANIFEST_SCHEMA)
    return Manifest(store, delta.version(), {file.path: file for file in files}, dataset, delta=delta)


def _uri(client: ObjectClient) -> str:
    """The address of the table. ValueError for a path that delta-rs, which decodes it once too often, does not find."""
    if re.search("%[0-9A-Fa-f]{2}", client.uri):
        raise ValueError(f"the output's path {client.uri!r} has a % before two digits, which delta-rs cannot read")
    return f"{client.uri}/{FOLDER}"


def _opened(client: ObjectClient, version: int | None = None) -> DeltaTable:
    return DeltaTable(_uri(client), version=version, storage_options=dict(client.options))


def _created(store: Store, client: ObjectClient) -> DeltaTable:
    """The table, made if there is none yet."""
    try:
        return DeltaTable.create(
            _uri(client),
            MANIFEST_SCHEMA.remove_metadata(),
            mode="ignore",
            partition_by=[PARTITION],
            configuration=CONFIGURATION,
            storage_options=dict(client.options),
            commit_properties=CommitProperties(max_commit_retries=0),  # else the second creator writes a version too
        )
    except (DeltaError, OSError) as error:  # another process was first, or an answer was lost
        try:
            return _opened(client)
        except DeltaError:
            raise StoreUnavailable(f"the manifest in {store} could not be made: {_plain(error)}") from None


def _sync(path: Path) -> None:
    """Write a file of the log through to the disk, which delta-rs does not do."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _requests_in(dataset: pads.FileSystemDataset, file: TableFile) -> Iterator[PublishedRequest]:
    """The requests of one file. Their rows are adjacent, so a row of each is enough, and no text is read twice."""
    (fragment,) = dataset.get_fragments()
    names = [name for name in KEYS if name != PARTITION or not file.edit]
    parquet = pads.ParquetFileFormat(read_options=pads.ParquetReadOptions(dictionary_columns=names))
    made = parquet.make_fragment(fragment.path, fragment.filesystem, fragment.partition_expression)
    schema = pa.schema([pa.field(name, pa.dictionary(pa.int32(), pa.string())) for name in names])
    table = pads.FileSystemDataset([made], schema, parquet, fragment.filesystem).to_table().combine_chunks()
    if not table.num_rows:
        return
    columns = {name: table[name].combine_chunks() for name in names}
    starts = np.flatnonzero(np.diff(columns["request_id"].indices.to_numpy(), prepend=-1))
    texts = {
        name: [None if each is None else intern(each) for each in column.dictionary.to_pylist()]
        for name, column in columns.items()
    }  # many requests share a text
    rows = {
        name: [None if each is None else texts[name][each] for each in column.take(starts).indices.to_pylist()]
        for name, column in columns.items()
    }
    rows |= {"rows": np.diff(starts, append=table.num_rows).tolist(), "file": [file.path] * len(starts)}
    if file.edit:
        rows[PARTITION] = [file.edit] * len(starts)
    yield from map(PublishedRequest, *(rows[name] for name in PublishedRequest._fields))


def _earlier(store: Store, client: ObjectClient) -> Manifest:
    """The parts that an earlier version of coral published; nothing if there are none."""
    try:
        parts = json.loads(store.read(EARLIER))["parts"]
    except FileNotFoundError:
        parts = []
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{EARLIER} in {store} is damaged: {error!r}") from error
    filesystem, parquet = filesystem_of(client, FOLDER), pads.ParquetFileFormat()
    given = {"source_state": "present"}
    files, fragments = {}, []
    for part in parts:
        path = part["key"].removeprefix(f"{FOLDER}/")
        files[path] = TableFile(path, "", part["rows"], 0, "")
        constants = [pads.field(name) == value for name, value in {**given, "rules": part.get("rules", "")}.items()]
        fragments.append(parquet.make_fragment(path, filesystem, partition_expression=constants[0] & constants[1]))
    dataset = pads.FileSystemDataset(fragments, MANIFEST_SCHEMA, parquet, filesystem)
    return Manifest(store, 0, files, dataset, earlier=bool(parts))


def _plain(error: Exception) -> str:
    """The message in one line, without colours."""
    return " ".join(str(error).replace("\x1b[31m", "").replace("\x1b[0m", "").split())


def history(store: Store, limit: int | None = None) -> list[dict[str, Any]]:
    """What the log says of each version, the newest first: version, time (UTC), and the `info` of commit()."""
    return list(islice(_log_entries(store), limit))


def version_at(store: Store, moment: datetime) -> int:
    """The newest version that was written until a moment. ValueError if the log does not go back so far."""
    found = next((each["version"] for each in _log_entries(store) if each["time"] <= moment), None)
    if found is None:
        raise ValueError(f"the manifest in {store} has no version of {moment} any more, or had none yet")
    return int(found)


def _log_entries(store: Store) -> Iterator[dict[str, Any]]:
    """The log is read through the store: delta-rs would hold Python's interpreter lock while it waits for a bucket, and
    would take the time of a version from the bucket, in whole seconds."""
    keys = [info.key for info in store.list(LOG) if LOG_ENTRY.fullmatch(info.key)]
    for key in sorted(keys, reverse=True):
        actions = (json.loads(line) for line in store.read(key).splitlines())
        told = next((action["commitInfo"] for action in actions if "commitInfo" in action), {"timestamp": 0})
        yield {**told, "version": int(Path(key).stem), "time": datetime.fromtimestamp(told["timestamp"] / 1000, UTC)}
