"""Keys that every tar takes, and text members that follow the labels."""

from __future__ import annotations

import re

import pytest

from tasks.export.samples import LONGEST_KEY, relabelled, sample_key

SHARD = "1234567890abcdef"
EDIT = "red-hair-0a1b2c3d"


def test_a_plain_key_keeps_its_name() -> None:
    assert sample_key(SHARD, "0001", EDIT) == f"{SHARD}__0001__{EDIT}"


@pytest.mark.parametrize("key", ["a/b", "a.b", "a b", "", "-", "ä", "x" * 300, "../../etc/passwd", "a\n"])
def test_any_other_key_becomes_one_that_readers_split_nowhere(key: str) -> None:
    found = sample_key(SHARD, key, EDIT)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", found)
    assert len(found) <= len(SHARD) + 2 + LONGEST_KEY + 9 + 2 + len(EDIT)


def test_shards_whose_ids_begin_alike_stay_different() -> None:
    assert sample_key("12345678" + 8 * "a", "0001", EDIT) != sample_key("12345678" + 8 * "b", "0001", EDIT)


def test_different_keys_stay_different() -> None:
    keys = ["a/b", "a.b", "a-b", "a b", "x" * 65, "x" * 64, "x" * 66, "ä", "ö", "", "-"]
    assert len({sample_key(SHARD, key, EDIT) for key in keys}) == len(keys)


def test_text_members_of_changed_labels_are_written_anew_or_left_out() -> None:
    texts = {"txt": b"a man", "cls": b"3", "count": b"1", "note": b"kept"}
    assert relabelled(texts, {}) == texts
    changes = {"caption": "a man with red hair", "cls": 7, "count": None, "hair.color": "red"}
    assert relabelled(texts, changes) == {"txt": b"a man with red hair", "cls": b"7", "note": b"kept"}
