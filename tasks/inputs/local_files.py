"""Input addresses that are paths or file:// URLs, and the tars there."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from manifests.stores.s3_options import S3Options
from tasks.inputs.listing import A_FOLDER, NOT_THERE, Listing, MissingInput, printable
from tasks.inputs.patterns import is_glob
from tasks.spec.requests import Shard

NO_FILE = "is neither a file nor a folder"
_QUOTED = re.compile(rb"%([0-9A-Fa-f]{2})")


def list_files(addresses: Sequence[str], s3: S3Options) -> Listing:
    """The files that paths and globs name. A broken link is reported as missing."""
    paths: list[Path] = []
    hidden: list[Path] = []
    for address in addresses:
        named, passed_over = _matching(address)
        paths += named
        hidden += passed_over
    missing = [MissingInput(_printable_path(path), _missing_reason(path)) for path in paths if not path.is_file()]
    found = [] if missing else [listed_file(path) for path in paths]
    return Listing(found, missing, [_printable_path(path) for path in hidden])


def listed_file(path: Path) -> Shard:
    """A local tar without its digest."""
    return Shard(uri=path.as_uri(), size=path.stat().st_size, stamp=stamp_of(path))


def stamp_of(path: Path) -> str:
    """Changes whenever the file is written or replaced."""
    stat = path.stat()
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}-{stat.st_ino:x}"


def path_of(address: str) -> Path:
    """The absolute path in a plain path or file:// URL; percent-encoded bytes need not be UTF-8."""
    if not address.startswith("file:"):
        return Path(address).expanduser().absolute()
    return Path(os.fsdecode(unquote_to_bytes(_path_in_url(address))))


def _matching(address: str) -> tuple[list[Path], list[Path]]:
    """The paths that an address names, and the hidden ones that it skips.

    A glob names no folders, as in a bucket, but also the file with exactly that name, if there is one.
    """
    literal = path_of(address)
    if not is_glob(address):
        return [literal], []
    pattern = glob_of(address)
    visible = _files(glob.glob(pattern, recursive=True))  # noqa: PTH207  Path.glob takes no absolute one
    every = _files(glob.glob(pattern, recursive=True, include_hidden=True))  # noqa: PTH207
    itself = {literal} if literal.is_file() else set()
    return sorted(visible | itself, key=str), sorted(every - visible - itself, key=str)


def _files(names: Iterable[str]) -> set[Path]:
    return {path for path in map(Path, names) if not path.is_dir()}


def glob_of(address: str) -> str:
    """The address as an absolute glob, in which only the characters written by the user are wildcards.

    Those in the working directory, in the home directory and percent-encoded in a URL (%5B) are not.
    """
    if address.startswith("file:"):
        quoted = _path_in_url(address).encode()
        return os.fsdecode(_QUOTED.sub(lambda found: glob.escape(bytes.fromhex(found[1].decode())), quoted))
    if address.startswith("~"):
        home, slash, rest = address.partition("/")
        return glob.escape(str(Path(home).expanduser())) + slash + rest
    return address if address.startswith("/") else f"{glob.escape(str(Path.cwd()))}/{address}"


def _path_in_url(url: str) -> str:
    host, slash, path = url.removeprefix("file:").removeprefix("//").partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError(f"input {url!r}: a file URL names an absolute path and no host, as file:///data/x.tar")
    return f"/{path}"


def _missing_reason(path: Path) -> str:
    """Why there is no tar at a path."""
    if path.is_dir():
        return A_FOLDER
    return NO_FILE if path.exists() else NOT_THERE


def _printable_path(path: Path) -> str:
    return printable(os.fsencode(path))
