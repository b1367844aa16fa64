"""The job file: what a user writes. Every key is checked; an unknown one is answered with the nearest known."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.actors import Resources
from tasks.geometry import Geometry
from tasks.plan import EditEntry, JobSpec

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Section(BaseModel):
    """A mapping of the job file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, given: Any) -> Any:
        if isinstance(given, dict):
            unknown = [str(key) for key in given if key not in cls.model_fields]
            if unknown:
                raise ValueError("; ".join(_unknown(key, list(cls.model_fields)) for key in unknown))
        return given


class GeometrySection(Section):
    """How a source image becomes the generator's square."""

    fit: Literal["crop", "pad", "resize", "refuse"] = "resize"


class ResourcesSection(Section):
    """What every actor gets, and how many there are."""

    actors: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    num_cpus: Annotated[float, Field(gt=0)] = 1.0
    num_gpus: Annotated[float, Field(ge=0)] = 0.0
    memory: ByteSize | None = None  # bytes, or text such as 4GiB


class FitSourceSection(Section):
    """What editors are fitted on: seeded samples of the generator."""

    samples: Annotated[int, Field(ge=1)] = 512


class EditSection(Section):
    """One edit."""

    id: str  # short name, part of the edit's id in every row
    target: Annotated[str, Field(min_length=1)]  # what the edited image should show
    source: Annotated[str, Field(min_length=1)] = "a photo"  # neutral text where the direction starts
    method: str = "coral-direction-attention"
    options: dict[str, Any] = {}  # the method's own; `fit` in it holds those of its fit
    strength: float = 1.0
    composite: Literal["source", "reconstruction"] = "source"
    format: Literal["png", "jpeg", "webp"] = "png"

    @field_validator("id")
    @classmethod
    def _be_a_slug(cls, given: str) -> str:
        if not SLUG.fullmatch(given):
            raise ValueError(f"{given!r} is no id; give lower-case letters, digits, - and _, 63 at most")
        return given


class Job(Section):
    """A whole job."""

    name: str
    input: list[str] = Field(min_length=1)
    output: str
    bundle: str = "portraits"
    seed: int = 0
    batch_size: Annotated[int, Field(ge=1)] = 16
    edits: list[EditSection] = Field(min_length=1)
    fit_source: FitSourceSection = FitSourceSection()
    geometry: GeometrySection = GeometrySection()
    resources: ResourcesSection = ResourcesSection()
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("edits")
    @classmethod
    def _have_distinct_ids(cls, given: list[EditSection]) -> list[EditSection]:
        ids = [edit.id for edit in given]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        if twice:
            raise ValueError(f"the ids {twice} occur more than once; every edit needs its own")
        return given

    def spec(self) -> JobSpec:
        """The job as the plan takes it."""
        return JobSpec(
            name=self.name,
            inputs=tuple(self.input),
            output=self.output,
            bundle=self.bundle,
            seed=self.seed,
            batch_size=self.batch_size,
            geometry=Geometry(fit=self.geometry.fit),
            edits=tuple(_entry(edit) for edit in self.edits),
            fit_samples=self.fit_source.samples,
            max_failure_rate=self.max_failure_rate,
        )

    def worker_resources(self) -> Resources:
        """The resources as the actors take them."""
        wanted = self.resources
        return Resources(
            actors=None if wanted.actors == "auto" else wanted.actors,
            num_cpus=wanted.num_cpus,
            num_gpus=wanted.num_gpus,
            memory=None if wanted.memory is None else int(wanted.memory),
        )


def load_job(path: Path) -> Job:
    """Read a job file. ValueError with one line per problem, each naming its place in the file."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read the job {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no mapping; a job has the keys {', '.join(Job.model_fields)}")
    try:
        return Job.model_validate(content)
    except ValidationError as error:
        raise ValueError("\n".join(f"{path}: {_readable(problem)}" for problem in error.errors())) from None


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


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return f"unknown key {key!r}; {hint}"


def _entry(edit: EditSection) -> EditEntry:
    return EditEntry(
        id=edit.id,
        target=edit.target,
        source=edit.source,
        method=edit.method,
        options=edit.options,
        strength=edit.strength,
        onto=edit.composite,
        image_format=edit.format,
    )
