"""The folder for Prefect's state: in the home folder, or a temporary one if the home folder cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from manifests.stores.temporary import can_write, private_folder


def choose_prefect_home() -> None:
    """Set PREFECT_HOME to a temporary folder if ~/.prefect cannot be written; profiles are still read from ~/.prefect.

    Errors: ValueError if PREFECT_HOME is set already, to a folder that cannot be written.
    """
    given = os.environ.get("PREFECT_HOME")
    if given:
        if not can_write(Path(given).expanduser()):
            raise ValueError(f"PREFECT_HOME={given} cannot be written by user {os.getuid()}; name another folder")
        return
    default = _home() / ".prefect"
    if can_write(default):
        return
    os.environ["PREFECT_HOME"] = str(private_folder("home") / "prefect")
    if os.access(profiles := default / "profiles.toml", os.R_OK):
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))


def _home() -> Path:
    """The user's home folder; without one, HOME is set to a temporary folder, which importing Prefect needs."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no such user
        os.environ["HOME"] = str(private_folder("home"))
        return Path.home()
