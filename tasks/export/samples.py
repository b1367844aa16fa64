"""Rows of the manifest as samples to train on: the edited image, its labels, and where it comes from."""

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
"""Suffixes of image members where they differ from the format's name."""
LABELS = {"txt": "caption"}
"""Labels that text members hold, where they differ from the suffix: the label of <key>.cls is cls."""
LONGEST_KEY = 64
"""Characters of a source key that go into the new key as they are; file names hold 255."""

ManifestRow = Mapping[str, Any]


@dataclass(frozen=True)
class TrainingSample:
    """One edited image with everything a training wants to know of it."""

    key: str  # the same in every export, and no other sample's; letters, digits, - and _ only
    suffix: str  # png, jpg or webp
    image: bytes
    mask: bytes | None  # PNG; None unless asked for
    texts: Mapping[str, bytes]  # suffix -> text member of the source
    row: ManifestRow

    def labels(self) -> dict[str, Any]:
        """The source's labels with the edit's changes, and the provenance under "coral"."""
        labels = read_labels(self.row["metadata"])
        earlier = {"source_coral": labels["coral"]} if "coral" in labels else {}  # the source had been edited itself
        return {**labels, "coral": {**provenance(self.row), **earlier}}


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What a sample is to have."""

    with_masks: bool
    with_texts: bool  # text members are read from the source tars
    rules: Mapping[str, str]  # published request -> what it was published under
    s3: S3Options = AMBIENT  # how the buckets of the sources are reached

    def changes(self, request_id: str) -> Labels:
        """The labels that an edit changes."""
        return PublishRules.read(self.rules[request_id]).labels


def provenance(row: ManifestRow) -> dict[str, Any]:
    """Where an edited image comes from and how good it is."""
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
    """<shard id>__<source key>__<edit id>: every shard may count from zero, and exports are put together.

    A source key that must be changed or cut, because webdataset or a file name would not take it, gets a digest of
    itself, so that different keys stay different.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", source_key).strip("-")[:LONGEST_KEY]
    if plain != source_key:
        plain = f"{plain}-{hashlib.sha256(source_key.encode()).hexdigest()[:8]}"
    return f"{shard_id}__{plain}__{edit_id}"


def training_samples(store: Store, rows: Iterable[ManifestRow], options: SampleOptions) -> Iterator[TrainingSample]:
    """The samples of manifest rows in their order; rows of one source, and of one row group, follow each other.

    Errors: ValueError when a source whose text members are asked for is gone or changed.
    """
    for _, of_source in groupby(rows, key=lambda row: row["source_uri"]):
        with Sources(store, options.s3) as sources:
            for _, group in groupby(of_source, key=_row_group):
                yield from _samples_of(store, list(group), sources, options)


def _samples_of(
    store: Store, group: list[ManifestRow], sources: Sources, options: SampleOptions
) -> Iterator[TrainingSample]:
    """The samples of one row group."""
    request_id = group[0]["request_id"]
    shard, changes = sources.shard_of(request_id), options.changes(request_id)
    texts = sources.texts_of(shard) if options.with_texts else None
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
    """The input tars behind one source_uri: one, unless it was written again between two runs."""

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
        """The shard of a published request, as its commit describes it."""
        if request_id not in self._shards:
            record = read_commit(self.store, request_id)
            if record is None:
                raise ValueError(f"commits/{request_id}.json is gone, and its rows are still in the manifest")
            self._shards[request_id] = Shard(**record.info["shard"], s3=self.s3)
        return self._shards[request_id]

    def texts_of(self, shard: Shard) -> TextMembers:
        """Opened once per tar and kept until the source is left."""
        content = (shard.sha256, shard.etag)
        if content not in self._texts:
            try:
                self._texts[content] = self._stack.enter_context(open_text_members(shard))
            except ShardChangedError as error:
                raise ValueError(f"{error}; or bring the tar back, or export --without-sidecars") from error
        return self._texts[content]


def relabelled(texts: Mapping[str, bytes], changes: Labels) -> dict[str, bytes]:
    """Text members that say what the edit made of them: those of a changed label are written anew, or left out."""
    found: dict[str, bytes] = {}
    for suffix, data in texts.items():
        label = LABELS.get(suffix, suffix)
        value = changes.get(label)
        if label not in changes:
            found[suffix] = data
        elif value is not None:
            found[suffix] = (value if isinstance(value, str) else json.dumps(value)).encode()
    return found


def _stored(store: Store, group: list[ManifestRow], with_masks: bool) -> list[dict[str, Any]]:
    """What the data object holds for rows of one row group, which is read once. OSError if it is another sample's."""
    places = [RowPlace(row["image_uri"], row["row_group"], row["row"]) for row in group]
    by_place = dict(rows_at(store, places, ("key", "image", *(["mask"] if with_masks else []))))
    found = [by_place[place] for place in places]
    if [row["key"] for row in group] != [row["key"] for row in found]:
        where = f"row group {places[0].row_group} of {places[0].key}"
        raise OSError(f"{where} does not hold the samples that the manifest says")
    return found


def _row_group(row: ManifestRow) -> tuple[str, int]:
    return row["image_uri"], row["row_group"]


def _suffix(path: str) -> str:
    image_format = path.rpartition(".")[2]
    return SUFFIXES.get(image_format, image_format)


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
