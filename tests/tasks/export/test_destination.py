"""A destination is begun once, continued only with the same selection, and marked as complete last."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from manifests.stores.open import open_store
from manifests.stores.preflight import PREFIX as PROBES
from manifests.stores.store import Store
from tasks.export.destination import Destination, claim
from tasks.export.export import ExportSpec, export
from tasks.export.files import FileOptions, LocalExport, file_name
from tasks.export.json_types import TEXT
from tests.painted import contents, publish_painted
from tests.tars import write_shards
from tests.tasks.export.exported import TABLE, TARS

SELECTION = {"where": "true", "snapshot": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "to")


def local(folder: Path, number: int, content: str = "content") -> LocalExport:
    path = folder / f"coral-{number:06d}.tar"
    path.write_text(content)
    digest = f"{number}{content}"
    return LocalExport(path, path.name, samples=2, size=len(content), sha256=digest, members={"txt": TEXT})


def begun(store: Store, folder: Path, files: int) -> Destination:
    destination = claim(store, SELECTION)
    for number in range(files):
        destination.add(local(folder, number), number)
    return destination


def test_an_interrupted_export_continues_after_its_last_file(store: Store, tmp_path: Path) -> None:
    begun(store, tmp_path, 2)
    again = claim(store, SELECTION)
    assert (again.complete, again.samples, len(again.files)) == (False, 4, 2)
    assert [file.members for file in again.files] == [{"txt": TEXT}] * 2
    assert not (tmp_path / "coral-000000.tar").exists()


def test_a_finished_export_lists_all_files_and_keeps_no_records(store: Store, tmp_path: Path) -> None:
    destination = begun(store, tmp_path, 2)
    destination.finish(list(claim(store, SELECTION).files), "card")
    assert [info.key for info in store.list("")] == [
        "README.md", "_export.json", "coral-000000.tar", "coral-000001.tar"
    ]  # fmt: skip
    said = json.loads(store.read("_export.json"))
    assert (said["samples"], said["selection"]) == (4, SELECTION)
    assert said["files"][1] == {"name": "coral-000001.tar", "samples": 2, "size": 7, "sha256": "1content"}
    assert claim(store, SELECTION).complete


@pytest.mark.parametrize("finished", [True, False])
def test_another_selection_is_refused_with_the_difference(store: Store, tmp_path: Path, finished: bool) -> None:
    destination = begun(store, tmp_path, 1)
    if finished:
        destination.finish(list(claim(store, SELECTION).files), "card")
    with pytest.raises(ValueError, match=r"another selection \(snapshot 1, now 2\); give an empty folder"):
        claim(store, {**SELECTION, "snapshot": 2})


@pytest.mark.parametrize("content", [b"", b"[]", b"{"])
def test_a_foreign_file_with_the_name_of_our_list_is_refused(store: Store, content: bytes) -> None:
    store.put_new("_export.json", content)
    with pytest.raises(ValueError, match=r"_export\.json in the destination was not written by an export"):
        claim(store, SELECTION)


def test_the_probe_of_a_preflight_does_not_count_as_content(store: Store) -> None:
    store.put_new(f"{PROBES}0123", b"")
    assert claim(store, SELECTION).files == ()


def test_nothing_is_written_before_the_first_file(store: Store) -> None:
    claim(store, SELECTION)
    assert not any(store.list(""))


def test_a_second_export_with_another_selection_writes_nothing(store: Store, tmp_path: Path) -> None:
    one, other = claim(store, SELECTION), claim(store, {**SELECTION, "snapshot": 2})
    one.add(local(tmp_path, 0), 0)
    with pytest.raises(ValueError, match=r"another selection \(snapshot 1, now 2\)"):
        other.add(local(tmp_path, 0, "other"), 0)
    assert store.read("coral-000000.tar") == b"content"


def test_two_exports_at_once_must_write_equal_bytes(store: Store, tmp_path: Path) -> None:
    one, other = claim(store, SELECTION), claim(store, SELECTION)
    one.add(local(tmp_path, 0), 0)
    other.add(local(tmp_path, 0), 0)
    one.add(local(tmp_path, 1), 1)
    with pytest.raises(ValueError, match=r"wrote another coral-000001\.tar"):
        other.add(local(tmp_path, 1, "other"), 1)


@dataclass
class Breaking:
    """A store that stops taking files after some."""

    store: Store
    files: int

    def put_file(self, key: str, path: Path) -> None:
        if not self.files:
            raise OSError("the disk is full")
        self.files -= 1
        self.store.put_file(key, path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@pytest.mark.parametrize("options", [TARS, TABLE], ids=lambda options: options.kind)
def test_an_interrupted_export_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, output: Store, options: FileOptions
) -> None:
    spec = ExportSpec(files=replace(options, max_samples=5))
    export(output, open_store(tmp_path / "whole"), spec)
    destination = open_store(tmp_path / "broken")
    with pytest.raises(OSError, match="full"):
        export(output, Breaking(destination, files=2), spec)
    assert destination.head("_export.json") is None
    first = destination.head(file_name(options.kind, "000000"))
    report = export(output, destination, spec)
    assert (report.reused, len(report.files)) == (2, 3)
    assert first is not None and destination.head(first.key) == first
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    seen = {info.key: info for info in destination.list("")}
    assert export(output, destination, spec).reused == 3
    assert {info.key: info for info in destination.list("")} == seen


def test_nothing_is_written_over_something_else(tmp_path: Path, output: Store) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match=r"not empty .*thesis\.tex.*empty folder"):
        export(output, open_store(tmp_path / "full"), ExportSpec())
    destination = open_store(tmp_path / "to")
    export(output, destination, ExportSpec())
    before = contents(tmp_path / "to")
    with pytest.raises(ValueError, match=r"another selection .*where 'true', now 'direction > 0'"):
        export(output, destination, ExportSpec(where="direction > 0"))
    assert contents(tmp_path / "to") == before
    assert contents(tmp_path / "full") == {"thesis.tex": b"dear"}
    (tmp_path / "to" / "coral-000000.tar").unlink()
    with pytest.raises(ValueError, match=r"coral-000000\.tar is missing in the destination"):
        export(output, destination, ExportSpec())


def test_an_export_of_an_earlier_manifest_is_another_selection(tmp_path: Path, make_job: Callable[..., Any]) -> None:
    write_shards(tmp_path, 1, 3)
    _, store = publish_painted(make_job())
    export(store, open_store(tmp_path / "to"), ExportSpec())
    write_shards(tmp_path, 2, 3)
    publish_painted(make_job())
    with pytest.raises(ValueError, match=r"another selection .*snapshot 1, now 2"):
        export(store, open_store(tmp_path / "to"), ExportSpec())
