"""The manifest rows of commits: the stored rows with gate, labels of the edit, split, and location of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manifests.commit import CommitRecord
from manifests.table_files import Columns, place_columns, repeated
from tasks.spec.gates import GATED_SCORES, Gates
from tasks.spec.labels import Labels, merge_labels, split_of, split_of_shard
from tasks.spec.publish_rules import PublishRules

REPAIR = "remove this commit, then the next run edits the shard again"


def rows_keys(record: CommitRecord) -> list[str]:
    """The objects that hold the rows of a commit without their pixels."""
    return [ref.key for ref in record.objects if ref.key.startswith("rows/")]


def published_columns(
    batch: Any, records: Sequence[CommitRecord], rules: PublishRules, states: Mapping[str, str]
) -> Columns:
    """The columns that publishing sets, for the stored rows (an Arrow batch) of several commits, one after the other.

    `states`: request -> source_state, where it is not "present".
    Only rows with an edited image get a verdict, a location and new labels.
    """
    counts = [sum(record.counts.values()) for record in records]
    shards = [record.info["shard"] for record in records]
    good = np.array([status == "ok" for status in batch.column("status").to_pylist()], dtype=bool)
    images = [ref for record in records for ref in record.objects if ref.key.startswith("data/")]
    return {
        **place_columns(images, good),
        "request_id": repeated([record.request_id for record in records], counts),
        "source_version": repeated([shard["sha256"] or shard["etag"] for shard in shards], counts),
        "source_state": repeated([states.get(record.request_id, "present") for record in records], counts),
        "rules": repeated([rules.text], [len(good)]),
        "synthetic": good.tolist(),
        **_judged(batch, good, rules.gates),
        **_labelled(batch, good, rules.labels),
    }


def check_counts(records: Sequence[CommitRecord], rows: Sequence[int]) -> None:
    """ValueError if a commit has not the rows, or the images, that it counts. `rows`: of each rows_keys() in order."""
    left = iter(rows)
    for record in records:
        found = sum(next(left) for _ in rows_keys(record))
        images = sum(ref.rows for ref in record.objects if ref.key.startswith("data/"))
        if {found, images} != {sum(record.counts.values())}:
            raise ValueError(
                f"commits/{record.request_id}.json counts {dict(record.counts)} but has {found} rows and places for "
                f"{images} images; {REPAIR}"
            )


def _judged(batch: Any, good: np.ndarray, gates: Gates) -> Columns:
    """Status, reason and gate."""
    if not gates.active:
        return {}
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
    columns: dict[str, Any] = {"split": [split_of(text, of_shard[uri]) for text, uri in zip(texts, uris, strict=True)]}
    if labels:
        changed = {text: merge_labels(text, labels) for text in set(texts)}
        merged = [changed[text] if ok else text for text, ok in zip(texts, good, strict=True)]
        originals = [None if new == text else text for text, new in zip(texts, merged, strict=True)]
        columns |= {"metadata": merged, "original": originals}
    return columns


def scores_of(table: Any) -> Mapping[str, np.ndarray]:
    """The columns that gates read, from an Arrow batch or table, as float32 with NaN for null."""
    return {name: np.asarray(table.column(name), dtype=np.float32) for name in GATED_SCORES}
