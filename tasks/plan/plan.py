"""The plan of a run: derived from content alone, and recorded in a file before any work begins.

The plan holds everything that a wave needs. Each wave subtracts what is committed already when it begins.
"""

from __future__ import annotations

import importlib.metadata
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from coral_core.bundle.catalog import BUNDLES, read_bundle
from coral_core.editors import EDITORS, Limits, spec
from manifests.stores.open import open_store
from manifests.stores.s3_options import AMBIENT, S3Options
from manifests.stores.store import Store
from tasks.artifacts.fit_requests import digests_of
from tasks.inputs.archive import count_samples
from tasks.inputs.find import Inputs, find_inputs
from tasks.inputs.local_copy import local_copy
from tasks.plan.resolve import resolve_edit
from tasks.plan.retry_log import read_retries
from tasks.spec.geometry import Geometry
from tasks.spec.job import JobSpec, RemovedInputs
from tasks.spec.publish_rules import PublishRules
from tasks.spec.requests import EditRequest, EditSpec, FitRequest, InvertRequest, InvertSpec, Shard

LIMITED = "-limit.json"
"""End of the names of the plans with a sample limit."""
FORMAT = 6
"""Version of the plan file's format; increase it when the fields change."""
READABLE = (3, 4, 5, FORMAT)
"""Formats that can be read; fields that older formats lack have their defaults."""
INVERT_READS = ("generator", "encoder")
"""Bundle parts that inverting reads."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run, resolved."""

    run_id: str
    code_version: str
    output: str  # absolute path or URL
    bundle: str  # a name of the catalogue or an absolute path
    digests: Mapping[str, str]  # of all parts of the bundle
    shards: tuple[Shard, ...]
    invert: InvertSpec
    fits: tuple[FitRequest, ...]
    edits: tuple[EditSpec, ...]
    max_failure_rate: float
    limit_samples: int | None
    s3: S3Options = AMBIENT  # access to the buckets of inputs and output; part of no id; without credentials
    job: Mapping[str, object] = field(default_factory=dict)  # the job as the user gave it
    publish: Mapping[str, PublishRules] = field(default_factory=dict)  # slug of an edit -> its rules
    retries: Mapping[str, int] = field(default_factory=dict)  # id of a request's first try -> number of its retry
    removed_inputs: RemovedInputs = "mark"  # what becomes of the rows of inputs that are gone
    passed_over: tuple[str, ...] = ()  # what the input has that is no shard, one line each; logged, not in the file

    @property
    def patterns(self) -> tuple[str, ...]:
        """The input patterns of the job; none in plans of pilots and tests, which have no job."""
        return tuple(str(pattern) for pattern in self.job.get("inputs", ()))  # type: ignore[attr-defined]

    def invert_requests(self) -> list[InvertRequest]:
        """One per shard."""
        requests = (InvertRequest(shard=shard, spec=self.invert) for shard in self.shards)
        return [replace(request, retry=self.retries.get(request.id, 0)) for request in requests]

    def edit_requests(self) -> Iterator[list[EditRequest]]:
        """All edits of one shard, shard by shard."""
        for inversion in self.invert_requests():
            requests = (EditRequest(inversion=inversion, spec=edit) for edit in self.edits)
            yield [replace(request, retry=self.retries.get(request.id, 0)) for request in requests]

    def rules_of(self, edit: EditSpec) -> PublishRules:
        """How the rows of an edit are published."""
        found = self.publish.get(edit.slug)
        return PublishRules() if found is None else found

    def to_json(self) -> bytes:
        """The plan's file."""
        fields = {"format": FORMAT, **asdict(self)}
        del fields["passed_over"]
        captions = [shard for fit in fields["fits"] for shard in fit["captions"]]
        references = [edit["reference"] for edit in fields["edits"] if edit["reference"]]
        for shard in (*fields["shards"], *captions, *references):
            del shard["s3"]  # the same as the plan's
        return json.dumps(fields, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """The plan in a file's bytes. Errors: ValueError if they are not a plan."""
        try:
            return _parse({key: value for key, value in json.loads(data).items() if key != "format"})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a plan: {error!r} in {data[:80]!r}") from error


def make_plan(job: JobSpec, limit_samples: int | None = None) -> Plan:
    """Resolve a job: list and digest the shards, complete every option, derive every id. Writes nothing.

    Errors: ValueError if the job names something that does not exist.
    """
    store = open_store(job.output, job.s3)
    bundle = read_bundle(job.bundle)
    latest = next((plan for plan in read_plans(store) if plan.limit_samples is None), None)
    inputs = find_inputs(job.inputs, {shard.uri: shard for shard in latest.shards} if latest else {}, job.s3)
    invert = InvertSpec(geometry=job.geometry, batch_size=job.batch_size, digests=digests_of(bundle, INVERT_READS))
    captions = _captions(job, latest)
    resolved = [resolve_edit(job, entry, bundle, invert, captions.shards) for entry in job.edits]
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    return Plan(
        run_id=stem if limit_samples is None else stem + LIMITED.removesuffix(".json"),
        code_version=importlib.metadata.version("coral-edit"),
        output=_absolute(job.output),
        bundle=job.bundle if job.bundle in BUNDLES else str(Path(job.bundle).absolute()),
        digests=bundle.digests,
        shards=inputs.shards if limit_samples is None else first_samples(inputs.shards, limit_samples),
        invert=invert,
        fits=tuple({fit.id: fit for fits, _ in resolved for fit in fits}.values()),
        edits=tuple(edit for _, edit in resolved),
        max_failure_rate=job.max_failure_rate,
        limit_samples=limit_samples,
        s3=job.s3,
        job=asdict(job),
        publish={entry.id: entry.rules for entry in job.edits},
        retries=read_retries(store),
        removed_inputs=job.removed_inputs,
        passed_over=(*inputs.passed_over, *captions.passed_over),
    )


def _captions(job: JobSpec, latest: Plan | None) -> Inputs:
    """The captioned tars, if a method of the job, or its base, learns from captions."""
    methods = {spec(entry.method) for entry in job.edits if entry.method in EDITORS}
    methods |= {spec(method.base) for method in methods if method.base}
    if not job.fit_captions or not any(method.captioned for method in methods):
        return Inputs()
    known = {shard.uri: shard for fit in (latest.fits if latest else ()) for shard in fit.captions}
    return find_inputs(job.fit_captions, known, job.s3)


def record_plan(store: Store, plan: Plan) -> None:
    """Write the plan's file, create-only. Errors: ValueError if it exists."""
    if not store.put_new(f"plans/{plan.run_id}.json", plan.to_json()):
        raise ValueError(f"plans/{plan.run_id}.json exists already; run again for a plan of its own")


def read_plans(store: Store, newest: int | None = None, limited: bool = False) -> Iterator[Plan]:
    """The recorded plans, newest first; with `limited` only those of runs with a sample limit.

    Plans in another format are skipped, because no wave needs them. Errors: ValueError for a damaged one.
    """
    suffix = LIMITED if limited else ".json"
    keys = sorted((info.key for info in store.list("plans/") if info.key.endswith(suffix)), reverse=True)
    plans = (Plan.from_json(data) for data in map(store.read, keys) if not is_foreign(data))
    yield from islice(plans, newest)


def is_foreign(data: bytes) -> bool:
    """Whether a plan is in a format that this version cannot read."""
    try:
        fields = json.loads(data)
    except ValueError:
        return False  # damaged, not foreign
    return isinstance(fields, dict) and fields.get("format") not in READABLE


def first_samples(shards: Sequence[Shard], count: int) -> tuple[Shard, ...]:
    """The shards that hold the first `count` samples; the last one gets a limit if it has more.

    A shard that is used whole gets no limit, so that its results also serve a run without limit.
    """
    if count < 1:
        raise ValueError(f"the limit is {count} samples; give 1 or more")
    chosen: list[Shard] = []
    for shard in shards:
        with local_copy(shard) as path:
            size = count_samples(path)
        chosen.append(shard if size <= count else replace(shard, limit=count))
        count -= size
        if count <= 0:
            break
    return tuple(chosen)


def _absolute(output: str) -> str:
    return output if "://" in output else str(Path(output).expanduser().absolute())


def _parse(fields: dict[str, Any]) -> Plan:
    invert, s3 = fields["invert"], S3Options(**fields["s3"])
    return Plan(
        **{
            **fields,
            "s3": s3,
            "shards": tuple(Shard(**shard, s3=s3) for shard in fields["shards"]),
            "invert": InvertSpec(**{**invert, "geometry": Geometry(**invert["geometry"])}),
            "fits": tuple(_fit(fit, s3) for fit in fields["fits"]),
            "edits": tuple(_edit(edit, s3) for edit in fields["edits"]),
            "publish": {slug: PublishRules.of(rules) for slug, rules in fields["publish"].items()},
        }
    )


def _fit(fields: dict[str, Any], s3: S3Options) -> FitRequest:
    captions = tuple(Shard(**shard, s3=s3) for shard in fields.get("captions", ()))
    return FitRequest(**{**fields, "captions": captions, "wishes": tuple(fields.get("wishes", ()))})


def _edit(fields: dict[str, Any], s3: S3Options) -> EditSpec:
    reference = None if fields.get("reference") is None else Shard(**fields["reference"], s3=s3)
    parsed = {"limits": Limits(**fields["limits"]), "reference": reference, "all_of": tuple(fields.get("all_of", ()))}
    return EditSpec(**{**fields, **parsed})
