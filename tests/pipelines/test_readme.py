"""The README is true: its job is valid, its commands, targets and pictures exist, its map is the documented one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from typer.main import get_command

from coral_core.editors import spec
from pipelines.cli.app import app
from pipelines.jobfile.job import Job
from pipelines.jobfile.yaml_text import read_yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_job_is_valid_with_methods_and_options_that_exist() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert read_yaml(text) == yaml.safe_load(text)  # the same content in YAML 1.1
    job = Job.model_validate(read_yaml(text))
    for edit in job.edits:
        assert spec(edit.method).resolve(edit.options)


def test_every_command_exists() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    named = set(re.findall(r"^coral ([a-z][a-z-]*)", README, re.MULTILINE))
    central = {"demo-data", "plan", "run", "publish", "gates", "status", "query", "export", "zoo", "bench"}
    assert central <= named <= set(known)


def test_every_make_target_and_picture_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE)) <= targets
    assert all((ROOT / path).is_file() for path in re.findall(r"!\[.*?\]\((.*?)\)", README))


def test_the_map_has_twelve_lines_and_is_that_of_the_architecture_page() -> None:
    (text,) = re.findall(r"## Architecture\n+```text\n(.*?)```", README, re.DOTALL)
    assert len(text.strip().splitlines()) == 12
    assert f"## The map\n\n```text\n{text}```" in (ROOT / "docs" / "architecture.md").read_text()
