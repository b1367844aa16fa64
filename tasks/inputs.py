"""The job's input patterns as shards with their digests."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.requests import Shard

HASHERS = 8  # shards that are digested at once; hashing runs outside the interpreter lock


class ShardChangedError(ValueError):
    """A source tar is not the one that was planned."""


def find_shards(patterns: Sequence[str], known: Mapping[str, Shard]) -> tuple[Shard, ...]:
    """Every tar the patterns name, once, in their order. `known` (by uri) saves reading what was not touched since.

    Errors: ValueError for a pattern that matches nothing and for every scheme but file.
    """
    paths = dict.fromkeys(path for pattern in patterns for path in expand(pattern))
    with ThreadPoolExecutor(HASHERS) as pool:
        return tuple(pool.map(lambda path: describe(path, known.get(path.as_uri())), paths))


def expand(pattern: str) -> list[Path]:
    """Absolute paths of a path or file:// URL with {00..03} or {a,b} braces and * ? [ ] globs."""
    found = [path for each in expand_braces(_local(pattern)) for path in _glob(each)]
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        lost = f"{missing[0]} is no file ({len(missing)} of {len(found)})" if missing else "nothing matches"
        raise ValueError(f"input {pattern!r}: {lost}; give tar files, globs or {{000..003}} ranges")
    return found


def expand_braces(pattern: str) -> list[str]:
    """Shell-like: "a{00..02}" is a00 a01 a02, "{x,y}.tar" is x.tar y.tar; several braces multiply."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if numbers is None:
        choices = match[1].split(",")
    else:
        first, last, width = int(numbers[1]), int(numbers[2]), len(numbers[1])
        if last < first:
            raise ValueError(f"input {pattern!r}: the range {{{match[1]}}} runs backwards")
        choices = [f"{number:0{width}d}" for number in range(first, last + 1)]
    return [
        each for choice in choices for each in expand_braces(pattern[: match.start()] + choice + pattern[match.end() :])
    ]


def describe(path: Path, known: Shard | None = None) -> Shard:
    """A local tar with its digest."""
    stamp = stamp_of(path)
    if known is not None and known.stamp == stamp:
        return Shard(uri=known.uri, size=known.size, sha256=known.sha256, stamp=stamp)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Shard(uri=path.as_uri(), size=path.stat().st_size, sha256=digest, stamp=stamp)


def stamp_of(path: Path) -> str:
    """Changes whenever the file is written or replaced."""
    stat = path.stat()
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}-{stat.st_ino:x}"


@contextmanager
def local_copy(shard: Shard) -> Iterator[Path]:
    """The shard as a local file; ShardChangedError if it is not the planned one, before reading or after."""
    path = Path(unquote(urlsplit(shard.uri).path))
    _check_unchanged(shard, path)
    yield path
    _check_unchanged(shard, path)


def _check_unchanged(shard: Shard, path: Path) -> None:
    if not path.is_file():
        raise ShardChangedError(f"{shard.uri} is gone since the run was planned; bring it back, or plan without it")
    if shard.stamp and stamp_of(path) != shard.stamp and describe(path).sha256 != shard.sha256:
        raise ShardChangedError(
            f"{shard.uri} was changed after the run was planned; run again to plan with the new content"
        )


def _local(pattern: str) -> str:
    """The path in a plain path or file:// URL. No other scheme gets any further, least of all to webdataset."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", pattern)
    if scheme is None:
        return pattern
    parts = urlsplit(pattern)
    if scheme[0] != "file:" or parts.netloc not in ("", "localhost"):
        raise ValueError(f"input {pattern!r}: the scheme {scheme[0]!r} is refused; give a path or a file:///path URL")
    return unquote(parts.path)


def _glob(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser().absolute()
    if not glob.has_magic(pattern) or path.is_file():
        return [path]
    return [Path(found) for found in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  Path.glob takes no absolute one
