"""Settings of a Ray that starts on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ray._private.utils import validate_socket_filepath

from tasks.cluster import local_ray
from tasks.cluster.local_ray import LONGEST_SOCKET, SHORT, provide_token, ray_folder


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No choice of the user, and a home folder of his own."""
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # undone after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("length", [5, 20, 30, 36, 37, 50, 70, 107, 300])
def test_sockets_fit_however_long_the_temporary_folder_is(
    monkeypatch: pytest.MonkeyPatch, variable: str, length: int
) -> None:
    folder = "/" + "x" * (length - 1)
    monkeypatch.setenv(variable, folder)
    chosen = ray_folder()
    validate_socket_filepath(f"{chosen or f'{folder}/ray'}{LONGEST_SOCKET}")
    assert chosen is None or Path(chosen).is_relative_to(SHORT)
    assert (chosen is None) == (length <= 35), "a short one is left as it is"


def test_without_a_short_folder_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(local_ray, "SHORT", tmp_path / "file" / "tmp")
    monkeypatch.setenv("TMPDIR", "/" + "x" * 69)
    with pytest.raises(ValueError, match=r"TMPDIR=/x+ is too long .* set RAY_TMPDIR to a folder of at most \d+ bytes"):
        ray_folder()


def test_a_token_is_made_only_where_ray_cannot_write_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    provide_token()
    assert "RAY_AUTH_TOKEN" not in os.environ
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    provide_token()
    token = os.environ["RAY_AUTH_TOKEN"]
    provide_token()
    assert len(token) == 64 and os.environ["RAY_AUTH_TOKEN"] == token
