"""The job file that a user writes. Every key is checked; the error for an unknown key names the nearest known one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from coral_core.editors.wishes import check_wishes, join_wishes
from pipelines.jobfile.s3_environment import s3_options
from pipelines.jobfile.sections import (
    Address,
    Addresses,
    DeadlinesSection,
    FitSourceSection,
    GatesSection,
    GeometrySection,
    RegionsSection,
    ResourcesSection,
    S3Section,
    Section,
)
from tasks.spec.gates import Gates
from tasks.spec.geometry import Geometry
from tasks.spec.job import PUBLISH_EVERY_MINUTES, EditEntry, JobSpec, RemovedInputs
from tasks.spec.labels import flat_labels
from tasks.spec.publish_rules import PublishRules
from tasks.spec.resources import Price, Resources

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class EditSection(Section):
    """One edit."""

    id: str  # short name, part of the edit's id in every row
    all_of: list[str] = Field(default_factory=list)  # one sentence per change, for methods that combine several
    # what the edited image should show, which scores are measured with; None only before _join_target
    target: str = Field(default=None, min_length=1)  # type: ignore[assignment]
    source: Annotated[str, Field(min_length=1)] = "a photo"  # neutral text where the direction starts
    reference: Address | None = None  # an image to resemble, for methods that can; scores are still those of the target
    method: str = "coral-transport-difference"
    options: dict[str, Any] = Field(default_factory=dict)  # the method's own; `fit` in it holds those of its fit
    strength: Annotated[float, Field(ge=-1e6, le=1e6)] = 1.0
    composite: Literal["source", "reconstruction"] = "source"
    format: Literal["png", "jpeg", "webp"] = "png"
    regions: RegionsSection = RegionsSection()
    gates: GatesSection = GatesSection()  # override the job's, key by key; null switches a gate off
    labels: dict[str, Any] = Field(
        default_factory=dict
    )  # what the edit changes in the source's labels; keys may be dotted paths

    @field_validator("all_of")
    @classmethod
    def _check_all_of(cls, given: list[str]) -> list[str]:
        check_wishes(given)
        return given

    @field_validator("target", mode="before")
    @classmethod
    def _join_target(cls, given: object, info: ValidationInfo) -> object:
        """A target that is left out is all_of as one sentence."""
        if given is not None:
            return given
        if "all_of" not in info.data:
            return "unknown"  # the error of all_of is reported, and this value is not used
        if info.data["all_of"]:
            return join_wishes(info.data["all_of"])
        raise ValueError("is missing")

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, given: dict[str, Any]) -> dict[str, Any]:
        return flat_labels(given)

    @field_validator("id")
    @classmethod
    def _check_id(cls, given: str) -> str:
        if not SLUG.fullmatch(given):
            raise ValueError(f"{given!r} is no id; give lower-case letters, digits, - and _, 63 at most")
        return given


class Job(Section):
    """A whole job."""

    name: str
    input: Annotated[Addresses, Field(min_length=1)]
    output: Address
    bundle: str = "portraits"
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    batch_size: Annotated[int, Field(ge=1, le=2**16)] = 16
    edits: list[EditSection] = Field(min_length=1)
    fit_source: FitSourceSection = FitSourceSection()
    geometry: GeometrySection = GeometrySection()
    resources: ResourcesSection = ResourcesSection()
    deadlines: DeadlinesSection = DeadlinesSection()
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_hours: Annotated[float, Field(gt=0, le=10 * 365 * 24)] | None = (
        None  # of a run; after this time it stops cleanly, and the next run continues
    )
    publish_every_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = PUBLISH_EVERY_MINUTES  # in the edit wave
    gates: GatesSection = GatesSection()  # of every edit
    removed_inputs: RemovedInputs = "mark"  # what publishing does with rows of inputs that are gone
    s3: S3Section = S3Section()

    @field_validator("edits")
    @classmethod
    def _check_distinct_ids(cls, given: list[EditSection]) -> list[EditSection]:
        ids = [edit.id for edit in given]
        repeated = sorted({id_ for id_ in ids if ids.count(id_) > 1})
        if repeated:
            raise ValueError(f"the ids {repeated} occur more than once; every edit needs its own")
        return given

    def spec(self) -> JobSpec:
        """The job in the form that make_plan() takes."""
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
            removed_inputs=self.removed_inputs,
        )

    def worker_resources(self) -> Resources:
        """The resources of the actors."""
        wanted = self.resources
        return Resources(
            actors=None if wanted.actors == "auto" else wanted.actors,
            num_cpus=wanted.num_cpus,
            num_gpus=wanted.num_gpus,
            memory=None if wanted.memory is None else int(wanted.memory),
        )

    def price(self) -> Price:
        """The price of an actor hour."""
        wanted = self.resources
        return Price(per_actor_hour=wanted.price_per_actor_hour, currency=wanted.currency)


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
        all_of=tuple(edit.all_of),
        rules=PublishRules(gates=_gates(edit, gates), labels=edit.labels),
    )


def _gates(edit: EditSection, common: GatesSection) -> Gates:
    try:
        return edit.gates.merged_over(common)
    except ValueError as error:
        raise ValueError(f"edit {edit.id!r}, its gates over the job's: {error}") from None
