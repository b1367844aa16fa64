"""Rows of the manifest as training samples: the edited image, its labels and its provenance."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from manifests.commit import read_commit
from manifests.parquet.row_places import RowPlace, rows_at
from manifests.stores.s3_options import AMBIENT, S3Options
from manifests.stores.store import Store
from tasks.inputs.local_copy import ShardChangedError
from tasks.inputs.text_members import TextMembers, open_text_members
from tasks.spec.labels import Labels, read_labels
from tasks.spec.publish_rules import PublishRules
from tasks.spec.requests import Shard

SCORES = ("clip_source", "clip_edit", "direction", "identity", "outside", "area", "inversion_error")
SUFFIXES = {"jpeg": "jpg"}
"""Image format -> suffix of its members, where the two differ."""
LABELS = {"txt": "caption"}
"""Suffix of a text member -> the label it holds, where the two differ; the label of <key>.cls is cls."""
LONGEST_KEY = 64
"""Maximum number of characters of a source key in the new key, because a file name has at most 255."""

ManifestRow = Mapping[str, Any]


@dataclass(frozen=True)
class TrainingSample:
    """One edited image with the data that a training may use."""

    key: str  # the same in every export, and unique; letters, digits, - and _ only
    suffix: str  # png, jpg or webp
    image: bytes
    mask: bytes | None  # PNG; None unless asked for
    texts: Mapping[str, bytes]  # suffix -> text member of the source
    row: ManifestRow

    def labels(self) -> dict[str, Any]:
        """The source's labels with the edit's changes, and the provenance under "coral"."""
        labels = read_labels(self.row["metadata"])
        earlier = {"source_coral": labels["coral"]} if "coral" in labels else {}  # the source is an edited image itself
        return {**labels, "coral": {**provenance(self.row), **earlier}}


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What a sample contains."""

    with_masks: bool
    with_texts: bool  # text members are read from the source tars
    s3: S3Options = AMBIENT  # how the buckets of the sources are reached


def provenance(row: ManifestRow) -> dict[str, Any]:
    """The origin and the scores of an edited image."""
    return {
        "synthetic": True,
        **{name: row[name] for name in ("edit", "method", "prompt", "source_prompt", "strength", "seed", "status")},
        "split": row["split"],
        "scores": {name: _finite(row[name]) for name in SCORES},
        "source": {
            "key": row["key"],
            "uri": row["source_uri"],
            "member": row["source_member"],
            "sha256": row["source_sha256"],
        },
        "models_digest": row["models_digest"],
        "editor_digest": row["editor_digest"],
    }


def sample_key(shard_id: str, source_key: str, edit_id: str) -> str:
    """<shard id>__<source key>__<edit id>. It names the shard, because the keys of every shard may start from zero.

    Characters that webdataset or a file name does not allow are replaced, and long keys are cut. A source key that is
    changed this way gets a digest of the original, so that different keys stay different.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", source_key).strip("-")[:LONGEST_KEY]
    if plain != source_key:
        plain = f"{plain}-{hashlib.sha256(source_key.encode()).hexdigest()[:8]}"
    return f"{shard_id}__{plain}__{edit_id}"


def training_samples(store: Store, rows: Iterable[ManifestRow], options: SampleOptions) -> Iterator[TrainingSample]:
    """The samples of manifest rows, in their order. Rows of one source, and of one row group, must be adjacent.

    Errors: ValueError if a source whose text members are read is gone or was changed.
    """
    for _, of_source in groupby(rows, key=lambda row: row["source_uri"]):
        with Sources(store, options.s3) as sources:
            for _, group in groupby(of_source, key=_row_group):
                yield from _samples_of(store, list(group), sources, options)


def _samples_of(
    store: Store, group: list[ManifestRow], sources: Sources, options: SampleOptions
) -> Iterator[TrainingSample]:
    """The samples of one row group."""
    first = group[0]
    shard, changes = sources.shard_of(first["request_id"]), PublishRules.read(first["rules"]).labels
    readable = options.with_texts and first["source_state"] == "present"
    texts = sources.texts_of(shard) if readable else None
    for row, stored in zip(group, _stored(store, group, options.with_masks), strict=True):
        yield TrainingSample(
            key=sample_key(shard.id, row["key"], row["edit"]),
            suffix=_suffix(stored["image"]["path"]),
            image=stored["image"]["bytes"],
            mask=stored["mask"]["bytes"] if options.with_masks else None,
            texts=relabelled(texts.of(row["key"]), changes) if texts else {},
            row=row,
        )


class Sources:
    """The input tars of one source_uri: a single one, unless the tar was rewritten between two runs."""

    def __init__(self, store: Store, s3: S3Options) -> None:
        self.store, self.s3 = store, s3
        self._shards: dict[str, Shard] = {}
        self._texts: dict[tuple[str, str], TextMembers] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def shard_of(self, request_id: str) -> Shard:
        """The shard of a published request, from its commit."""
        if request_id not in self._shards:
            record = read_commit(self.store, request_id)
            if record is None:
                raise ValueError(f"commits/{request_id}.json is gone, and its rows are still in the manifest")
            self._shards[request_id] = Shard(**record.info["shard"], s3=self.s3)
        return self._shards[request_id]

    def texts_of(self, shard: Shard) -> TextMembers:
        """The text members of a tar, opened once and kept until the block is left."""
        content = (shard.sha256, shard.etag)
        if content not in self._texts:
            try:
                self._texts[content] = self._stack.enter_context(open_text_members(shard))
            except ShardChangedError as error:
                raise ValueError(f"{error}; or restore the tar, or export --without-sidecars") from error
        return self._texts[content]


def relabelled(texts: Mapping[str, bytes], changes: Labels) -> dict[str, bytes]:
    """The text members after an edit: the member of a changed label is rewritten, that of a removed label left out."""
    members: dict[str, bytes] = {}
    for suffix, data in texts.items():
        label = LABELS.get(suffix, suffix)
        value = changes.get(label)
        if label not in changes:
            members[suffix] = data
        elif value is not None:
            members[suffix] = (value if isinstance(value, str) else json.dumps(value)).encode()
    return members


def _stored(store: Store, group: list[ManifestRow], with_masks: bool) -> list[dict[str, Any]]:
    """The stored images of rows of one row group, which is read once.

    Errors: OSError if the row group holds other samples than the manifest says.
    """
    places = [RowPlace(row["image_uri"], row["row_group"], row["row"]) for row in group]
    by_place = dict(rows_at(store, places, ("key", "image", *(["mask"] if with_masks else []))))
    stored = [by_place[place] for place in places]
    if [row["key"] for row in group] != [row["key"] for row in stored]:
        where = f"row group {places[0].row_group} of {places[0].key}"
        raise OSError(f"{where} does not hold the samples that the manifest says")
    return stored


def _row_group(row: ManifestRow) -> tuple[str, int]:
    return row["image_uri"], row["row_group"]


def _suffix(path: str) -> str:
    image_format = path.rpartition(".")[2]
    return SUFFIXES.get(image_format, image_format)


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
