"""What only a bucket promises: what is done about a network that fails, refusals in plain words, and no secret told."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
import pytest
from emulator import ENVIRONMENT, Emulator

import manifests.s3
from manifests.commit import CommitRecord, commit, read_commit
from manifests.s3 import S3Options, S3Store
from manifests.store import CommitUnknown, ObjectChanged, StoreRefused, StoreUnavailable, open_store

SPAWN = multiprocessing.get_context("spawn")
SECRETS = [ENVIRONMENT[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
VERBS: dict[str, Callable[[S3Store, Path], object]] = {
    "head": lambda store, path: store.head("k"),
    "read": lambda store, path: store.read("k"),
    "fetch": lambda store, path: store.fetch("k", path / "copy"),
    "put_file": lambda store, path: store.put_file("k", file_of(path, b"x")),
    "put_new": lambda store, path: store.put_new("k", b"x"),
    "put_if": lambda store, path: store.put_if("k", b"x", "etag"),
    "delete": lambda store, path: store.delete("k"),
    "list": lambda store, path: list(store.list("")),
}


@pytest.fixture
def bucket(emulator: Emulator) -> S3Store:
    return emulator.store()


@pytest.fixture
def impatient(emulator: Emulator) -> S3Store:
    return emulator.store(S3Options(read_timeout=0.3))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests.s3, "_pause", lambda failures: None)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *given: 0)


class Recorder:
    """Notes every request; answers the first ones of a method by itself, one per given answer."""

    def __init__(self, method: str = "PUT", *answers: Callable[..., Iterable[bytes]]) -> None:
        self.method, self.answers, self.requests = method, list(answers), list[WSGIEnvironment]()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != self.method:
            return app(environ, start)
        self.requests.append(environ)
        return self.answers.pop(0)(environ, start, app) if self.answers else app(environ, start)

    def headers(self, name: str) -> list[str | None]:
        return [environ.get(f"HTTP_{name}") for environ in self.requests]


def error(status: str, code: str, more: str = "") -> Callable[..., Iterable[bytes]]:
    """An answer of S3's form, without doing anything."""
    body = f"<Error><Code>{code}</Code><Message>words of the service</Message>{more}</Error>".encode()

    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def cut(share: float, then: Callable[[], object] = lambda: None) -> Callable[..., Iterable[bytes]]:
    """The true answer, whose body breaks off."""

    def answer(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterator[bytes]:
        body = b"".join(app(environ, start))
        yield body[: int(len(body) * share)]
        then()
        raise ConnectionAbortedError("cut by the test")

    return answer


def swallowed(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    """Done, but the answer comes too late for the impatient."""
    body = list(app(environ, start))
    time.sleep(0.5)
    return body


def dropped(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    """Done, but the connection is closed without an answer."""
    app(environ, lambda *given: start)  # type: ignore[arg-type, return-value]
    raise ConnectionAbortedError("cut by the test")


def file_of(folder: Path, data: bytes) -> Path:
    (folder / "file").write_bytes(data)
    return folder / "file"


# Addresses and options


def test_addresses_lose_their_trailing_slash_and_cost_no_request() -> None:
    options = S3Options(endpoint="http://127.0.0.1:1", region="eu-central-1")
    store = open_store("s3://my-bucket/a/b/", options)
    assert store == S3Store("s3://my-bucket/a/b", options) == pickle.loads(pickle.dumps(store))
    assert str(store) == "s3://my-bucket/a/b at http://127.0.0.1:1"
    assert open_store("s3://my-bucket") == S3Store("s3://my-bucket", S3Options())


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///x", "s3:x", "s3://B/x", "s3://bucket//x", "s3://bucket/../x", "s3://bucket/a\nb"]
)
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"an S3 address is s3://bucket/?|a key is a relative path"):
        open_store(uri)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="'AES256', 'aws:kms'"):
        S3Options(encryption="rot13")
    with pytest.raises(ValueError, match="kms_key_id goes with"):
        S3Options(encryption="AES256", kms_key_id="k")
    with pytest.raises(ValueError, match="is no URL such as"):
        S3Options(endpoint="minio:9000")


def test_credentials_in_an_address_are_refused_without_repeating_them() -> None:
    with pytest.raises(ValueError, match="never part of an address") as in_uri:
        open_store("s3://AKIAX:hunter2@bucket/x")
    with pytest.raises(ValueError, match="never part of an address") as in_endpoint:
        S3Options(endpoint="https://AKIAX:hunter2@minio:9000")
    assert "hunter2" not in f"{in_uri.value}{in_endpoint.value}"


