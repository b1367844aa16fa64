"""The manifest rows of a commit: the stored rows with gate, labels of the edit, split, and location of the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from manifests.commit import CommitRecord, row_places
from manifests.parquet.reader import read_batches
from manifests.parquet.row_places import RowPlace
from manifests.stores.store import Store
from tasks.spec.gates import GATED_SCORES, Gates
from tasks.spec.labels import Labels, merge_labels, split_of, split_of_shard
from tasks.spec.publish_rules import PublishRules

ROWS_AT_ONCE = 16_384
NO_ROW_PLACE = (None, None, None)
REPAIR = "remove this commit, then the next run edits the shard again"

Columns = dict[str, Sequence[object]]


def published_rows(store: Store, record: CommitRecord, rules: PublishRules) -> Iterator[tuple[Any, Columns]]:
    """Stored Arrow batches with the columns that publishing sets. ValueError if there is not one row per image."""
    places, rows = row_places(record), 0
    for ref in record.objects:
        if ref.key.startswith("rows/"):
            for batch in read_batches(store, ref.key, batch_rows=ROWS_AT_ONCE):
                found = list(islice(places, batch.num_rows))
                if len(found) < batch.num_rows:
                    raise ValueError(f"commits/{record.request_id}.json has more rows than images; {REPAIR}")
                rows += batch.num_rows
                yield batch, {"request_id": [record.request_id] * batch.num_rows, **published(batch, found, rules)}
    if rows != sum(record.counts.values()) or next(places, None) is not None:
        raise ValueError(f"commits/{record.request_id}.json counts {dict(record.counts)} but has {rows} rows; {REPAIR}")


def published(batch: Any, places: Sequence[RowPlace], rules: PublishRules) -> Columns:
    """The columns that publishing sets. Only rows with an edited image get a verdict, a location and new labels."""
    good = np.array([status == "ok" for status in batch.column("status").to_pylist()], dtype=bool)
    where = [place if ok else NO_ROW_PLACE for place, ok in zip(places, good, strict=True)]
    image_uris, row_groups, rows = zip(*where, strict=True) if where else ((), (), ())
    return {
        "image_uri": image_uris,
        "row_group": row_groups,
        "row": rows,
        "synthetic": good.tolist(),
        **_judged(batch, good, rules.gates),
        **_labelled(batch, good, rules.labels),
    }


def _judged(batch: Any, good: np.ndarray, gates: Gates) -> Columns:
    """Status, reason and gate."""
    scores = scores_of(batch)
    verdicts = np.where(good, gates.verdicts(scores), "")
    statuses, reasons = batch.column("status").to_pylist(), batch.column("reason").to_pylist()
    for row in np.flatnonzero(verdicts != "").tolist():
        statuses[row], reasons[row] = "rejected", gates.reason(verdicts[row], scores, row)
    return {"status": statuses, "reason": reasons, "gate": [verdict or None for verdict in verdicts]}


def _labelled(batch: Any, good: np.ndarray, labels: Labels) -> Columns:
    """Split and, for an edit that changes labels, metadata and original. Equal metadata texts are parsed once."""
    texts, uris = batch.column("metadata").to_pylist(), batch.column("source_uri").to_pylist()
    of_shard = {uri: split_of_shard(uri) for uri in set(uris)}
    columns: Columns = {"split": [split_of(text, of_shard[uri]) for text, uri in zip(texts, uris, strict=True)]}
    if labels:
        changed = {text: merge_labels(text, labels) for text in set(texts)}
        merged = [changed[text] if ok else text for text, ok in zip(texts, good, strict=True)]
        originals = [None if new == text else text for text, new in zip(texts, merged, strict=True)]
        columns |= {"metadata": merged, "original": originals}
    return columns


def scores_of(table: Any) -> Mapping[str, np.ndarray]:
    """The columns that gates read, from an Arrow batch or table, as float32 with NaN for null."""
    return {name: np.asarray(table.column(name), dtype=np.float32) for name in GATED_SCORES}
