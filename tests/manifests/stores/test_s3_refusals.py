"""The errors of a bucket say what to do, and none of our texts contains a secret."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
import pytest

import manifests.stores.s3_clients
from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import S3Options
from manifests.stores.store import CommitUnknown, StoreRefused, StoreUnavailable
from tests.emulator import ENVIRONMENT, Emulator
from tests.manifests.disturbances import error, file_of

SPAWN = multiprocessing.get_context("spawn")
SECRETS = [ENVIRONMENT[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
VERBS: Mapping[str, Callable[[S3Store, Path], object]] = {
    "head": lambda store, path: store.head("k"),
    "read": lambda store, path: store.read("k"),
    "fetch": lambda store, path: store.fetch("k", path / "copy"),
    "put_file": lambda store, path: store.put_file("k", file_of(path, b"x")),
    "put_new": lambda store, path: store.put_new("k", b"x"),
    "put_if": lambda store, path: store.put_if("k", b"x", "etag"),
    "delete": lambda store, path: store.delete("k"),
    "list": lambda store, path: list(store.list("")),
}
pytestmark = pytest.mark.usefixtures("no_pauses")


def lost(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
    """The answer of a server that is not an S3 service."""
    start("404 Not Found", [("Content-Type", "text/html")])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"<html>there is nothing here<br></html>"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_bucket_is_named(emulator: Emulator, bucket: S3Store, tmp_path: Path, verb: str) -> None:
    store = S3Store("s3://no-such-bucket/out", bucket.options)
    with pytest.raises(StoreRefused) as refusal:
        VERBS[verb](store, tmp_path)
    for said in ("s3://no-such-bucket/out", emulator.endpoint, "there is no such bucket; create it"):
        assert said in str(refusal.value)


@pytest.mark.parametrize("answer", [lost, error("404 Not Found", "NoSuchKey")])
def test_a_wrong_address_is_not_reported_as_an_existing_object(
    emulator: Emulator, bucket: S3Store, answer: Callable[..., Iterable[bytes]]
) -> None:
    """An object to replace may be missing; for an object to create, a 404 is an error of the address."""
    with emulator.disturbed(answer):
        with pytest.raises(StoreRefused, match=r"cannot create 'k' in s3://.*correct the endpoint, the bucket or"):
            bucket.put_new("k", b"x")
        assert not bucket.put_if("k", b"x", "etag")


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
def test_the_error_for_missing_credentials_says_where_boto3_looked(
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


def test_an_unknown_profile_is_an_error_of_credentials(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreRefused, match=r"no usable credentials.*\(ProfileNotFound\)"):
        S3Store("s3://bucket/x", S3Options(endpoint=emulator.endpoint, region="us-west-2")).read("k")


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
    assert caplog.text and "Found credentials" not in caplog.text
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


def test_credentials_that_are_invalid_in_a_header_are_not_quoted(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "half a token\nand the rest")
    store = S3Store("s3://bucket/x", S3Options(endpoint=emulator.endpoint, region="us-east-2"))
    for verb in VERBS.values():
        with pytest.raises((StoreUnavailable, CommitUnknown)) as failure:
            verb(store, tmp_path)
        assert "token" not in "".join(traceback.format_exception(failure.value)).replace("AWS_SESSION_TOKEN", "")


def test_each_process_creates_its_own_session(bucket: S3Store) -> None:
    bucket.put_new("k", b"x")
    child = SPAWN.Process(target=_check_fresh, args=(bucket,))
    child.start()
    child.join()
    assert child.exitcode == 0


def _check_fresh(store: S3Store) -> None:
    assert manifests.stores.s3_clients.clients.cache_info().currsize == 0
    assert store.read("k") == b"x"
    assert boto3.DEFAULT_SESSION is None
