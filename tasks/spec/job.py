"""A complete job, the input of the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from coral_core.editors import UNLIMITED, Limits
from manifests.stores.s3_options import AMBIENT, S3Options
from tasks.spec.geometry import Geometry
from tasks.spec.publish_rules import PublishRules
from tasks.spec.requests import ImageFormat, Onto

RemovedInputs = Literal["keep", "mark", "drop"]
"""What publishing does with the rows of an input that is gone: nothing; mark them, so that exports leave them out; or
remove them from the manifest."""

PUBLISH_EVERY_MINUTES = 15.0
"""While the edit wave of a run lasts, what is committed is published so often."""


@dataclass(frozen=True, kw_only=True)
class EditEntry:
    """One edit of the job."""

    id: str
    target: str
    source: str
    method: str
    options: Mapping[str, object]  # only those that differ from the method's defaults
    strength: float
    onto: Onto
    image_format: ImageFormat
    limits: Limits = UNLIMITED
    mask: str = ""  # suffix of the user masks that limit it; empty: none
    reference: str = ""  # address of the reference image
    all_of: tuple[str, ...] = ()  # the wishes of the target, for methods that combine wishes; empty: not said
    rules: PublishRules = field(
        default_factory=PublishRules
    )  # part of no id: a change needs no new edit, only another publish


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """The complete content of a job file."""

    name: str
    inputs: tuple[str, ...]
    output: str
    bundle: str
    seed: int
    batch_size: int
    geometry: Geometry
    edits: tuple[EditEntry, ...]
    fit_samples: int
    max_failure_rate: float
    fit_captions: tuple[str, ...] = ()  # tars of captioned images, for methods that are trained on captions
    s3: S3Options = AMBIENT
    removed_inputs: RemovedInputs = "mark"
