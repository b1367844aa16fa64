"""The type of a JSON field over many objects, merged value by value. A type is itself plain JSON.

A type is the name of a scalar type, {"list": TYPE} or {"object": {key: TYPE}}. Merging does not depend on how values
are grouped, so that merging the types of all files gives the type over all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JsonType = str | dict[str, Any]

NULL, BOOL, INT, LONG, FLOAT, TEXT = "null", "bool", "int", "long", "float", "text"
"""INT: an integer that a float represents exactly. LONG: any other integer of 64 bits."""
MIXED = "mixed"
"""Scalars of several types, or integers beyond 64 bits."""
ANY = "any"
"""Lists or objects in some values and something else in others, or an object with more than MAX_KEYS keys."""
MAX_KEYS = 1000
"""Limit for one object, over all samples: more keys are taken for data, not for field names."""
EXACT = 2**53
INT64 = 2**63


def type_of(value: object) -> JsonType:
    """The type of one JSON value."""
    if isinstance(value, Mapping):
        return _limited({str(key): type_of(item) for key, item in value.items()})
    if isinstance(value, list):
        inner: JsonType = NULL
        for item in value:
            inner = merged(inner, type_of(item))
        return {"list": inner}
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value)
    names: dict[type, str] = {type(None): NULL, bool: BOOL, float: FLOAT, str: TEXT}
    return names[type(value)]


def merged(one: JsonType, other: JsonType) -> JsonType:
    """The type that covers the values of both types."""
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if isinstance(one, str) and isinstance(other, str):
        return _scalar({one, other})
    if isinstance(one, str) or isinstance(other, str) or one.keys() != other.keys():
        return ANY
    if "list" in one:
        return {"list": merged(one["list"], other["list"])}
    return _limited(merged_fields(one["object"], other["object"]))


def merged_fields(one: Mapping[str, JsonType], other: Mapping[str, JsonType]) -> dict[str, JsonType]:
    """The fields of both objects, in the order in which they first occur."""
    return {key: merged(one.get(key, NULL), other.get(key, NULL)) for key in dict.fromkeys([*one, *other])}


def is_uniform(json_type: JsonType) -> bool:
    """Whether neither the type nor a part of it is MIXED or ANY."""
    if isinstance(json_type, str):
        return json_type not in (MIXED, ANY)
    parts = [json_type["list"]] if "list" in json_type else json_type["object"].values()
    return all(is_uniform(part) for part in parts)


def _integer(value: int) -> str:
    if -EXACT <= value <= EXACT:
        return INT
    return LONG if -INT64 <= value < INT64 else MIXED


def _scalar(names: set[str]) -> str:
    if ANY in names:
        return ANY
    if names == {INT, LONG}:
        return LONG
    return FLOAT if names == {INT, FLOAT} else MIXED


def _limited(fields: dict[str, JsonType]) -> JsonType:
    return {"object": fields} if len(fields) <= MAX_KEYS else ANY
