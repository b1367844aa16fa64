"""Where an export goes: a folder or prefix of its own, whose state says what is there and what is left to do.

    _export/selection.json    create-only, first: what is being exported
    coral-000000.tar          the files, in order
    _export/000000.json       create-only, after each file: its size and digest, and the types of its members
    _export.json              create-only, last: everything is there

Nothing is written before the first file is ready: an export that is refused leaves nothing. What is interrupted goes on
with the next file, because the same selection gives the same samples in the same order. Anything else in the
destination is somebody else's, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from manifests.stores.preflight import PREFIX as PROBES
from manifests.stores.preflight import preflight
from manifests.stores.store import Store
from tasks.export.features import MemberTypes
from tasks.export.files import LocalExport

SELECTION = "_export/selection.json"
COMPLETE = "_export.json"
PROGRESS = "_export/"
ELSEWHERE = "give an empty folder or another prefix"


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export."""

    name: str
    samples: int
    size: int  # bytes
    sha256: str
    members: MemberTypes = field(default_factory=dict)  # of a tar, until the card declares them


@dataclass(frozen=True)
class Destination:
    """A destination that is ours, or empty: `selection` is what it holds, or is going to hold."""

    store: Store
    selection: Mapping[str, Any]
    files: tuple[ExportedFile, ...]  # finished by earlier attempts, in order
    complete: bool

    @property
    def samples(self) -> int:
        """Samples that are there already."""
        return sum(file.samples for file in self.files)

    def add(self, local: LocalExport, number: int) -> ExportedFile:
        """Upload the file with this number, and note that it is there; the local one is removed."""
        if number == 0:
            self._begin()
        file = ExportedFile(local.name, local.samples, local.size, local.sha256, local.members)
        self.store.put_file(file.name, local.path)
        local.path.unlink()
        if not self.store.put_new(_record(number), _bytes(asdict(file))):
            self._expect_same(file, number)
        return file

    def finish(self, files: list[ExportedFile], card: str) -> None:
        """Say that everything is there; the traces of the work go."""
        self.store.put_new("README.md", card.encode())
        samples = sum(file.samples for file in files)
        listed = {"samples": samples, "selection": self.selection, "files": [_listed(file) for file in files]}
        self.store.put_new(COMPLETE, _bytes(listed))
        for info in list(self.store.list(PROGRESS)):
            self.store.delete(info.key)

    def _begin(self) -> None:
        """Take the destination. ValueError when somebody else has begun another selection there meanwhile."""
        if _read(self.store, SELECTION) is None:
            preflight(self.store)
            self.store.put_new(SELECTION, _bytes(self.selection))
        _expect_selection(_read(self.store, SELECTION) or {}, self.selection, "was begun with")

    def _expect_same(self, file: ExportedFile, number: int) -> None:
        """Another process exports the same here, and was faster."""
        found = ExportedFile(**json.loads(self.store.read(_record(number))))
        if found != file:
            raise ValueError(f"another export into this destination wrote another {file.name}; {ELSEWHERE}")


def claim(store: Store, selection: Mapping[str, Any]) -> Destination:
    """A destination for a selection (plain JSON): to begin in, or to go on with what was interrupted. Writes nothing.

    Errors: ValueError when something else is there already.
    """
    finished = _read(store, COMPLETE)
    if finished is not None:
        _expect_selection(finished.get("selection", {}), selection, "holds")
        files = tuple(ExportedFile(**file) for file in finished["files"])
        _expect_files(store, files)
        return Destination(store, selection, files, complete=True)
    begun = _read(store, SELECTION)
    if begun is None:
        _expect_nothing(store)
    else:
        _expect_selection(begun, selection, "was begun with")
    return Destination(store, selection, _finished_files(store), complete=False)


def _finished_files(store: Store) -> tuple[ExportedFile, ...]:
    files: list[ExportedFile] = []
    while (fields := _read(store, _record(len(files)))) is not None:
        files.append(ExportedFile(**fields))
    _expect_files(store, tuple(files))
    return tuple(files)


def _expect_nothing(store: Store) -> None:
    found = next((info for info in store.list("") if not info.key.startswith(PROBES)), None)
    if found is not None:
        raise ValueError(f"the destination is not empty (it has {found.key!r}) and no export of ours; {ELSEWHERE}")


def _expect_selection(found: Mapping[str, Any], wanted: Mapping[str, Any], verb: str) -> None:
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if different:
        said = "; ".join(f"{name} {found.get(name)!r}, now {wanted[name]!r}" for name in different)
        raise ValueError(f"the destination {verb} another selection ({said}); {ELSEWHERE}")


def _expect_files(store: Store, files: tuple[ExportedFile, ...]) -> None:
    for file in files:
        info = store.head(file.name)
        if info is None or info.size != file.size:
            raise ValueError(
                f"the destination has lost {file.name}, or it was changed since it was exported; {ELSEWHERE}"
            )


def _read(store: Store, key: str) -> dict[str, Any] | None:
    """A JSON object, or None if there is none."""
    try:
        found = json.loads(store.read(key))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{key} in the destination was not written by an export; {ELSEWHERE}")
    return found


def _listed(file: ExportedFile) -> dict[str, Any]:
    """What _export.json says of a file."""
    return {name: value for name, value in asdict(file).items() if name != "members"}


def _record(number: int) -> str:
    return f"{PROGRESS}{number:06d}.json"


def _bytes(content: object) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
