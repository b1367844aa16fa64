"""The version of this code."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "coral-edit"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def version() -> str:
    """The version of the installed package; in a checkout that is not installed, the one in pyproject.toml."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return str(tomllib.loads(PROJECT.read_text())["project"]["version"])
