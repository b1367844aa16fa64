"""The store at an address. No other module chooses the implementation."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from manifests.stores.local import LocalStore
from manifests.stores.s3_options import AMBIENT, S3Options, check_address
from manifests.stores.store import Source, Store

_ADDRESSES = "a directory, a file:// URL or s3://bucket/prefix"


def open_store(uri: str | os.PathLike[str], options: S3Options = AMBIENT) -> Store:
    """The store at a plain path, file:// or s3:// URL; `options` is used for s3:// only. Nothing is read or written.

    ValueError for every other scheme, such as pipe: or http:, and for an address that contains a credential.
    """
    text = check_address(os.fspath(uri))
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text)
    if not text:
        raise ValueError(f"the store's address is empty; give {_ADDRESSES}")
    if scheme is None:
        return LocalStore(Path(text))
    if scheme[0] == "file:":
        return LocalStore(_path_of(text))
    if scheme[0] == "s3:":
        from manifests.stores.s3 import (
            S3Store,  # here: boto3 takes half a second to import, and local stores do not need it
        )

        return S3Store(text, options)
    raise ValueError(
        f"cannot open {text!r}: the scheme {scheme[0]!r} is refused; give {_ADDRESSES} "
        "(write ./ before a relative path with a colon in its first name)"
    )


def open_source(bucket: str, options: S3Options = AMBIENT) -> Source:
    """The objects of s3://bucket, with any writer and any key. Nothing is read."""
    from manifests.stores.s3 import S3Source

    return S3Source(bucket, options)


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError(f"cannot open {url!r}: a file URL names an absolute path and no host, as file:///data/out")
    return Path(unquote(parts.path))
