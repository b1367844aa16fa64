"""Addresses and options of buckets: which are valid, that they reach the client, and that none has a credential."""

from __future__ import annotations

import os
import pickle

import pytest

import manifests.stores.s3_clients
from manifests.stores.open import open_store
from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import S3Options, check_address, is_credential_name


def test_a_trailing_slash_is_removed_and_no_request_is_sent() -> None:
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


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ValueError, match="'AES256', 'aws:kms'"):
        S3Options(encryption="rot13")
    with pytest.raises(ValueError, match="kms_key_id needs encryption"):
        S3Options(encryption="AES256", kms_key_id="k")
    with pytest.raises(ValueError, match="is not a URL such as"):
        S3Options(endpoint="storage:9000")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAX:hunter2@bucket/x",
        "s3://AKIAX:hun/ter2@bucket/hunter2",
        "s3://hunter2@bucket",
        "s3:AKIAX:hunter2@bucket",
        "S3://AKIAX:hunter2@bucket/x",
        "https://AKIAX:hunter2@storage/bucket",
        "https://AKIAX:hun/ter2@storage/hunter2",
        "file://AKIAX:hunter2@host/x",
        "x.tar::s3://AKIAX:hunter2@bucket/x",
        "{s3://AKIAX:hunter2@bucket,s3://bucket}/x",
        "s3://bucket/x?X-Amz-Credential=AKIAX&X-Amz-Signature=hunter2",
        "s3://bucket/x?AWSAccessKeyId=AKIAX&Signature=hunter2",
        "https://bucket.s3.amazonaws.com/x.tar?X-Amz-Credential=AKIAX&X-Amz-Signature=hunter2",
        "https://storage.googleapis.com/bucket/x.tar?X-Goog-Credential=AKIAX&X-Goog-Signature=hunter2",
        "https://account.blob.core.windows.net/x.tar?sv=2024-11-04&sig=hunter2",
        "https://host/x.tar?access_token=hunter2",
        "pipe:curl -H 'Authorization: Bearer hunter2' https://host/x.tar",
    ],
)
def test_credentials_in_an_address_are_refused_without_repeating_them(uri: str) -> None:
    for check in (check_address, open_store):
        with pytest.raises(ValueError, match="never part of an address") as refusal:
            check(uri)
        assert "hunter2" not in str(refusal.value) and "AKIAX" not in str(refusal.value)


@pytest.mark.parametrize(
    "address",
    [
        "/data/me@home/2024-01-01T00:00/in-00?.tar",
        "./run:me@home.tar",
        "file:///data/me@home/{train,val}/x=1.tar",
        "s3://bucket/run@2/12:00/key=value/in-{000..003}.tar",
        "s3://{one,two}/**/in-??/x=1.tar",
        "pipe:cat x.tar",
        "x.tar::y.tar",
    ],
)
def test_harmless_addresses_with_similar_words_are_accepted(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "https://AKIAX:hunter/2+@storage:9000"},
        {"endpoint": "https://storage:9000/?token=hunter/2+"},
        {"region": "hunter/2+"},
        {"encryption": "hunter/2+"},
        {"encryption": "aws:kms", "kms_key_id": "hunter/2+"},
    ],
)
def test_the_error_for_an_invalid_option_does_not_repeat_its_value(options: dict[str, str]) -> None:
    with pytest.raises(ValueError) as refusal:
        S3Options(**options)  # type: ignore[arg-type]
    assert "hunter" not in str(refusal.value)


@pytest.mark.parametrize(
    "key",
    [
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "alias/coral",
        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws-cn:kms:cn-north-1:111122223333:alias/coral",
    ],
)
def test_ids_aliases_and_arns_of_kms_keys_are_accepted(key: str) -> None:
    assert S3Options(encryption="aws:kms", kms_key_id=key).write_parameters()["SSEKMSKeyId"] == key


def test_options_for_credentials_are_recognised_by_name() -> None:
    secretive = ("aws_access_key_id", "accessKey", "secret", "aws_session_token", "password", "credentials", "profile")
    assert all(map(is_credential_name, secretive))
    assert not any(map(is_credential_name, S3Options.__dataclass_fields__))


def test_options_reach_the_client() -> None:
    options = S3Options(region="eu-west-3", path_style=False, read_timeout=7)
    repeating, once, _ = manifests.stores.s3_clients.clients(os.getpid(), options)
    for client, attempts in ((repeating, 5), (once, 1)):
        config = client.meta.config
        assert (client.meta.region_name, config.s3["addressing_style"], config.read_timeout) == (
            "eu-west-3",
            "virtual",
            7,
        )
        assert config.retries == {"mode": "standard", "total_max_attempts": attempts}
