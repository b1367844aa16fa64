from __future__ import annotations

from typing import Any

import pytest

from manifests.stores.store import CommitConflict, CommitUnknown, Store
from pipelines.report.report_files import PAGE, address_of, get, put

RUN = "20260101T000000-ab"


class Answering:
    """A store in which another process writes the file before every write."""

    def __init__(self, store: Store, answer: Any) -> None:
        self.store, self.put_new = store, answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_a_file_is_put_beside_the_data_and_replaced(store: Store) -> None:
    assert get(store, RUN, PAGE) is None
    key = put(store, RUN, PAGE, b"one")
    assert put(store, RUN, PAGE, b"two") == key == f"reports/{RUN}/index.html"
    assert store.read(key) == get(store, RUN, PAGE) == b"two"
    assert address_of("s3://bucket/out/", key) == f"s3://bucket/out/{key}"


def test_a_file_whose_write_got_no_answer_is_written_again(store: Store) -> None:
    def silent(key: str, data: bytes) -> bool:
        assert store.put_new(key, data)
        raise CommitUnknown("timeout after send")

    answering: Any = Answering(store, silent)
    assert store.read(put(answering, RUN, PAGE, b"one")) == b"one"


def test_after_many_conflicts_the_error_says_what_to_do(store: Store) -> None:
    answering: Any = Answering(store, lambda key, data: False)
    with pytest.raises(CommitConflict, match="report again"):
        put(answering, RUN, PAGE, b"one")
