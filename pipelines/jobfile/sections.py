"""The sections of a job file and their fields."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from coral_core.editors import Limits
from manifests.stores.s3_options import CREDENTIALS, S3Options, check_address, is_credential_name
from tasks.inputs.grouping import IMAGE_SUFFIXES
from tasks.spec.gates import Gates
from tasks.spec.resources import DEFAULT_DEADLINES, Deadlines

Address = Annotated[str, AfterValidator(check_address)]
"""Address of a tar or a folder, without credentials, because Prefect stores the job as a parameter of the flow."""
Addresses = Annotated[list[Address], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
"""One address or a list of them."""


Minutes = Annotated[float, Field(gt=0, le=10 * 365 * 24 * 60)]
"""More than 0, at most ten years, which every timer can represent."""


class Section(BaseModel):
    """A mapping of the job file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            unknown = [str(key) for key in given if key not in cls.model_fields]
            if unknown:
                raise ValueError("; ".join(_unknown(key, list(cls.model_fields)) for key in unknown))
        return given

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, given: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number or a text is expected; pydantic would read them as 1 and 0."""
        expected = cls.model_fields[str(info.field_name)].annotation
        booleans = [value for value in (given if isinstance(given, list) else [given]) if isinstance(value, bool)]
        if booleans and bool not in (expected, *get_args(expected)):
            raise ValueError(f"{str(booleans[0]).lower()} is no value for it; give a number, or quote what is a text")
        return given


class GeometrySection(Section):
    """How a source image is fitted to the generator's square, and the size of the result."""

    fit: Literal["crop", "pad", "resize", "refuse"] = "resize"
    output: Literal["generator", "source"] = "generator"  # source: pasted back into the image at its full size


class ResourcesSection(Section):
    """The resources of each actor, and the number of actors."""

    actors: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = "auto"
    num_cpus: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    num_gpus: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    memory: Annotated[ByteSize, Field(ge=1, le=2**60)] | None = None  # bytes, or text such as 4GiB
    price_per_actor_hour: Annotated[float, Field(ge=0, le=1e9)] | None = None
    currency: Annotated[str, Field(min_length=1)] = "USD"  # of the price; only printed

    @field_validator("num_gpus")
    @classmethod
    def _check_num_gpus(cls, given: float) -> float:
        if given > 1 and given != int(given):
            raise ValueError(f"{given} is neither a share of one device nor a number of devices; give 0.5, 1 or 2")
        return given


class DeadlinesSection(Section):
    """Minutes after which a worker counts as stalled and is killed and replaced; its work is tried again."""

    start_minutes: Minutes = DEFAULT_DEADLINES.start_minutes  # until the worker is ready
    stall_minutes: Minutes = DEFAULT_DEADLINES.stall_minutes  # without any sign of progress
    shard_minutes: Minutes = DEFAULT_DEADLINES.shard_minutes  # for one shard, inverted or edited
    fit_minutes: Minutes = DEFAULT_DEADLINES.fit_minutes  # for one editor

    def spec(self) -> Deadlines:
        """The deadlines in the form that the pool takes."""
        return Deadlines(**self.model_dump())


class S3Section(Section):
    """Access to the buckets of inputs and output. Missing keys come from CORAL_S3_*, then from boto3."""

    endpoint: str | None = None  # URL of a service that is not AWS
    region: str | None = None
    path_style: bool | None = None
    encryption: Literal["AES256", "aws:kms"] | None = None  # of what is written
    kms_key_id: str | None = None

    @model_validator(mode="after")
    def _check_options(self) -> S3Section:
        S3Options(**self.model_dump())
        return self


class FitSourceSection(Section):
    """The training source of fits: seeded samples of the generator, or captioned images for methods that need them."""

    samples: Annotated[int, Field(ge=1, le=2**24)] = 512
    captions: Addresses = []  # tars of images, each with its captions in <key>.txt, one per line


class GatesSection(Section):
    """Thresholds that an edited image must meet to be published as ok; a gate without a number is off."""

    min_direction: float | None = None
    min_identity: float | None = None
    max_outside: float | None = None
    max_inversion_error: float | None = None
    min_area: float | None = None
    max_area: float | None = None

    @model_validator(mode="after")
    def _check_ranges(self) -> GatesSection:
        Gates(**self.model_dump())
        return self

    def merged_over(self, common: GatesSection) -> Gates:
        """These gates; a gate that is not mentioned here is taken from `common`."""
        return Gates(**{**common.model_dump(exclude_unset=True), **self.model_dump(exclude_unset=True)})


class RegionsSection(Section):
    """Limits on the part of an image that an edit may change."""

    threshold: float = 0.0  # values of the method's masks below it become 0
    layers: list[
        Annotated[int, Field(ge=0, lt=2**31)]
    ] = []  # convolutions of the generator, the coarsest is 0; empty: all
    mask: str | None = None  # the samples' members <key>.<mask> are white where the edit may act
    difference: float = 0.0  # the edit acts where it changes the image by more than this; 0: no limit

    @field_validator("mask")
    @classmethod
    def _check_mask_suffix(cls, given: str | None) -> str | None:
        if given is None:
            return None
        suffix = given.lower().removeprefix(".")
        if not suffix or "/" in suffix:
            raise ValueError(f"{given!r} is no suffix; give what follows the key: mask.png of <key>.mask.png")
        if suffix in IMAGE_SUFFIXES:
            raise ValueError(f"{given!r} may be the image itself; give a suffix of its own, such as mask.{suffix}")
        return suffix

    @model_validator(mode="after")
    def _check_ranges(self) -> RegionsSection:
        self.limits()
        return self

    def limits(self) -> Limits:
        """The limits that are the same for every sample."""
        return Limits(threshold=self.threshold, layers=tuple(self.layers), difference=self.difference)


def _unknown(key: str, known: list[str]) -> str:
    if is_credential_name(key):
        return f"unknown key {key!r}; {CREDENTIALS}"
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return f"unknown key {key!r}; {hint}"
