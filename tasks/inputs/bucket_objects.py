"""Input addresses s3://bucket/key, and the tars there."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from manifests.stores.open import open_source
from manifests.stores.s3_options import S3Options, check_address
from manifests.stores.store import ObjectInfo
from tasks.inputs.listing import A_FOLDER, NOT_THERE, Listing, MissingInput, printable
from tasks.inputs.patterns import is_glob, literal_head, matcher
from tasks.spec.requests import Shard

Objects = Mapping[str, ObjectInfo]
"""Key -> object."""


def list_objects(addresses: Sequence[str], s3: S3Options) -> Listing:
    """The objects that keys and globs name; every key is allowed."""
    found: list[Shard] = []
    missing: list[MissingInput] = []
    hidden: list[str] = []
    for bucket, key, objects in _listed(addresses, s3):
        matching, passed_over = _matching(key, objects)
        found += [_shard(bucket, each, s3) for each in matching]
        hidden += [printable(f"{bucket}/{name}") for name in passed_over]
        if not matching and not is_glob(key):
            missing.append(
                MissingInput(printable(f"{bucket}/{key}"), NOT_THERE if missing else _missing_reason(key, objects))
            )
    return Listing(found, missing, hidden)


def bucket_and_key(address: str) -> tuple[str, str]:
    """s3://bucket, and the key in the bucket."""
    bucket, _, key = check_address(address).removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ValueError(f"input {address!r}: an object is s3://bucket/key")
    return f"s3://{bucket}", key


def _listed(addresses: Sequence[str], s3: S3Options) -> Iterator[tuple[str, str, Objects]]:
    """Bucket and key of each address, with the objects that may match; one listing per folder of the addresses."""
    parsed = [bucket_and_key(address) for address in addresses]
    folders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for bucket, key in parsed:
        folders[bucket, _folder(key)].append(literal_head(key))
    listings: dict[tuple[str, str], Objects] = {}
    for (bucket, folder), heads in folders.items():
        infos = open_source(bucket, s3).list(os.path.commonprefix(heads))  # noqa: RUF071  by characters, as S3 lists
        listings[bucket, folder] = {info.key: info for info in infos}
    for bucket, key in parsed:
        yield bucket, key, listings[bucket, _folder(key)]


def _matching(key: str, objects: Objects) -> tuple[list[ObjectInfo], list[str]]:
    """The objects that a key or glob names, and the keys that it skips because they are hidden.

    A plain key is looked up in the mapping, without a search: a range may have a hundred thousand keys.
    """
    itself = {key} & objects.keys()
    if not is_glob(key):
        return [objects[name] for name in itself], []
    visible, every = matcher(key), matcher(key, hidden=True)
    named = [name for name in objects if name in itself or visible.fullmatch(name)]
    hidden = [name for name in _without(objects, named) if every.fullmatch(name)]
    return [objects[name] for name in named], hidden


def _without(names: Iterable[str], some: Iterable[str]) -> Iterator[str]:
    left_out = set(some)
    return (name for name in names if name not in left_out)


def _shard(bucket: str, info: ObjectInfo, s3: S3Options) -> Shard:
    uri = f"{bucket}/{info.key}"
    try:
        check_address(uri)
    except ValueError:
        raise ValueError(f"a key in {bucket} looks like a signed address; rename the object, or leave it out") from None
    return Shard(uri=uri, size=info.size, etag=info.etag, s3=s3)


def _missing_reason(key: str, objects: Objects) -> str:
    """Why there is no object of this key. It searches the listing, so it is called for the first missing key only."""
    is_folder = key.endswith("/") or any(name.startswith(f"{key}/") for name in objects)
    return A_FOLDER if is_folder else NOT_THERE


def _folder(key: str) -> str:
    """The folder of all objects that the key, or glob, may match."""
    return literal_head(key).rpartition("/")[0]
