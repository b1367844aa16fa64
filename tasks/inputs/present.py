"""Whether a source is still there, for publishing: what a job's patterns name, and what is at an address now."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from manifests.stores.open import open_source
from manifests.stores.s3_options import S3Options
from tasks.inputs.bucket_objects import bucket_and_key
from tasks.inputs.find import describe
from tasks.inputs.local_files import glob_of, path_of, stamp_of
from tasks.inputs.patterns import expand_braces, is_glob, matcher
from tasks.spec.requests import Shard


def named_by(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether the patterns of a job would name the tar of a uri, if it were there."""
    literal, globs = set[str](), list[re.Pattern[str]]()
    for address in (address for pattern in patterns for address in expand_braces(pattern)):
        local = not address.startswith("s3:")
        if is_glob(address):
            globs.append(matcher(glob_of(address) if local else address.removeprefix("s3://")))
        literal.add(path_of(address).as_uri() if local else address)

    def named(uri: str) -> bool:
        name = uri.removeprefix("s3://") if uri.startswith("s3:") else str(path_of(uri))
        return uri in literal or any(each.fullmatch(name) for each in globs)

    return named


def is_present(uri: str, s3: S3Options) -> bool:
    """Whether there is a tar at the address of a published row now."""
    if not uri.startswith("s3:"):
        return path_of(uri).is_file()
    bucket, key = bucket_and_key(uri)
    return open_source(bucket, s3).head(key) is not None


def is_current(shard: Shard) -> bool:
    """Whether the shard's address still has the content of the shard."""
    if shard.etag:
        bucket, key = bucket_and_key(shard.uri)
        info = open_source(bucket, shard.s3).head(key)
        return info is not None and info.etag == shard.etag
    path = path_of(shard.uri)
    return path.is_file() and (stamp_of(path) == shard.stamp or describe(path).sha256 == shard.sha256)
