"""Stores for commands that are given an address and no job."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from manifests.stores.open import open_store
from manifests.stores.s3_options import S3Options
from manifests.stores.store import Store

VARIABLES: Mapping[str, str] = {
    "endpoint": "CORAL_S3_ENDPOINT",
    "region": "CORAL_S3_REGION",
    "path_style": "CORAL_S3_PATH_STYLE",
    "encryption": "CORAL_S3_ENCRYPTION",
    "kms_key_id": "CORAL_S3_KMS_KEY_ID",
}
"""Key of a job's section `s3` -> the environment's word for it where the job has none."""
TRUTH = {"true": True, "1": True, "false": False, "0": False}


def open_output(uri: str) -> Store:
    """The store at an address, reached as the environment says. ValueError for what is neither a folder nor s3://."""
    return open_store(uri, s3_options({}))


def s3_options(given: Mapping[str, Any]) -> S3Options:
    """The options that a job gives, and those of the environment where it gives none; the rest is boto3's own matter.

    Errors: ValueError for an option that cannot be.
    """
    present = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    return S3Options(**{name: _parsed(name, text) for name, text in present.items()} | dict(given))


def _parsed(name: str, text: str) -> Any:
    if name != "path_style":
        return text
    if text.lower() not in TRUTH:
        raise ValueError(f"{VARIABLES[name]} is neither true nor false")
    return TRUTH[text.lower()]
