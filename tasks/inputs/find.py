"""The job's input patterns as shards, each identified by its content.

A local tar is identified by the sha256 of its bytes, an object in a bucket by its etag, which a listing gives: a digest
would need a download of the whole data set before the run. Equal etags of one object are equal bytes; the same bytes
uploaded again may have another etag (parts of another size, KMS), and are then processed again. In both cases the
sha256 of its image identifies a sample and its random numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.stores.s3_options import AMBIENT, S3Options, check_address
from tasks.inputs.bucket_objects import list_objects
from tasks.inputs.listing import A_FOLDER, Listing
from tasks.inputs.local_files import list_files, listed_file, path_of
from tasks.inputs.patterns import expand_braces
from tasks.spec.requests import Shard

HASHERS = 8  # shards that are hashed at once; hashing releases the interpreter lock
LISTINGS: Mapping[str, Callable[[Sequence[str], S3Options], Listing]] = {
    "": list_files,
    "file:": list_files,
    "s3:": list_objects,
}
"""Scheme -> function that lists the shards at addresses of that scheme."""


@dataclass(frozen=True)
class Inputs:
    """The result of input patterns."""

    shards: tuple[Shard, ...] = ()
    passed_over: tuple[str, ...] = ()  # a line for each pattern that skips hidden files


def find_shards(patterns: Sequence[str], known: Mapping[str, Shard], s3: S3Options = AMBIENT) -> tuple[Shard, ...]:
    """Every tar that the patterns name, once, in their order. `known` (by uri) avoids hashing unchanged files again.

    Errors: ValueError for a pattern that matches nothing and for every address but a path, file:// and s3://.
    """
    return find_inputs(patterns, known, s3).shards


def find_inputs(patterns: Sequence[str], known: Mapping[str, Shard], s3: S3Options = AMBIENT) -> Inputs:
    """As find_shards, with notes about the hidden files that the patterns skip."""
    listings = {pattern: _listing(pattern, s3) for pattern in patterns}
    listed = {shard.uri: shard for listing in listings.values() for shard in listing.found}
    with ThreadPoolExecutor(HASHERS) as pool:
        shards = tuple(pool.map(lambda shard: _with_digest(shard, known.get(shard.uri)), listed.values()))
    notes = (f"input {pattern!r} {_hidden_note(each)}" for pattern, each in listings.items() if each.hidden)
    return Inputs(shards, tuple(notes))


def expand(pattern: str, s3: S3Options = AMBIENT) -> Sequence[Shard]:
    """The shards of a pattern, without digests; nothing is read. tasks.inputs.patterns defines braces and globs."""
    return _listing(pattern, s3).found


def describe(path: Path) -> Shard:
    """A local tar with its digest."""
    return _with_digest(listed_file(path), None)


def _listing(pattern: str, s3: S3Options) -> Listing:
    addresses = expand_braces(check_address(pattern))
    schemes = {_scheme(address) for address in addresses}
    if len(schemes) > 1 or not schemes <= LISTINGS.keys() or "::" in pattern:
        refused = "'::'" if "::" in pattern else " and ".join(repr(each) for each in sorted(schemes))
        raise ValueError(f"input {pattern!r}: {refused} is refused; give a path, file:///path or s3://bucket/key")
    listing = LISTINGS[schemes.pop()](addresses, s3)
    if listing.missing or not listing.found:
        raise ValueError(f"input {pattern!r}: {_problem(pattern, listing, len(addresses))}")
    return listing


def _problem(pattern: str, listing: Listing, asked: int) -> str:
    """What is wrong with a pattern that names nothing, and what to do."""
    if not listing.missing:
        lost, hidden = "nothing matches", f"; it {_hidden_note(listing)}" if listing.hidden else ""
    else:
        first, hidden = listing.missing[0], ""
        lost = f"{first.name} {first.reason} ({len(listing.missing)} of {asked})"
        if first.reason == A_FOLDER:
            return f"{lost}; give the tars in it, as {first.name.rstrip('/')}/*.tar"
    hints = [hint for sign, hint in HINTS.items() if sign in pattern]
    return "; ".join([lost + hidden, *hints, "give tar files, globs or {000..003} ranges"])


HINTS: Mapping[str, str] = {
    "$": "variables such as ${HOME} are not expanded",
    "[": "[ and ] are a set of characters, so write [[]x] for the name [x]",
}
"""Character of a pattern that names nothing -> a possible misunderstanding."""


def _hidden_note(listing: Listing) -> str:
    """Text about the hidden files of a listing."""
    count, first = len(listing.hidden), listing.hidden[0]
    which = f"the hidden file {first}" if count == 1 else f"{count} hidden files, {first} first"
    return f"passes over {which}: a glob matches no part of a name that begins with a dot, unless the dot is written"


def _with_digest(shard: Shard, known: Shard | None) -> Shard:
    """A listed shard with the digest or etag of its content."""
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
