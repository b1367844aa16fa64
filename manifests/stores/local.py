"""A store in a local directory with the guarantees of an object store: readers see only complete objects, also if a
process is killed at any line. Bytes are first written and synced in a hidden folder, then moved to their name in one
atomic step.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from manifests.stores.disk_errors import TEMPORARY, naming_full_disk, naming_refused_folder
from manifests.stores.store import ObjectChanged, ObjectClient, ObjectInfo, Upload, check_key
from manifests.stores.temporary import is_owned, lock, sweep

STAGING = ".staging"  # unpublished bytes and the lock; no key may contain a name that begins with a dot
LOCK = "lock"


@dataclass(frozen=True)
class LocalStore:
    """Objects as files under one root directory, which is created on the first write.

    An object is created by os.link, which fails if the name exists, and replaced by os.replace under a flock, which the
    kernel releases when the process ends. A key that put_if replaces must be written by put_new and put_if only.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser().absolute())  # workers have another cwd

    def __str__(self) -> str:
        return str(self.root)

    def client(self) -> ObjectClient:
        return ObjectClient(str(self.root))

    def head(self, key: str) -> ObjectInfo | None:
        try:
            stat = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _info(key, stat) if S_ISREG(stat.st_mode) else None

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"cannot read {key!r} from {start}, length {length}: neither may be negative")
        with self._open(key) as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def fetch(self, key: str, path: Path, etag: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        try:
            with naming_full_disk(path.parent, TEMPORARY), self._open(key) as source, partial.open("wb") as target:
                if etag not in (None, _info(key, os.fstat(source.fileno())).etag):
                    raise ObjectChanged(f"{key!r} in {self} was written again; start again with the new version")
                shutil.copyfileobj(source, target, 1 << 20)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def put_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        with path.open("rb") as source, self._staged(lambda file: shutil.copyfileobj(source, file, 1 << 20)) as staged:
            _make_directory(target.parent)
            staged.replace(target)
            _sync_directory(target.parent)

    def put_new(self, key: str, data: bytes) -> bool:
        target = self._path(key)
        if target.is_file():
            return False
        with self._staged(lambda file: file.write(data)) as staged:
            _make_directory(target.parent)
            try:
                target.hardlink_to(staged)
            except FileExistsError:
                if target.is_file():
                    return False
                raise  # a folder: the key is a prefix of other keys
            _sync_directory(target.parent)
        return True

    def put_if(self, key: str, data: bytes, etag: str) -> bool:
        target = self._path(key)
        with self._staged(lambda file: file.write(data)) as staged, self._locked():
            current = self.head(key)
            if current is None or current.etag != etag:
                return False
            _set_unique_mtime(staged, after=target.stat().st_mtime_ns)
            staged.replace(target)
            _sync_directory(target.parent)
        return True

    def delete(self, key: str) -> None:
        path = self._path(key)
        if path.is_file():
            path.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            check_key(prefix.removesuffix("/"))
        folder = self.root / prefix.rpartition("/")[0]
        infos = (_info(path.relative_to(self.root).as_posix(), stat) for path, stat in _walk(folder))
        return (info for info in infos if info.key.startswith(prefix))

    def uploads(self) -> Iterator[Upload]:
        for path, stat in _walk(self.root / STAGING):
            if path.name != LOCK:
                yield Upload("", path.name, int(stat.st_mtime))

    def abort(self, upload: Upload) -> None:
        path = self.root / STAGING / check_key(upload.id)
        if not is_owned(path):
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(f"no object {key!r} in the store {self}") from None

    @contextmanager
    def _staged(self, fill: Callable[[BinaryIO], object]) -> Iterator[Path]:
        """A synced file in the hidden folder; removed after the block unless it was moved to its name."""
        path = self.root / STAGING / uuid.uuid4().hex
        with naming_full_disk(self.root, "name another output"), naming_refused_folder(self.root):
            try:
                _make_directory(path.parent)
                sweep(each for each, _ in _walk(path.parent) if each.name != LOCK)
                with path.open("xb") as file:
                    lock(file)
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                    _set_unique_mtime(path, after=0)
                    yield path
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One compare-and-swap at a time; the kernel releases the lock when the file is closed or the process ends."""
        with (self.root / STAGING / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _info(key: str, stat: os.stat_result) -> ObjectInfo:
    etag = f"{stat.st_mtime_ns:x}-{stat.st_ino:x}-{stat.st_size:x}"
    return ObjectInfo(key, stat.st_size, etag, stat.st_mtime_ns // 10**9)


def _set_unique_mtime(path: Path, after: int) -> None:
    """Give the file a modification time that no other version has: the file system's clock is too coarse to distinguish
    two writes, and inode numbers are reused at once."""
    now = max(time.time_ns(), after + 1)
    os.utime(path, ns=(now, now))


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Visible files below a folder in the order of their keys; files that are removed meanwhile are left out."""
    try:
        with os.scandir(folder) as found:
            entries = [(entry, entry.is_dir()) for entry in found if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry, is_folder in sorted(entries, key=lambda each: os.fsencode(each[0].name + "/" * each[1])):
        if is_folder:
            yield from _walk(Path(entry.path))
            continue
        try:
            yield Path(entry.path), entry.stat()
        except FileNotFoundError:
            continue


def _make_directory(folder: Path) -> None:
    """Make a folder and its parents; each is synced before anything is written into it."""
    if not folder.is_dir():
        _make_directory(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_directory(folder.parent)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
