"""The destination of an export: a folder or prefix of its own. Its objects record what is done and what is left.

    _export/selection.json    create-only, first: the selection that is exported
    coral-000000.tar          the files, in order
    _export/000000.json       create-only, after each file: its size and digest, and the types of its members
    _export.json              create-only, last: the export is complete

Nothing is written before the first file is ready: an export that is refused leaves nothing. An interrupted export
continues with the next file, because the same selection gives the same samples in the same order. If the destination
holds anything else, nothing is written.
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
    members: MemberTypes = field(default_factory=dict)  # of a tar; needed until the card is written


@dataclass(frozen=True)
class Destination:
    """A destination that is empty or belongs to this export: `selection` is what it holds, or will hold."""

    store: Store
    selection: Mapping[str, Any]
    files: tuple[ExportedFile, ...]  # finished by earlier attempts, in order
    complete: bool

    @property
    def samples(self) -> int:
        """Samples in the finished files."""
        return sum(file.samples for file in self.files)

    def add(self, local: LocalExport, number: int) -> ExportedFile:
        """Upload the file with this number and record it; the local file is removed.

        Errors: ValueError if another export has written the destination.
        """
        if number == 0:
            self._begin()
        file = ExportedFile(local.name, local.samples, local.size, local.sha256, local.members)
        self.store.put_file(file.name, local.path)
        local.path.unlink()
        if not self.store.put_new(_record(number), _bytes(asdict(file))):
            self._expect_same(file, number)
        return file

    def finish(self, files: list[ExportedFile], card: str) -> None:
        """Write the card and _export.json, then delete the records under _export/."""
        self.store.put_new("README.md", card.encode())
        samples = sum(file.samples for file in files)
        listed = {"samples": samples, "selection": self.selection, "files": [_listed(file) for file in files]}
        self.store.put_new(COMPLETE, _bytes(listed))
        for info in list(self.store.list(PROGRESS)):
            self.store.delete(info.key)

    def _begin(self) -> None:
        """Write the selection. Errors: ValueError if another process has begun another selection there meanwhile."""
        if _read(self.store, SELECTION) is None:
            preflight(self.store)
            self.store.put_new(SELECTION, _bytes(self.selection))
        _expect_selection(_read(self.store, SELECTION) or {}, self.selection, "was begun with")

    def _expect_same(self, file: ExportedFile, number: int) -> None:
        """Another process has recorded this file first. Errors: ValueError if it recorded different content."""
        recorded = ExportedFile(**json.loads(self.store.read(_record(number))))
        if recorded != file:
            raise ValueError(f"another export into this destination wrote another {file.name}; {ELSEWHERE}")


def claim(store: Store, selection: Mapping[str, Any]) -> Destination:
    """The destination for a selection (plain JSON), empty, interrupted or complete. Writes nothing.

    Errors: ValueError if something else is there already.
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
    """The recorded files, in order. Errors: ValueError if one of them is missing or has another size."""
    files: list[ExportedFile] = []
    while (fields := _read(store, _record(len(files)))) is not None:
        files.append(ExportedFile(**fields))
    _expect_files(store, tuple(files))
    return tuple(files)


def _expect_nothing(store: Store) -> None:
    other = next((info for info in store.list("") if not info.key.startswith(PROBES)), None)
    if other is not None:
        raise ValueError(f"the destination is not empty (it has {other.key!r}) and is no export; {ELSEWHERE}")


def _expect_selection(found: Mapping[str, Any], wanted: Mapping[str, Any], verb: str) -> None:
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if different:
        listed = "; ".join(f"{name} {found.get(name)!r}, now {wanted[name]!r}" for name in different)
        raise ValueError(f"the destination {verb} another selection ({listed}); {ELSEWHERE}")


def _expect_files(store: Store, files: tuple[ExportedFile, ...]) -> None:
    for file in files:
        info = store.head(file.name)
        if info is None or info.size != file.size:
            raise ValueError(
                f"{file.name} is missing in the destination, or was changed since it was exported; {ELSEWHERE}"
            )


def _read(store: Store, key: str) -> dict[str, Any] | None:
    """A JSON object, or None if there is none."""
    try:
        content = json.loads(store.read(key))
    except FileNotFoundError:
        return None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{key} in the destination was not written by an export; {ELSEWHERE}")
    return content


def _listed(file: ExportedFile) -> dict[str, Any]:
    """The entry of a file in _export.json."""
    return {name: value for name, value in asdict(file).items() if name != "members"}


def _record(number: int) -> str:
    """The object name of the record of a file."""
    return f"{PROGRESS}{number:06d}.json"


def _bytes(content: object) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
