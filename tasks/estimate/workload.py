"""What a plan is going to read and write, from listings, some headers and some commits; and what actors cost.

Samples are counted where that is cheap: in the commits of inverted shards and in the headers of local tars, some of
them where there are many. The rest is estimated from the bytes of those that were counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

from coral_core.bundle.catalog import Bundle, read_bundle
from manifests.commit import CommitRecord, committed, read_commit
from manifests.stores.store import Store
from tasks.artifacts.stored import fitted
from tasks.inputs.archive import count_samples
from tasks.inputs.local_copy import local_copy
from tasks.plan.plan import Plan
from tasks.shards.refusals import read_refusals
from tasks.spec.requests import EditRequest, EditSpec, FitRequest, ImageFormat, InvertRequest, Shard

LOOKED_AT = 32
"""Shards whose samples are counted, and commits whose sizes are looked at, at most."""
COUNTED_BYTES = 4 << 30
"""Of local tars whose headers are read, at most."""
SAMPLE_BYTES = 100_000
"""Assumed of a sample where none could be counted."""
PIXEL_BYTES: Mapping[ImageFormat, float] = {"png": 2.0, "jpeg": 0.7, "webp": 0.5}
"""About what a pixel of an edited image takes before anything is stored that would tell."""
SOURCE_SHARE: Mapping[ImageFormat, float] = {"png": 4.0, "jpeg": 1.5, "webp": 1.0}
"""About what an image at the source's size takes, in bytes of its source, which usually is a JPEG."""
MASK_PIXEL_BYTES = 0.2
ROW_BYTES = 1024

Request = TypeVar("Request", InvertRequest, EditRequest)


@dataclass(frozen=True)
class SampleCounts:
    """How many samples the shards of a plan have."""

    shards: tuple[Shard, ...]
    known: Mapping[str, int]  # shard id -> samples that were counted, also those beyond its limit

    def of(self, shard: Shard) -> int:
        """Samples of one shard; at least one where they were not counted."""
        samples = self.known.get(shard.id, max(1, round(shard.size / self.sample_bytes)))
        return samples if shard.limit is None else min(samples, shard.limit)

    def learned(self, counted: Mapping[str, int]) -> SampleCounts:
        """The same with what was counted meanwhile."""
        return replace(self, known={**self.known, **counted})

    @cached_property
    def total(self) -> int:
        """Samples of all shards."""
        return sum(map(self.of, self.shards))

    @cached_property
    def sample_bytes(self) -> float:
        """Bytes of a sample, on average over the shards that were counted whole."""
        size, samples = self._measured
        return size / samples if samples else SAMPLE_BYTES

    @property
    def basis(self) -> str:
        """How it is known, in words."""
        if len(self.known) == len(self.shards):
            return "counted"
        _, samples = self._measured
        known = f"{len(self.known)} of {len(self.shards)} shards counted"
        return f"estimated: {known if samples else f'{SAMPLE_BYTES / 1000:g} kB each assumed'}"

    @cached_property
    def _measured(self) -> tuple[int, int]:
        """Bytes and samples of the shards that were counted whole."""
        whole = [shard for shard in self.shards if shard.id in self.known and shard.limit is None]
        return sum(shard.size for shard in whole), sum(self.known[shard.id] for shard in whole)


@dataclass(frozen=True)
class Left:
    """What of a plan is to be done."""

    inversions: tuple[InvertRequest, ...]
    fits: tuple[FitRequest, ...]
    edits: tuple[tuple[EditRequest, ...], ...]  # by shard; without the shards that have none

    @property
    def nothing(self) -> bool:
        return not (self.inversions or self.fits or self.edits)


