"""Job files as text, and the errors for wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.jobfile.load import load_job

GOOD = """
name: test
input: in-*.tar
output: out
edits:
  - id: red
    target: red hair
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return path


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ValueError) as raised:
        load_job(write(tmp_path, text))
    return str(raised.value)
