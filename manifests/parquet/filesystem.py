"""The objects of a store for Parquet readers: one object as a file, or a folder of them as a filesystem of Arrow's."""

from __future__ import annotations

import io
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from manifests.stores.store import ObjectClient, Store


def filesystem_of(client: ObjectClient, folder: str) -> pafs.FileSystem:
    """The objects below a folder of a store, read by Arrow's own threads, which need no Python.

    With credentials that end, it is valid as long as they are: ask the store for a new client for each piece of work.
    """
    options = client.options
    if not options:
        return pafs.SubTreeFileSystem(f"{client.uri}/{folder}", pafs.LocalFileSystem())
    endpoint = urlsplit(options["aws_endpoint_url"])
    hosted = options["aws_virtual_hosted_style_request"] == "true"
    bucket = client.uri.removeprefix("s3://").partition("/")[0]
    s3 = pafs.S3FileSystem(
        access_key=options["aws_access_key_id"],
        secret_key=options["aws_secret_access_key"],
        session_token=options.get("aws_session_token"),
        region=options["aws_region"],
        scheme=endpoint.scheme,
        endpoint_override=endpoint.netloc.removeprefix(f"{bucket}.") if hosted else endpoint.netloc,
        force_virtual_addressing=hosted,
    )
    return pafs.SubTreeFileSystem(f"{client.uri.removeprefix('s3://')}/{folder}", s3)


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
