"""A data set with many kinds of defects, and the rows that a run must give for them.

    python -m tests.hostile DEST

The tables say per defect how it is made and which rows a run must give for it. Good samples are before, between and
after the defects, and must be edited whatever is next to them.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import pictures
from tests.damaged import ARCHIVES, Row, of
from tests.tars import image_bytes, members_of, write_tar

SPRUNG = Path("/tmp/coral-hostile-was-executed")
"""Touched by whoever unpickles a member."""


Member = tuple[tarfile.TarInfo, bytes]


@dataclass(frozen=True)
class Defect:
    """Members of a tar, and their rows."""

    members: tuple[Member, ...]
    rows: tuple[Row, ...]


class Trap:
    """An object whose unpickling creates a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (SPRUNG,))


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    """One entry of a tar."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def files(*named: tuple[str, bytes]) -> tuple[Member, ...]:
    return tuple(member(name, data) for name, data in named)


def image(data: bytes, status: str = "ok", reason: str = "", suffix: str = "png") -> Callable[[str], Defect]:
    """A sample with only this image."""
    return lambda key: Defect(files((f"{key}.{suffix}", data)), of(key, status, reason))


def sidecar(data: bytes, suffix: str = "json") -> Callable[[str], Defect]:
    """A good image beside this text."""
    return lambda key: Defect(files((f"{key}.png", GOOD), (f"{key}.{suffix}", data)), of(key))


def special(kind: bytes, link: str = "") -> Callable[[str], Defect]:
    """An image that is not a regular file."""
    return lambda key: Defect((member(f"{key}.png", b"", kind, link),), of(key, "incomplete", "which are not read"))


def passed_over(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[str], Defect]:
    """What is no sample by webdataset's rules."""
    return lambda key: Defect((member(name, b"" if kind == tarfile.DIRTYPE else GOOD, kind),), ())


def named(name: str) -> Callable[[str], Defect]:
    """A good image under an odd name."""
    return lambda key: Defect(files((f"{name}.png", GOOD)), of(name))


GOOD = image_bytes(11)
JPEG = image_bytes(12, (64, 64), "JPEG")
TRAP = pickle.dumps(Trap())
UNREAD = "no image in a format that is read"
BEFORE, AFTER = f"{'x' * 80}/{'y' * 90}", "z" * 250

