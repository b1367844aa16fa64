"""Stores in buckets, whose clients do not wait before they repeat a request."""

from __future__ import annotations

import pytest

import manifests.stores.s3
from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import S3Options
from tests.emulator import Emulator


@pytest.fixture
def bucket(emulator: Emulator) -> S3Store:
    return emulator.store()


@pytest.fixture
def impatient(emulator: Emulator) -> S3Store:
    return emulator.store(S3Options(read_timeout=0.3))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests.stores.s3, "_pause", lambda failures: None)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *given: 0)
