"""The job file: what a user writes. Every key is checked; an unknown one is answered with the nearest known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from coral_core.editors import Limits
from manifests.s3_options import CREDENTIALS, S3Options, check_address, is_secretive
from pipelines.storage import s3_options
from tasks.actors import Resources
from tasks.cost import Price
from tasks.gates import Gates
from tasks.geometry import Geometry
from tasks.groups import IMAGE_SUFFIXES
from tasks.jobspec import EditEntry, JobSpec
from tasks.labels import flat_labels
from tasks.member import PATIENCE, Deadlines
from tasks.rules import PublishRules

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
Address = Annotated[str, AfterValidator(check_address)]
"""Of a tar or a folder; without credentials, for jobs are parameters of a flow, which Prefect keeps."""
Addresses = Annotated[list[Address], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
"""One or many."""


class Section(BaseModel):
    """A mapping of the job file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

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
    output: Literal["generator", "source"] = "generator"  # source: laid back into the image at its full size


class ResourcesSection(Section):
    """What every actor gets, and how many there are."""

    actors: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    num_cpus: Annotated[float, Field(gt=0)] = 1.0
    num_gpus: Annotated[float, Field(ge=0)] = 0.0
    memory: ByteSize | None = None  # bytes, or text such as 4GiB
    price_per_actor_hour: Annotated[float, Field(ge=0)] | None = None
    currency: Annotated[str, Field(min_length=1)] = "USD"  # of the price; only shown

    @field_validator("num_gpus")
    @classmethod
    def _be_a_share_or_whole_devices(cls, given: float) -> float:
        if given > 1 and given != int(given):
            raise ValueError(f"{given} is neither a share of one device nor a number of devices; give 0.5, 1 or 2")
        return given


class DeadlinesSection(Section):
    """Minutes after which a worker is taken for stuck, killed and replaced; its work is tried again."""

    start_minutes: Annotated[float, Field(gt=0)] = PATIENCE.start_minutes  # until it is ready
    stall_minutes: Annotated[float, Field(gt=0)] = PATIENCE.stall_minutes  # without any sign of progress
    shard_minutes: Annotated[float, Field(gt=0)] = PATIENCE.shard_minutes  # for one shard, inverted or edited
    fit_minutes: Annotated[float, Field(gt=0)] = PATIENCE.fit_minutes  # for one editor

    def spec(self) -> Deadlines:
        """The deadlines as the pool takes them."""
        return Deadlines(**self.model_dump())


class S3Section(Section):
    """How buckets are reached, those of the inputs and of the output. What is absent is CORAL_S3_*'s, then boto3's."""

    endpoint: str | None = None  # URL of a service that is not AWS
    region: str | None = None
    path_style: bool | None = None
    encryption: Literal["AES256", "aws:kms"] | None = None  # of what is written
    kms_key_id: str | None = None

    @model_validator(mode="after")
    def _be_possible(self) -> S3Section:
        S3Options(**self.model_dump())
        return self


class FitSourceSection(Section):
    """What editors are fitted on: seeded samples of the generator, or captioned images for methods that need them."""

    samples: Annotated[int, Field(ge=1)] = 512
    captions: Addresses = []  # tars of images, each with its captions in <key>.txt, one per line


class GatesSection(Section):
    """Thresholds an edited image must meet to be published as ok; a gate is off without a number."""

    min_direction: float | None = None
    min_identity: float | None = None
    max_outside: float | None = None
    max_inversion_error: float | None = None
    min_area: float | None = None
    max_area: float | None = None

    @model_validator(mode="after")
    def _be_in_range(self) -> GatesSection:
        Gates(**self.model_dump())
        return self

    def over(self, common: GatesSection) -> Gates:
        """These gates; where one is not mentioned, the common one."""
        return Gates(**{**common.model_dump(exclude_unset=True), **self.model_dump(exclude_unset=True)})


