"""The columns of exported tars as the card declares them, for Hugging Face `datasets`.

Without a declaration it takes the types of the first five samples for those of all, and fails at the first sample that
is different: where a field was null, is missing, or has another type.
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
"""Suffix of a member -> its type, over the samples of a file."""

IMAGE, BINARY = "image", "binary"
DTYPES: Mapping[str, str] = {
    NULL: "null", BOOL: "bool", INT: "int64", LONG: "int64", FLOAT: "float64", TEXT: "string", MIXED: "string",
    ANY: "json", IMAGE: "image", BINARY: "binary",
}  # fmt: skip
"""A type of the tars' members -> the type that the card declares. What is declared as string is read as text."""
JSON_SUFFIXES = frozenset({"json", "jsn"})
TEXT_SUFFIXES = frozenset({"txt", "text", "transcript"})
NUMBER_SUFFIXES = frozenset({"cls", "cls2", "index", "inx", "id"})
"""Ends of suffixes whose members `datasets` parses; it hands out others as bytes."""
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
"""Of what every sample says of itself: declared also where it is null in all of them, so that exports can be joined."""
READER_COLUMNS = ("__key__", "__url__")
"""Text that `datasets` adds to every sample."""


def text_type(suffix: str, data: bytes) -> JsonType:
    """The type of a text member as `datasets` parses it. What it cannot parse is text here; it fails there."""
    end = suffix.rpartition(".")[2].lower()
    if end in TEXT_SUFFIXES:
        return TEXT
    if end not in JSON_SUFFIXES | NUMBER_SUFFIXES:
        return BINARY
    try:
        return type_of(json.loads(data) if end in JSON_SUFFIXES else int(data))
    except (ValueError, RecursionError):
        return TEXT


def member_types(sample: TrainingSample) -> dict[str, JsonType]:
    """The types of the members of one sample."""
    images = [sample.suffix, *(["mask.png"] if sample.mask is not None else [])]
    texts = {suffix: text_type(suffix, data) for suffix, data in sample.texts.items()}
    return {**dict.fromkeys(images, IMAGE), "json": merged(type_of(sample.labels()), PROVENANCE), **texts}


def merged_members(files: Iterable[MemberTypes]) -> dict[str, JsonType]:
    """The types over all files."""
    return reduce(merged_fields, files, {})


def features_of(members: MemberTypes) -> list[dict[str, Any]]:
    """`dataset_info.features` of a card."""
    return [{"name": suffix, **_feature(found)} for suffix, found in members.items()] + [
        {"name": name, "dtype": "string"} for name in READER_COLUMNS
    ]


def _feature(found: JsonType) -> dict[str, Any]:
    """One column or field. A list whose elements differ is declared as a whole: each is read by the type of the first.

    So is an object that has no field in any sample.
    """
    if isinstance(found, str):
        return {"dtype": DTYPES[found]}
    if "list" in found:
        if not is_uniform(found):
            return {"dtype": DTYPES[ANY]}
        inner = _feature(found["list"])
        return {"list": inner.get("struct", inner.get("dtype", inner))}
    if not found["object"]:
        return {"dtype": DTYPES[ANY]}
    return {"struct": [{"name": key, **_feature(each)} for key, each in found["object"].items()]}
