"""The table is what its transactions say: readers see whole versions, and no publisher undoes or doubles another's."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from deltalake import DeltaTable

from manifests.query import query
from manifests.stores.open import open_store
from manifests.stores.store import CommitConflict, Store, StoreUnavailable
from manifests.table import FOLDER, history, open_manifest, version_at
from tests.emulator import Emulator
from tests.published import publish_rows, put_rows

SPAWN = multiprocessing.get_context("spawn")


def row(request: str, **fields: Any) -> dict[str, Any]:
    return {"key": "k", "request_id": request, **fields}


def test_before_the_first_publish_the_manifest_is_empty_and_nothing_is_written(store: Store) -> None:
    manifest = open_manifest(store)
    assert (manifest.version, manifest.rows, manifest.requests, history(store)) == (0, 0, {}, [])
    assert list(store.list("")) == []


def test_published_requests_are_read_back(store: Store, tmp_path: Path) -> None:
    rows = [row("r1", edit="red-1", source_uri="file:///a.tar", source_version="v1", rules="{}"), row("r2")]
    manifest = publish_rows(store, tmp_path, [*rows, row("r2")])
    assert (manifest.version, manifest.rows) == (1, 3)
    found = manifest.requests
    assert found["r1"][:7] == ("r1", "red-1", "file:///a.tar", "v1", "present", "{}", 1)
    assert (found["r2"].rows, found["r2"].edit) == (2, "e-1") and found["r2"].file != found["r1"].file


def test_a_transaction_succeeds_only_on_the_version_it_read(store: Store, tmp_path: Path) -> None:
    empty = open_manifest(store)
    first = publish_rows(store, tmp_path, [row("r1")])
    for late in (empty, first):
        publish_rows(store, tmp_path, [row(f"other-{late.version}")])
        assert not late.commit("t", put_rows(store, tmp_path, [row("r2")]), [], {})
    assert open_manifest(store).requests.keys() == {"r1", "other-0", "other-1"}


def test_a_transaction_is_known_by_its_id(store: Store, tmp_path: Path) -> None:
    assert open_manifest(store).commit("mine", put_rows(store, tmp_path, [row("r1")]), [], {"run_id": "r"})
    assert open_manifest(store).has("mine") and not open_manifest(store).has("yours")
    assert [(each["version"], each.get("run_id")) for each in history(store)] == [(1, "r"), (0, None)]


def test_earlier_versions_can_be_read_until_their_files_are_gone(store: Store, tmp_path: Path) -> None:
    first = publish_rows(store, tmp_path, [row("r1")])
    publish_rows(store, tmp_path, [row("r1", direction=0.5), row("r2", edit="red-1")])
    assert open_manifest(store, 1).requests.keys() == first.requests.keys()
    moments = [each["time"] for each in history(store)]
    assert [version_at(store, moment) for moment in moments] == [2, 1, 0]
    with pytest.raises(ValueError, match="has no version of"):
        version_at(store, moments[-1] - timedelta(hours=1))
    with pytest.raises(ValueError, match="no version 7"):
        open_manifest(store, 7)


def test_an_earlier_version_is_restored_as_a_new_one(store: Store, tmp_path: Path) -> None:
    first = publish_rows(store, tmp_path, [row("r1", direction=0.25)])
    second = publish_rows(store, tmp_path, [row("r1", direction=0.5), row("r2", edit="red-1")])
    second.restore(1, {"run_id": "undo"})
    assert open_manifest(store).version == 3 and open_manifest(store).requests == first.requests
    assert history(store, 1)[0]["run_id"] == "undo"
    with pytest.raises(CommitConflict, match="has published meanwhile"):
        second.restore(1, {})
    for version in (0, 3, 9):
        with pytest.raises(ValueError, match=f"no version {version} before 3"):
            open_manifest(store).restore(version, {})
    (removed,) = second.files.keys() - first.files.keys() - {each for each in second.files if "red" in each}
    store.delete(f"{FOLDER}/{removed}")
    with pytest.raises(ValueError, match=r"version 2 cannot be restored: 1 of its files are gone"):
        open_manifest(store).restore(2, {})


def test_the_log_declares_only_what_every_engine_reads(store: Store, tmp_path: Path) -> None:
    protocol = publish_rows(store, tmp_path, [row("r1")]).delta.protocol()  # type: ignore[union-attr]
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features and not protocol.writer_features


def test_checkpoints_replace_the_log_entries_that_a_reader_opens(tmp_path: Path, store: Store) -> None:
    for number in range(12):
        publish_rows(store, tmp_path, [row(f"r{number}")])
    assert json.loads(store.read(f"{FOLDER}/_delta_log/_last_checkpoint"))["version"] == 9
    assert open_manifest(store).rows == 12


@pytest.mark.parametrize("name", ["a b#ü[x]*'", "100%"])
def test_an_output_may_have_almost_any_name(tmp_path: Path, name: str) -> None:
    store = open_store(tmp_path / name / "out")
    publish_rows(store, tmp_path, [row("r1", direction=1.0)])
    assert query(store, "SELECT key FROM manifest WHERE direction > 0").to_pylist() == [{"key": "k"}]


def test_a_name_that_is_no_delta_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has a % before two digits"):
        open_manifest(open_store(tmp_path / "a%20b"))


def test_concurrent_publishers_lose_nothing_and_double_nothing(store: Store, tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, SPAWN) as pool:
        list(pool.map(publish_several, [store] * 3, [tmp_path] * 3, range(3)))
    manifest = open_manifest(store)
    assert manifest.requests.keys() == {f"r{who}-{index}" for who in range(3) for index in range(3)}
    assert manifest.version == manifest.rows == 9


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_beside_the_transaction_leaves_a_whole_version(store: Store, tmp_path: Path, after: bool) -> None:
    child = SPAWN.Process(target=publish_and_die, args=(store, tmp_path, after))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert open_manifest(store).rows == int(after)
    assert publish_rows(store, tmp_path, [row("r1")]).rows == 1


@pytest.mark.parametrize("written", [False, True])
def test_after_a_lost_answer_the_table_says_whether_it_was_written(
    emulator: Emulator, tmp_path: Path, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith("001.json"):
            if written:
                list(app(environ, lambda *given: None))  # type: ignore[arg-type,func-returns-value]
            raise ConnectionError
        return app(environ, start)

    from manifests.stores.s3_options import S3Options

    store = emulator.store(S3Options(read_timeout=0.5))
    files, manifest = put_rows(store, tmp_path, [row("r1")]), open_manifest(store)
    with emulator.disturbed(lose):
        if written:
            assert not manifest.commit("mine", files, [], {})
        else:
            with pytest.raises(StoreUnavailable, match="could not be written"):
                manifest.commit("mine", files, [], {})
    assert open_manifest(store).has("mine") == written


def test_a_damaged_list_of_an_earlier_output_is_an_error(store: Store) -> None:
    store.put_new("snapshots/LATEST.json", b"{}")
    with pytest.raises(ValueError, match=r"snapshots/LATEST\.json .* is damaged"):
        open_manifest(store)


def test_no_message_and_no_log_shows_a_credential(emulator: Emulator, tmp_path: Path) -> None:
    from tests.emulator import ENVIRONMENT

    store = emulator.store()
    manifest = publish_rows(store, tmp_path, [row("r1")])
    texts = [repr(store.client()), repr(manifest), *(store.read(info.key).decode("latin1") for info in store.list(""))]
    assert not [text for text in texts if ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] in text]


def publish_several(store: Store, folder: Path, who: int) -> None:
    for index in range(3):
        files, transaction = put_rows(store, folder / str(who), [row(f"r{who}-{index}")]), uuid.uuid4().hex
        while not open_manifest(store).commit(transaction, files, [], {}):
            continue


def publish_and_die(store: Store, folder: Path, after: bool) -> None:
    def die(write: Callable[..., None]) -> Callable[..., None]:
        def dying(*given: Any, **named: Any) -> None:
            if after:
                write(*given, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        return dying

    DeltaTable.create_write_transaction = die(DeltaTable.create_write_transaction)  # type: ignore[method-assign]
    publish_rows(store, folder, [row("r1")])
