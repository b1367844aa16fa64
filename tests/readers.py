"""Other readers of the manifest, in an environment of their own: DuckDB's Delta extension asks for another DuckDB."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = Path(sys.prefix) / "readers"


@cache
def readers_python() -> Path:
    """The interpreter of that environment, which is made from requirements-readers.lock if it is not there."""
    python = FOLDER / "bin" / "python"
    ready = FOLDER / ".ready"
    lock = (ROOT / "requirements-readers.lock").read_text()
    if not ready.exists() or ready.read_text() != lock:
        uv = Path(sys.prefix) / "bin" / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER], check=True)
        install = [uv, "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements-readers.lock"]
        subprocess.run(install, check=True, env={**os.environ, "VIRTUAL_ENV": str(FOLDER)})
        ready.write_text(lock)
    return python


def run_in_readers(code: str) -> str:
    """What a program prints there."""
    done = subprocess.run([readers_python(), "-c", code], check=True, capture_output=True, text=True, timeout=120)
    return done.stdout