class RegionsSection(Section):
    """Where an edit may act, of all that its method would change."""

    threshold: float = 0.0  # what the method's masks have below it becomes 0
    layers: list[int] = []  # of the generator's convolutions, the coarsest is 0; empty: all of them
    mask: str | None = None  # the samples' members <key>.<mask> are white where the edit may act

    @field_validator("mask")
    @classmethod
    def _be_no_image(cls, given: str | None) -> str | None:
        if given is None:
            return None
        suffix = given.lower().removeprefix(".")
        if not suffix or "/" in suffix:
            raise ValueError(f"{given!r} is no suffix; give what follows the key: mask.png of <key>.mask.png")
        if suffix in IMAGE_SUFFIXES:
            raise ValueError(f"{given!r} may be the image itself; give a suffix of its own, such as mask.{suffix}")
        return suffix

    @model_validator(mode="after")
    def _be_in_range(self) -> RegionsSection:
        self.limits()
        return self

    def limits(self) -> Limits:
        """What holds for every sample."""
        return Limits(threshold=self.threshold, layers=tuple(self.layers))


class EditSection(Section):
    """One edit."""

    id: str  # short name, part of the edit's id in every row
    target: Annotated[str, Field(min_length=1)]  # what the edited image should show
    source: Annotated[str, Field(min_length=1)] = "a photo"  # neutral text where the direction starts
    reference: Address | None = None  # an image to resemble, for methods that can; scores are still those of the target
    method: str = "coral-mapper-attention"
    options: dict[str, Any] = {}  # the method's own; `fit` in it holds those of its fit
    strength: float = 1.0
    composite: Literal["source", "reconstruction"] = "source"
    format: Literal["png", "jpeg", "webp"] = "png"
    regions: RegionsSection = RegionsSection()
    gates: GatesSection = GatesSection()  # over the job's, key by key; null switches one off
    labels: dict[str, Any] = {}  # what the edit changes in the source's labels; keys may be dotted paths

    @field_validator("labels")
    @classmethod
    def _be_labels(cls, given: dict[str, Any]) -> dict[str, Any]:
        return flat_labels(given)

    @field_validator("id")
    @classmethod
    def _be_a_slug(cls, given: str) -> str:
        if not SLUG.fullmatch(given):
            raise ValueError(f"{given!r} is no id; give lower-case letters, digits, - and _, 63 at most")
        return given


class Job(Section):
    """A whole job."""

    name: str
    input: Annotated[Addresses, Field(min_length=1)]
    output: Address
    bundle: str = "portraits"
    seed: int = 0
    batch_size: Annotated[int, Field(ge=1)] = 16
    edits: list[EditSection] = Field(min_length=1)
    fit_source: FitSourceSection = FitSourceSection()
    geometry: GeometrySection = GeometrySection()
    resources: ResourcesSection = ResourcesSection()
    deadlines: DeadlinesSection = DeadlinesSection()
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_hours: Annotated[float, Field(gt=0)] | None = None  # of a run; then it stops cleanly, to be gone on with
    gates: GatesSection = GatesSection()  # of every edit
    s3: S3Section = S3Section()

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
            geometry=Geometry(fit=self.geometry.fit, output=self.geometry.output),
            edits=tuple(_entry(edit, self.gates) for edit in self.edits),
            fit_samples=self.fit_source.samples,
            fit_captions=tuple(self.fit_source.captions),
            max_failure_rate=self.max_failure_rate,
            s3=s3_options(self.s3.model_dump(exclude_none=True)),
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

    def price(self) -> Price:
        """What actors cost."""
        wanted = self.resources
        return Price(per_actor_hour=wanted.price_per_actor_hour, currency=wanted.currency)


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
    return parse_job(content, str(path))


def parse_job(content: Mapping[str, Any], where: str) -> Job:
    """A job from the content of a file. ValueError with one line per problem, each beginning with `where`."""
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


def _unknown(key: str, known: list[str]) -> str:
    if is_secretive(key):
        return f"unknown key {key!r}; {CREDENTIALS}"
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return f"unknown key {key!r}; {hint}"


def _entry(edit: EditSection, gates: GatesSection) -> EditEntry:
    return EditEntry(
        id=edit.id,
        target=edit.target,
        source=edit.source,
        method=edit.method,
        options=edit.options,
        strength=edit.strength,
        onto=edit.composite,
        image_format=edit.format,
        limits=edit.regions.limits(),
        mask=edit.regions.mask or "",
        reference=edit.reference or "",
        rules=PublishRules(gates=_gates(edit, gates), labels=edit.labels),
    )


def _gates(edit: EditSection, common: GatesSection) -> Gates:
    try:
        return edit.gates.over(common)
    except ValueError as error:
        raise ValueError(f"edit {edit.id!r}, its gates over the job's: {error}") from None
