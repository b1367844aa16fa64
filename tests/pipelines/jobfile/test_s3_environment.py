"""Options of buckets come from the job, then CORAL_S3_*, then boto3; secrets are printed nowhere.

No command writes into a store that was not checked first.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
import yaml
from typer.testing import CliRunner

from manifests.stores.preflight import UnfitStore
from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import AMBIENT, S3Options
from pipelines.cli.app import app
from pipelines.jobfile.job import Job
from pipelines.jobfile.load import load_job
from pipelines.jobfile.s3_environment import VARIABLES, open_output, s3_options
from pipelines.jobfile.sections import S3Section
from tasks.inputs.find import expand
from tests.emulator import Emulator
from tests.painted import publish_painted
from tests.tars import write_shards

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


def test_the_environment_has_a_variable_for_every_key_of_the_section() -> None:
    assert VARIABLES.keys() == S3Section.model_fields.keys()


def test_the_job_overrides_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("CORAL_S3_ENDPOINT", "storage:9000", "is not a URL such as"),
    ],
)
def test_invalid_options_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=says):
        open_output("s3://bucket/out")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"s3": {"aws_secret_access_key": SECRET}}, "unknown key 'aws_secret_access_key'; credentials are never part"),
        ({"s3": {"session_token": SECRET}}, "credentials are never part of an address or a job"),
        ({"aws_secret_access_key": SECRET}, "credentials are never part of an address or a job"),
        ({"s3": {"endpoint": f"https://AKIA:{SECRET}@storage:9000"}}, "s3: the endpoint contains '@'"),
        ({"s3": {"region": SECRET}}, "s3: the region is not a name such as"),
        ({"s3": {"encryption": "aws:kms", "kms_key_id": SECRET}}, "s3: the kms_key_id is not an id, alias/name or ARN"),
        ({"input": f"s3://AKIA:{SECRET}@bucket/x.tar"}, "input[0]: cannot open an address with '@'"),
        ({"input": ["x.tar", f"s3://b/x.tar?X-Amz-Signature={SECRET}"]}, "input[1]: cannot open an address with '@'"),
        ({"output": f"s3://AKIA:{SECRET}@bucket/x"}, "output: cannot open an address with '@'"),
    ],
)
def test_credentials_in_a_job_are_refused_and_not_repeated(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load_job(write(tmp_path, **changes))
    assert says in str(refusal.value) and SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "address",
    [
        f"https://b.s3.amazonaws.com/x.tar?X-Amz-Credential=AKIA%2Feu&X-Amz-Signature={SECRET}",
        f"https://AKIA:{SECRET}@storage/b",
        f"S3://AKIA:{SECRET}@bucket/x.tar",
        f"x.tar::s3://AKIA:{SECRET}@bucket/x.tar",
    ],
)
def test_credentials_in_an_address_of_any_scheme_are_never_repeated(address: str) -> None:
    """Not by the job either: it is a parameter of the flow, which Prefect keeps, and its errors Prefect may log."""
    for attempt in (
        lambda: Job(**JOB | {"input": address}),
        lambda: Job(**JOB | {"input": ["x.tar", address]}),
        lambda: Job(**JOB | {"output": address}),
        lambda: expand(address),
        lambda: open_output(address),
    ):
        with pytest.raises(ValueError, match="credentials are never part of an address") as refusal:
            attempt()
        told = "".join(traceback.format_exception(refusal.value))
        assert SECRET not in told and "AKIA" not in told


@pytest.fixture
def proxied(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """A bucket behind a proxy that drops what makes a write create-only."""

    def proxy(environ: WSGIEnvironment, start: StartResponse, app: WSGIApplication) -> Iterable[bytes]:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return app(environ, start)

    monkeypatch.setenv("CORAL_S3_ENDPOINT", emulator.endpoint)
    with emulator.disturbed(proxy):
        yield emulator.store()


def test_publish_writes_nothing_into_an_unfit_store(proxied: S3Store, tmp_path: Path, bundle: Path) -> None:
    write_shards(tmp_path, 1, 1)
    job = write(tmp_path, input=f"{tmp_path}/in-*.tar", output=proxied.uri, bundle=str(bundle))
    with pytest.raises(UnfitStore, match="If-None-Match"):
        CliRunner().invoke(app, ["publish", str(job)], catch_exceptions=False)
    assert list(proxied.list("")) == []


def test_export_writes_nothing_into_an_unfit_store(
    proxied: S3Store, tmp_path: Path, make_job: Callable[..., Any]
) -> None:
    write_shards(tmp_path, 1, 1)
    plan, _ = publish_painted(make_job())
    with pytest.raises(UnfitStore, match="If-None-Match"):
        CliRunner().invoke(app, ["export", plan.output, proxied.uri], catch_exceptions=False)
    assert list(proxied.list("")) == []


def test_other_schemes_are_refused_by_name() -> None:
    for attempt in (expand, open_output):
        with pytest.raises(ValueError, match=r"'https://host/x\.tar'.*'https:' is refused"):
            attempt("https://host/x.tar")
