"""A run also works with a home folder that cannot be written, or without one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.unprivileged import obey_permissions

ASK = """
import os
from pipelines.flow.engines import prepare_engines
from tasks.cluster.local_ray import provide_token
prepare_engines()
provide_token()
os.environ["RAY_AUTH_MODE"] = "token"
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
ensure_token_if_auth_enabled()
from prefect.settings import get_current_settings
settings = get_current_settings()
settings.home.mkdir(exist_ok=True)
(settings.home / "written").touch()
print(settings.home, settings.profiles_path)
"""
"""Where Prefect writes, and where it reads its profiles; and Ray has a token."""
ASK_AS_NOBODY = """
import os
from pathlib import Path
from pipelines.flow.engines import prepare_engines
os.setuid(12345)
prepare_engines()
print(os.environ["PREFECT_HOME"] if "PREFECT_HOME" in os.environ else Path.home() / ".prefect")
(Path.home() / "written").touch()
"""
"""The same of a user without an entry in the list of users; Python's own files are not always his to read."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder that cannot be written."""
    folder = tmp_path / "home"
    (folder / ".prefect").mkdir(parents=True)
    (folder / ".prefect" / "profiles.toml").write_text('active = "default"\n[profiles.default]\n')
    for path in (folder / ".prefect", folder):
        path.chmod(0o500)
    yield folder
    for path in (folder, folder / ".prefect"):
        path.chmod(0o700)


def ask(tmp_path: Path, environment: Mapping[str, str], script: str = ASK) -> subprocess.CompletedProcess[str]:
    """What a script says in a process of that environment, for which permissions count."""
    (temporary := tmp_path / "temporary").mkdir(exist_ok=True)
    temporary.chmod(0o777)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        env={**kept, "TMPDIR": str(temporary), **environment},
        preexec_fn=obey_permissions,
        capture_output=True,
        text=True,
        check=False,
    )


def test_if_home_cannot_be_written_state_is_in_a_temporary_folder(tmp_path: Path, home: Path) -> None:
    answer = ask(tmp_path, {"HOME": str(home)})
    assert answer.returncode == 0, answer.stderr
    written, profiles = answer.stdout.split()
    assert Path(written).is_relative_to(tmp_path / "temporary")
    assert Path(written).parent.stat().st_mode & 0o077 == 0
    assert profiles == str(home / ".prefect" / "profiles.toml")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_an_unknown_user_needs_no_home(tmp_path: Path) -> None:
    for folder in [tmp_path, *list(tmp_path.parents)[:2]]:
        folder.chmod(folder.stat().st_mode | 0o011)
    answer = ask(tmp_path, {}, ASK_AS_NOBODY)
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.split()[0]).is_relative_to(tmp_path / "temporary")


def test_the_error_for_a_folder_that_cannot_be_written_names_its_variable(tmp_path: Path, home: Path) -> None:
    answer = ask(tmp_path, {"HOME": str(tmp_path), "PREFECT_HOME": str(home / "prefect")})
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(f"ValueError: PREFECT_HOME={home / 'prefect'} cannot be written")
