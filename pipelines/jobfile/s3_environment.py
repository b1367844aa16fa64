"""S3 options from the environment, and stores for commands that take an address instead of a job."""

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
"""Key of a job's section `s3` -> environment variable that is read if the job does not set the key."""
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def open_output(uri: str) -> Store:
    """The store at an address, with the environment's options. Errors: ValueError if it is no folder or s3:// URL."""
    return open_store(uri, s3_options({}))


def s3_options(given: Mapping[str, Any]) -> S3Options:
    """The options of a job, then those of the environment; boto3 chooses the remaining ones.

    Errors: ValueError for an option with an invalid value.
    """
    present = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    return S3Options(**{name: _parsed(name, text) for name, text in present.items()} | dict(given))


def _parsed(name: str, text: str) -> Any:
    """The value of an option from the text of its environment variable."""
    if name != "path_style":
        return text
    if text.lower() not in BOOLEANS:
        raise ValueError(f"{VARIABLES[name]} is neither true nor false")
    return BOOLEANS[text.lower()]
