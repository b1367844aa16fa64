"""Loading of a job file, with errors that name the place and the correction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.jobfile.job import Job
from pipelines.jobfile.yaml_text import read_yaml


def load_job(path: Path) -> Job:
    """Read a job file. Errors: ValueError with one line per problem, each with its place in the file."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read the job {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not YAML: it is no UTF-8 ({error})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no mapping; a job has the keys {', '.join(Job.model_fields)}")
    return parse_job(content, str(path))


def parse_job(content: Mapping[str, Any], where: str) -> Job:
    """A job from the content of a file. Errors: ValueError with one line per problem, each beginning with `where`."""
    try:
        return Job.model_validate(content)
    except ValidationError as error:
        raise ValueError("\n".join(f"{where}: {_readable(problem)}" for problem in error.errors())) from None


def _readable(problem: Any) -> str:
    """One problem as "edits[0].strength: message"."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    if problem["type"] == "missing":
        return f"{place}: is missing"
    if problem["type"] == "value_error" or isinstance(given, dict | list):
        return f"{place}: {message}" if place else message
    return f"{place}: {message}; given {given!r}"
