"""The columns of exported tars as the card declares them, for Hugging Face `datasets`.

Without a declaration `datasets` infers the types from the first five samples, and fails at the first later sample that
differs: one in which a field that was null has a value, is missing, or has another type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from tasks.export.json_types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    LONG,
    MIXED,
    NULL,
    TEXT,
    JsonType,
    is_uniform,
    merged,
    merged_fields,
    type_of,
)  # fmt: skip
from tasks.export.samples import SCORES, TrainingSample

MemberTypes = Mapping[str, JsonType]
"""Suffix of a member -> its type, merged over the samples of a file."""

IMAGE, BINARY = "image", "binary"
DTYPES: Mapping[str, str] = {
    NULL: "null", BOOL: "bool", INT: "int64", LONG: "int64", FLOAT: "float64", TEXT: "string", MIXED: "string",
    ANY: "json", IMAGE: "image", BINARY: "binary",
}  # fmt: skip
"""Type of a member -> the type that the card declares. `datasets` reads what is declared as string as text."""
JSON_SUFFIXES = frozenset({"json", "jsn"})
TEXT_SUFFIXES = frozenset({"txt", "text", "transcript"})
NUMBER_SUFFIXES = frozenset({"cls", "cls2", "index", "inx", "id"})
"""Last parts of suffixes whose members `datasets` parses; it returns others as bytes."""
PROVENANCE: JsonType = {
    "object": {
        "coral": {
            "object": {
                **dict.fromkeys(("edit", "method", "prompt", "source_prompt", "status", "split"), TEXT),
                "synthetic": BOOL,
                "strength": FLOAT,
                "seed": INT,
                **dict.fromkeys(("models_digest", "editor_digest"), TEXT),
                "scores": {"object": dict.fromkeys(SCORES, FLOAT)},
                "source": {"object": dict.fromkeys(("key", "uri", "member", "sha256"), TEXT)},
            }
        }
    }
}
"""Type of the provenance of a sample: declared even for fields that are always null, so that exports can be joined."""
READER_COLUMNS = ("__key__", "__url__")
"""Text columns that `datasets` adds to every sample."""


def text_type(suffix: str, data: bytes) -> JsonType:
    """The type of a text member as `datasets` parses it; TEXT for a member on which `datasets` fails."""
    ending = suffix.rpartition(".")[2].lower()
    if ending in TEXT_SUFFIXES:
        return TEXT
    if ending not in JSON_SUFFIXES | NUMBER_SUFFIXES:
        return BINARY
    try:
        return type_of(json.loads(data) if ending in JSON_SUFFIXES else int(data))
    except (ValueError, RecursionError):
        return TEXT


def member_types(sample: TrainingSample) -> dict[str, JsonType]:
    """The types of the members of one sample."""
    images = [sample.suffix, *(["mask.png"] if sample.mask is not None else [])]
    texts = {suffix: text_type(suffix, data) for suffix, data in sample.texts.items()}
    return {**dict.fromkeys(images, IMAGE), "json": merged(type_of(sample.labels()), PROVENANCE), **texts}


def merged_members(files: Iterable[MemberTypes]) -> dict[str, JsonType]:
    """The types, merged over all files."""
    return reduce(merged_fields, files, {})


def features_of(members: MemberTypes) -> list[dict[str, Any]]:
    """`dataset_info.features` of a card."""
    return [{"name": suffix, **_feature(json_type)} for suffix, json_type in members.items()] + [
        {"name": name, "dtype": "string"} for name in READER_COLUMNS
    ]


def _feature(json_type: JsonType) -> dict[str, Any]:
    """The declaration of one column or field.

    A list whose elements have several types is declared as JSON, because `datasets` would read each element by the type
    of the first. So is an object that has no field in any sample.
    """
    if isinstance(json_type, str):
        return {"dtype": DTYPES[json_type]}
    if "list" in json_type:
        if not is_uniform(json_type):
            return {"dtype": DTYPES[ANY]}
        inner = _feature(json_type["list"])
        return {"list": inner.get("struct", inner.get("dtype", inner))}
    if not json_type["object"]:
        return {"dtype": DTYPES[ANY]}
    return {"struct": [{"name": key, **_feature(field)} for key, field in json_type["object"].items()]}
