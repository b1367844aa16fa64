"""Damages of a whole tar, and the rows that a run must give for the samples that remain."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """The row that a run must give for one sample."""

    key: str
    status: str = "ok"
    reason: str = ""  # part of it

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of the manifest, or of a commit, matches."""
        same = (row["key"], row["status"]) == (self.key, self.status)
        return same and self.reason in (row["reason"] or "") and bool(row["reason"]) == (self.status != "ok")


ONE_BY_ONE = ("a.png", "a.json", "a.txt", "b.png", "b.json", "b.txt")
IMAGES_FIRST = ("a.png", "b.png", "a.json", "b.json", "a.txt", "b.txt")
NESTED = ("a.png", "b.png", "b.json", "b.txt", "a.json", "a.txt")


@dataclass(frozen=True)
class Damage:
    """A damage of a good tar with the samples a and b, and the rows that remain."""

    apply: Callable[[bytes], bytes]
    rows: tuple[Row, ...]
    order: tuple[str, ...] = ONE_BY_ONE  # of the members


def of(key: str, status: str = "ok", reason: str = "") -> tuple[Row, ...]:
    return (Row(key, status, reason),)


def size_of_first(data: bytes, field: bytes) -> bytes:
    """The tar with another size in its first header, and the checksum that goes with it."""
    header = bytearray(data[:512])
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def start_of(data: bytes, name: str) -> int:
    """Where the contents of a file begin."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmember(name).offset_data


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("in.tar", data)
    return buffer.getvalue()


WHOLE = of("a")
CUT = of("a") + of("b", "incomplete", "truncated")

ARCHIVES: Mapping[str, Damage] = {
    "cut-between-members": Damage(lambda data: data[: start_of(data, "b.json") - 512], CUT),
    "cut-in-a-header": Damage(
        lambda data: data[: start_of(data, "b.json") - 300],
        CUT + of("cut-in-a-header.tar@end", "undecodable", "212 bytes not read"),
    ),
    "cut-in-an-image": Damage(
        lambda data: data[: start_of(data, "b.png") + 100], WHOLE + of("b", "incomplete", "ends inside b.png")
    ),
    "cut-in-a-sidecar": Damage(lambda data: data[: start_of(data, "b.txt") + 3], CUT),
    "cut-in-a-sidecar-far-from-its-image": Damage(
        lambda data: data[: start_of(data, "a.txt") + 3], of("a", "incomplete", "truncated") + of("b"), NESTED
    ),
    "cut-before-a-sidecar-far-from-its-image": Damage(
        lambda data: data[: start_of(data, "b.json") - 512],
        of("a", "incomplete", "truncated") + of("b", "incomplete", "this one lacks json"),
        IMAGES_FIRST,
    ),
    "cut-before-the-last-sidecar": Damage(
        lambda data: data[: start_of(data, "b.txt") - 512],
        of("a", "incomplete", "truncated") + of("b", "incomplete", "this one lacks txt"),
        IMAGES_FIRST,
    ),
    "no-end": Damage(lambda data: data.rstrip(b"\0").ljust(-len(data.rstrip(b"\0")) % 512, b"\0"), CUT),
    "no-end-of-members-that-are-not-adjacent": Damage(
        lambda data: data[: start_of(data, "a.txt") + 512],
        of("a", "incomplete", "truncated") + of("b"),
        NESTED,
    ),
    "odd-size": Damage(lambda data: data + b"\0", WHOLE + of("b")),
    "no-bytes": Damage(lambda data: b"", of("no-bytes.tar", "undecodable", "0 bytes")),
    "no-members": Damage(lambda data: bytes(10240), ()),
    "gzip": Damage(gzip.compress, of("gzip.tar", "undecodable", "gzip and no plain tar")),
    "zip": Damage(zipped, of("zip.tar", "undecodable", "zip and no plain tar")),
    "no-tar": Damage(lambda data: b"no tar at all" * 999, of("no-tar.tar", "undecodable", "truncated")),
    "damaged-header": Damage(
        lambda data: data[: start_of(data, "b.json") - 512] + b"\xff" * 512 + data[start_of(data, "b.json") :],
        WHOLE + of("b", "incomplete", "no header") + of("damaged-header.tar@end", "undecodable", "not read"),
    ),
    "two-in-one": Damage(
        lambda data: data + data,
        WHOLE + of("b") + of("two-in-one.tar@end", "undecodable", "goes on after its end"),
    ),
    "negative-size": Damage(
        lambda data: size_of_first(data, b"\xff" * 12),
        of("negative-size.tar", "undecodable", "ends before it begins"),
    ),
    "endless-size": Damage(
        lambda data: size_of_first(data, b"\x80" + b"\x7f" * 11), of("a", "incomplete", "the archive is damaged")
    ),
    "size-beyond-every-file": Damage(
        lambda data: size_of_first(data, b"\x80" + (2**62).to_bytes(11)), of("a", "incomplete", "Invalid argument")
    ),
}
"""Name of a tar, and what happens to it."""
