"""Where Prefect keeps its state: in the home folder, or in a temporary one where the home folder cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from manifests.stores.temporary import can_write, private_folder


def choose_prefect_home() -> None:
    """Set PREFECT_HOME where ~/.prefect cannot be written; profiles are still read there.

    ValueError when the environment names a folder that cannot be written.
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
    """The user's home folder. A user without one gets a temporary one, because importing Prefect fails without."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no such user
        os.environ["HOME"] = str(private_folder("home"))
        return Path.home()
