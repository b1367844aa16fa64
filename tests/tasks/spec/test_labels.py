from __future__ import annotations

import datetime
import json
import random
from typing import Any

import pytest

from tasks.spec.labels import flat_labels, merge_labels, split_of, split_of_shard

RNG = random.Random(0)


def merged(metadata: str | None, changes: dict[str, Any]) -> Any:
    return json.loads(merge_labels(metadata, flat_labels(changes)))


def merge_patch(target: Any, patch: Any) -> Any:
    """The algorithm of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merge_patch(found.get(name), value)
    return found


def random_labels(depth: int, leaves: list[Any]) -> dict[str, Any]:
    """Nested objects; empty ones only among the leaves."""
    names = RNG.sample(["a", "b", "c", "d"], RNG.randint(1, 4))
    return {
        name: random_labels(depth - 1, leaves) if depth and RNG.random() < 0.5 else RNG.choice(leaves) for name in names
    }


def test_labels_are_merged_as_a_merge_patch() -> None:
    for _ in range(500):
        source, patch = random_labels(3, [1, "x", [1, 2], True, {}]), random_labels(3, [2, "y", [3], False])
        assert merged(json.dumps(source), patch) == merge_patch(source, patch)


def test_none_removes_a_label_and_creates_none() -> None:
    source = {"caption": "brown hair", "hair": {"color": "brown", "length": 3}}
    assert merged(json.dumps(source), {"caption": None, "hair.color": None}) == {"hair": {"length": 3}}
    assert merged(json.dumps(source), {"age": None, "hair.style.name": None, "caption.of": None}) == source


def test_dotted_and_nested_labels_mean_the_same() -> None:
    dotted = {"hair.color": "red", "hair.dye.age": 1, "smile": True}
    assert flat_labels({"hair": {"color": "red", "dye": {"age": 1}}, "smile": True}) == dotted == flat_labels(dotted)


def test_a_source_key_with_a_dot_is_changed_as_one_key() -> None:
    source = '{"hair.color": "brown", "hair": {"length": 3}, "eye": {"lid.color": "blue"}}'
    expected = {"hair.color": "red", "hair": {"length": 3}, "eye": {"lid.color": "green"}}
    assert merged(source, {"hair.color": "red", "eye.lid.color": "green"}) == expected


def test_labels_without_a_change_are_kept() -> None:
    source = {"name": "Zoë", "boxes": [[0, 1], [2, 3]], "score": 0.1, "id": 12345678901234567890}
    assert merged(json.dumps(source), {"smile": True}) == {**source, "smile": True}
    assert "Zoë" in merge_labels(json.dumps(source), {"smile": True})


def test_a_change_that_changes_nothing_keeps_the_text() -> None:
    text = '{ "hair": {"color":"red"},"n":1.50 }'
    assert merge_labels(text, {"hair.color": "red", "age": None}) == text
    assert merge_labels(text, {"n": 2}) != text
    assert merged('{"smile": 1}', {"smile": True}) == {"smile": True} and "1" not in merge_labels(
        '{"smile": 1}', {"smile": True}
    )


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        (None, {}),
        ("[1, 2]", {"json": [1, 2]}),
        ('"text"', {"json": "text"}),
        ("no JSON", {"json": "no JSON"}),
        ("null", {"json": None}),
    ],
)
def test_metadata_that_is_no_object_is_kept(metadata: str | None, kept: dict[str, Any]) -> None:
    assert merged(metadata, {"smile": True}) == {**kept, "smile": True}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split": "train"}, "the label 'split' is inherited"),
        ({"hair": "red", "hair.color": "red"}, "'hair.color' lies inside 'hair'"),
        ({"hair.color": "red", "hair": {"color": "red"}}, "'hair.color' is given twice"),
        ({"born": datetime.date(2020, 1, 1)}, "the label 'born' is datetime.date(2020, 1, 1), which JSON cannot hold"),
        ({"score": float("nan")}, "which JSON cannot hold"),
        ({"hair..color": 1}, "has an empty part"),
        ({"hair": {}}, "the label 'hair' is an empty mapping"),
        ({"split": {"name": "train"}}, "inherited from the source"),
        ({"split.name": "train"}, "inherited from the source"),
        ({"hair": {3: 1}}, "the label 'hair.3' has an empty part or is not text"),
    ],
)
def test_invalid_labels_are_refused(changes: dict[Any, Any], says: str) -> None:
    with pytest.raises(ValueError) as raised:
        flat_labels(changes)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "split"),
    [
        ("file:///data/train/00000.tar", "train"),
        ("s3://bucket/set/validation/2024/00000.tar", "val"),
        ("file:///data/set/val2017/0.tar", "val"),
        ("file:///data/train/testing-00000-of-00005.tar", "test"),
        ("file:///data/coco_val_003.tar", "val"),
        ("file:///data/Train-000.tar", "train"),
        ("file:///data/%74rain/000.tar", "train"),
        ("file:///data/portraits-000000.tar", None),
        ("file:///data/constraint/latest-000.tar", None),
        ("file:///data/train/train-test-000.tar", None),
        ("file:///home/test/data/set/000.tar", None),
        ("s3://train/set/000.tar", None),
        ("", None),
        ("s3://bucket/run#1/train-000.tar", "train"),
        ("s3://bucket/why?/val%20x/0.tar", None),
        ("s3://train/0.tar", None),
    ],
)
def test_a_shard_says_its_split_by_its_name_or_folder(uri: str, split: str | None) -> None:
    assert split_of_shard(uri) == split


@pytest.mark.parametrize(
    ("metadata", "split"),
    [
        ('{"split": "dev"}', "dev"),
        ('{"split": ""}', "train"),
        ('{"split": 3}', "train"),
        ('{"inner": {"split": "test"}}', "train"),
        ('{"caption": "a \\"split\\" banana"}', "train"),
        ('["split"]', "train"),
        (None, "train"),
    ],
)
def test_the_split_of_the_sample_has_priority_over_that_of_its_shard(metadata: str | None, split: str) -> None:
    assert split_of(metadata, "train") == split
