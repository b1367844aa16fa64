"""Reading from a bucket over a network that fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest

import manifests.stores.s3_clients
from manifests.stores.open import open_store
from manifests.stores.s3 import S3Store
from manifests.stores.store import ObjectChanged, StoreUnavailable
from tests.emulator import Emulator
from tests.manifests.disturbances import Recorder, cut, error, file_of

SPAWN = multiprocessing.get_context("spawn")
pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_body_that_is_cut_off_is_continued_at_the_same_byte(
    emulator: Emulator, bucket: S3Store, tmp_path: Path
) -> None:
    data = os.urandom(5 << 20)
    bucket.put_file("k", file_of(tmp_path, data))
    info = bucket.head("k")
    assert info is not None
    recorder = Recorder("GET", cut(0.5), cut(0.5))
    with emulator.disturbed(recorder):
        bucket.fetch("k", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    starts = [int((header or "bytes=0-")[6:-1].partition("-")[0]) for header in recorder.headers("RANGE")]
    assert len(starts) == 3 and starts[0] == 0 < starts[1] < starts[2]
    assert recorder.headers("IF_MATCH") == [info.etag] * 3
    with emulator.disturbed(Recorder("GET", cut(0.3), cut(0.0), cut(0.9))):
        assert bucket.read("k") == data
    with emulator.disturbed(Recorder("GET", cut(0.3), cut(0.9))):
        assert bucket.read("k", 1000, 3 << 20) == data[1000 : 1000 + (3 << 20)]


def test_a_body_that_never_arrives_is_an_error(emulator: Emulator, bucket: S3Store, tmp_path: Path) -> None:
    bucket.put_new("k", b"0123456789")
    recorder = Recorder("GET", *[cut(0.0)] * 99)
    with emulator.disturbed(recorder), pytest.raises(StoreUnavailable, match=r"'k' from byte 0 on.*try again later"):
        bucket.fetch("k", tmp_path / "copy")
    assert len(recorder.requests) == manifests.stores.s3.ATTEMPTS
    assert not (tmp_path / "copy").exists()


def test_an_object_that_changes_while_it_is_read_is_an_error(
    emulator: Emulator, bucket: S3Store, tmp_path: Path
) -> None:
    def swap() -> None:
        info = bucket.head("k")
        assert info is not None and bucket.put_if("k", b"b" * 1000, info.etag)

    bucket.put_new("k", b"a" * 1000)
    with emulator.disturbed(Recorder("GET", cut(0.5, swap))), pytest.raises(ObjectChanged, match="written again"):
        bucket.fetch("k", tmp_path / "deep" / "copy")
    assert list((tmp_path / "deep").iterdir()) == []
    with (
        emulator.disturbed(Recorder("GET", cut(0.5, lambda: bucket.delete("k")))),
        pytest.raises(FileNotFoundError, match="no such object"),
    ):
        bucket.read("k")


@pytest.mark.parametrize("changed", [False, True])
def test_a_killed_fetch_is_continued_unless_the_object_changed(
    emulator: Emulator, bucket: S3Store, tmp_path: Path, changed: bool
) -> None:
    def load_gallery(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterator[bytes]:
        body = b"".join(app(environ, start))
        yield body[: 4 << 20]
        time.sleep(1)

    data, folder = os.urandom(6 << 20), tmp_path / "spool"
    bucket.put_file("k", file_of(tmp_path, data))
    with emulator.disturbed(Recorder("GET", load_gallery)):
        child = SPAWN.Process(target=bucket.fetch, args=("k", folder / "copy"))
        child.start()
        while not any(path.stat().st_size >= 3 << 20 for path in folder.glob(".*.partial")):
            assert child.is_alive()
            time.sleep(0.01)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
    assert not (folder / "copy").exists()
    if changed:
        data = data[::-1]
        bucket.put_file("k", file_of(tmp_path, data))
    with emulator.disturbed(recorder := Recorder("GET")):
        bucket.fetch("k", folder / "copy")
    assert (folder / "copy").read_bytes() == data
    (asked,) = recorder.headers("RANGE")
    assert asked is None if changed else asked == f"bytes={3 << 20}-" or asked == f"bytes={4 << 20}-"
    assert len(list(folder.iterdir())) == 1 + changed  # the partial copy of the old version is removed after a day


def test_bytes_that_do_not_match_their_checksum_are_refused(
    emulator: Emulator, bucket: S3Store, tmp_path: Path
) -> None:
    def flipped(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        return [b"".join(app(environ, start))[::-1]]

    bucket.put_new("k", b"0123456789")
    with emulator.disturbed(Recorder("GET", flipped)), pytest.raises(ObjectChanged, match="checksum"):
        bucket.fetch("k", tmp_path / "deep" / "copy")
    assert list((tmp_path / "deep").iterdir()) == []


def test_reads_survive_errors_of_the_service(emulator: Emulator, bucket: S3Store) -> None:
    bucket.put_new("k", b"0123456789")
    for answer in (error("500 Internal Server Error", "InternalError"), error("503 Slow Down", "SlowDown")):
        with emulator.disturbed(Recorder("GET", answer, answer)):
            assert bucket.read("k", 3, 4) == b"3456"


def test_long_listings_come_in_pages(emulator: Emulator, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests.stores.s3, "PAGE_OBJECTS", 3)
    for index in range(8):
        bucket.put_new(f"k/{index}", b"")
    with emulator.disturbed(recorder := Recorder("GET")):
        assert [info.key for info in bucket.list("k/")] == [f"k/{index}" for index in range(8)]
    assert len(recorder.requests) == 3


def test_invalid_keys_and_keys_outside_the_prefix_are_not_listed(bucket: S3Store) -> None:
    root = open_store(f"s3://{bucket.bucket}", bucket.options)
    client = manifests.stores.s3_clients.clients(os.getpid(), bucket.options).once
    for name in ("some/prefix/", "some/prefix/folder/", "some/prefix/.hidden", "some/prefixes/x", "other"):
        client.put_object(Bucket=bucket.bucket, Key=name)
    bucket.put_new("k", b"")
    assert [info.key for info in bucket.list("")] == ["k"]
    assert [info.key for info in root.list("some/")] == ["some/prefix/k", "some/prefixes/x"]
