"""pyarrow reads objects of every store as files."""

from __future__ import annotations

import io

import pyarrow.fs as pafs
import pytest

from manifests.parquet.filesystem import ObjectFile, filesystem_of
from manifests.stores.store import Store


def test_an_object_is_read_like_a_file(store: Store) -> None:
    store.put_new("a/b", b"0123456789")
    file, twin = ObjectFile(store, "a/b"), io.BytesIO(b"0123456789")
    for whence, offset, size in [(0, 3, 4), (1, 1, 1), (2, -2, -1), (0, 50, 5), (0, 0, None), (1, -3, 0)]:
        assert file.seek(offset, whence) == twin.seek(offset, whence) == file.tell()
        assert file.read(size) == twin.read(size)


def test_a_folder_of_a_store_is_a_filesystem_of_arrows(store: Store) -> None:
    store.put_new("a/b", b"0123456789")
    filesystem = filesystem_of(store.client(), "a")
    with filesystem.open_input_file("b") as file:
        assert file.size() == 10 and file.read_at(3, 4) == b"456"
    found, missing = filesystem.get_file_info(["b", "c"])
    assert (found.type, found.size, missing.type) == (pafs.FileType.File, 10, pafs.FileType.NotFound)
    with pytest.raises(FileNotFoundError):
        filesystem.open_input_file("c")
