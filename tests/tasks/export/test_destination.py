"""A destination is begun once, gone on with by the same selection only, and finished last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from manifests.stores.open import open_store
from manifests.stores.preflight import PREFIX as PROBES
from manifests.stores.store import Store
from tasks.export.destination import Destination, claim
from tasks.export.files import LocalExport
from tasks.export.json_types import TEXT

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


def test_what_was_begun_is_gone_on_with_after_its_last_file(store: Store, tmp_path: Path) -> None:
    begun(store, tmp_path, 2)
    again = claim(store, SELECTION)
    assert (again.complete, again.samples, len(again.files)) == (False, 4, 2)
    assert [file.members for file in again.files] == [{"txt": TEXT}] * 2
    assert not (tmp_path / "coral-000000.tar").exists()


def test_a_finished_one_says_everything_and_keeps_no_traces(store: Store, tmp_path: Path) -> None:
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
def test_another_selection_is_told_what_is_there(store: Store, tmp_path: Path, finished: bool) -> None:
    destination = begun(store, tmp_path, 1)
    if finished:
        destination.finish(list(claim(store, SELECTION).files), "card")
    with pytest.raises(ValueError, match=r"another selection \(snapshot 1, now 2\); give an empty folder"):
        claim(store, {**SELECTION, "snapshot": 2})


@pytest.mark.parametrize("content", [b"", b"[]", b"{"])
def test_a_file_of_somebody_else_under_our_name_is_refused(store: Store, content: bytes) -> None:
    store.put_new("_export.json", content)
    with pytest.raises(ValueError, match=r"_export\.json in the destination was not written by an export"):
        claim(store, SELECTION)


def test_the_probe_of_a_preflight_is_nobodys(store: Store) -> None:
    store.put_new(f"{PROBES}0123", b"")
    assert claim(store, SELECTION).files == ()


def test_what_has_no_file_yet_has_written_nothing(store: Store) -> None:
    claim(store, SELECTION)
    assert not any(store.list(""))


def test_who_begins_second_with_another_selection_adds_nothing(store: Store, tmp_path: Path) -> None:
    one, other = claim(store, SELECTION), claim(store, {**SELECTION, "snapshot": 2})
    one.add(local(tmp_path, 0), 0)
    with pytest.raises(ValueError, match=r"another selection \(snapshot 1, now 2\)"):
        other.add(local(tmp_path, 0, "other"), 0)
    assert store.read("coral-000000.tar") == b"content"


def test_two_exports_of_the_same_may_meet_and_of_other_bytes_not(store: Store, tmp_path: Path) -> None:
    one, other = claim(store, SELECTION), claim(store, SELECTION)
    one.add(local(tmp_path, 0), 0)
    other.add(local(tmp_path, 0), 0)
    one.add(local(tmp_path, 1), 1)
    with pytest.raises(ValueError, match=r"wrote another coral-000001\.tar"):
        other.add(local(tmp_path, 1, "other"), 1)