def test_options_reach_the_client() -> None:
    options = S3Options(region="eu-west-3", path_style=False, read_timeout=7)
    for client, attempts in zip(manifests.s3._clients(os.getpid(), options), (5, 1), strict=True):
        config = client.meta.config
        assert (client.meta.region_name, config.s3["addressing_style"], config.read_timeout) == (
            "eu-west-3",
            "virtual",
            7,
        )
        assert config.retries == {"mode": "standard", "total_max_attempts": attempts}


@pytest.mark.parametrize(
    ("encryption", "kms_key_id"), [("AES256", None), ("aws:kms", None), ("aws:kms", "1234abcd-12ab-34cd-56ef")]
)
def test_every_write_asks_for_the_encryption(
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


# Reading


def test_a_body_that_breaks_off_goes_on_where_it_broke(emulator: Emulator, bucket: S3Store, tmp_path: Path) -> None:
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


def test_a_body_that_never_comes_is_given_up(emulator: Emulator, bucket: S3Store, tmp_path: Path) -> None:
    bucket.put_new("k", b"0123456789")
    recorder = Recorder("GET", *[cut(0.0)] * 99)
    with emulator.disturbed(recorder), pytest.raises(StoreUnavailable, match=r"'k' from byte 0 on.*try again later"):
        bucket.fetch("k", tmp_path / "copy")
    assert len(recorder.requests) == manifests.s3.ATTEMPTS
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
    def hang(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterator[bytes]:
        body = b"".join(app(environ, start))
        yield body[: 4 << 20]
        time.sleep(1)

    data, folder = os.urandom(6 << 20), tmp_path / "spool"
    bucket.put_file("k", file_of(tmp_path, data))
    with emulator.disturbed(Recorder("GET", hang)):
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
    assert len(list(folder.iterdir())) == 1 + changed  # what was begun of the old one is swept after a day


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
    monkeypatch.setattr(manifests.s3, "PAGE", 3)
    for index in range(8):
        bucket.put_new(f"k/{index}", b"")
    with emulator.disturbed(recorder := Recorder("GET")):
        assert [info.key for info in bucket.list("k/")] == [f"k/{index}" for index in range(8)]
    assert len(recorder.requests) == 3


def test_what_is_no_key_or_outside_is_not_listed(bucket: S3Store) -> None:
    root = open_store(f"s3://{bucket.bucket}", bucket.options)
    client = manifests.s3._clients(os.getpid(), bucket.options).once
    for name in ("some/prefix/", "some/prefix/folder/", "some/prefix/.hidden", "some/prefixes/x", "other"):
        client.put_object(Bucket=bucket.bucket, Key=name)
    bucket.put_new("k", b"")
    assert [info.key for info in bucket.list("")] == ["k"]
    assert [info.key for info in root.list("some/")] == ["some/prefix/k", "some/prefixes/x"]


# Writing


def test_large_files_are_uploaded_in_parts(
    emulator: Emulator, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests.s3, "MULTIPART", 6 << 20)
    monkeypatch.setattr(manifests.s3, "PART", 5 << 20)
    data = os.urandom(11 << 20)
    broken = error("500 Internal Server Error", "InternalError")
    with emulator.disturbed(recorder := Recorder("PUT", broken)):
        bucket.put_file("k", file_of(tmp_path, data))
    assert sorted(environ["QUERY_STRING"][-12:] for environ in recorder.requests)[-1] == "partNumber=3"
    assert bucket.read("k") == data


@pytest.mark.parametrize(
    "answer",
    [
        error("409 Conflict", "ConditionalRequestConflict"),
        error("409 Conflict", "OperationAborted"),
        error("503 Slow Down", "SlowDown"),
    ],
)
def test_a_conditional_write_that_was_put_off_is_sent_again(
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
    assert len(recorder.requests) == manifests.s3.ATTEMPTS


@pytest.mark.parametrize("answer", [swallowed, error("500 Internal Server Error", "InternalError"), dropped])
def test_a_lost_answer_to_a_conditional_write_is_unknown_and_nothing_is_sent_twice(
    emulator: Emulator, impatient: S3Store, answer: Callable[..., Iterable[bytes]]
) -> None:
    for put in (lambda: impatient.put_new("k", b"x"), lambda: impatient.put_if("k", b"x", "etag")):
        with (
            emulator.disturbed(recorder := Recorder("PUT", answer)),
            pytest.raises(CommitUnknown, match="it may have happened: look, then decide"),
        ):
            put()
        assert len(recorder.requests) == 1


def test_a_commit_whose_answer_is_lost_is_found(emulator: Emulator, impatient: S3Store) -> None:
    record = CommitRecord("r1", "edit", "a1", (), {"ok": 1})
    with emulator.disturbed(Recorder("PUT", swallowed)):
        assert commit(impatient, record, {}) == record
    assert read_commit(impatient, "r1") == record


# Refusals


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_bucket_is_named(emulator: Emulator, bucket: S3Store, tmp_path: Path, verb: str) -> None:
    store = S3Store("s3://no-such-bucket/out", bucket.options)
    with pytest.raises(StoreRefused) as refusal:
        VERBS[verb](store, tmp_path)
    for said in ("s3://no-such-bucket/out", emulator.endpoint, "there is no such bucket; create it"):
        assert said in str(refusal.value)


@pytest.mark.parametrize("verb", VERBS)
def test_denied_access_says_which_rights_are_needed(
    emulator: Emulator, bucket: S3Store, tmp_path: Path, verb: str
) -> None:
    denied = error("403 Forbidden", "AccessDenied")
    with (
        emulator.disturbed(lambda environ, start, app: denied(environ, start, app)),
        pytest.raises(
            StoreRefused, match=r"cannot \w+.* in s3://.*access is denied; the credentials need s3:GetObject"
        ),
    ):
        VERBS[verb](bucket, tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_without_credentials_it_is_said_where_they_were_looked_for(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    store = S3Store("s3://bucket/x", S3Options(endpoint=emulator.endpoint, region="us-west-1"))
    with pytest.raises(StoreRefused, match="no usable credentials; it looked at AWS_ACCESS_KEY_ID"):
        VERBS[verb](store, tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_is_down_is_unavailable_and_nothing_is_unknown(
    emulator: Emulator, tmp_path: Path, verb: str
) -> None:
    store = S3Store("s3://bucket/x", S3Options(endpoint="http://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match=r"in s3://bucket/x at http://127.0.0.1:1: try again later \(Endpoint"):
        VERBS[verb](store, tmp_path)


def test_an_unknown_profile_is_a_matter_of_credentials(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreRefused, match=r"no usable credentials.*\(ProfileNotFound\)"):
        S3Store("s3://bucket/x", S3Options(endpoint=emulator.endpoint, region="us-west-2")).read("k")


# Secrets


def test_secrets_are_in_no_text_pickle_or_log(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = emulator.store().uri
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "botocore")
    store = S3Store(address, S3Options(endpoint=emulator.endpoint, read_timeout=59.0))  # a client of its own
    store.put_new("k", b"x")
    store.put_file("f", file_of(tmp_path, b"x"))
    assert store.read("k") == b"x"
    assert "Found credentials" in caplog.text
    texts = [caplog.text, repr(store), str(store), repr(store.options), pickle.dumps(store, 0).decode("latin1")]
    quoting = f"<AWSAccessKeyId>{SECRETS[0]}</AWSAccessKeyId><StringToSign>{SECRETS[2]}</StringToSign>"
    for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "Surprise"):
        denied = error("403 Forbidden", code, quoting)
        for verb in VERBS.values():
            with emulator.disturbed(denied), pytest.raises(StoreRefused) as refusal:
                verb(store, tmp_path)
            texts += [
                "".join(traceback.format_exception(refusal.value)),
                pickle.dumps(refusal.value, 0).decode("latin1"),
            ]
    assert not [secret for secret in SECRETS for text in texts if secret in text]


def test_credentials_that_make_no_header_are_not_quoted(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "half a token\nand the rest")
    store = S3Store("s3://bucket/x", S3Options(endpoint=emulator.endpoint, region="us-east-2"))
    for verb in VERBS.values():
        with pytest.raises((StoreUnavailable, CommitUnknown)) as failure:
            verb(store, tmp_path)
        assert "token" not in "".join(traceback.format_exception(failure.value)).replace("AWS_SESSION_TOKEN", "")


def test_a_session_is_made_in_each_process(bucket: S3Store) -> None:
    bucket.put_new("k", b"x")
    child = SPAWN.Process(target=_check_fresh, args=(bucket,))
    child.start()
    child.join()
    assert child.exitcode == 0


def _check_fresh(store: S3Store) -> None:
    assert manifests.s3._clients.cache_info().currsize == 0
    assert store.read("k") == b"x"
    assert boto3.DEFAULT_SESSION is None