IMAGES: Mapping[str, Callable[[str], Defect]] = {
    "cmyk": image(pictures.in_mode("CMYK", "JPEG"), suffix="jpg"),
    "grey": image(pictures.in_mode("L")),
    "grey-alpha": image(pictures.in_mode("LA")),
    "alpha": image(pictures.half_transparent()),
    "one-bit": image(pictures.in_mode("1")),
    "palette": image(pictures.palette()),
    "palette-transparent": image(pictures.palette(transparent=True)),
    "sixteen-bit-grey": image(pictures.sixteen_bit_grey()),
    "sixteen-bit-colour": image(pictures.sixteen_bit_rgb()),
    **{f"exif-{number}": image(pictures.turned(number), suffix="jpg") for number in range(1, 9)},
    "exif-broken": image(pictures.broken_exif(), suffix="jpg"),
    "profile": image(pictures.with_profile()),
    "profile-broken": image(pictures.encoded(pictures.plain(), icc_profile=b"rubbish")),
    **{f"animated-{form}": image(pictures.animated(form.upper()), suffix=form) for form in ("gif", "webp", "png")},
    "tiff": image(pictures.in_mode("RGB", "TIFF"), suffix="tif"),
    "bmp": image(pictures.in_mode("RGB", "BMP"), suffix="bmp"),
    "one-pixel": image(pictures.encoded(pictures.plain(size=(1, 1)))),
    "wide": image(pictures.encoded(pictures.plain(size=(30_000, 40)))),
    "wrong-suffix": image(JPEG, suffix="png"),
    "bomb": image(pictures.bomb(), "too_large", "pixels"),
    "truncated-jpeg": image(JPEG[: len(JPEG) // 2], "undecodable", "OSError", "jpg"),
    "truncated-png": image(GOOD[: len(GOOD) // 2], "undecodable", "OSError"),
    "float": image(pictures.float_tiff(), "undecodable", "32 bits", "tif"),
    "empty": image(b"", "undecodable", "0 bytes"),
    "text": image(b"this is no image", "undecodable", UNREAD),
    "heic": image(b"\0\0\0\x18ftypheic" + bytes(200), "undecodable", UNREAD, "jpg"),
    "postscript": image(b"%!PS-Adobe-3.0 EPSF-3.0\n", "undecodable", UNREAD),
}
"""Odd images: name, which is the sample's key, and what becomes of it."""

MEMBERS: Mapping[str, Callable[[str], Defect]] = {
    "not-adjacent": lambda key: Defect(
        files((f"{key}.png", GOOD), ("between.png", GOOD), (f"{key}.json", b'{"label": 1}')), of(key) + of("between")
    ),
    "duplicate-key": lambda key: Defect(
        files((f"{key}.png", GOOD), (f"{key}.json", b"{}"), (f"{key}.png", GOOD), (f"{key}.json", b"{}")),
        of(key) + of(key, "duplicate_key", "the same key"),
    ),
    "duplicate-suffix": lambda key: Defect(
        files((f"{key}.png", GOOD), (f"{key}.json", b"{}"), (f"{key}.json", b"{}")),
        of(key) + of(key, "duplicate_key", "the same key"),
    ),
    "duplicate-image": lambda key: Defect(
        files((f"{key}.png", GOOD), (f"{key}.png", GOOD), (f"{key}.json", b"{}")),
        of(key) + of(key, "duplicate_key", "the same key"),
    ),
    "dotted": lambda key: Defect(files((f"{key}.v1.png", GOOD)), of(key)),
    "several-dotted": lambda key: Defect(
        files((f"{key}.v1.png", GOOD), (f"{key}.v2.png", GOOD)), of(key, "incomplete", "none with a plain suffix")
    ),
    "several-images": lambda key: Defect(files((f"{key}.jpg", JPEG), (f"{key}.png", GOOD)), of(key)),
    "no-image": lambda key: Defect(files((f"{key}.json", b"{}")), of(key, "incomplete", "no image among its members")),
    "unknown-image": lambda key: Defect(files((f"{key}.heic", b"x")), of(key, "undecodable", "not read")),
    "dot-file": passed_over("._m.jpg"),
    "meta": passed_over("__meta__/x.png"),
    "no-suffix": passed_over("README"),
    "directory": passed_over("folder.png", tarfile.DIRTYPE),
    "symbolic-link": special(tarfile.SYMTYPE, "/etc/passwd"),
    "hard-link": special(tarfile.LNKTYPE, "dotted.v1.png"),
    "device": special(tarfile.CHRTYPE),
    "fifo": special(tarfile.FIFOTYPE),
    "sparse": special(tarfile.GNUTYPE_SPARSE),
    "absolute": named("/etc/absolute"),
    "parent": named("../../parent"),
    "upper-case": lambda key: Defect(files((f"{key}.PNG", GOOD), (f"{key}.JSON", b"{}")), of(key)),
    "unicode": named("\u00fcn\u00efc\u00f6de-\u4e2d\u6587-\U0001f600"),
    "long-name": named(f"{BEFORE}/{AFTER}"),
    "pickles": lambda key: Defect(
        files((f"{key}.png", GOOD), *((f"{key}.{suffix}", TRAP) for suffix in ("pyd", "pkl", "pickle", "pth", "pt"))),
        of(key),
    ),
    "only-pickles": lambda key: Defect(
        files((f"{key}.pyd", TRAP), (f"{key}.pkl", TRAP)), of(key, "incomplete", "no image among its members: pyd, pkl")
    ),
    "json-broken": sidecar(b"{oops"),
    "json-array": sidecar(b"[1, 2]"),
    "json-huge": sidecar(json.dumps({"text": "x" * 2**20}).encode()),
    "json-not-a-number": sidecar(b'{"a": NaN, "b": -Infinity, "c": 1e999}'),
    "json-half-a-character": sidecar(b'{"a": "\\ud83d"}'),
    "json-deep": sidecar(b"[" * 5000 + b"]" * 5000),
    "json-latin": sidecar(b'{"a": "caf\xe9"}'),
    "text-latin": sidecar(b"caf\xe9", "txt"),
}
"""Odd members of a tar."""


def write_hostile(folder: Path) -> dict[str, tuple[Row, ...]]:
    """Write the tars; their names, and the rows that a run must give for each, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {"images.tar": _write_defects(folder / "images.tar", IMAGES)}
    expected["members.tar"] = _write_defects(folder / "members.tar", MEMBERS)
    contents = dict([*members_of(1, "a"), *members_of(2, "b")])
    for name, damage in ARCHIVES.items():
        path = write_tar(folder / f"{name}.tar", [(each, contents[each]) for each in damage.order])
        path.write_bytes(damage.apply(path.read_bytes()))
        expected[path.name] = damage.rows
    return expected


def _write_defects(path: Path, defects: Mapping[str, Callable[[str], Defect]]) -> tuple[Row, ...]:
    """A tar of all of them, a good sample after every third."""
    rows: list[Row] = []
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for number, (name, make) in enumerate(defects.items()):
            defect = make(name)
            if number % 3 == 0:
                _add(tar, files(*members_of(number, f"good-{number}")))
                rows += of(f"good-{number}")
            _add(tar, defect.members)
            rows += defect.rows
    return tuple(rows)


def _add(tar: tarfile.TarFile, members: Iterable[Member]) -> None:
    for info, data in members:
        tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.hostile DEST")
    written = write_hostile(Path(sys.argv[1]))
    print(f"{len(IMAGES) + len(MEMBERS) + len(ARCHIVES)} defects in {len(written)} tars in {sys.argv[1]}")
