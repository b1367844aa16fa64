"""The job's input patterns as shards, each known by its content; and a shard as a local file.

A local tar is known by the sha256 of its bytes. An object in a bucket is known by its etag, from one listing: a digest
would download the whole data set before anything is done. Equal etags of one object are equal bytes; the same bytes
uploaded again may have another one (parts of another size, KMS), and are then done again. Whatever a shard is known by,
a sample and its randomness are known by the sha256 of its image.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from manifests.stores.open import open_store
from manifests.stores.s3_options import AMBIENT, S3Options, check_address
from manifests.stores.store import ObjectInfo
from tasks.inputs.patterns import expand_braces, is_glob, literal_head, matcher
from tasks.spec.requests import Shard

HASHERS = 8  # shards that are digested at once; hashing runs outside the interpreter lock


def find_shards(patterns: Sequence[str], known: Mapping[str, Shard], s3: S3Options = AMBIENT) -> tuple[Shard, ...]:
    """Every tar the patterns name, once, in their order. `known` (by uri) saves reading what was not touched since.

    Errors: ValueError for a pattern that matches nothing and for every address but a path, file:// and s3://.
    """
    listed = {shard.uri: shard for pattern in patterns for shard in expand(pattern, s3)}
    with ThreadPoolExecutor(HASHERS) as pool:
        return tuple(pool.map(lambda shard: _digested(shard, known.get(shard.uri)), listed.values()))


def expand(pattern: str, s3: S3Options = AMBIENT) -> list[Shard]:
    """What a pattern names, without digests; nothing is read. Braces and globs are those of tasks.inputs.patterns."""
    addresses = expand_braces(check_address(pattern))
    schemes = {_scheme(address) for address in addresses}
    if len(schemes) > 1 or not schemes <= LISTINGS.keys() or "::" in pattern:
        refused = "'::'" if "::" in pattern else " and ".join(repr(each) for each in sorted(schemes))
        raise ValueError(f"input {pattern!r}: {refused} is refused; give a path, file:///path or s3://bucket/key")
    found, missing = LISTINGS[schemes.pop()](addresses, s3)
    if missing or not found:
        lost = f"{missing[0]} is not there ({len(missing)} of {len(addresses)})" if missing else "nothing matches"
        raise ValueError(f"input {pattern!r}: {lost}; give tar files, globs or {{000..003}} ranges")
    return found


def describe(path: Path) -> Shard:
    """A local tar with its digest."""
    return _digested(_listed(path), None)


def stamp_of(path: Path) -> str:
    """Changes whenever the file is written or replaced."""
    stat = path.stat()
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}-{stat.st_ino:x}"


def _digested(shard: Shard, known: Shard | None) -> Shard:
    """A listed shard with what tells its content."""
    if shard.etag:
        return shard
    if known is not None and known.stamp == shard.stamp:
        return replace(shard, sha256=known.sha256)
    with path_of(shard.uri).open("rb") as file:
        return replace(shard, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _scheme(address: str) -> str:
    """The scheme of an address, "" for a plain path."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", address)
    return "" if found is None else found[0]


def _files(addresses: Sequence[str], s3: S3Options) -> Listing:
    paths = [path for address in addresses for path in _glob(address)]
    missing = [str(path) for path in paths if not path.is_file()]
    return [] if missing else [_listed(path) for path in paths], missing


def _listed(path: Path) -> Shard:
    return Shard(uri=path.as_uri(), size=path.stat().st_size, stamp=stamp_of(path))


def _glob(address: str) -> list[Path]:
    """What a path names; of a glob no folders, which a bucket does not have. A link to nowhere is named, and missed."""
    path = path_of(address)
    if not is_glob(str(path)) or path.is_file():
        return [path]
    found = map(Path, sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207  Path.glob takes no absolute one
    return [each for each in found if not each.is_dir()]


def path_of(address: str) -> Path:
    """The absolute path in a plain path or file:// URL."""
    if not _scheme(address):
        return Path(address).expanduser().absolute()
    host, slash, path = address.removeprefix("file:").removeprefix("//").partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError(f"input {address!r}: a file URL names an absolute path and no host, as file:///data/x.tar")
    return Path("/" + unquote(path))


def _objects(addresses: Sequence[str], s3: S3Options) -> Listing:
    """From one listing per folder that the addresses begin with."""
    places = [bucket_and_key(address) for address in addresses]
    folders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for bucket, key in places:
        folders[bucket, _folder(key)].append(literal_head(key))
    listings: dict[tuple[str, str], dict[str, ObjectInfo]] = {}
    for (bucket, folder), heads in folders.items():
        infos = open_store(bucket, s3).list(os.path.commonprefix(heads))  # noqa: RUF071  by characters, as S3 lists
        listings[bucket, folder] = {info.key: info for info in infos}
    found, missing = [], []
    for bucket, key in places:
        matching = _matching(key, listings[bucket, _folder(key)])
        found += [Shard(uri=f"{bucket}/{each.key}", size=each.size, etag=each.etag, s3=s3) for each in matching]
        missing += [] if matching or is_glob(key) else [f"{bucket}/{key}"]
    return found, missing


def _matching(key: str, infos: Mapping[str, ObjectInfo]) -> list[ObjectInfo]:
    """A name is looked up, not searched for: a range may have a hundred thousand of them."""
    if not is_glob(key):
        return [infos[key]] if key in infos else []
    pattern = matcher(key)
    return [info for name, info in infos.items() if pattern.fullmatch(name)]


def _folder(key: str) -> str:
    """Where everything lies that the key, or glob, may match."""
    return literal_head(key).rpartition("/")[0]


def bucket_and_key(address: str) -> tuple[str, str]:
    """s3://bucket, and the key in it."""
    bucket, _, key = check_address(address).removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ValueError(f"input {address!r}: an object is s3://bucket/key")
    return f"s3://{bucket}", key


Listing = tuple[list[Shard], list[str]]
"""What is there, and what is asked for by its name and is not there."""
LISTINGS: Mapping[str, Callable[[Sequence[str], S3Options], Listing]] = {"": _files, "file:": _files, "s3:": _objects}
