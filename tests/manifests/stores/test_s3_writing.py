"""Writing into a bucket: no write happens twice, lost answers are reported, and the encryption is as requested."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import manifests.stores.s3_clients
from manifests.commit import CommitRecord, commit, read_commit
from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import S3Options
from manifests.stores.store import CommitUnknown, StoreUnavailable
from tests.emulator import Emulator
from tests.manifests.disturbances import Recorder, dropped, error, file_of, swallowed

pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.mark.parametrize(
    ("encryption", "kms_key_id"), [("AES256", None), ("aws:kms", None), ("aws:kms", "1234abcd-12ab-34cd-56ef")]
)
def test_every_write_requests_the_encryption(
    emulator: Emulator, tmp_path: Path, encryption: str, kms_key_id: str | None
) -> None:
    store, recorder = emulator.store(S3Options(encryption=encryption, kms_key_id=kms_key_id)), Recorder()
    with emulator.disturbed(recorder):
        assert store.put_new("a", b"x")
        info = store.head("a")
        assert info is not None and store.put_if("a", b"y", info.etag)
        store.put_file("b", file_of(tmp_path, b"x"))
    assert recorder.headers("X_AMZ_SERVER_SIDE_ENCRYPTION") == [encryption] * 3
    assert recorder.headers("X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID") == [kms_key_id] * 3


def test_reports_and_images_have_a_content_type_that_browsers_show(
    emulator: Emulator, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kind(key: str) -> str:
        name = f"some/prefix/{key}"
        return str(emulator.client.head_object(Bucket=bucket.bucket, Key=name)["ContentType"])

    assert bucket.put_new("reports/1/index.html", b"first")
    seen = bucket.head("reports/1/index.html")
    assert seen is not None and bucket.put_if("reports/1/index.html", b"second", seen.etag)
    assert bucket.put_new("_export.json", b"{}")
    bucket.put_file("README.md", file_of(tmp_path, b"# samples"))
    bucket.put_file("sheet.png", file_of(tmp_path, b"pixels"))
    monkeypatch.setattr(manifests.stores.s3, "MULTIPART_BYTES", 1)
    bucket.put_file("page.html", file_of(tmp_path, b"in parts"))
    bucket.put_file("data/edit=red.v1/0.parquet", file_of(tmp_path, b"rows"))
    assert {info.key: kind(info.key) for info in bucket.list("")} == {
        "reports/1/index.html": "text/html; charset=utf-8",
        "page.html": "text/html; charset=utf-8",
        "_export.json": "application/json",
        "README.md": "text/plain; charset=utf-8",
        "sheet.png": "image/png",
        "data/edit=red.v1/0.parquet": "application/octet-stream",
    }


def test_large_files_are_uploaded_in_parts(
    emulator: Emulator, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests.stores.s3, "MULTIPART_BYTES", 6 << 20)
    monkeypatch.setattr(manifests.stores.s3, "PART_BYTES", 5 << 20)
    data = os.urandom(11 << 20)
    broken = error("500 Internal Server Error", "InternalError")
    with emulator.disturbed(recorder := Recorder("PUT", broken)):
        bucket.put_file("k", file_of(tmp_path, data))
    assert sorted(environ["QUERY_STRING"][-12:] for environ in recorder.requests)[-1] == "partNumber=3"
    assert bucket.read("k") == data


def test_an_upload_whose_writer_died_is_found_and_aborted(bucket: S3Store) -> None:
    s3 = manifests.stores.s3_clients.clients(os.getpid(), bucket.options).once
    for key in ("some/prefix/data/x", "some/prefix/data/y", "elsewhere"):
        s3.create_multipart_upload(Bucket=bucket.bucket, Key=key)
    uploads = list(bucket.uploads())
    assert [upload.key for upload in uploads] == ["data/x", "data/y"]
    assert {upload.started for upload in uploads} == {1289422113}  # the emulator gives this time for every upload
    bucket.abort(uploads[0])
    bucket.abort(uploads[0])
    assert [upload.key for upload in bucket.uploads()] == ["data/y"]
    assert list(bucket.list("")) == []


@pytest.mark.parametrize(
    "answer",
    [
        error("409 Conflict", "ConditionalRequestConflict"),
        error("409 Conflict", "OperationAborted"),
        error("503 Slow Down", "SlowDown"),
    ],
)
def test_a_conditional_write_that_was_not_executed_is_sent_again(
    emulator: Emulator, bucket: S3Store, answer: Callable[..., Iterable[bytes]]
) -> None:
    with emulator.disturbed(recorder := Recorder("PUT", answer, answer)):
        assert bucket.put_new("k", b"one")
    assert recorder.headers("IF_NONE_MATCH") == ["*"] * 3
    seen = bucket.head("k")
    assert seen is not None
    with emulator.disturbed(recorder := Recorder("PUT", answer)):
        assert bucket.put_if("k", b"two", seen.etag)
    assert recorder.headers("IF_MATCH") == [seen.etag] * 2
    with emulator.disturbed(recorder := Recorder("PUT", *[answer] * 99)), pytest.raises(StoreUnavailable):
        bucket.put_new("other", b"")
    assert len(recorder.requests) == manifests.stores.s3.ATTEMPTS


@pytest.mark.parametrize("answer", [swallowed, error("500 Internal Server Error", "InternalError"), dropped])
def test_a_lost_answer_to_a_conditional_write_is_unknown_and_nothing_is_sent_twice(
    emulator: Emulator, impatient: S3Store, answer: Callable[..., Iterable[bytes]]
) -> None:
    for put in (lambda: impatient.put_new("k", b"x"), lambda: impatient.put_if("k", b"x", "etag")):
        with (
            emulator.disturbed(recorder := Recorder("PUT", answer)),
            pytest.raises(CommitUnknown, match="it may have been executed: read the object, then decide"),
        ):
            put()
        assert len(recorder.requests) == 1


def test_a_commit_whose_answer_is_lost_is_found(emulator: Emulator, impatient: S3Store) -> None:
    record = CommitRecord("r1", "edit", "a1", (), {"ok": 1})
    with emulator.disturbed(Recorder("PUT", swallowed)):
        assert commit(impatient, record, {}) == record
    assert read_commit(impatient, "r1") == record
