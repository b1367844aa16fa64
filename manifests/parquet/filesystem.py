"""A Store as a read-only pyarrow filesystem, so that Parquet readers fetch byte ranges from any store."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from manifests.stores.store import ObjectInfo, Store


def filesystem_of(store: Store) -> pafs.FileSystem:
    """The store's objects under their keys; writing raises."""
    return pafs.PyFileSystem(_Handler(store))


class ObjectFile(io.RawIOBase):
    """One immutable object, read by ranges. FileNotFoundError when it does not exist."""

    def __init__(self, store: Store, key: str) -> None:
        info = store.head(key)
        if info is None:
            raise FileNotFoundError(f"no object {key!r} in the store")
        self._store, self._key, self.size, self._position = store, key, info.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        data = self._store.read(self._key, self._position, length) if length else b""
        self._position += len(data)
        return data


class _Handler(pafs.FileSystemHandler):
    def __init__(self, store: Store) -> None:
        self._store = store

    def get_type_name(self) -> str:
        return "coral-store"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        return [_file_info(path, self._store.head(path)) for path in paths]

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        raise NotImplementedError("objects are read by the names in commits and snapshots, never by listing")

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(ObjectFile(self._store, path), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _refuse(self, *given: Any) -> Any:
        raise NotImplementedError(f"this filesystem is read-only; given {given}")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse


def _file_info(path: str, info: ObjectInfo | None) -> pafs.FileInfo:
    if info is None:
        return pafs.FileInfo(path, pafs.FileType.NotFound)
    return pafs.FileInfo(path, pafs.FileType.File, size=info.size)
