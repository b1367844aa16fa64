"""The columns of everything this project writes as Parquet, and how each kind of column is stored.

Every type is explicit, so that a column with only nulls in one file keeps its type. Images and masks are
struct<bytes, path> columns with the metadata by which Hugging Face `datasets` decodes them.
"""

from __future__ import annotations

import json
from typing import Literal, get_args

import pyarrow as pa

VERSION = "1"

Status = Literal[
    "ok",  # has an edited image (or an inversion)
    "undecodable",  # the member is not an image we can read
    "incomplete",  # the sample has no image, or the tar ends inside it
    "duplicate_key",  # another sample of the shard had this key first
    "too_large",  # more bytes or pixels than the job allows
    "not_aligned",  # geometry: refused to crop or resize
    "not_inverted",  # inversion gave no usable latents
    "failed",  # the edit of this sample failed; retried on request
    "quarantined",  # the shard is not tried again after repeated failures
    "rejected",  # was ok, but failed a gate of the last publish
]
STATUSES: tuple[Status, ...] = get_args(Status)

SourceState = Literal[
    "present",
    "changed",  # the shard has another content now, of which nothing is published yet
    "kept",  # the shard is gone, and the job keeps its rows as they are
    "removed",  # the shard is gone: an export leaves the row out unless it is asked for
]
SOURCE_STATES: tuple[SourceState, ...] = get_args(SourceState)

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

PAYLOAD = frozenset({"image", "mask", "ws"})
"""Large columns: without dictionary, statistics or compression."""

LOW_CARDINALITY = frozenset(
    {
        *("status", "reason", "source_uri", "prompt", "source_prompt", "edit", "method", "models_digest"),
        *("editor_digest", "request_id", "image_uri", "gate", "split", "rules", "source_version", "source_state"),
    }
)
"""Columns with few distinct values per file: the only ones with a dictionary."""

_SOURCE = (
    pa.field("key", pa.string(), nullable=False),  # the sample's key in its shard
    pa.field("source_uri", pa.string()),  # the shard
    pa.field("source_member", pa.string()),  # the image's name in the tar
    pa.field("source_sha256", pa.string()),  # of the image's bytes
    pa.field("metadata", pa.string()),  # JSON: the source's labels; in the manifest merged with the edit's changes
    pa.field("status", pa.string(), nullable=False),  # one of STATUSES
    pa.field("reason", pa.string()),  # text: why the status is not ok
)
_EDIT = (
    pa.field("prompt", pa.string()),
    pa.field("source_prompt", pa.string()),
    pa.field("edit", pa.string()),  # edit_id: slug and short hash
    pa.field("method", pa.string()),
    pa.field("strength", pa.float64()),
    pa.field("seed", pa.int64()),
    pa.field("models_digest", pa.string()),
    pa.field("editor_digest", pa.string()),
)
_SIZE = (
    pa.field("width", pa.int32()),  # of the source, px
    pa.field("height", pa.int32()),
    pa.field("box", pa.list_(pa.float32())),  # left, top, right, bottom of the generator's input, upright source px
    pa.field("inverse", pa.list_(pa.float64())),  # a b c d e f: generator px (x, y) to (ax + by + c, dx + ey + f)
)
_SCORES = (
    pa.field("clip_source", pa.float32()),
    pa.field("clip_edit", pa.float32()),
    pa.field("direction", pa.float32()),
    pa.field("identity", pa.float32()),
    pa.field("outside", pa.float32()),
    pa.field("area", pa.float32()),  # of the mask that the editor chose
    pa.field("effective_area", pa.float32()),  # of the mask
    pa.field("inversion_error", pa.float32()),
    pa.field("layer_areas", pa.list_(pa.float32())),  # [L_conv] mean of each layer's mask
)
_PIXELS = (pa.field("image", IMAGE), pa.field("mask", IMAGE))
_PUBLISHED = (
    pa.field("request_id", pa.string(), nullable=False),  # of the commit that the row comes from
    pa.field("image_uri", pa.string()),  # key of the data object that holds image and mask
    pa.field("row_group", pa.int32()),  # row group of that object
    pa.field("row", pa.int32()),  # row within the row group
    pa.field("gate", pa.string()),  # the gate that rejected the row
    pa.field("synthetic", pa.bool_()),  # true for every edited image; edit, method and the digests identify the edit
    pa.field("split", pa.string()),  # of the source, null if it has none
    pa.field("original", pa.string()),  # JSON: the source's metadata if the edit's labels changed it, else null
    pa.field("source_version", pa.string()),  # of the shard that was edited: the file's sha256, or the object's etag
    pa.field("source_state", pa.string()),  # one of SOURCE_STATES
    pa.field("rules", pa.string()),  # JSON: the gates and labels that the row was published with
)


def _schema(name: str, *fields: pa.Field) -> pa.Schema:
    """A schema with its name and version, and its image columns declared for Hugging Face datasets."""
    images = {field.name: {"_type": "Image"} for field in fields if field.type == IMAGE}
    metadata = {"coral.schema": name, "coral.version": VERSION}
    if images:
        metadata["huggingface"] = json.dumps({"info": {"features": images}}, sort_keys=True)
    return pa.schema(fields, metadata=metadata)


EDIT_SCHEMA = _schema("edit", *_SOURCE, *_EDIT, *_SIZE, *_SCORES, *_PIXELS)
"""data/: one row per attempted sample, with any status; image and mask are null unless it is ok."""

ROWS_SCHEMA = _schema("rows", *_SOURCE, *_EDIT, *_SIZE, *_SCORES)
"""rows/: the same rows in the same order without image and mask."""

MANIFEST_SCHEMA = _schema("manifest", *_SOURCE, *_EDIT, *_SIZE, *_SCORES, *_PUBLISHED)
"""manifest/: the published rows with labels and gates applied, and with the RowPlace of each image.

The table is partitioned by `edit`, so its files lack this column; the table's log has it.
"""

INVERSION_SCHEMA = _schema(
    "inversion", *_SOURCE, *_SIZE, pa.field("inversion_error", pa.float32()), pa.field("ws", pa.list_(pa.float32()))
)
"""inversions/: ws is the flattened [L, D] of W+; its shape is in the file's metadata, see inversion_schema()."""


ROW_PLACE_COLUMNS = frozenset({"image_uri", "row_group", "row"})
"""Manifest columns that form the RowPlace of an image in this output; an export leaves them out."""


def export_schema(with_masks: bool) -> pa.Schema:
    """An export as Parquet: the manifest's rows with a unique id and the image itself."""
    kept = [field for field in MANIFEST_SCHEMA if field.name not in ROW_PLACE_COLUMNS]
    pixels = [field for field in _PIXELS if with_masks or field.name != "mask"]
    return _schema("export", pa.field("id", pa.string(), nullable=False), *kept, *pixels)


def inversion_schema(num_ws: int, w_dim: int) -> pa.Schema:
    """INVERSION_SCHEMA with the shape [L, D] of its ws in the metadata."""
    shape = json.dumps([num_ws, w_dim])
    return INVERSION_SCHEMA.with_metadata({**INVERSION_SCHEMA.metadata, b"coral.ws_shape": shape.encode()})


def ws_shape(schema: pa.Schema) -> tuple[int, int]:
    """The [L, D] in the metadata of inversion_schema(). ValueError for a schema without it."""
    shape = (schema.metadata or {}).get(b"coral.ws_shape")
    if shape is None:
        raise ValueError("the schema lacks the shape of ws; make it with inversion_schema(num_ws, w_dim)")
    num_ws, w_dim = json.loads(shape)
    return num_ws, w_dim
