"""The headers of a tar and its end: which members it has, and what is damaged about it.

Nothing is ever executed. An error of the disk, such as an input/output error, is an OSError and no damage.
"""

from __future__ import annotations

import errno
import io
import re
import tarfile
from pathlib import Path
from typing import BinaryIO

from tasks.inputs.grouping import Member

MAX_HEADER_BYTES = 2**20
END_OF_ARCHIVE = bytes(1024)
BLOCK = 512
OTHER_FORMATS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
"""First bytes of formats that are often confused with a tar."""
BROKEN_TAR = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError)
"""Exceptions of tarfile for malicious headers."""
INVALID_OFFSETS = (errno.EINVAL, errno.EOVERFLOW)
"""Error numbers of the system for an impossible file offset."""


class HeaderReader(io.BufferedReader):
    """A tar whose headers are read: a header with a huge declared size is refused before it uses memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise ValueError(f"a header claims to have {size} bytes; at most {MAX_HEADER_BYTES}")
        return super().read(size)


def read_headers(file: BinaryIO) -> tuple[list[Member], int, str]:
    """The members up to the end or the first broken header; the end of the last one, in bytes; what is broken."""
    members: list[Member] = []
    position = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                if info.size < 0 or tar.offset <= position:
                    raise ValueError("a header says that its file ends before it begins")
                members += _members(info)
                position = tar.offset
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
    except BROKEN_TAR as error:
        if isinstance(error, OSError) and error.errno not in (None, *INVALID_OFFSETS):
            raise
        return members, position, str(error)
    return members, position, ""


def read_end(file: BinaryIO, position: int) -> tuple[bool, int]:
    """Whether the zeros at the end of an archive begin here, and how many bytes follow; 0 if all are zeros."""
    file.seek(position)
    chunk = file.read(BLOCK)
    ended, rest, something = chunk == bytes(BLOCK), 0, False
    while chunk:
        rest += len(chunk)
        something = something or any(chunk)
        chunk = file.read(MAX_HEADER_BYTES)
    return ended, rest if something else 0


def check_end(path: Path) -> str:
    """What is wrong with the size or the end of the file; empty if nothing. Detects every truncation."""
    size = path.stat().st_size
    if size == 0:
        return "the archive is empty: 0 bytes"
    if size % BLOCK:
        return f"the archive is truncated: {size} bytes are no multiple of {BLOCK}"
    with path.open("rb") as file:
        file.seek(max(0, size - len(END_OF_ARCHIVE)))
        if file.read() != END_OF_ARCHIVE:
            return "the archive is truncated: it does not end in two blocks of zeros"
    return ""


def other_format(file: BinaryIO) -> str:
    """The known format of a file that is not a tar, as damage; empty if it is unknown."""
    file.seek(0)
    first = file.read(BLOCK)
    names = [name for magic, name in OTHER_FORMATS.items() if first.startswith(magic)]
    return f"the archive is {names[0]} and no plain tar; unpack it, and give the tar itself" if names else ""


def printable_name(name: str) -> str:
    """A name as valid Unicode: bytes that are not UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _members(info: tarfile.TarInfo) -> list[Member]:
    """The entry as a member of a sample; an empty list if it is not part of one."""
    from webdataset.tariterators import base_plus_ext

    name = printable_name(info.name)
    key, suffix = base_plus_ext(name)
    if key is None or info.isdir() or re.match(r"__[^/]*__($|/)", name):
        return []
    regular = info.isreg() and not info.issparse()
    return [Member(name, key, suffix.lower(), info.offset_data, info.size, regular)]
