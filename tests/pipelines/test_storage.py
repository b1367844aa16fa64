"""How a bucket is reached is said by the job, else by CORAL_S3_*, else by boto3 itself; secrets are said nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.s3 import S3Store
from manifests.s3_options import AMBIENT, S3Options
from pipelines.job import S3Section, load_job
from pipelines.storage import VARIABLES, open_output, s3_options

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
JOB: dict[str, Any] = {"name": "x", "input": "in.tar", "output": "out", "edits": [{"id": "red", "target": "red hair"}]}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**JOB, **changes}))
    return path


def test_the_environment_has_a_word_for_every_key_of_the_section() -> None:
    assert VARIABLES.keys() == S3Section.model_fields.keys()


def test_the_job_is_asked_first_and_the_environment_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_job(write(tmp_path)).spec().s3 == s3_options({}) == AMBIENT
    monkeypatch.setenv("CORAL_S3_ENDPOINT", "http://environment:9000")
    monkeypatch.setenv("CORAL_S3_PATH_STYLE", "True")
    section = {"endpoint": "https://job:9000", "region": "eu-west-1", "encryption": "aws:kms", "kms_key_id": "alias/x"}
    assert load_job(write(tmp_path, s3=section)).spec().s3 == S3Options(**section, path_style=True)
    opened = open_output("s3://bucket/out")
    assert opened == S3Store("s3://bucket/out", S3Options(endpoint="http://environment:9000", path_style=True))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CORAL_S3_PATH_STYLE", "perhaps", "CORAL_S3_PATH_STYLE is neither true nor false"),
        ("CORAL_S3_ENCRYPTION", "rot13", "give one of"),
        ("CORAL_S3_ENDPOINT", "minio:9000", "is no URL such as"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=says):
        open_output("s3://bucket/out")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"s3": {"aws_secret_access_key": SECRET}}, "unknown key 'aws_secret_access_key'; credentials are never part"),
        ({"s3": {"session_token": SECRET}}, "credentials are never part of an address or a job"),
        ({"aws_secret_access_key": SECRET}, "credentials are never part of an address or a job"),
        ({"s3": {"endpoint": f"https://AKIA:{SECRET}@minio:9000"}}, "s3: the endpoint contains '@'"),
        ({"s3": {"region": SECRET}}, "s3: the region is no name such as"),
        ({"s3": {"encryption": "aws:kms", "kms_key_id": SECRET}}, "s3: the kms_key_id is neither"),
        ({"input": f"s3://AKIA:{SECRET}@bucket/x.tar"}, "input: cannot open the s3:// address"),
        ({"input": [f"s3://bucket/x.tar?X-Amz-Signature={SECRET}"]}, "input: cannot open the s3:// address"),
        ({"output": f"s3://AKIA:{SECRET}@bucket/x"}, "output: cannot open the s3:// address"),
    ],
)
def test_credentials_in_a_job_are_refused_and_not_repeated(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load_job(write(tmp_path, **changes))
    assert says in str(refusal.value) and SECRET not in str(refusal.value)