@dataclass(frozen=True)
class Load:
    """What a wave has to do."""

    images: int = 0  # times edits, in the edit wave
    read: int = 0  # bytes
    written: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a run of a plan has to do."""

    samples: int  # of all shards
    samples_basis: str
    image_basis: str  # how the bytes that an edit writes are known
    invert: Load = field(default_factory=Load)
    edit: Load = field(default_factory=Load)


def left_of(store: Store, plan: Plan) -> Left:
    """What is not stored, from two listings."""
    done, artifacts = committed(store).keys() | read_refusals(store, plan.max_failure_rate).keys(), fitted(store)
    pending = (tuple(each for each in requests if each.id not in done) for requests in plan.edit_requests())
    return Left(
        inversions=tuple(each for each in plan.invert_requests() if each.id not in done),
        fits=tuple(fit for fit in plan.fits if fit.id not in artifacts),
        edits=tuple(requests for requests in pending if requests),
    )


def estimate(store: Store, plan: Plan, left: Left, counts: SampleCounts) -> Estimate:
    """Images and bytes of what is left to do."""
    bundle = read_bundle(plan.bundle)
    latents = bundle.num_ws * bundle.w_dim * 4 + ROW_BYTES
    image_bytes, basis = stored_image_bytes(store, plan), "as what is stored"
    if image_bytes is None:
        image_bytes, basis = assumed_image_bytes(plan, bundle, counts), "by a rule of thumb"
    inverted = [(request.shard, counts.of(request.shard)) for request in left.inversions]
    edited = [(requests[0].shard, counts.of(requests[0].shard), requests) for requests in left.edits]
    return Estimate(
        samples=counts.total,
        samples_basis=counts.basis,
        image_basis=basis,
        invert=Load(
            images=sum(samples for _, samples in inverted),
            read=sum(shard.size for shard, _ in inverted),
            written=sum(samples * latents for _, samples in inverted),
        ),
        edit=Load(
            images=sum(samples * len(requests) for _, samples, requests in edited),
            read=sum(shard.size + samples * latents for shard, samples, _ in edited),
            written=sum(
                round(samples * image_bytes[request.spec.slug])
                for _, samples, requests in edited
                for request in requests
            ),
        ),
    )


def count_plan(store: Store, plan: Plan) -> SampleCounts:
    """The samples of the plan's shards, counted in some of them."""
    counted = _counted(store, _spread(plan.invert_requests()), committed(store))
    return SampleCounts(plan.shards, {request.shard.id: count for request, count in counted})


def stored_image_bytes(store: Store, plan: Plan) -> dict[str, float] | None:
    """Bytes per image of what the plan's edits have written so far, by slug; None where there is nothing yet.

    An edit without anything of its own gets the mean of the others.
    """
    done = committed(store)
    finished = [each for requests in plan.edit_requests() for each in requests if each.id in done]
    sizes: dict[str, list[float]] = {}
    for request in _spread(finished):
        record = read_commit(store, request.id)
        if record is not None and record.counts.get("ok"):
            sizes.setdefault(request.spec.slug, []).append(_bytes_of(record) / record.counts["ok"])
    if not sizes:
        return None
    means = {slug: sum(each) / len(each) for slug, each in sizes.items()}
    common = sum(means.values()) / len(means)
    return {edit.slug: means.get(edit.slug, common) for edit in plan.edits}


def assumed_image_bytes(plan: Plan, bundle: Bundle, counts: SampleCounts) -> dict[str, float]:
    """Bytes per image by a rule of thumb, by slug."""

    def assumed(edit: EditSpec) -> float:
        if edit.output == "source":
            return counts.sample_bytes * SOURCE_SHARE[edit.image_format] + ROW_BYTES
        return bundle.image_size**2 * (PIXEL_BYTES[edit.image_format] + MASK_PIXEL_BYTES) + ROW_BYTES

    return {edit.slug: assumed(edit) for edit in plan.edits}


def _counted(
    store: Store, requests: Sequence[InvertRequest], done: Collection[str]
) -> Iterator[tuple[InvertRequest, int]]:
    """Those of the requests whose samples can be counted cheaply."""
    budget = COUNTED_BYTES
    for request in requests:
        shard = request.shard
        record = read_commit(store, request.id) if request.id in done else None
        if record is not None:
            yield request, sum(record.counts.values())
        elif not shard.etag and shard.size <= budget:
            budget -= shard.size
            with local_copy(shard) as path:
                yield request, count_samples(path)


def _spread(requests: Sequence[Request]) -> list[Request]:
    """LOOKED_AT of them from the beginning to the end, or all if there are no more."""
    step = max(1, -(-len(requests) // LOOKED_AT))
    return list(islice(requests, 0, None, step))


def _bytes_of(record: CommitRecord) -> int:
    return sum(ref.size for ref in record.objects)
