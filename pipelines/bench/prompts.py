"""Prompt files of the benchmark: texts, and the attribute values of their exact answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator

from coral_core.types import Prompt
from coral_core.zoo.portraits.lexicon import check_attributes
from pipelines.jobfile.job import SLUG
from pipelines.jobfile.sections import Section

Kind = Literal["recolour", "add", "remove", "reshape", "multi"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHIPPED: Mapping[str, Path] = {
    name: Path(__file__).parents[1] / "prompts" / f"prompts-{name}.yaml"
    for name in ("dev", "dev-wide", "test", "reworded")
}
"""dev and dev-wide are for development, test is for reported figures only; reworded is test with other texts."""


class BenchPrompt(Section):
    """One entry of a prompt file."""

    id: str
    kind: Kind
    source: Annotated[str, Field(min_length=1)]
    target: Annotated[str, Field(min_length=1)]
    wants: Annotated[dict[str, str], Field(min_length=1)]  # attribute -> value in the exact answer

    @property
    def prompt(self) -> Prompt:
        return Prompt(self.target, self.source)

    @field_validator("id")
    @classmethod
    def _names_files(cls, given: str) -> str:
        if not SLUG.fullmatch(given):
            raise ValueError(f"{given!r} is no id; give at most 63 lower-case letters, digits, - and _")
        return given

    @field_validator("wants")
    @classmethod
    def _is_in_the_lexicon(cls, given: dict[str, str]) -> dict[str, str]:
        check_attributes(given)
        return given


def read_prompts(name_or_path: str) -> tuple[BenchPrompt, ...]:
    """The prompts of a shipped file (a key of SHIPPED) or of a path. ValueError with one line per problem."""
    path = SHIPPED.get(name_or_path) or Path(name_or_path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"cannot read prompts from {path}: {error.strerror}; give a file, or one of {', '.join(SHIPPED)}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    try:
        prompts = TypeAdapter(tuple[BenchPrompt, ...]).validate_python(content)
    except ValidationError as error:
        problems = [f"{_location(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise ValueError("\n".join(f"{path}: {problem}" for problem in problems)) from None
    return _distinct(prompts, path)


def _location(loc: tuple[int | str, ...]) -> str:
    entry, *rest = loc or ("the file must be a list of prompts",)
    return ".".join([f"prompt {entry + 1}" if isinstance(entry, int) else entry, *map(str, rest)])


def _distinct(prompts: tuple[BenchPrompt, ...], path: Path) -> tuple[BenchPrompt, ...]:
    ids = [prompt.id for prompt in prompts]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ValueError(f"{path}: the ids {twice} occur more than once; give each prompt an id of its own")
    if not prompts:
        raise ValueError(f"{path} has no prompts; give at least one")
    return prompts
