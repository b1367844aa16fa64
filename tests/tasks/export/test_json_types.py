"""The type of many JSON values holds each of them, however they are grouped."""

from __future__ import annotations

import json
import random
from functools import reduce
from typing import Any

import pytest

from tasks.export.json_types import (
    ANY,
    FLOAT,
    INT,
    LONG,
    MAX_KEYS,
    MIXED,
    NULL,
    TEXT,
    JsonType,
    is_uniform,
    merged,
    type_of,
)  # fmt: skip


def merged_type(*values: object) -> JsonType:
    return reduce(merged, (type_of(value) for value in values))


def value(rng: random.Random, depth: int = 3) -> Any:
    """A random JSON value."""
    if depth and rng.random() < 0.5:
        inner = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
        return inner if rng.random() < 0.4 else dict(zip("abc", inner, strict=False))
    return rng.choice([None, True, 3, 2**60, 10**30, 0.5, "text"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((None, 1), INT),
        ((1, 0.5), FLOAT),
        ((1, 2**60), LONG),
        ((2**60, 0.5), MIXED),  # a float does not hold it
        ((1, "a"), MIXED),
        ((True, 1), MIXED),
        ((2**63,), MIXED),
        ((None, None), NULL),
        (([], ["a", None]), {"list": TEXT}),
        (([1], 1), ANY),
        (({"a": 1}, {"b": "x"}, {"a": None}), {"object": {"a": INT, "b": TEXT}}),
        (({}, []), ANY),
    ],
)
def test_a_type_holds_all_values(values: tuple[object, ...], expected: JsonType) -> None:
    assert merged_type(*values) == expected


def test_the_type_does_not_depend_on_how_values_are_grouped() -> None:
    rng = random.Random(0)
    for _ in range(300):
        values = [value(rng) for _ in range(6)]
        cut = rng.randrange(1, 6)
        whole, grouped = merged_type(*values), merged(merged_type(*values[:cut]), merged_type(*values[cut:]))
        assert json.dumps(whole) == json.dumps(grouped)  # the order of the fields too
        assert json.loads(json.dumps(whole)) == whole


def test_a_type_without_mixed_parts_is_uniform() -> None:
    assert is_uniform({"list": {"object": {"a": INT, "b": {"list": NULL}}}})
    assert not is_uniform({"list": {"object": {"a": MIXED}}})
    assert not is_uniform({"object": {"a": {"list": ANY}}})


def test_objects_with_too_many_keys_get_no_fields() -> None:
    few, many = ({str(key): key for key in range(count)} for count in (MAX_KEYS, MAX_KEYS + 1))
    assert type_of(many) == merged(type_of(few), type_of({"one more": 1})) == ANY != type_of(few)
