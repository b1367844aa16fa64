"""The type of a field of JSON objects over many of them, merged value by value; itself plain JSON.

A type is the name of a scalar type, {"list": TYPE} or {"object": {key: TYPE}}. Merging does not depend on how values
are grouped, so the types of files that were written one after the other give the type of all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JsonType = str | dict[str, Any]

NULL, BOOL, INT, LONG, FLOAT, TEXT = "null", "bool", "int", "long", "float", "text"
"""INT is an integer that a float holds exactly, LONG any other of 64 bits."""
MIXED = "mixed"
"""Scalars of several types, or integers beyond 64 bits."""
ANY = "any"
"""Lists or objects beside something else, or an object with too many keys to name."""
MAX_KEYS = 1000
"""Of one object, over all samples: more are data and no field names."""
EXACT = 2**53
INT64 = 2**63


def type_of(value: object) -> JsonType:
    """The type of one JSON value."""
    if isinstance(value, Mapping):
        return _limited({str(key): type_of(each) for key, each in value.items()})
    if isinstance(value, list):
        inner: JsonType = NULL
        for each in value:
            inner = merged(inner, type_of(each))
        return {"list": inner}
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value)
    names: dict[type, str] = {type(None): NULL, bool: BOOL, float: FLOAT, str: TEXT}
    return names[type(value)]


def merged(one: JsonType, other: JsonType) -> JsonType:
    """The type that holds values of both."""
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
    """The fields of both, in the order in which they came first."""
    return {key: merged(one.get(key, NULL), other.get(key, NULL)) for key in dict.fromkeys([*one, *other])}


def is_uniform(found: JsonType) -> bool:
    """Whether no part of it is of several types."""
    if isinstance(found, str):
        return found not in (MIXED, ANY)
    parts = [found["list"]] if "list" in found else found["object"].values()
    return all(is_uniform(each) for each in parts)


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
