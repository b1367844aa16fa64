"""What Ray needs on this machine to start here: short socket paths, and a place for its token."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from manifests.stores.temporary import can_write, private_folder

SOCKET_BYTES = 103
"""Longest path of a Unix socket that all systems take."""
LONGEST_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray puts behind its temporary folder."""
SHORT = Path("/tmp")
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def ray_folder() -> str | None:
    """The temporary folder to tell Ray, or None where its own choice serves.

    ValueError when that is too long for its sockets, and /tmp cannot be used either.
    """
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or str(SHORT)
    most = SOCKET_BYTES - len(LONGEST_SOCKET) - len("/ray")
    if len(os.fsencode(chosen)) <= most:
        return None
    short = private_folder("ray", SHORT) / "r" if can_write(SHORT) else None  # Ray lets everybody into its folder
    if short is None:
        name = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
        raise ValueError(
            f"{name}={chosen} is too long for Ray's sockets, and {SHORT} cannot be written; set RAY_TMPDIR to a folder "
            f"of at most {most} bytes"
        )
    return str(short)


def provide_token() -> None:
    """Make a token of this process where Ray would write one to ~/.ray, and that cannot be written."""
    folder = Path.home() / ".ray"
    given = any(os.environ.get(name) for name in TOKEN_VARIABLES)
    if given or os.access(folder / "auth_token", os.R_OK) or can_write(folder):
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
